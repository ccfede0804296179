"""Custom rules: Great Expectations by their own names and keyword arguments, and sluice's `expect_row`."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from compiler.draft import DraftColumn
from compiler.metrics import values_of
from compiler.node import Node
from compiler.rule_values import COMPARISONS, Written, bounds_of, check_pattern, mostly_of, rule
from compiler.spark_types import family
from compiler.sql import check_condition
from shared.spec.lake import Rule

ENGINES = ("greatExpectations", "sluice")


def read_expectation(written: Written) -> Rule | None:
    """The rule of a custom item, not yet named; None, with the problem written down, when it is none."""
    node = written.node
    engine = node["engine"].word(ENGINES, f"Write engine: {' or '.join(ENGINES)}.")
    for key in ("metric", "arguments", "query", "rule", "unit", *COMPARISONS):
        if not node[key].absent:
            node[key].refuse(f"'{key}' does not belong to a custom rule", "Leave it out, or write a library metric.")
    implementation = node["implementation"]
    if engine is None or not isinstance(implementation.value, dict):
        if engine is not None:
            implementation.refuse("'implementation' must say the expectation's type", "Write implementation: {type: ..., kwargs: {...}}.")
        return None
    return _read_row(written) if engine == "sluice" else _read_great(written)


def _read_row(written: Written) -> Rule | None:
    node = written.node["implementation"]
    node.only(("type", "condition", "mostly"), what="expect_row")
    kind = node["type"].word(("expect_row",), "Write type: expect_row.")
    condition = node["condition"].text("Write what must hold of every row: updated_at >= ordered_at.")
    if kind is None or condition is None:
        return None
    draft = written.draft
    if draft.columns is not None:
        check_condition(node["condition"], {column.name: column.type for column in draft.columns}, draft.name)
    mostly, wrote = mostly_of(node["mostly"])
    element = None if written.column is None else written.column.name
    return replace(rule("", "row", "expect_row", {"condition": condition}, element), mostly=mostly, tolerance_written=wrote)


def _read_great(written: Written) -> Rule | None:
    node = written.node["implementation"]
    node.only(("type", "kwargs"), what="implementation (mostly stands in kwargs, severity beside type: custom)")
    name = node["type"].word(tuple(_READERS), f"Write type: one of {', '.join(_READERS)}.")
    if name is None:
        return None
    known, read = _READERS[name]
    kwargs = node["kwargs"]
    kwargs.only(known, what=f"the kwargs of {name}")
    made = read(name, kwargs, written)
    if made is None:
        return None
    mostly, wrote = mostly_of(kwargs["mostly"]) if "mostly" in known else (1.0, False)
    return replace(made, mostly=mostly, tolerance_written=wrote)


def _column(kwargs: Node, written: Written) -> DraftColumn | None:
    """The column that is meant; under a column's own quality it need not be named again."""
    if kwargs["column"].absent and written.column is not None:
        return written.column
    draft = written.draft
    name = kwargs["column"].column(draft.names, draft.name, "Name the column: kwargs: {column: ...}.")
    if name is not None and written.column is not None and name != written.column.name:
        kwargs["column"].refuse(f"this rule of '{written.column.name}' speaks of '{name}'", f"Move it to column '{name}', or to the table's quality.")
        return None
    return draft.column(name) if name is not None else None


def _not_null(name: str, kwargs: Node, written: Written) -> Rule | None:
    column = _column(kwargs, written)
    return None if column is None else rule("", "row", name, {"column": column.name}, column.name)


def _unique(name: str, kwargs: Node, written: Written) -> Rule | None:
    column = _column(kwargs, written)
    return None if column is None else rule("", "unique", name, {"column": column.name}, column.name)


def _regex(name: str, kwargs: Node, written: Written) -> Rule | None:
    column = _column(kwargs, written)
    if column is None or not check_pattern(kwargs["regex"], column):
        return None
    return rule("", "row", name, {"column": column.name, "regex": kwargs["regex"].value}, column.name)


