"""How far apart the strikes of an EventBridge Scheduler expression are. Raises ValueError, in words, for one that it would refuse."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from shared.spec.environment import Schedule, Sla

_UNIT_SECONDS = {"minute": 60, "hour": 3600, "day": 86400}
_MONTHS = {name: number for number, name in enumerate(["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"], start=1)}
_DAYS = {name: number for number, name in enumerate(["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"], start=1)}
_FIELDS: tuple[tuple[str, int, int, Mapping[str, int]], ...] = (
    ("minutes", 0, 59, {}),
    ("hours", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of week", 1, 7, _DAYS),
)
_MONTHLY = re.compile(r"[LW#]")  # the last, the nearest weekday to, the n-th of a month
_MONTHLY_GAP = timedelta(days=35)
# Nine years hold every combination of month, day and weekday more than once, 29 February among them.
_FIRST, _YEARS = date(2024, 1, 1), 9
_CLOCK_CHANGE = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaps:
    """Shortest and longest time between two strikes, in seconds; a change of the clock can make each an hour shorter or longer."""

    shortest: int
    longest: int


def gaps(schedule: Schedule) -> Gaps | None:
    """None for what strikes once, or in some years only. Of days counted within a month `longest` is an upper bound."""
    kind, _, inner = schedule.expression.rstrip(")").partition("(")
    if kind == "at":
        return None
    if kind == "rate":
        number, unit = inner.split()
        seconds = int(number) * _UNIT_SECONDS[unit.removesuffix("s")]
        return Gaps(shortest=seconds, longest=seconds)
    *fields, year = inner.split()
    found = _of_days(fields)
    return found if year == "*" else None


def strikes_into_a_run(schedule: Schedule, sla: Sla) -> int | None:
    """After how many minutes a strike may find a run at work that began with the one before; None where a run is over by then."""
    found = gaps(schedule)
    return found.shortest // 60 if found is not None and found.shortest < sla.run_minutes * 60 else None


def _of_days(fields: list[str]) -> Gaps:
    day_of_month, day_of_week = fields[2], fields[4]
    if (day_of_month == "?") == (day_of_week == "?"):
        raise ValueError("one of day of month and day of week must be ?, and one must not")
    monthly = [name for name in (day_of_month, day_of_week) if _MONTHLY.search(name)]
    sets = [_numbers("?" if text in monthly else text, *field) for text, field in zip(fields, _FIELDS, strict=True)]
    times = sorted(timedelta(hours=hour, minutes=minute) for hour in sets[1] for minute in sets[0])
    within = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
    overnight = timedelta(days=1) - times[-1] + times[0]
    days = list(_matching(sets[2], sets[3], sets[4]))
    if len(days) < 2:
        raise ValueError("no day is ever as it says")
    between = [overnight + timedelta(days=(later - earlier).days - 1) for earlier, later in zip(days, days[1:], strict=False)]
    longest = _MONTHLY_GAP * (1 if len(sets[3]) == 12 else 12) if monthly else max(within + between)
    return Gaps(shortest=int(min(within + between).total_seconds()), longest=int((longest + _CLOCK_CHANGE).total_seconds()))


def _matching(of_month: frozenset[int], months: frozenset[int], of_week: frozenset[int]) -> Iterator[date]:
    day = _FIRST
    while day.year < _FIRST.year + _YEARS:
        if day.day in of_month and day.month in months and day.isoweekday() % 7 + 1 in of_week:
            yield day
        day += timedelta(days=1)


def _numbers(text: str, name: str, low: int, high: int, words: Mapping[str, int]) -> frozenset[int]:
    """The numbers of one field: *, ?, 7, MON, 1-5, FRI-MON, 0/15, and lists of them."""
    return frozenset(number for part in text.split(",") for number in _part(part, name, low, high, words))


def _part(part: str, name: str, low: int, high: int, words: Mapping[str, int]) -> Iterator[int]:
    span, _, step = part.partition("/")
    if span in ("*", "?"):
        first, last = low, high
    else:
        start, dash, end = span.partition("-")
        first = _number(start, name, low, high, words)
        last = _number(end, name, low, high, words) if dash else high if step else first
    if step and not re.fullmatch(r"[1-9]\d*", step):
        raise ValueError(f"'{part}' cannot be its {name}")
    width = high - low + 1
    for number in range(first, (last if last >= first else last + width) + 1, int(step or 1)):
        yield low + (number - low) % width


def _number(text: str, name: str, low: int, high: int, words: Mapping[str, int]) -> int:
    number = words.get(text.upper(), int(text) if text.isdigit() else -1)
    if not low <= number <= high:
        raise ValueError(f"'{text}' cannot be its {name}")
    return number
