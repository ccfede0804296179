"""Owns counting a contract's rules over a frame, as Great Expectations counts: elements, missing, unexpected, observed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from shared.core.errors import ContractError
from shared.core.messages import RuleResult
from shared.spark.asking import only_rows
from shared.spark.invariants import broken_versions
from shared.spark.rules import column, observation, row_check, stored_presence, subject, unique_columns
from shared.spec.history import UNKNOWN_MEMBER
from shared.spec.lake import Relationship, Rule, Table

Related = Callable[[Relationship], DataFrame]  # the live rows of the table a foreign key points to
Deletes = Callable[[], DataFrame]  # when the log of a history has things deleted, as `history.deletes_of` gives it


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What was counted for one rule."""

    elements: int
    missing: int
    unexpected: int
    observed: float | int | str | None = None


_NOTHING = Counted(elements=0, missing=0, unexpected=0)


def count_rules(table: Table, rows: DataFrame, related: Related, deletes: Deletes) -> tuple[RuleResult, ...]:
    """Every rule of the contract over all of `rows`, in the contract's order.

    One pass counts row, table and freshness rules together; each set of unique columns, each relationship and a history's
    invariants together take a pass of their own. The passes of all but the last two kinds are one query, and those of all relationships.
    """
    checks = {rule.id: row_check(table, rule, stored_presence()) for rule in table.rules if rule.kind == "row"}
    aggregates: list[Column] = [F.count(F.lit(1)).alias("rows")]
    for position, rule in enumerate(table.rules):
        if rule.kind == "row":
            check = checks[rule.id]
            aggregates += [F.count_if(check.missing).alias(f"m{position}"), F.count_if(check.broken).alias(f"u{position}")]
    uniques = _duplicates(table, rows, {})
    counted, *groups = only_rows([rows.agg(*aggregates, *observing(table, F.lit(True))), *uniques.values()])
    total = int(counted["rows"])
    found = observed(table, counted, total) | dict(zip(uniques, map(_of_groups, groups), strict=True))
    for position, rule in enumerate(table.rules):
        if rule.kind == "row":
            found[rule.id] = Counted(elements=total, missing=int(counted[f"m{position}"]), unexpected=int(counted[f"u{position}"]))
    found |= count_orphans(table, rows, related, total)
    found |= count_history(table, rows, deletes, total)
    return results(table, found)


def observing(table: Table, among: Column) -> list[Column]:
    """Aggregates for `observed`: what table and freshness rules observe among the rows where `among` is true, and how many values are missing."""
    aggregates = []
    for position, rule in enumerate(table.rules):
        if rule.kind in ("table", "freshness"):
            absent = column(subject(table, rule)).isNull() if _has_subject(rule) else F.lit(False)
            aggregates += [observation(table, rule, among).alias(f"o{position}"), F.count_if(among & absent).alias(f"n{position}")]
    return aggregates


def observed(table: Table, counted: Row | Mapping[str, Any], total: int) -> dict[str, Counted]:
    """Table and freshness rules out of the values of `observing`."""
    return {
        rule.id: Counted(elements=total, missing=int(counted[f"n{position}"] or 0), unexpected=0, observed=counted[f"o{position}"])
        for position, rule in enumerate(table.rules)
        if rule.kind in ("table", "freshness")
    }


def count_unique(table: Table, rows: DataFrame, total: int, stand_in: Mapping[str, str]) -> dict[str, Counted]:
    """All members of groups of equal values are unexpected; rows whose values are all NULL are missing. One grouped pass per rule, one query.

    `stand_in` names, for a column that is masked beyond comparison, the one to compare in its place.
    """
    found = _duplicates(table, rows, stand_in)
    return _asked(found) if total else dict.fromkeys(found, _NOTHING)


def _duplicates(table: Table, rows: DataFrame, stand_in: Mapping[str, str]) -> dict[str, DataFrame]:
    rules = [rule for rule in table.rules if rule.kind == "unique"]
    return {rule.id: _count_duplicates(rows, [stand_in.get(name, name) for name in unique_columns(table, rule)]) for rule in rules}


