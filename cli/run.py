"""`sluice run`: start an execution, follow it, say what it came to."""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from cli.errors import refusing
from cli.follow import Look, changes, looks, verdicts_of
from cli.lakes import Desk, OpenLake
from cli.machine import new_run_id
from cli.outcome import Outcome, outcome_of
from cli.plan import FullRefresh, Tables
from cli.render import cell, duration, err, examples, moment, number, out, show_json, show_table, table_of
from shared.core.choice import choose
from shared.core.layout import plan_key
from shared.core.messages import Finding
from shared.core.report import BatchReport
from shared.core.window import position_text

app = typer.Typer()

Looks = Iterator[Look]
_LAPTOP_PAUSE_S, _AWS_PAUSE_S = 0.3, 3.0
INTERRUPTED = 130


@app.command(
    "run",
    epilog=examples(
        "sluice run                                  # every table, followed to the end",
        "sluice run --table gold.fact_sales          # that table, what it needs, and the star it is part of",
        "sluice run --full-refresh silver.orders     # every table; that one computed from all of its inputs",
        "sluice run --no-follow                      # only start it and print its id",
        "sluice --env dev run --json                 # on AWS; one JSON document at the end",
    ),
)
def run_lake(
    context: typer.Context,
    tables: Tables = None,
    full_refresh: FullRefresh = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document at the end; progress goes to stderr.")] = False,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Follow the run to its end.")] = True,
) -> None:
    """Start a run of the environment's state machine and follow it live.

    With --table the run reads, merges and publishes only those tables and what they need; all others stay as they are, and the next whole run
    catches up on them. --full-refresh goes through the same gates as any other change; with --table it limits the run too.

    Exit 0: passed. Exit 3: committed, but some tables are blocked. Exit 1: failed. Exit 2: an unknown table, or bronze to refresh.
    Ctrl-C stops following, not the run (exit 130).
    """
    desk: Desk = context.obj
    lake = desk.open()
    asked = {name: chosen for name, chosen in (("tables", tables), ("full_refresh", full_refresh)) if chosen}
    with refusing("sluice run"):
        choose(lake.lake, tables=tables or (), full_refresh=full_refresh or ())
    begin(lake, asked, follow=follow, as_json=as_json)


