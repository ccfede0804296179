"""The pages that `sluice demo` shows: chapters, accounts, times, answers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from cli.lakes import OpenLake
from cli.ledger import Comparison
from cli.outcome import Outcome
from cli.render import duration, out, show_table
from cli.run import show_batches
from cli.sql import answer_to, show_answer

if TYPE_CHECKING:
    from local.shop import Traded


def chapter(title: str, says: str | None) -> None:
    console = out()
    console.print()
    console.print(Text(title, style="bold"))
    if says is not None:
        console.print(Text(says), soft_wrap=True)


def told(line: str) -> None:
    """One step of progress."""
    out().print(Text(f"  {line}"), soft_wrap=True)


def show_trade(days: "Sequence[Traded]") -> None:
    rows = [(number, day.orders, day.changed, day.deleted, day.late, day.faults) for number, day in enumerate(days, start=1)]
    columns = ("day", "new orders", "rows changed", "rows deleted", "late commits", "faults planted")
    show_table(columns, rows, right=columns)


def show_accounts(outcomes: Sequence[Outcome]) -> None:
    """Batches of each run, rejects by reason, certified versions."""
    for name, outcome in zip(("first", "second"), outcomes, strict=True):
        out().print(Text(f"The {name} run, batch by batch:"))
        show_batches(outcome)
    reasons: Counter[tuple[str, str]] = Counter()
    for outcome in outcomes:
        for table in outcome.report.tables if outcome.report else ():
            reasons.update({(table.table, reason): count for reason, count in table.reasons.items()})
    if reasons:
        show_table(("rejected in", "because of", "rows"), [(*reason, count) for reason, count in reasons.most_common()], right=("rows",))
    before, after = (outcome.certified for outcome in outcomes)
    versions = [(table, before.get(table), version) for table, version in after.items()]
    show_table(
        ("certified table", "version after the first run", "after the second"), versions, right=("version after the first run", "after the second")
    )


def show_comparison(comparison: Comparison) -> None:
    """The planted faults against the rejects; every row that differs."""
    if comparison.equal:
        text = f"{comparison.planted} faults were planted, {comparison.rejected} rows were rejected: the same rows, each for its reason."
        out().print(Text(text, style="green"), soft_wrap=True)
        return
    head = f"{comparison.planted} faults were planted, {comparison.rejected} rows were rejected, and they are not the same:"
    out().print(Text(head, style="red"), soft_wrap=True)
    for fault in comparison.missing:
        out().print(Text(f"  planted, not rejected so: {fault}"), soft_wrap=True)
    for fault in comparison.unexpected:
        out().print(Text(f"  rejected, not planted so: {fault}"), soft_wrap=True)


def show_times(took: Mapping[str, float], outcomes: Sequence[Outcome]) -> None:
    rows: list[tuple[str, str | None, str | None]] = [(what, duration(seconds), None) for what, seconds in took.items()]
    rows += [(f"stage {stage}", _seconds(outcomes[0], stage), _seconds(outcomes[1], stage)) for stage in _stages(outcomes[0])]
    show_table(("what took how long", "first run", "second run"), rows, right=("first run", "second run"))


def show_question(lake: OpenLake, title: str, sql: str) -> None:
    out().print(Text(title, style="bold"))
    show_answer(answer_to(lake, sql))


def show_places(outcomes: Sequence[Outcome]) -> None:
    for name, outcome in zip(("first", "second"), outcomes, strict=True):
        told(f"report of the {name} run: {outcome.report_place or 'none was written'}")


def _stages(outcome: Outcome) -> tuple[str, ...]:
    return () if outcome.report is None else tuple(stage.stage for stage in outcome.report.stages)


def _seconds(outcome: Outcome, name: str) -> str | None:
    found = [stage.seconds for stage in (outcome.report.stages if outcome.report else ()) if stage.stage == name]
    return duration(found[0]) if found and found[0] is not None else None
