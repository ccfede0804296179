"""How a rule stands to its successor of the same id: as strict, looser, tighter, or not to be compared. Exact wherever the values can be compared.

A rule is looser when whatever held to the old one holds to the new one. Patterns, row conditions and other expectations are not compared.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from typing import Any

from compiler.spans import EVERYTHING, Relation, Span, Spans, clipped, complement, on_grid, relation
from compiler.spark_types import INTEGERS, family
from compiler.sql import normalised
from shared.spec.codec import CodecError, parse_instant
from shared.spec.lake import Limit, Rule, Table

_DAY, _MICROSECOND = Fraction(1), Fraction(1)  # dates are counted in days, times in microseconds
_NOTHING: Spans = (Span(low=Fraction(0), high=Fraction(0)),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """`why` names what moved, in the contract's own values."""

    relation: Relation
    why: str


def compare_rules(old: Rule, new: Rule, before: Table, after: Table) -> Compared:
    """How `new` of the contract `after` stands to `old` of `before`."""
    if (old.kind, old.expectation, old.element) != (new.kind, new.expectation, new.element):
        return Compared(relation="other", why=f"{old.expectation} became {new.expectation}, and the two cannot be compared")
    parts = [_CONDITIONS.get(old.expectation, _other)(old, new, before, after), _allowance(old, new, before, after)]
    why = "; ".join(part.why for part in parts if part.relation != "same")
    if old.severity == new.severity:
        return Compared(relation=_together(part.relation for part in parts), why=why)
    # a warning neither rejects nor halts, whatever else it says
    severity = f"severity {old.severity} -> {new.severity}"
    return Compared(relation="looser" if new.severity == "warning" else "tighter", why=f"{severity}; {why}" if why else severity)


def _together(relations: Iterable[Relation]) -> Relation:
    found = set(relations) - {"same"}
    if not found:
        return "same"
    return next(iter(found)) if len(found) == 1 else "other"


# ---- what a value must be

Condition = Callable[[Rule, Rule, Table, Table], Compared]


def _equal(of: str) -> Condition:
    """A condition that is the same or cannot be compared."""

    def compare(old: Rule, new: Rule, before: Table, after: Table) -> Compared:
        same = old.kwargs == new.kwargs
        return Compared(relation="same" if same else "other", why="" if same else f"its {of} changed, and two of them cannot be compared")

    return compare


_other = _equal("arguments")


def _condition(old: Rule, new: Rule, before: Table, after: Table) -> Compared:
    same = normalised(old.kwargs["condition"]) == normalised(new.kwargs["condition"])
    return Compared(relation="same" if same else "other", why="" if same else "its condition changed, and two of them cannot be compared")


def _values(old: Rule, new: Rule, before: Table, after: Table) -> Compared:
    had, has = ({(isinstance(value, str), value): value for value in rule.kwargs["value_set"]} for rule in (old, new))
    added, removed = [has[key] for key in has if key not in had], [had[key] for key in had if key not in has]
    found: Relation = "other" if added and removed else "looser" if added else "tighter" if removed else "same"
    told = [f"{word} {', '.join(map(str, values))}" for word, values in (("now admits", added), ("no longer admits", removed)) if values]
    return Compared(relation=found, why=", ".join(told))


def _bounds(old: Rule, new: Rule, before: Table, after: Table) -> Compared:
    return _ranged(old, new, _type(old, before), _type(new, after))


def _whole(old: Rule, new: Rule, before: Table, after: Table) -> Compared:
    """Lengths and counts: whole numbers from 0 on."""
    return _ranged(old, new, "length", "length")


def _count(old: Rule, new: Rule, before: Table, after: Table) -> Compared:
    """Of rows: by its ODCS comparison where the contract wrote one, which Great Expectations' arguments cannot always say."""
    had, has = (_span(rule.kwargs, "length") if rule.limit is None else _within(rule.limit)[1] for rule in (old, new))
    found = relation(had or (), has or ())
    told = [_shown(rule.kwargs) if rule.limit is None else _limited(rule.limit) for rule in (old, new)]
    return Compared(relation=found, why="" if found == "same" else f"rows {' -> '.join(told)}")


def _mean(old: Rule, new: Rule, before: Table, after: Table) -> Compared:
    return _ranged(old, new, "double", "double")


def _ranged(old: Rule, new: Rule, was: str, now: str) -> Compared:
    had, has = _span(old.kwargs, was), _span(new.kwargs, now)
    comparable = had is not None and has is not None and (was == now or _family(was) == _family(now))
    found: Relation = relation(had, has) if comparable and had is not None and has is not None else "other"
    return Compared(relation=found, why="" if found == "same" else f"bounds {_shown(old.kwargs)} -> {_shown(new.kwargs)}")


def _span(kwargs: Mapping[str, Any], kind: str) -> Spans | None:
    """The values a range admits; None where its bounds are no places on one line."""
    places: dict[str, Fraction | None] = {}
    for side in ("min_value", "max_value"):
        value = kwargs.get(side)
        places[side] = None if value is None else _place(value, kind)
        if value is not None and places[side] is None:
            return None
    strict = {"low_open": bool(kwargs.get("strict_min")), "high_open": bool(kwargs.get("strict_max"))}
    span = Span(low=places["min_value"], high=places["max_value"], **strict)
    found = clipped((span,), Fraction(0) if kind == "length" else None, None)
    step = _step(kind)
    return found if step is None else on_grid(found, step)


