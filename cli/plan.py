"""`sluice plan`: what the next run would read, merge and rebuild, and why. Starts nothing, asks no database."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import typer
from rich.text import Text

from cli.errors import refusing
from cli.lakes import Desk, OpenLake
from cli.render import examples, moment, out, show_json, show_table
from shared.core.choice import Choice, choose
from shared.core.errors import EvidenceInvalid, EvidenceMissing, SourceUnavailable
from shared.core.files import FileObject, Manifest
from shared.core.forecast import TableForecast, forecast
from shared.core.layout import plan_key, table_path
from shared.core.ports import DeltaLog, Documents, State
from shared.core.run_documents import Plan
from shared.core.standing import Folder, Standing, finished
from shared.core.upcoming import WaitingBatch
from shared.core.window import known_manifest, position_text
from shared.spec.codec import to_json
from shared.spec.lake import Lake, Table

app = typer.Typer()

Tables = Annotated[list[str] | None, typer.Option("--table", metavar="TABLE", help="Limit the run to this table and what it needs; repeatable.")]
FullRefresh = Annotated[
    list[str] | None, typer.Option("--full-refresh", metavar="TABLE", help="Compute this derived table from all of its inputs; repeatable.")
]

Listing = Callable[[Table], tuple[FileObject, ...]]
_WORDS = {"read": "read", "build": "built", "rebuild": "rebuilt", "update": "updated", "nothing": "left as it is", "not planned": "left out"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NextRun:
    """What a run started now would do. `lake_of_last_run` is None before the first run, and where its plan cannot be read."""

    environment: str
    limited: str | None
    held_by: str | None
    held_since: datetime | None
    finishes_first: str | None  # a run that passed gold's gate and was not committed
    lake_here: str
    lake_of_last_run: str | None
    tables: tuple[TableForecast, ...]


@app.command(
    "plan",
    epilog=examples(
        "sluice plan                                  # what `sluice run` would do now",
        "sluice plan --table gold.fact_sales          # limited to a table and what it needs",
        "sluice plan --full-refresh silver.orders --json",
    ),
)
def plan_run(
    context: typer.Context,
    tables: Tables = None,
    full_refresh: FullRefresh = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what the next run would read, merge and rebuild, and why, without starting anything.

    From the state, the Delta logs and the contracts here alone: no database is asked for new rows. Where files lie is listed. Exit 2: an unknown
    table.
    """
    desk: Desk = context.obj
    lake = desk.open()
    with refusing("sluice plan"):
        choice = choose(lake.lake, tables=tables or (), full_refresh=full_refresh or ())
    found = next_run(lake, choice)
    show_json(to_json(found)) if as_json else _show(lake, found)


def next_run(lake: OpenLake, choice: Choice) -> NextRun:
    lock = lake.state.lock()
    standing = standing_of(lake.lake, choice, state=lake.state, documents=lake.documents, delta_log=lake.delta_log, listing=lake.objects)
    return NextRun(
        environment=lake.environment.name,
        limited=choice.why,
        held_by=lock.run,
        held_since=lock.since,
        finishes_first=standing.finishes_first,
        lake_here=lake.pinned.hash,
        lake_of_last_run=_lake_of_last_run(lake),
        tables=forecast(lake.lake, choice, standing, max_windows=lake.environment.max_windows),
    )


