"""The pages that `sluice demo` shows: chapters, accounts, times, answers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from cli.accounts import Account
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


def show_trade(days: "Sequence[Traded]", *, first: int) -> None:
    rows = [(number, day.orders, day.events, day.changed, day.deleted, day.late, day.faults) for number, day in enumerate(days, start=first)]
    columns = ("day", "new orders", "events", "rows changed", "rows deleted", "late commits", "faults planted")
    show_table(columns, rows, right=columns)


def show_batches_of(runs: Mapping[str, Outcome]) -> None:
    """Batches of each run."""
    for name, outcome in runs.items():
        out().print(Text(f"{name}, batch by batch:"))
        show_batches(outcome)


def show_accounts(balances: Sequence[Account], runs: Mapping[str, Outcome]) -> None:
    """Each table over all runs, rejects by reason, certified versions."""
    rows = [(account.table, account.equation, account.stored, "balanced" if account.balanced else "NOT BALANCED") for account in balances]
    show_table(("table", "over all runs", "rows there", ""), rows, right=("rows there",))
    reasons: Counter[tuple[str, str]] = Counter()
    for outcome in runs.values():
        for table in outcome.report.tables if outcome.report else ():
            reasons.update({(table.table, reason): count for reason, count in table.reasons.items()})
    if reasons:
        show_table(("rejected in", "because of", "rows"), [(*reason, count) for reason, count in reasons.most_common()], right=("rows",))
    last = list(runs.values())[-1]
    versions = [(table, *(outcome.certified.get(table) for outcome in runs.values())) for table in last.certified]
    show_table(("certified version after", *runs), versions, right=tuple(runs))


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


def show_times(took: Mapping[str, float], runs: Mapping[str, Outcome]) -> None:
    show_table(("what took how long", ""), [(what, duration(seconds)) for what, seconds in took.items()], right=("",))
    stages = dict.fromkeys(stage for outcome in runs.values() for stage in _stages(outcome))
    rows = [(f"stage {stage}", *(_seconds(outcome, stage) for outcome in runs.values())) for stage in stages]
    show_table(("", *runs), rows, right=tuple(runs))


def show_question(lake: OpenLake, title: str, sql: str) -> None:
    out().print(Text(title, style="bold"))
    show_answer(answer_to(lake, sql))


def show_places(runs: Mapping[str, Outcome]) -> None:
    for name, outcome in runs.items():
        told(f"report of {name}: {outcome.report_place or 'none was written'}")


def _stages(outcome: Outcome) -> tuple[str, ...]:
    return () if outcome.report is None else tuple(stage.stage for stage in outcome.report.stages)


def _seconds(outcome: Outcome, name: str) -> str | None:
    found = [stage.seconds for stage in (outcome.report.stages if outcome.report else ()) if stage.stage == name]
    return duration(found[0]) if found and found[0] is not None else None
