"""`sluice status` and `sluice runs`: what stands, for people and for programs."""

import json

import pytest

from cli import run as run_module
from shared.core.messages import Lock
from tests.fakes import START
from tests.unit.cli_desk import FakeDesk


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "_LAPTOP_PAUSE_S", 0)
    return FakeDesk(tmp_path)


def test_status_of_a_lake_that_never_ran_says_what_to_do(desk):
    """Absence has words."""
    told = desk.sluice("status")

    assert 0 == told.exit_code, told.output
    assert "the lake is free" in told.stdout
    assert "`sluice run`" in told.stdout


def test_status_knows_positions_versions_and_runs(desk):
    """What a person on call asks first."""
    run = desk.json("run")["run"]

    found = desk.json("status")

    orders = next(source for source in found["sources"] if source["table"] == "bronze.orders")
    assert 0 < orders["seq"]
    assert 0 == orders["pending_batches"]
    assert orders["position"].endswith("Z")
    assert {"table": "gold.fact_sales", "version": 1} in found["tables"]
    assert [run] == [line["run"] for line in found["runs"]]
    assert found["lock"]["run"] is None


def test_status_names_who_holds_the_lake(desk):
    """And since when."""
    desk.world.state._lock = Lock(run="nightly", fence=7, since=START, lake_hash="x")

    assert "held by run nightly since 2026-01-01" in desk.sluice("status").stdout


def test_runs_are_listed_newest_first(desk):
    """The last run is the one that people want."""
    first, second = desk.json("run")["run"], desk.json("run")["run"]

    assert [second, first] == [line["run"] for line in desk.json("runs", "list")]
    assert first in desk.sluice("runs", "list").stdout


def test_a_run_is_shown_with_stages_tables_rejects_and_findings(desk):
    """Everything of report.json that fits a terminal."""
    desk.trade(("O2", -5))
    desk.world.tables.halting.add("silver.orders")
    run = desk.json("run")["run"]

    shown = desk.sluice("runs", "show", run).stdout

    for word in ("ingest", "publish", "bronze.orders", "read 2 = 1 + 1 + 0", "halt", "blocked", str(desk.home / "reports" / f"{run}.html")):
        assert word in shown


def test_a_shown_run_as_json_is_its_report(desk):
    """No second shape of the same facts."""
    run = desk.json("run")["run"]

    told = desk.json("runs", "show", run)

    assert json.loads(desk.world.documents._texts[f"_runs/{run}/report.json"]) == told


def test_a_run_without_a_report_is_shown_as_recorded(desk):
    """A run that still goes on can be looked at."""
    run = desk.json("run")["run"]
    for kind in ("html", "json"):
        del desk.world.documents._texts[f"_runs/{run}/report.{kind}"]

    shown = desk.sluice("runs", "show", run)

    assert 0 == shown.exit_code
    assert "no report yet" in shown.stdout
    assert run == desk.json("runs", "show", run)["run"]


def test_an_unknown_run_is_refused_with_those_there_are(desk):
    """A mistyped id costs one look."""
    run = desk.json("run")["run"]

    refused = desk.sluice("runs", "show", "nightly")

    assert 2 == refused.exit_code
    assert "nightly" in refused.stderr
    assert run in refused.stderr