def _in_set(name: str, kwargs: Node, written: Written) -> Rule | None:
    column = _column(kwargs, written)
    values = values_of(kwargs["value_set"], column)
    return None if column is None or values is None else rule("", "row", name, {"column": column.name, "value_set": values}, column.name)


def _between(name: str, kwargs: Node, written: Written) -> Rule | None:
    column = _column(kwargs, written)
    bounds = _bounds(kwargs, column)
    return None if column is None or bounds is None else rule("", "row", name, {"column": column.name, **bounds}, column.name)


def _lengths(name: str, kwargs: Node, written: Written) -> Rule | None:
    column = _column(kwargs, written)
    if column is not None and column.type not in (None, "string"):
        kwargs.refuse(f"'{column.name}' is {column.type} and has no length", "Use expect_column_values_to_be_between.")
        return None
    bounds = _bounds(kwargs, None)
    return None if column is None or bounds is None else rule("", "row", name, {"column": column.name, **bounds}, column.name)


def _aggregate(name: str, kwargs: Node, written: Written) -> Rule | None:
    column = _column(kwargs, written)
    if column is not None and column.type is not None and family(column.type) != "number":
        kwargs.refuse(f"'{column.name}' is {column.type}: it has no mean or sum", "Name a column of numbers.")
        return None
    bounds = _bounds(kwargs, None)
    return None if column is None or bounds is None else rule("", "table", name, {"column": column.name, **bounds}, column.name)


def _row_count(name: str, kwargs: Node, written: Written) -> Rule | None:
    if written.column is not None:
        kwargs.refuse("a row count speaks of the table and stands at a column", "Move it to the quality of the schema.")
        return None
    bounds = _bounds(kwargs, None)
    return None if bounds is None else rule("", "table", name, bounds, None)


def _compound(name: str, kwargs: Node, written: Written) -> Rule | None:
    draft = written.draft
    names = kwargs["column_list"].columns(draft.names, draft.name, "List the columns: kwargs: {column_list: [a, b]}.")
    if len(names) == 1:
        kwargs["column_list"].refuse("one column is not compound", "Use expect_column_values_to_be_unique.")
        return None
    return rule("", "unique", name, {"column_list": list(names)}, None) if names else None


def _bounds(kwargs: Node, column: DraftColumn | None) -> dict[str, Any] | None:
    for key in ("strict_min", "strict_max"):
        kwargs[key].flag()
    found = bounds_of({key: kwargs[key] for key in _BOUNDS}, column)
    if not found and all(kwargs[key].absent for key in _BOUNDS):
        kwargs.refuse("a between without bounds holds always", "Write min_value, max_value or both.")
    return found or None


_BOUNDS = ("min_value", "max_value", "strict_min", "strict_max")
_READERS: Mapping[str, tuple[tuple[str, ...], Callable[[str, Node, Written], Rule | None]]] = {
    "expect_column_values_to_not_be_null": (("column", "mostly"), _not_null),
    "expect_column_values_to_match_regex": (("column", "regex", "mostly"), _regex),
    "expect_column_values_to_be_in_set": (("column", "value_set", "mostly"), _in_set),
    "expect_column_values_to_be_between": (("column", *_BOUNDS, "mostly"), _between),
    "expect_column_value_lengths_to_be_between": (("column", *_BOUNDS, "mostly"), _lengths),
    "expect_column_values_to_be_unique": (("column", "mostly"), _unique),
    "expect_compound_columns_to_be_unique": (("column_list", "mostly"), _compound),
    "expect_column_mean_to_be_between": (("column", *_BOUNDS), _aggregate),
    "expect_column_sum_to_be_between": (("column", *_BOUNDS), _aggregate),
    "expect_table_row_count_to_be_between": (("min_value", "max_value"), _row_count),
}