def standing_of(lake: Lake, choice: Choice, *, state: State, documents: Documents, delta_log: DeltaLog, listing: Listing) -> Standing:
    """What a run of the choice would find. An unfinished intent is taken as finished, as the run's first act makes it.

    Raises EvidenceMissing, EvidenceInvalid for a list of files that cannot be read; the run would end at it too.
    """
    intent, certified = state.intent(), state.certified()
    if intent is not None:
        certified = finished(intent)
    planned = [table for table in lake.tables if table.name in choice.tables]
    sources = [table.name for table in planned if table.source is not None]
    progress = {name: state.progress(name) for name in sources}
    if intent is not None:
        progress |= {name: moved for name, moved in intent.progress.items() if name in progress}
    pending = {name: tuple(batch for batch in state.pending(name) if batch.seq > progress[name].seq) for name in sources}
    since = {table.name: certified.tables[table.name].version if table.name in certified.tables else -1 for table in planned}
    known = {table.name: known_manifest(progress[table.name], pending[table.name]) for table in planned if table.source and table.source.files}
    return Standing(
        certified=certified,
        progress=progress,
        pending=pending,
        folders={name: _folder(lake.table(name), manifest, documents, listing) for name, manifest in known.items()},
        commits={name: delta_log.commits(table_path(lake.table(name)), after) for name, after in since.items() if name in sources or after < 0},
        latest={table.name: delta_log.latest(table_path(table)) for table in planned},
        finishes_first=None if intent is None else intent.run,
    )


def _folder(table: Table, manifest: str | None, documents: Documents, listing: Listing) -> Folder:
    inventory = {} if manifest is None else documents.get(manifest, Manifest).inventory
    try:
        return Folder(listed=listing(table), inventory=inventory, problem=None)
    except SourceUnavailable as refused:
        return Folder(listed=(), inventory=inventory, problem=str(refused))


def _lake_of_last_run(lake: OpenLake) -> str | None:
    newest = lake.state.runs(1)
    try:
        return lake.documents.get(plan_key(newest[0].run), Plan).lake_hash if newest else None
    except (EvidenceMissing, EvidenceInvalid):
        return None


def _show(lake: OpenLake, found: NextRun) -> None:
    _say(f"the next run of {found.environment}" + ("" if found.limited is None else f", {found.limited}"))
    if found.held_by is not None:
        since = "" if found.held_since is None else f" since {moment(found.held_since)} UTC"
        _say(f"the lake is held by run {found.held_by}{since}: another run is refused until that one is over")
    if found.finishes_first is not None:
        _say(f"run {found.finishes_first} is finished first: it passed gold's gate and was not committed")
    if found.lake_of_last_run not in (None, found.lake_here):
        fix = "`sluice local up` deploys it" if lake.home is not None else "deploy it with `cdk deploy`"
        _say(f"the last run's lake.json is not the one of the contracts here, from which this is told; {fix}")
    rows = [(row.table, _would_be(row), _because(row), "; ".join(row.notes)) for row in found.tables]
    show_table(("table", "would be", "because", "mind"), rows)
    waiting = [(row.table, batch.seq, _frozen(row, batch), batch.how, batch.why) for row in found.tables for batch in row.batches]
    if waiting:
        show_table(("pending in", "batch", "window (UTC)", "would", "because"), waiting, right=("batch",))


def _would_be(row: TableForecast) -> str:
    return f"{_WORDS[row.action]}, perhaps" if row.triggers else _WORDS[row.action]


def _because(row: TableForecast) -> str:
    if row.source is None:
        return row.why
    first = f"{len(row.batches)} pending, then " if row.batches else ""
    return f"{row.why}: {first}{_new(row)}"


def _new(row: TableForecast) -> str:
    if row.source == "snapshot":
        return "a snapshot" if row.new_windows else "no new snapshot"
    if row.source == "files":
        if row.new_objects is None:
            return "new objects, if there are any"
        return f"new objects: {row.new_objects}, in {row.new_windows} new batches" if row.new_windows else "no new object"
    if row.reads_from is None or not row.new_windows:
        return "no new window"
    zone = " UTC" if isinstance(row.reads_from, datetime) else ""
    return f"up to {row.new_windows} new windows from {position_text(row.reads_from)}{zone}"


def _frozen(row: TableForecast, batch: WaitingBatch) -> str:
    hi = position_text(batch.hi)
    return f"{position_text(batch.lo)} .. {hi}" if row.source == "windows" else f"frozen {hi}"


def _say(text: str) -> None:
    out().print(Text(text), soft_wrap=True)