def begin(lake: OpenLake, asked: Mapping[str, Any], *, follow: bool, as_json: bool) -> None:
    """Start a run with this input and tell how it goes. Exits as it ended."""
    run = new_run_id(datetime.now(UTC))
    if not follow:
        lake.machine.start(run, asked)
        show_json({"run": run, "status": "started"}) if as_json else out().print(f"run {run} started; `sluice runs show {run}` tells how it goes")
        return
    try:
        lake.machine.start(run, asked)
        outcome = followed(lake, run, quiet=as_json)
    except KeyboardInterrupt as stopped:
        err().print(f"\nno longer following; run {run} goes on. `sluice runs show {run}` tells how it goes", soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from stopped
    if as_json:
        show_json(outcome.as_json())
    else:
        show_outcome(lake, outcome)
    raise typer.Exit(outcome.exit_code)


def followed(lake: OpenLake, run: str, *, quiet: bool) -> Outcome:
    """Follow a started run to its end: live on a terminal, else one line per change (to stderr when `quiet`)."""
    pause_s = _AWS_PAUSE_S if lake.home is None else _LAPTOP_PAUSE_S
    seen = looks(lake, run, lambda: time.sleep(pause_s))
    look = _follow_live(run, seen) if out().is_terminal and not quiet else _follow_in_lines(run, seen, quiet=quiet)
    return outcome_of(lake, look)


def show_outcome(lake: OpenLake, outcome: Outcome) -> None:
    """The summary at the end of a run."""
    if outcome.batches:
        show_batches(outcome)
    if outcome.findings:
        show_findings(outcome.findings)
    if outcome.status != "failed":
        show_table(("certified", "version"), outcome.certified.items(), right=("version",))
    if outcome.report is not None and outcome.report.lake_hash not in (None, lake.pinned.hash):
        fix = "`sluice local up` deploys it" if lake.home is not None else "deploy it with `cdk deploy`"
        err().print(f"the deployed lake.json is not the one of the contracts here; {fix}", soft_wrap=True)
    line = Text.assemble("run ", outcome.run, " ", cell(outcome.status))
    target = out() if outcome.status == "passed" else err()
    target.print(line if outcome.reason is None else Text.assemble(line, ": ", outcome.reason), soft_wrap=True)
    for log in outcome.logs:
        target.print(Text(f"log: {log}"), soft_wrap=True)
    if outcome.report_place is not None:
        target.print(Text(f"report: {outcome.report_place}"), soft_wrap=True)
    elif outcome.status == "failed":
        target.print(f"there is no report of it ({lake.files.url(plan_key(outcome.run))} holds its plan, if it got so far)", soft_wrap=True)


def show_batches(outcome: Outcome) -> None:
    """read = accepted + rejected + seen, batch by batch."""
    equation = "read = accepted + rejected + seen"
    rows = [
        (
            table,
            window(batch),
            f"{number(batch.read)} = {number(batch.accepted)} + {number(batch.rejected)} + {number(batch.seen)}",
            ("holds" if batch.accounted else "DOES NOT HOLD")
            + (f", {number(batch.late)} late" if batch.late else "")
            + (", landed by an earlier run" if batch.reused else ""),
        )
        for table, batch in outcome.batches
    ]
    show_table(("source", "window (UTC)", equation, ""), rows, right=(equation,))


def show_findings(findings: Sequence[tuple[str, Finding]]) -> None:
    """What gates found, of tables that warn as well; a bypassed rule among them says who bypassed it and until when."""
    show_table(("table", "severity", "rule", "finding"), [(table, found.severity, found.rule, found.message) for table, found in findings])


def window(batch: BatchReport) -> str:
    """The day is told once when both ends are of one."""
    if batch.replay:
        return "rejects replayed"
    if not isinstance(batch.lo, datetime) or not isinstance(batch.hi, datetime):
        return f"{position_text(batch.lo)} .. {position_text(batch.hi)}"
    same_day = batch.lo.date() == batch.hi.date()
    return f"{moment(batch.lo)} .. {batch.hi.strftime('%H:%M:%S') if same_day else moment(batch.hi)}"


def _follow_in_lines(run: str, seen: Looks, *, quiet: bool) -> Look:
    console, started, before = err() if quiet else out(), time.monotonic(), None
    console.print(f"run {run}")
    for look in seen:
        for line in changes(before, look):
            console.print(Text(f"{duration(time.monotonic() - started):>12}  {line}"), soft_wrap=True)
        before = look
    if before is None:
        raise AssertionError("a followed run is looked at least once")
    return before


def _follow_live(run: str, seen: Looks) -> Look:
    started = time.monotonic()
    picture = _Picture(run, started)
    with Live(picture, console=out(), refresh_per_second=8, redirect_stdout=False, redirect_stderr=False):
        for look in seen:
            picture.look = look
    if picture.look is None:
        raise AssertionError("a followed run is looked at least once")
    return picture.look


class _Picture:
    """What is on the terminal while a run goes on; drawn anew by itself, so that the time moves."""

    def __init__(self, run: str, started: float) -> None:
        self.look: Look | None = None
        self._run, self._started = run, started
        self._spinner = Spinner("dots")

    def __rich__(self) -> RenderableType:
        look, elapsed = self.look, duration(time.monotonic() - self._started)
        state = "starting" if look is None or look.state is None else look.state
        if look is not None and look.over:
            head: RenderableType = Text(f"run {self._run}  {state}  {elapsed}", style="bold")
        else:
            self._spinner.update(text=Text(f"run {self._run}  {state}  {elapsed}", style="bold"))
            head = self._spinner
        said = () if look is None else verdicts_of(look.record)
        rows = [(row.stage, row.table, row.verdict, row.counts) for row in said]
        return Group(head, table_of(("stage", "table", "verdict", "rows"), rows)) if rows else head