def _place(value: Any, kind: str) -> Fraction | None:
    if isinstance(value, (int, float)):
        return Fraction(repr(value))
    try:
        if kind == "date":
            return Fraction(date.fromisoformat(value).toordinal())
        at = parse_instant(value).replace(tzinfo=None) if kind == "timestamp" else datetime.fromisoformat(value)
        since = at - datetime(1970, 1, 1)  # noqa: DTZ001  # both are without zone here
        return Fraction((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)
    except (CodecError, TypeError, ValueError):
        return None


def _step(kind: str) -> Fraction | None:
    """The distance of neighbouring values of a type; None where there is none to speak of."""
    if kind.startswith("decimal("):
        return Fraction(1, 10 ** int(kind.rstrip(")").split(",")[1]))
    steps = {**dict.fromkeys((*INTEGERS, "length"), Fraction(1)), "date": _DAY, "timestamp": _MICROSECOND, "timestamp_ntz": _MICROSECOND}
    return steps.get(kind)


def _family(kind: str) -> str:
    """What can be compared: dates and times are counted apart."""
    return kind if kind == "date" or family(kind) == "nested" else str(family(kind))


def _shown(kwargs: Mapping[str, Any]) -> str:
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    left, right = "(" if low is None or kwargs.get("strict_min") else "[", ")" if high is None or kwargs.get("strict_max") else "]"
    return f"{left}{'' if low is None else low}, {'' if high is None else high}{right}"


def _unique(old: Rule, new: Rule, before: Table, after: Table) -> Compared:
    """Fewer columns are stricter. More are looser only where one of the old ones is never NULL: rows of which all are NULL are not looked at."""
    had, has = (set(_columns(rule.kwargs)) for rule in (old, new))
    found: Relation = "same" if had == has else "tighter" if has < had else "other"
    if had < has and any(_required(name, before) and _required(name, after) for name in had):
        found = "looser"
    return Compared(relation=found, why="" if found == "same" else f"unique by {', '.join(sorted(had))} -> {', '.join(sorted(has))}")


def _age(old: Rule, new: Rule, before: Table, after: Table) -> Compared:
    had, has = (rule.kwargs["max_age_seconds"] for rule in (old, new))
    found: Relation = "same" if had == has else "looser" if has > had else "tighter"
    return Compared(relation=found, why="" if found == "same" else f"age {had / 3600:g} h -> {has / 3600:g} h")


_CONDITIONS: Mapping[str, Condition] = {
    "expect_column_values_to_match_regex": _equal("pattern"),
    "expect_row": _condition,
    "expect_column_values_to_be_in_set": _values,
    "expect_column_values_to_be_between": _bounds,
    "expect_column_value_lengths_to_be_between": _whole,
    "expect_column_values_to_be_unique": _unique,
    "expect_compound_columns_to_be_unique": _unique,
    "expect_column_mean_to_be_between": _mean,
    "expect_column_sum_to_be_between": _bounds,
    "expect_table_row_count_to_be_between": _count,
    "relationship": _equal("target"),
    "freshness": _age,
}


# ---- how often it may be broken


def _allowance(old: Rule, new: Rule, before: Table, after: Table) -> Compared:
    """By its `mostly` or its ODCS comparison. Shares of different bases, and shares and counts, compare only where one allows nothing or all."""
    (had_unit, had), (has_unit, has) = _admitted(old, before), _admitted(new, after)
    extremes = {_NOTHING, EVERYTHING}
    comparable = had_unit == has_unit or had in extremes or has in extremes
    found = relation(had, has) if comparable else "other"
    return Compared(relation=found, why="" if found == "same" else f"allowed {_allowed(old)} -> {_allowed(new)}")


def _admitted(rule: Rule, table: Table) -> tuple[str, Spans]:
    """What is counted, and the numbers at which the rule holds. In bronze a rule that rejects rows halts only by what the contract wrote."""
    rejects = table.layer == "bronze" and rule.kind == "row" and rule.severity == "critical"
    if rejects and not rule.tolerance_written:
        return "", EVERYTHING
    if rule.kind in ("table", "freshness"):
        return "", _NOTHING
    if rule.limit is not None:
        return _within(rule.limit)
    broken = Fraction(1) - Fraction(repr(rule.mostly))
    return "share of values", _of_all((Span(low=Fraction(0), high=broken),), Fraction(1))


def _within(limit: Limit) -> tuple[str, Spans]:
    low, high = (None if bound is None else Fraction(repr(bound)) for bound in (limit.low, limit.high))
    span = Span(low=low, high=high, low_open=limit.low_open, high_open=limit.high_open)
    top = Fraction(100) if limit.unit == "percent" else None
    admitted = clipped(complement(span) if limit.negated else (span,), Fraction(0), top)
    return limit.unit, _of_all(on_grid(admitted, Fraction(1)) if limit.unit == "rows" else admitted, top)


def _of_all(spans: Spans, top: Fraction | None) -> Spans:
    """EVERYTHING where nothing that can be counted is left out, so that it is the same in every unit."""
    return EVERYTHING if spans == (Span(low=Fraction(0), high=top),) else spans


def _allowed(rule: Rule) -> str:
    return f"mostly {rule.mostly:g}" if rule.limit is None else _limited(rule.limit)


def _limited(limit: Limit) -> str:
    low = "" if limit.low is None else f"{'>' if limit.low_open else '>='} {limit.low:g}"
    high = "" if limit.high is None else f"{'<' if limit.high_open else '<='} {limit.high:g}"
    return f"{'not ' if limit.negated else ''}{' and '.join(part for part in (low, high) if part)} {limit.unit}"


def _columns(kwargs: Mapping[str, Any]) -> Sequence[str]:
    listed: Sequence[str] = kwargs["column_list"] if "column_list" in kwargs else [kwargs["column"]]
    return listed


def _type(rule: Rule, table: Table) -> str:
    return table.column(rule.kwargs["column"]).type


def _required(name: str, table: Table) -> bool:
    return table.column(name).required
