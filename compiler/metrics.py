"""ODCS library metrics as rules: nullValues, missingValues, invalidValues, duplicateValues, rowCount."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import ceil, floor
from typing import Any

from compiler.draft import DraftColumn
from compiler.node import Node
from compiler.rule_values import Written, check_pattern, limit_of, rule
from shared.spec.lake import Limit, Rule

_LIBRARY_KEYS_ONLY = ("engine", "implementation", "query", "rule")


def read_metric(written: Written) -> Rule | None:
    """The rule of a library metric, not yet named; None, with the problem written down, when it is none."""
    node = written.node
    metric = node["metric"].word(tuple(_READERS), f"Write metric: one of {', '.join(_READERS)}; or type: custom.")
    for key in _LIBRARY_KEYS_ONLY:
        if not node[key].absent:
            node[key].refuse(f"'{key}' does not belong to a library metric", "Leave it out, or write type: custom with its engine.")
    if metric is None:
        return None
    limit = limit_of(node, percent=metric != "rowCount")
    made = _READERS[metric](written)
    if made is None or limit is None:
        return None
    if made.kind == "table":
        return replace(made, kwargs=_counts(limit), limit=limit)
    return replace(made, limit=limit, tolerance_written=limit.unit == "percent")


def values_of(node: Node, column: DraftColumn | None) -> list[Any] | None:
    """A non-empty list of texts or numbers that fit the column."""
    values = [item.value for item in node.items()]
    if not values:
        node.refuse(f"'{node.name}' is missing", f"List the values: {node.name}: [a, b].")
        return None
    text = column is None or column.type in (None, "string", "date", "timestamp", "timestamp_ntz")
    numeric = column is None or column.type is None or not text
    for item in node.items():
        number = isinstance(item.value, (int, float))
        if not (isinstance(item.value, str) and text or number and numeric):
            kind = "" if column is None else f" of {column.type} '{column.name}'"
            item.refuse(
                f"{item.value} is not a value{kind}", "Write texts for a string column (in quotes where YAML reads a number), numbers for a number."
            )
            return None
    return values


def _counts(limit: Limit) -> dict[str, Any]:
    """Great Expectations' inclusive whole bounds, where the comparison has any: a count is a whole number."""
    if limit.negated:
        return {}
    kwargs: dict[str, Any] = {}
    if limit.low is not None:
        kwargs["min_value"] = floor(limit.low) + 1 if limit.low_open else ceil(limit.low)
    if limit.high is not None:
        kwargs["max_value"] = ceil(limit.high) - 1 if limit.high_open else floor(limit.high)
    return kwargs


def _column_of(written: Written) -> DraftColumn | None:
    if written.column is None:
        metric = written.node["metric"]
        metric.refuse(f"{metric.value} speaks of a column and stands at the table", "Move it under the column's quality.")
    return written.column


def _arguments(written: Written, *known: str) -> Node:
    node = written.node["arguments"]
    node.only(known, what=f"the arguments of {written.node['metric'].value}")
    return node


def _null_values(written: Written) -> Rule | None:
    _arguments(written)
    column = _column_of(written)
    return None if column is None else rule("", "row", "expect_column_values_to_not_be_null", {"column": column.name}, column.name)


def _missing_values(written: Written) -> Rule | None:
    column, arguments = _column_of(written), _arguments(written, "missingValues")
    given = arguments["missingValues"].value
    if given not in (None, [None]):
        advice = "Use nullValues for NULL, and a sluice expect_row such as trim(name) <> '' for texts that mean nothing."
        arguments["missingValues"].refuse("missingValues with values of its own is not supported", advice)
        return None
    return None if column is None else rule("", "row", "expect_column_values_to_not_be_null", {"column": column.name}, column.name)


def _invalid_values(written: Written) -> Rule | None:
    column, arguments = _column_of(written), _arguments(written, "validValues", "pattern")
    pattern, values = arguments["pattern"], arguments["validValues"]
    if pattern.absent == values.absent:
        arguments.refuse(
            "invalidValues needs either validValues or pattern", "Write arguments: {validValues: [a, b]} or {pattern: '...'}; for both, two rules."
        )
        return None
    if column is None:
        return None
    if values.absent:
        kwargs = {"column": column.name, "regex": pattern.value}
        return rule("", "row", "expect_column_values_to_match_regex", kwargs, column.name) if check_pattern(pattern, column) else None
    found = values_of(values, column)
    return None if found is None else rule("", "row", "expect_column_values_to_be_in_set", {"column": column.name, "value_set": found}, column.name)


def _duplicate_values(written: Written) -> Rule | None:
    if written.column is not None:
        _arguments(written)
        return rule("", "unique", "expect_column_values_to_be_unique", {"column": written.column.name}, written.column.name)
    arguments = _arguments(written, "properties")
    names = arguments["properties"].columns(written.draft.names, written.draft.name, "List the columns: arguments: {properties: [a, b]}.")
    if not names:
        return None
    if len(names) == 1:
        return rule("", "unique", "expect_column_values_to_be_unique", {"column": names[0]}, names[0])
    return rule("", "unique", "expect_compound_columns_to_be_unique", {"column_list": list(names)}, None)


def _row_count(written: Written) -> Rule | None:
    _arguments(written)
    if written.column is not None:
        written.node["metric"].refuse("rowCount speaks of the table and stands at a column", "Move it to the quality of the schema.")
        return None
    return rule("", "table", "expect_table_row_count_to_be_between", {}, None)


_READERS: Mapping[str, Callable[[Written], Rule | None]] = {
    "nullValues": _null_values,
    "missingValues": _missing_values,
    "invalidValues": _invalid_values,
    "duplicateValues": _duplicate_values,
    "rowCount": _row_count,
}
