"""`sluice compile`: the contracts checked, listed, or written as lake.json."""

from pathlib import Path
from typing import Annotated

import typer

from cli.lakes import Desk
from cli.outcome import shown
from cli.render import examples, listed, out, show_json, show_table
from shared.spec.codec import to_json
from shared.spec.lake import Lake, lake_text

app = typer.Typer()


@app.command(
    "compile",
    epilog=examples(
        "sluice compile                    # the tables, or every problem at once (exit 2)",
        "sluice compile --out lake.json    # what ships with every job and function",
        "sluice --lake my_lake compile --json",
    ),
)
def compile_contracts(
    context: typer.Context,
    write_to: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write lake.json here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print lake.json.")] = False,
) -> None:
    """Check every contract of the lake and list its tables.

    Exit 0: the lake holds together. Exit 2: it does not; every problem with its file, line and fix is on stderr.
    """
    desk: Desk = context.obj
    pinned = desk.compiled()
    if write_to is not None:
        write_to.write_text(lake_text(pinned.lake), encoding="utf-8")
    if as_json:
        show_json(to_json(pinned.lake))
        return
    if write_to is not None:
        out().print(f"{shown(write_to)}: {len(pinned.lake.tables)} tables, sha256 {pinned.hash}", soft_wrap=True)
        return
    _list(pinned.lake)
    out().print(f"{len(pinned.lake.tables)} tables; environments: {listed(pinned.lake.environments)}", soft_wrap=True)


def _list(lake: Lake) -> None:
    rows = [
        (
            table.name,
            table.load,
            listed(table.inputs) if table.source is None else f"{table.source.relation} (source)",
            ", ".join(table.key) or None,
            len(table.rules),
            table.group,
            table.owner,
        )
        for table in lake.tables
    ]
    show_table(("table", "load", "inputs", "key", "rules", "group", "owner"), rows, right=("rules",))
