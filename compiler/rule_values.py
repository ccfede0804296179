"""What rules are made of: bounds that fit a column's type, patterns that mean the same everywhere, ODCS comparisons as limits."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from compiler.draft import Draft, DraftColumn
from compiler.node import Node
from compiler.spark_types import family
from shared.spec.codec import CodecError, parse_instant
from shared.spec.lake import Limit, Rule, RuleKind, Severity

SEVERITIES: tuple[Severity, ...] = ("critical", "warning")
COMPARISONS = (
    *("mustBe", "mustNotBe", "mustBeGreaterThan", "mustBeGreaterOrEqualTo", "mustBeLessThan", "mustBeLessOrEqualTo"),
    *("mustBeBetween", "mustNotBeBetween"),
)
# Syntax that Python's `re` accepts and Java's does not, or means differently.
_PYTHON_ONLY = re.compile(r"\(\?P[<=>]|\(\?\(|\(\?#|\\[uUN]\{?|\\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One item of `quality`, with the table and, where it stands under one, the column."""

    draft: Draft
    column: DraftColumn | None
    node: Node


def rule(rule_id: str, kind: RuleKind, expectation: str, kwargs: Mapping[str, Any], element: str | None) -> Rule:
    """A critical rule that admits no exception."""
    return Rule(
        id=rule_id,
        kind=kind,
        expectation=expectation,
        kwargs=dict(kwargs),
        element=element,
        severity="critical",
        mostly=1.0,
        limit=None,
        tolerance_written=False,
    )


def check_pattern(node: Node, column: DraftColumn | None) -> bool:
    """Whether a pattern can be used; says what is wrong with it otherwise."""
    pattern = node.text("Write a regular expression.")
    if pattern is None:
        return False
    if column is not None and column.type not in (None, "string"):
        node.refuse(f"'{column.name}' is {column.type}, and a pattern is for strings", "Use minimum and maximum, or another type.")
        return False
    try:
        re.compile(pattern)
    except re.error as error:
        node.refuse(
            f"the pattern is not a regular expression: {error.msg} at position {error.pos}", "Mend it; in YAML use single quotes: '^O\\d{9}$'."
        )
        return False
    if found := _PYTHON_ONLY.search(pattern):
        node.refuse(f"'{found[0]}' in the pattern is not the same in Spark and in Python", "Use plain groups (...) or (?:...), and $ for the end.")
        return False
    return True


def bounds_of(nodes: Mapping[str, Node], column: DraftColumn | None) -> dict[str, Any]:
    """min_value, max_value, and strict_min/strict_max: true where the bound itself is excluded.

    `nodes` by GE's names; under strict_min and strict_max stand excluded bounds (ODCS) or flags (GE).
    """
    found: dict[str, Any] = {}
    for side in ("min", "max"):
        bound, strict = nodes[f"{side}_value"], nodes[f"strict_{side}"]
        flag = isinstance(strict.value, bool)
        if not flag and not strict.absent and not bound.absent:
            strict.refuse(f"'{strict.name}' beside '{bound.name}'", "Keep one of the two.")
            continue
        place = bound if flag or strict.absent else strict
        value = _bound(place, column)
        if value is not None:
            found[f"{side}_value"] = value
        if value is not None and (strict.value is True or place is strict):
            found[f"strict_{side}"] = True
    _check_order(nodes, found)
    return found


def _bound(node: Node, column: DraftColumn | None) -> Any:
    if node.absent:
        return None
    kind = "number" if column is None or column.type is None else family(column.type)
    if kind == "number":
        return node.number()
    if kind != "time" or column is None:
        node.refuse(
            f"'{column.name if column else ''}' is {column.type if column else ''}, which has no least and greatest",
            "Use a pattern or an in-set rule.",
        )
        return None
    text = node.optional_text()
    try:
        if text is not None and column.type == "date":
            date.fromisoformat(text)
        elif text is not None and column.type == "timestamp":
            parse_instant(text)
    except (CodecError, ValueError):
        example = "'2024-01-31'" if column.type == "date" else "'2024-01-31T00:00:00Z'"
        node.refuse(f"'{text}' is not a {column.type}", f"Write it as {example}.")
        return None
    return text


def _check_order(nodes: Mapping[str, Node], found: Mapping[str, Any]) -> None:
    low, high = found.get("min_value"), found.get("max_value")
    if low is None or high is None or type(low) is not type(high) and isinstance(low, str):
        return
    empty = low > high or (low == high and ("strict_min" in found or "strict_max" in found))
    if empty:
        place = nodes["min_value"] if not nodes["min_value"].absent else nodes["strict_min"]
        place.refuse(f"nothing is between {low} and {high}", "Put the smaller one first.")


def mostly_of(node: Node) -> tuple[float, bool]:
    """The share that must hold, and whether the contract wrote it."""
    found = node.number(0, 1)
    return (1.0, False) if found is None else (float(found), True)


def limit_of(node: Node, *, percent: bool = True) -> Limit | None:
    """The one ODCS comparison of a quality item; None, with the problem written down, when there is not exactly one."""
    written = [key for key in COMPARISONS if not node[key].absent]
    if len(written) != 1:
        place = node[written[1]] if written else node
        place.refuse(f"a metric needs one comparison, and here are {len(written)}", f"Write one of {', '.join(COMPARISONS)}.")
        return None
    unit = node["unit"].word(("rows", "percent"), "") if not node["unit"].absent else "rows"
    if unit == "percent" and not percent:
        node["unit"].refuse("a row count has no percentage", "Write unit: rows.")
        return None
    numbers = _numbers(node[written[0]])
    if unit is None or numbers is None:
        return None
    return _limit(written[0], numbers, "percent" if unit == "percent" else "rows", node[written[0]])


def _numbers(node: Node) -> tuple[float, float] | None:
    if not node.name.endswith("Between"):
        number = node.number()
        return None if number is None else (float(number), float(number))
    values = [item.number() for item in node.items()]
    if len(values) != 2 or values[0] is None or values[1] is None or values[0] > values[1]:
        node.refuse(f"'{node.name}' needs two numbers, the smaller one first", f"Write {node.name}: [low, high].")
        return None
    return float(values[0]), float(values[1])


def _limit(key: str, numbers: tuple[float, float], unit: Any, node: Node) -> Limit | None:
    top = 100 if unit == "percent" else float("inf")
    if not all(0 <= number <= top for number in numbers):
        node.refuse(f"{key}: {node.value} can never be met in {unit}", "Write 0 to 100." if unit == "percent" else "Write 0 or more.")
        return None
    above, below = key.startswith("mustBeGreater"), key.startswith("mustBeLess")
    return Limit(
        unit=unit,
        low=None if below else numbers[0],
        high=None if above else numbers[1],
        low_open=key == "mustBeGreaterThan",
        high_open=key == "mustBeLessThan",
        negated=key.startswith("mustNot"),
    )