def _count_duplicates(rows: DataFrame, names: Sequence[str]) -> DataFrame:
    absent = F.lit(True)
    for name in names:
        absent = absent & column(name).isNull()
    groups = rows.groupBy(*(column(name) for name in names)).agg(F.count(F.lit(1)).alias("_members"), F.first(absent).alias("_absent"))
    members = F.col("_members")
    return groups.agg(
        F.sum(members).alias("rows"),
        F.sum(F.when(F.col("_absent"), members)).alias("missing"),
        F.sum(F.when(~F.col("_absent") & (members > 1), members)).alias("unexpected"),
    )


def count_orphans(table: Table, rows: DataFrame, related: Related, total: int) -> dict[str, Counted]:
    """Values of a foreign key without a partner; NULL is missing and passes. One anti-join per relationship, one query. Of no rows there are
    none, and `related` is not asked."""
    links = {rule.id: relationship_of(table, rule) for rule in table.rules if rule.kind == "relationship"}
    if not total:
        return dict.fromkeys(links, _NOTHING)
    return _asked({rule: _count_orphans(rows, link, related(link)) for rule, link in links.items()})


def _count_orphans(rows: DataFrame, link: Relationship, partners: DataFrame) -> DataFrame:
    values = rows.groupBy(column(link.column).alias("_value")).agg(F.count(F.lit(1)).alias("_rows"))
    known = partners.select(column(link.to_column).alias("_partner")).distinct().withColumn("_known", F.lit(True))
    joined = values.join(known, F.col("_value") == F.col("_partner"), "left")
    absent, members = F.col("_value").isNull(), F.col("_rows")
    return joined.agg(
        F.sum(members).alias("rows"),
        F.sum(F.when(absent, members)).alias("missing"),
        F.sum(F.when(~absent & F.col("_known").isNull(), members)).alias("unexpected"),
    )


def _asked(groups: Mapping[str, DataFrame]) -> dict[str, Counted]:
    return dict(zip(groups, map(_of_groups, only_rows(list(groups.values()))), strict=True))


def _of_groups(row: Row) -> Counted:
    """Sums over the groups of `_count_duplicates` or `_count_orphans`; of no group they are NULL."""
    return Counted(elements=int(row["rows"] or 0), missing=int(row["missing"] or 0), unexpected=int(row["unexpected"] or 0))


def count_history(table: Table, rows: DataFrame, deletes: Deletes, total: int) -> dict[str, Counted]:
    """A history's own rules. A row is missing from none; an unknown member that is not there breaks its rule as one row would."""
    rules = [rule for rule in table.rules if rule.kind == "history"]
    broken = broken_versions(rows, table, deletes()) if rules else {}
    elements = {rule.id: max(total, broken[UNKNOWN_MEMBER]) for rule in rules}
    return {rule.id: Counted(elements=elements[rule.id], missing=0, unexpected=broken[rule.expectation]) for rule in rules}


def relationship_of(table: Table, rule: Rule) -> Relationship:
    """The foreign key a relationship rule counts. Raises ContractError when the contract has none for its column."""
    name, to = subject(table, rule), rule.kwargs.get("to_table")
    for link in table.relationships:
        if link.column == name and to in (None, link.to_table):
            return link
    raise ContractError(f"{table.file}: rule {rule.id} counts a relationship of '{name}', and the contract has none for it")


def results(table: Table, found: Mapping[str, Counted]) -> tuple[RuleResult, ...]:
    """Evidence of every rule in the contract's order. Raises KeyError when one was not counted: an uncounted rule is never evidence."""
    return tuple(_result(rule, found[rule.id]) for rule in table.rules)


def _result(rule: Rule, counted: Counted) -> RuleResult:
    return RuleResult(
        rule=rule.id,
        expectation=rule.expectation,
        kwargs=rule.kwargs,
        element=rule.element,
        elements=counted.elements,
        missing=counted.missing,
        unexpected=counted.unexpected,
        observed=counted.observed,
    )


def _has_subject(rule: Rule) -> bool:
    return not rule.expectation.startswith("expect_table_")
