"""`sluice bypass`: granted by a person, shown everywhere, taken back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from cli import run as run_module
from shared.spec.codec import parse_instant
from tests.unit.cli_desk import FakeDesk

WHY = ("--reason", "refunds of the recall", "--ticket", "OPS-214")


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "_LAPTOP_PAUSE_S", 0)
    return FakeDesk(tmp_path)


def add(desk, *more, table="silver.orders", rule="enough", expires="7d"):
    return desk.sluice("bypass", "add", table, rule, *WHY, "--expires", expires, *more)


def test_a_bypassed_halt_passes_and_is_a_warning_in_run_report_and_status(desk):
    """Switching a safety off is allowed, by a named person, for a while; nobody can overlook it."""
    desk.world.tables.halting.add("silver.orders")
    assert 3 == desk.sluice("run").exit_code

    told = add(desk)
    ran = desk.sluice("run")

    assert (0, 0) == (told.exit_code, ran.exit_code), told.output + ran.output
    assert "approved by ann@desk" in told.stdout
    run = desk.json("runs", "list")[0]["run"]
    page = desk.world.documents._texts[f"_runs/{run}/report.html"]
    for shown in (ran.stdout, desk.sluice("runs", "show", run).stdout, page):
        for word in ("warning", "enough", "bypassed by ann@desk, OPS-214, until", "refunds of the recall"):
            assert word in shown
    status = desk.sluice("status").stdout
    assert "OPS-214" in status
    assert ["enough"] == [one["rule"] for one in desk.json("status")["bypasses"]]


def test_the_findings_of_a_run_are_in_its_json(desk):
    """A program sees the bypass as well."""
    desk.world.tables.halting.add("silver.orders")
    add(desk)

    (found,) = desk.json("run")["findings"]

    assert ("silver.orders", "enough", "warning") == (found["table"], found["rule"], found["severity"])
    assert "bypassed by ann@desk" in found["message"]


def test_a_bypass_that_was_removed_halts_again(desk):
    """Once, and from the next gate on."""
    desk.world.tables.halting.add("silver.orders")
    add(desk)
    desk.sluice("bypass", "remove", "silver.orders", "enough")

    assert 3 == desk.sluice("run").exit_code
    again = desk.sluice("bypass", "remove", "silver.orders", "enough")
    assert 2 == again.exit_code
    assert "there are: none" in again.stderr


def test_an_expired_bypass_is_listed_as_such_and_is_not_in_status(desk):
    """It is history, and worth cleaning up."""
    add(desk)
    state = desk.world.state
    state._bypasses = tuple(replace(one, expires=datetime(2026, 1, 1, tzinfo=UTC)) for one in state._bypasses)

    assert "expired 2026-01-01" in desk.sluice("bypass", "list").stdout
    assert [True] == [one["expired"] for one in desk.json("bypass", "list")]
    assert [] == desk.json("status")["bypasses"]


def test_without_any_the_list_says_so(desk):
    """Absence has words."""
    assert "no bypass" in desk.sluice("bypass", "list").stdout
    assert [] == desk.json("bypass", "list")


@pytest.mark.parametrize(("expires", "hours"), [("7d", 168), ("12h", 12)])
def test_an_end_may_be_so_long_from_now(desk, expires, hours):
    """Nobody counts days on fingers."""
    before = datetime.now(UTC)
    add(desk, expires=expires)

    ends = parse_instant(desk.json("bypass", "list")[0]["expires"])

    assert timedelta(0) <= ends - before - timedelta(hours=hours) < timedelta(minutes=5)


def test_an_end_may_be_an_instant_with_its_offset(desk):
    """Whatever the zone of who writes it."""
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)

    assert 0 == add(desk, expires=tomorrow.isoformat()).exit_code
    assert [tomorrow] == [parse_instant(one["expires"]) for one in desk.json("bypass", "list")]


@pytest.mark.parametrize("expires", ["tomorrow", "2026-12-01", "0d", "7w", "2020-01-01T00:00Z", "2999-01-01T00:00Z", "40d"])
def test_an_end_that_is_none_or_too_far_is_refused(desk, expires):
    """Nothing is written."""
    refused = add(desk, expires=expires)

    assert 2 == refused.exit_code
    assert "bypass" in refused.stderr
    assert [] == desk.json("bypass", "list")


def test_an_unknown_table_or_rule_is_refused_with_the_nearest(desk):
    """A bypass of a rule that does not exist would lift nothing, silently."""
    table, rule = add(desk, table="silver.order"), add(desk, rule="enoug")

    assert (2, 2) == (table.exit_code, rule.exit_code)
    assert "Did you mean 'silver.orders'?" in table.stderr
    assert "Did you mean 'enough'?" in rule.stderr
