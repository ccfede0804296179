"""Every table's account over several runs: what the runs' reports say was written against the rows that are there. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cli.outcome import Outcome
from cli.render import number
from shared.core.report import TableReport
from shared.spec.lake import Lake


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One table. `equation` is how its rows came about, `stored` what its files hold."""

    table: str
    equation: str
    stored: int
    balanced: bool


def accounts(lake: Lake, outcomes: Sequence[Outcome], stored: Callable[[str], int]) -> tuple[Account, ...]:
    """One per table, of all runs since there was nothing, no replay among them: one keeps its seen rows too.

    `stored` counts rejected rows in bronze, and in silver those deleted at the source.
    """
    return tuple(_account(table.name, table.layer == "bronze", outcomes, stored(table.name)) for table in lake.tables)


def _account(table: str, is_bronze: bool, outcomes: Sequence[Outcome], stored: int) -> Account:
    told = [report for outcome in outcomes if outcome.report for report in outcome.report.tables if report.table == table]
    if is_bronze:
        read, accepted, rejected, seen = (_sum(told, name) for name in ("read", "accepted", "rejected", "seen"))
        equation = f"{number(read)} read = {number(accepted)} accepted + {number(rejected)} rejected + {number(seen)} seen"
        return Account(table=table, equation=equation, stored=stored, balanced=read == accepted + rejected + seen and stored == accepted + rejected)
    inserted, updated, deleted = (_sum(told, name) for name in ("inserted", "updated", "deleted"))
    equation = f"{number(inserted)} inserted - {number(deleted)} deleted, {number(updated)} updated"
    return Account(table=table, equation=equation, stored=stored, balanced=stored == inserted - deleted)


def _sum(told: Sequence[TableReport], name: str) -> int:
    return sum(getattr(report, name) or 0 for report in told)
