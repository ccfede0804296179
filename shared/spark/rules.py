"""Owns what one rule means for Spark: which rows break it, which values are missing, what a table rule observes. Great Expectations' semantics.

NULL is missing and passes; presence is a rule of its own. A row of `RowCheck` is judged by two booleans that are never NULL themselves.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pyspark.sql import Column
from pyspark.sql import functions as F

from shared.core.errors import ContractError
from shared.spec.lake import Rule, Table

Test = Callable[[Column, Rule, str], Column]  # value, rule, its Spark type -> true where the value breaks the rule


@dataclass(frozen=True, slots=True)
class RowCheck:
    """A row rule as two conditions on a row: it breaks the rule; its value is missing."""

    rule: Rule
    broken: Column
    missing: Column


@dataclass(frozen=True, slots=True)
class Presence:
    """How presence is told: above bronze by the column itself; where rows are read, by what the source gave: a failed cast is no absence."""

    absent: Callable[[str], Column]
    uncast: Callable[[str], Column]


def stored_presence() -> Presence:
    return Presence(absent=lambda name: column(name).isNull(), uncast=lambda name: F.lit(False))


def column(name: str) -> Column:
    return F.col(f"`{name}`")


def row_check(table: Table, rule: Rule, presence: Presence) -> RowCheck:
    """Raises ContractError for an expectation this engine does not know."""
    if rule.expectation == "expect_row":
        holds = F.expr(str(rule.kwargs["condition"]))
        return RowCheck(rule, ~F.coalesce(holds, F.lit(True)), holds.isNull())
    name = subject(table, rule)
    if rule.expectation == "expect_column_values_to_not_be_null":
        return RowCheck(rule, presence.absent(name), F.lit(False))
    if rule.expectation == "expect_column_values_to_be_null":
        return RowCheck(rule, ~presence.absent(name), F.lit(False))
    if rule.expectation == "expect_column_values_to_be_of_type":
        return RowCheck(rule, presence.uncast(name), presence.absent(name))
    test = _TESTS.get(rule.expectation)
    if test is None:
        raise ContractError(
            f"{table.file}: rule {rule.id}: {rule.expectation} is not a row rule of this engine. It knows {', '.join(sorted(_TESTS))}"
        )
    value = column(name)
    return RowCheck(rule, F.coalesce(test(value, rule, table.column(name).type), F.lit(False)), value.isNull())


def subject(table: Table, rule: Rule) -> str:
    """The column a rule speaks of. Raises ContractError when it names none."""
    name = rule.kwargs.get("column") or (rule.element or "").rpartition(".")[2]
    if not any(known.name == name for known in table.columns):
        raise ContractError(f"{table.file}: rule {rule.id} speaks of '{name}', which is not a column of {table.name}")
    return str(name)


def unique_columns(table: Table, rule: Rule) -> tuple[str, ...]:
    """The columns whose values must be unique together."""
    return tuple(rule.kwargs["column_list"]) if "column_list" in rule.kwargs else (subject(table, rule),)


def observation(table: Table, rule: Rule, among: Column) -> Column:
    """The aggregate that a table or freshness rule observes among the rows where `among` is true: a number, or an ISO 8601 instant in UTC."""
    if rule.expectation.startswith("expect_table_row_count_to_"):
        return F.count_if(among)
    value = F.when(among, column(subject(table, rule)))
    if rule.kind == "freshness":
        return F.date_format(F.max(value.cast("timestamp")), "yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'")
    observe = _OBSERVED.get(rule.expectation)
    if observe is None:
        raise ContractError(
            f"{table.file}: rule {rule.id}: {rule.expectation} is not a table rule of this engine. It knows expect_table_row_count_to_be_between, "
            + ", ".join(sorted(_OBSERVED))
        )
    return observe(value)


def _number(value: Any) -> Column:
    return F.lit(value) if isinstance(value, int) else F.lit(Decimal(str(value)))


def _literal(value: Any, kind: str) -> Column:
    """A contract's value as a literal that compares with a column of type `kind`."""
    if isinstance(value, bool):
        return F.lit(value)
    if isinstance(value, (int, float)):
        return F.lit(str(value)) if kind == "string" else F.lit(float(value)) if kind in ("double", "float") else _number(value)
    return F.lit(str(value)).cast(kind)


def _outside(value: Column, rule: Rule, kind: str) -> Column:
    low, high = rule.kwargs.get("min_value"), rule.kwargs.get("max_value")
    below, above = F.lit(False), F.lit(False)
    if low is not None:
        below = value <= _literal(low, kind) if rule.kwargs.get("strict_min") else value < _literal(low, kind)
    if high is not None:
        above = value >= _literal(high, kind) if rule.kwargs.get("strict_max") else value > _literal(high, kind)
    return below | above


def _length_outside(value: Column, rule: Rule, kind: str) -> Column:
    return _outside(F.length(value.cast("string")), rule, "int")


def _length_differs(value: Column, rule: Rule, kind: str) -> Column:
    return F.length(value.cast("string")) != F.lit(int(rule.kwargs["value"]))


def _in_set(value: Column, rule: Rule, kind: str) -> Column:
    allowed = [_literal(item, kind) for item in rule.kwargs["value_set"] if item is not None]
    return value.isin(*allowed) if allowed else F.lit(False)


def _matches(value: Column, rule: Rule, kind: str) -> Column:
    # (?d): only \n ends a line, as in Python; Java alone would let $ stand before \r or U+2028 too.
    return value.cast("string").rlike(f"(?d){rule.kwargs['regex']}")


_TESTS: Mapping[str, Test] = {
    "expect_column_values_to_be_between": _outside,
    "expect_column_value_lengths_to_be_between": _length_outside,
    "expect_column_value_lengths_to_equal": _length_differs,
    "expect_column_values_to_be_in_set": lambda value, rule, kind: ~_in_set(value, rule, kind),
    "expect_column_values_to_not_be_in_set": _in_set,
    "expect_column_values_to_match_regex": lambda value, rule, kind: ~_matches(value, rule, kind),
    "expect_column_values_to_not_match_regex": _matches,
}
_OBSERVED: Mapping[str, Callable[[Column], Column]] = {
    "expect_column_mean_to_be_between": lambda value: F.avg(value).cast("double"),
    "expect_column_sum_to_be_between": lambda value: F.coalesce(F.sum(value).cast("double"), F.lit(0.0)),
    "expect_column_min_to_be_between": lambda value: F.min(value).cast("double"),
    "expect_column_max_to_be_between": lambda value: F.max(value).cast("double"),
}
