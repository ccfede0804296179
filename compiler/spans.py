"""Sets of numbers as spans: what a bound, a share or a count of a rule admits, so that two rules can be compared exactly. Standard library only."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Literal

Relation = Literal["same", "looser", "tighter", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Numbers from `low` to `high`; None: without end. An open bound is not part of it."""

    low: Fraction | None
    high: Fraction | None
    low_open: bool = False
    high_open: bool = False

    @property
    def empty(self) -> bool:
        if self.low is None or self.high is None:
            return False
        return self.low > self.high or (self.low == self.high and (self.low_open or self.high_open))

    def holds(self, other: "Span") -> bool:
        """Whether every number of `other`, which is not empty, is in this span."""
        starts = self.low is None or (other.low is not None and (self.low, self.low_open) <= (other.low, other.low_open))
        ends = self.high is None or (other.high is not None and (-self.high, self.high_open) <= (-other.high, other.high_open))
        return starts and ends


Spans = tuple[Span, ...]

EVERYTHING: Spans = (Span(low=None, high=None),)


def complement(span: Span) -> Spans:
    """All other numbers."""
    below = () if span.low is None else (Span(low=None, high=span.low, high_open=not span.low_open),)
    above = () if span.high is None else (Span(low=span.high, high=None, low_open=not span.high_open),)
    return EVERYTHING if span.empty else (*below, *above)


def clipped(spans: Iterable[Span], low: Fraction | None, high: Fraction | None) -> Spans:
    """What of `spans`, which lie apart and in order, is from `low` to `high`."""
    cut = (_cut(span, low, high) for span in spans)
    return tuple(span for span in cut if not span.empty)


def on_grid(spans: Iterable[Span], step: Fraction) -> Spans:
    """The same numbers where only multiples of `step` occur: closed bounds, neighbours joined, so that equal sets are equal spans."""
    found: list[Span] = []
    for span in spans:
        snapped = Span(low=_up(span, step), high=_down(span, step))
        last = found[-1] if found else None
        if snapped.empty:
            continue
        if last is not None and last.high is not None and snapped.low is not None and snapped.low - last.high <= step:
            found[-1] = Span(low=last.low, high=snapped.high)
        else:
            found.append(snapped)
    return tuple(found)


def relation(old: Spans, new: Spans) -> Relation:
    """How `new` stands to `old`: it admits the same, more, less, or other numbers."""
    wider, narrower = _covers(new, old), _covers(old, new)
    if wider and narrower:
        return "same"
    return "looser" if wider else "tighter" if narrower else "other"


def _covers(outer: Spans, inner: Spans) -> bool:
    return all(any(span.holds(part) for span in outer) for part in inner)


def _cut(span: Span, low: Fraction | None, high: Fraction | None) -> Span:
    from_low = low is not None and (span.low is None or span.low < low)
    to_high = high is not None and (span.high is None or span.high > high)
    return Span(
        low=low if from_low else span.low,
        high=high if to_high else span.high,
        low_open=span.low_open and not from_low,
        high_open=span.high_open and not to_high,
    )


def _up(span: Span, step: Fraction) -> Fraction | None:
    if span.low is None:
        return None
    return (floor(span.low / step) + 1 if span.low_open else ceil(span.low / step)) * step


def _down(span: Span, step: Fraction) -> Fraction | None:
    if span.high is None:
        return None
    return (ceil(span.high / step) - 1 if span.high_open else floor(span.high / step)) * step
