"""How far apart a schedule strikes: against another implementation, and by hand where that knows too little."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ministack.services import eventbridge

from compiler.strikes import Gaps, gaps
from shared.spec.environment import Schedule

HOUR, DAY = 3600, 86400


def gaps_of(expression):
    return gaps(Schedule(expression=expression, time_zone="UTC", enabled=True))


@pytest.mark.parametrize(
    ("expression", "shortest", "longest"),
    [
        ("rate(6 hours)", 6 * HOUR, 6 * HOUR),
        ("rate(1 day)", DAY, DAY),
        ("cron(0 4 * * ? *)", DAY, DAY + HOUR),
        ("cron(0/15 * * * ? *)", 900, 900 + HOUR),
        ("cron(0 4 ? * MON-FRI *)", DAY, 3 * DAY + HOUR),
        ("cron(30 1,13 ? * SUN *)", 12 * HOUR, 6 * DAY + 13 * HOUR),
        ("cron(0 4 1 * ? *)", 28 * DAY, 31 * DAY + HOUR),
        ("cron(0 4 29 2 ? *)", 1461 * DAY, 1461 * DAY + HOUR),
    ],
)
def test_gaps_by_hand(expression, shortest, longest):
    """An hour is added to the longest for the night that the clock is changed."""
    assert Gaps(shortest=shortest, longest=longest) == gaps_of(expression)


@pytest.mark.parametrize("expression", ["cron(0 4 L * ? *)", "cron(0 4 ? * FRI#2 *)", "cron(0 4 1W * ? *)", "cron(0 4 ? * 6L *)"])
def test_what_is_counted_within_a_month_comes_within_five_weeks(expression):
    """An upper bound: an alarm may be late, and is never false."""
    assert gaps_of(expression).longest == 35 * DAY + HOUR


@pytest.mark.parametrize("expression", ["at(2026-11-23T04:00:00)", "cron(0 4 * * ? 2027)"])
def test_what_ends_has_no_longest_gap(expression):
    """Nothing can be late for ever."""
    assert gaps_of(expression) is None


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("cron(61 4 * * ? *)", "'61' cannot be its minutes"),
        ("cron(0 4 ? * FREITAG *)", "'FREITAG' cannot be its day of week"),
        ("cron(0/x 4 * * ? *)", "'0/x' cannot be its minutes"),
        ("cron(0 4 * * * *)", "must be ?"),
        ("cron(0 4 31 2 ? *)", "no day is ever"),
    ],
)
def test_what_would_never_strike_is_said_in_words(expression, says):
    """The scheduler would refuse it at deployment; the compiler does before."""
    with pytest.raises(ValueError, match=says.replace("?", r"\?")):
        gaps_of(expression)


def lists(low, high):
    return st.lists(st.integers(low, high), min_size=1, max_size=3, unique=True).map(lambda numbers: ",".join(map(str, sorted(numbers))))


@given(
    minutes=lists(0, 59),
    hours=lists(0, 23),
    days=st.one_of(st.just(("?", "*")), lists(1, 28).map(lambda d: (d, "?")), lists(1, 7).map(lambda d: ("?", d))),
)
@settings(max_examples=25)
def test_no_two_strikes_of_another_implementation_are_closer_or_farther(minutes, hours, days):
    """The emulator's own scheduler, over two months."""
    of_month, of_week = ("*", "?") if days == ("?", "*") else days
    expression = f"cron({minutes} {hours} {of_month} * {of_week} *)"
    fields, at = eventbridge._parse_cron_fields(expression), datetime(2027, 1, 1, tzinfo=UTC)
    strikes = []
    while len(strikes) < 12 and at < datetime(2027, 3, 1, tzinfo=UTC):
        at = eventbridge._cron_next_fire(fields, at)
        strikes.append(at)

    found = gaps_of(expression)

    for earlier, later in zip(strikes, strikes[1:], strict=False):
        assert timedelta(seconds=found.shortest) <= later - earlier <= timedelta(seconds=found.longest)
