"""`sluice status`: who holds the lake, how far each source got, what is certified, which rules are bypassed, the last runs."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.text import Text

from cli.bypass import show_bypasses
from cli.lakes import Desk, OpenLake
from cli.render import duration, examples, moment, number, out, show_json, show_table
from shared.core.measuring import lag_seconds
from shared.core.messages import RunRecord
from shared.core.totals import Totals
from shared.core.window import position_text
from shared.spec.codec import to_json

app = typer.Typer()

LAST_RUNS = 5


@app.command("status", epilog=examples("sluice status", "sluice --env prod status --json"))
def status(context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Who holds the lake, how far each source got, which versions are certified, which rules are bypassed, and the last runs."""
    desk: Desk = context.obj
    lake = desk.open()
    found = status_of(lake, datetime.now(UTC))
    show_json(found) if as_json else _show(found)


def status_of(lake: OpenLake, at: datetime) -> Mapping[str, Any]:
    """Plain values. A source's lag is from `at` to its committed position; None before its first commit and for numbers."""
    state = lake.state
    certified = state.certified()
    entries = {table.name: certified.tables.get(table.name) for table in lake.lake.tables}
    return {
        "environment": lake.environment.name,
        "lock": to_json(state.lock()),
        "certified_by": certified.run,
        "sources": [_source(lake, table.name, at) for table in lake.lake.sources],
        "tables": [{"table": name, "version": None if entry is None else entry.version} for name, entry in entries.items()],
        "bypasses": tuple(bypass for bypass in state.bypasses() if bypass.expires > at),
        "runs": [run_line(record, at) for record in state.runs(LAST_RUNS)],
    }


def run_line(record: RunRecord, at: datetime) -> Mapping[str, Any]:
    """One run in one line; of a running one, `seconds` is how long it has run."""
    return {
        "run": record.run,
        "status": record.status,
        "started": record.started,
        "seconds": ((record.ended or at) - record.started).total_seconds(),
        "problem": record.problem,
    }


def show_runs(runs: Iterable[Mapping[str, Any]]) -> None:
    rows = [(run["run"], run["status"], moment(run["started"]), duration(run["seconds"]), run["problem"] or "") for run in runs]
    show_table(("run", "status", "started (UTC)", "took", "problem"), rows, right=("took",))


def show_accounts(accounts: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """read = accepted + open rejects + copies + seen, over all certified batches."""
    equation = "read = accepted + open + copies + seen"
    parts = ("accepted", "open", "copies", "seen")
    rows = [
        (
            name,
            f"{number(found['read'])} = {' + '.join(number(found[part]) for part in parts)}",
            "holds" if found["holds"] else "DOES NOT HOLD",
            found["replayed"],
        )
        for name, found in accounts
    ]
    show_table(("source", equation, "", "rejects replayed"), rows, right=(equation, "rejects replayed"))


def _source(lake: OpenLake, name: str, at: datetime) -> Mapping[str, Any]:
    progress = lake.state.progress(name)
    waiting = [batch for batch in lake.state.pending(name) if batch.seq > progress.seq]
    return {
        "table": name,
        "position": progress.position,
        "seq": progress.seq,
        "lag_seconds": lag_seconds(progress.position, at),
        "pending_batches": len(waiting),
        "account": None if progress.totals is None else _account(progress.totals),
    }


def _account(totals: Totals) -> Mapping[str, Any]:
    """`read` counts what windows read: each row once accepted, open, a copy, or seen before. Replayed rejects are among the rest again."""
    return {
        "read": totals.from_source,
        "accepted": totals.accepted,
        "open": totals.open,
        "copies": totals.copies,
        "seen": totals.seen,
        "replayed": totals.replayed,
        "holds": totals.holds,
    }


def _show(found: Mapping[str, Any]) -> None:
    lock = found["lock"]
    held = f"held by run {lock['run']} since {lock['since']}" if lock["run"] else "free"
    out().print(Text(f"environment {found['environment']}; the lake is {held} (fence {lock['fence']})"), soft_wrap=True)
    sources = [
        (
            source["table"],
            None if source["position"] is None else position_text(source["position"]),
            source["seq"],
            None if source["lag_seconds"] is None else duration(source["lag_seconds"]),
            source["pending_batches"],
        )
        for source in found["sources"]
    ]
    numbers = ("batches", "lag", "pending")
    show_table(("source", "read up to (UTC)", "batches", "lag", "pending"), sources, right=numbers)
    accounts = [(source["table"], source["account"]) for source in found["sources"] if source["account"] is not None]
    if accounts:
        show_accounts(accounts)
    show_table(("table", "certified version"), [(table["table"], table["version"]) for table in found["tables"]], right=("certified version",))
    if found["bypasses"]:
        show_bypasses(found["bypasses"], datetime.now(UTC))
    if found["runs"]:
        show_runs(found["runs"])
    else:
        out().print("no run yet; start one with `sluice run`")
