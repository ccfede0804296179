"""`sluice runs list` and `sluice runs show`: the history, and one run as its report tells it."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.text import Text

from cli.errors import Misused
from cli.follow import verdicts_of
from cli.lakes import Desk, OpenLake
from cli.outcome import read_report, report_place
from cli.render import cell, duration, examples, moment, number, out, show_json, show_table
from cli.run import show_findings
from cli.status import run_line, show_runs
from shared.core.messages import RunRecord
from shared.core.report import RunReport, TableReport
from shared.spec.codec import to_json

app = typer.Typer(name="runs", help="The history of runs.", no_args_is_help=True)

_KNOWN = 5


@app.command("list", epilog=examples("sluice runs list", "sluice runs list --limit 50 --json"))
def list_runs(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, the newest first.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """The newest runs."""
    desk: Desk = context.obj
    lines = [run_line(record, datetime.now(UTC)) for record in desk.open().state.runs(limit)]
    if as_json:
        show_json(lines)
    elif lines:
        show_runs(lines)
    else:
        out().print("no run yet; start one with `sluice run`")


@app.command("show", epilog=examples("sluice runs show 20261123T040005Z-9f3a", "sluice runs show 20261123T040005Z-9f3a --json"))
def show_run(
    context: typer.Context,
    run: Annotated[str, typer.Argument(metavar="ID", help="The run, as `sluice runs list` names it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print report.json, or of a run without one what is recorded of it.")] = False,
) -> None:
    """One run: stages with their times, tables, rejects by reason, findings."""
    desk: Desk = context.obj
    lake = desk.open()
    report, record = read_report(lake, run), lake.state.run(run)
    if report is None and record is None:
        known = ", ".join(found.run for found in lake.state.runs(_KNOWN)) or "none yet"
        raise Misused(f"sluice runs show: there is no run {run}; the newest are {known}")
    if as_json:
        show_json(to_json(report or record))
    elif report is not None:
        _show_report(lake, report)
    elif record is not None:
        _show_record(record)


def _show_report(lake: OpenLake, report: RunReport) -> None:
    console = out()
    started = "never began" if report.started is None else f"began {moment(report.started)} UTC"
    took = "" if report.started is None or report.ended is None else f", took {duration((report.ended - report.started).total_seconds())}"
    console.print(Text.assemble("run ", report.run, " ", cell(report.status), f"; {started}{took}"), soft_wrap=True)
    if report.problem is not None:
        console.print(Text(f"problem: {report.problem}"), soft_wrap=True)
    show_stages(report)
    rows = [(table.table, table.outcome, _rows_of(table), table.certified_version, table.why or table.problem or "") for table in report.tables]
    show_table(("table", "outcome", "rows", "certified", "why"), rows, right=("certified",))
    show_reasons(report)
    findings = [(table.table, found) for table in report.tables for found in table.findings]
    if findings:
        show_findings(findings)
    if report.cost is not None:
        console.print(Text(f"cost: ${report.cost.usd:,.4f} by prices as of {report.cost.prices_as_of}; ${report.cost.glue_usd:,.4f} of it measured"))
    for key, trouble in report.troubles.items():
        console.print(Text(f"could not be read: {key}: {trouble}"), soft_wrap=True)
    place = report_place(lake, report.run)
    if place is not None:
        console.print(Text(f"report: {place}"), soft_wrap=True)


def show_stages(report: RunReport) -> None:
    rows = [(stage.stage, None if stage.seconds is None else duration(stage.seconds)) for stage in report.stages]
    show_table(("stage", "took"), rows, right=("took",))


def show_reasons(report: RunReport) -> None:
    """Rejected rows by reason; nothing when there were none."""
    rows = [(table.table, reason, count) for table in report.tables for reason, count in table.reasons.items()]
    if rows:
        show_table(("table", "rejected for", "rows"), sorted(rows, key=lambda row: -row[2]), right=("rows",))


def _show_record(record: RunRecord) -> None:
    out().print(
        Text.assemble("run ", record.run, " ", cell(record.status), f"; began {moment(record.started)} UTC; it has no report yet"), soft_wrap=True
    )
    if record.problem is not None:
        out().print(Text(f"problem: {record.problem}"), soft_wrap=True)
    rows = [(said.stage, said.table, said.verdict, said.counts) for said in verdicts_of(record)]
    if rows:
        show_table(("stage", "table", "verdict", "rows"), rows)


def _rows_of(table: TableReport) -> str:
    if table.read is not None:
        return f"read {number(table.read)} = {number(table.accepted or 0)} + {number(table.rejected or 0)} + {number(table.seen or 0)}"
    written = (("inserted", table.inserted), ("updated", table.updated), ("deleted", table.deleted))
    return ", ".join(f"{name} {number(count)}" for name, count in written if count)
