"""`sluice rejects list|show|replay`: what stands rejected, row by row and why, and a run that injects it again."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.text import Text

from cli.errors import CommandError
from cli.lakes import Desk, OpenLake
from cli.rejected import STATES, Group, Rejected, account_of, rows_of, source_of
from cli.render import err, examples, listed, number, out, show_json, show_table
from cli.run import begin
from shared.core.messages import Replay
from shared.core.replay import asks_source, key_that_can_be_asked, refuse_replay, why_not_asked
from shared.spec.codec import to_json
from shared.spec.lake import Table

app = typer.Typer(name="rejects", help="Rows that broke their contract: which, why, and again.", no_args_is_help=True)

TableName = Annotated[str, typer.Argument(metavar="TABLE", help="A bronze table, as in bronze.orders.")]
Rules = Annotated[list[str] | None, typer.Option("--rule", metavar="RULE", help="Only rows rejected for this reason; may be given again.")]
Runs = Annotated[list[str] | None, typer.Option("--run", metavar="RUN", help="Only rows of windows that this run froze; may be given again.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list", epilog=examples("sluice rejects list", "sluice --env prod rejects list --json"))
def list_rejects(context: typer.Context, as_json: AsJson = False) -> None:
    """Rejected rows of certified batches by table, rule and run: open, replayed, or copies of another row.

    A row with several reasons counts under each; the totals count it once. Exit 1: a table and its account disagree.
    """
    desk: Desk = context.obj
    lake = desk.open()
    found = [_listing(lake, table) for table in lake.lake.sources]
    if as_json:
        show_json(found)
    else:
        _show_listing(found)
    if not all(table["holds"] for table in found):
        raise CommandError("sluice rejects: a table's rows are not those that its certified batches counted: something else wrote there")


@app.command("show", epilog=examples("sluice rejects show bronze.orders --rule currency_known", "sluice rejects show bronze.orders --limit 3 --json"))
def show_rejects(
    context: typer.Context,
    table: TableName,
    rules: Rules = None,
    runs: Runs = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many rows.")] = 20,
    every: Annotated[bool, typer.Option("--all", help="Replayed rows and copies too, not only open ones.")] = False,
    as_json: AsJson = False,
) -> None:
    """Rejected rows with their reasons, and what the source gave, masked where the contract masks."""
    desk: Desk = context.obj
    lake = desk.open()
    rows = rows_of(lake, source_of(lake.lake, table), rules or (), runs or (), limit=limit, every=every)
    if as_json:
        show_json([_row(row) for row in rows])
    elif rows:
        show_table(("row", "run", "state", "rejected for", "what the source gave"), [_cells(row) for row in rows])
    else:
        out().print(f"no {'' if every else 'open '}rejects of {table} like that")


@app.command(
    "replay",
    epilog=examples(
        "sluice rejects replay bronze.orders --dry-run",
        "sluice rejects replay bronze.orders --rule currency_known",
        "sluice --env prod rejects replay bronze.orders --run 20261123T040005Z-9f3a --no-follow",
    ),
)
def replay_rejects(
    context: typer.Context,
    table: TableName,
    rules: Rules = None,
    runs: Runs = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which rows it would take, and from where.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document at the end; progress goes to stderr.")] = False,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Follow the run to its end.")] = True,
) -> None:
    """Start a run that judges open rejects by the contract as it is deployed now, and brings in what holds.

    Rows are taken as they were rejected; where only the clear value of a masked column can tell, from the source by key. What is still bad is
    rejected again. Refused while a batch of the table is pending. Exit codes are those of `sluice run`; 0 when there is nothing to replay.
    """
    desk: Desk = context.obj
    lake = desk.open()
    source = source_of(lake.lake, table)
    asked = Replay(table=source.name, rules=tuple(rules or ()), runs=tuple(runs or ()))
    refuse_replay(asked, lake.lake, lake.state)
    chosen = account_of(lake, source).selected(asked)
    if dry_run:
        show_json(_would_take(source, chosen)) if as_json else _show_would_take(source, chosen)
    elif not chosen:
        show_json({"run": None, "status": "nothing to replay"}) if as_json else out().print(f"no open rejects of {source.name} like that")
    else:
        begin(lake, {"replay": to_json(asked)}, follow=follow, as_json=as_json)


def _listing(lake: OpenLake, table: Table) -> Mapping[str, Any]:
    account, totals = account_of(lake, table), lake.state.progress(table.name).totals
    counted = None if totals is None else (totals.open, totals.replayed, totals.copies)
    states = account.states
    lines: Counter[tuple[str, str, str]] = Counter()
    for group in account.groups:
        lines.update({(reason, group.run or "", group.state): group.rows for reason in group.reasons})
    named = sorted({(rule, run) for rule, run, _ in lines})
    return {
        "table": table.name,
        **states,
        "holds": counted is None or counted == tuple(states.values()),
        "rejects": [{"rule": rule, "run": run, **{state: lines[(rule, run, state)] for state in states}} for rule, run in named],
    }


def _show_listing(found: Sequence[Mapping[str, Any]]) -> None:
    lines = [(table["table"], *line.values()) for table in found for line in table["rejects"]]
    if lines:
        show_table(("table", "rejected for", "run", "open", "replayed", "copies"), lines, right=("open", "replayed", "copies"))
    totals = [(table["table"], *(table[state] for state in STATES), "holds" if table["holds"] else "DOES NOT HOLD") for table in found]
    show_table(("table", "open", "replayed", "copies", "account"), totals, right=("open", "replayed", "copies"))


def _row(row: Rejected) -> Mapping[str, Any]:
    return {
        "row": row.pointer,
        "run": row.run,
        "state": row.state,
        "reasons": list(row.reasons),
        "replayed_from": row.replayed_from,
        "original": row.original,
    }


def _cells(row: Rejected) -> Sequence[Any]:
    given = ", ".join(f"{name} {'NULL' if value is None else json.dumps(value, ensure_ascii=False)}" for name, value in row.original.items())
    return (row.pointer if row.replayed_from is None else f"{row.pointer}, was {row.replayed_from}", row.run, row.state, listed(row.reasons), given)


def _would_take(table: Table, chosen: Sequence[Group]) -> list[Mapping[str, Any]]:
    return [
        {
            "reasons": list(group.reasons),
            "run": group.run,
            "rows": group.rows,
            "from": _taken_from(table, group),
        }
        for group in chosen
    ]


def _taken_from(table: Table, group: Group) -> str:
    """The reason that a row will stay rejected for, where only its source could tell and cannot be asked."""
    if not any(asks_source(table, reason) for reason in group.clear_reasons):
        return "bronze"
    return "source" if key_that_can_be_asked(table) else why_not_asked(table)


def _show_would_take(table: Table, chosen: Sequence[Group]) -> None:
    taken = _would_take(table, chosen)
    if taken:
        rows = [(listed(line["reasons"]), line["run"], line["rows"], line["from"]) for line in taken]
        show_table(("rejected for", "run", "rows", "taken from"), rows, right=("rows",))
    total = sum(line["rows"] for line in taken)
    out().print(Text(f"{number(total)} open rejects of {table.name} would be judged again, by its contract {table.version} as it is here"))
    if total:
        err().print("the run uses the contract as it is deployed; nothing was started", soft_wrap=True)
