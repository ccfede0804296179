"""What a run cost: by prices that a lake names, by what Glue says its runs took, and never guessed."""

import dataclasses
from datetime import date
from pathlib import Path
from unittest.mock import Mock

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from compiler import compile_lake
from shared.aws.executions import Executions
from shared.core.cost import cost_of
from shared.core.errors import StateUnavailable
from shared.core.events import ReportRequest
from shared.core.layout import report_key
from shared.core.report import RunReport
from shared.core.steps.report import report
from shared.spec.environment import Workers
from shared.spec.prices import Prices
from tests.machine import Machine, small_lake
from tests.unit.compiler_refusals import copied, problems_of
from tests.unit.test_measuring import environment, measures, trade

LAKE = Path(__file__).parents[2] / "lake"
PRICES = Prices(
    as_of=date(2026, 10, 7),
    region="us-east-1",
    source="https://example.com",
    glue_dpu_hour=0.308,
    lambda_gb_second=0.00001,
    lambda_request=0.0,
    states_transition=0.001,
    s3_put=0.01,
    s3_get=0.001,
    estimated_gb_seconds=10.0,
    estimated_puts=2.0,
    estimated_gets=10.0,
)


def test_a_run_costs_what_its_parts_cost():
    """Six DPU for a quarter of an hour are 0.462 dollars; the rest is estimated, and named so."""
    cost = cost_of(PRICES, dpu_seconds=[6 * 900.0], gates=3, tables=4)

    assert 0.462 == pytest.approx(cost.glue_usd)
    assert (0.0006, 0.017, 0.12) == pytest.approx((cost.functions_usd_estimate, cost.transitions_usd_estimate, cost.s3_usd_estimate))
    assert cost.usd == pytest.approx(cost.glue_usd + 0.0006 + 0.017 + 0.12)
    assert (1, 5400.0, date(2026, 10, 7), "us-east-1") == (cost.jobs, cost.dpu_seconds, cost.prices_as_of, cost.prices_region)


@given(st.lists(st.floats(0, 1e6), max_size=8), st.floats(0, 1e6))
def test_one_more_job_never_makes_a_run_cheaper(seconds, more):
    """Whatever it took."""
    assert cost_of(PRICES, dpu_seconds=[*seconds, more], gates=3, tables=1).usd >= cost_of(PRICES, dpu_seconds=seconds, gates=3, tables=1).usd


def reported(machine, run="run-1"):
    report(
        ReportRequest(run=run),
        pinned=machine.pinned,
        state=machine.state,
        documents=machine.documents,
        executions=machine.executions,
        log=machine.log,
        clock=machine.world.clock,
    )
    return machine.documents.get(report_key(run, "json"), RunReport), machine.documents._texts[report_key(run, "html")]


@pytest.fixture
def machine():
    made = Machine(lake=dataclasses.replace(small_lake(), prices=PRICES))
    trade(made)
    assert "passed" == made.run()
    return made


def test_a_report_tells_the_cost_of_every_job_of_its_run(machine):
    """Ingest, refine, stage and publish, each by what Glue says it took; the page says what is an estimate."""
    said, page = reported(machine)

    assert (4, 480.0) == (said.cost.jobs, said.cost.dpu_seconds)
    assert said.cost.usd == measures(machine)[None, "run_cost_usd"]
    assert "us-east-1 as of 2026-10-07" in page
    assert 3 == page.count(">estimate<")


def test_a_lake_without_prices_tells_no_cost():
    """Not zero."""
    machine = Machine()
    trade(machine)
    machine.run()

    said, page = reported(machine)

    assert said.cost is None
    assert (None, "run_cost_usd") not in measures(machine)
    assert "What it cost" not in page


def test_a_glue_that_does_not_answer_costs_the_report_its_cost_alone(machine):
    """Everything else is written, and the trouble is named."""
    machine.executions.dpu_seconds = lambda stage, glue_run: (_ for _ in ()).throw(StateUnavailable("Glue: no answer"))

    said, _ = reported(machine)

    assert (None, {"cost": "Glue: no answer"}) == (said.cost, said.troubles)
    assert "passed" == said.status


@pytest.mark.parametrize(
    ("run", "seconds"),
    [
        ({"DPUSeconds": 731.0, "ExecutionTime": 400, "MaxCapacity": 10.0}, 731.0),  # auto-scaling: what was there
        ({"ExecutionTime": 400, "MaxCapacity": 10.0}, 4000.0),
        ({"ExecutionTime": 400}, 800.0),
        ({"ExecutionTime": 5, "MaxCapacity": 10.0}, 600.0),  # a minute is charged at least
    ],
)
def test_a_glue_run_is_charged_for_what_was_there(run, seconds):
    """By its own DPU-seconds where it scales, else by its time at full size."""
    glue = Mock(get_job_run=Mock(return_value={"JobRun": run}))

    assert seconds == Executions(environment(), glue=glue).dpu_seconds("recover", "jr_1")
    glue.get_job_run.assert_called_with(JobName="sluice-test-publish", RunId="jr_1")


def test_a_glue_run_without_a_size_of_its_own_has_its_stages():
    """Where an environment gives a stage other workers than the rest."""
    sized = dataclasses.replace(environment(), groups={"publish": Workers(type="G.2X", count=5, timeout_minutes=60)})
    glue = Mock(get_job_run=Mock(return_value={"JobRun": {"ExecutionTime": 400}}))

    assert 4000.0 == Executions(sized, glue=glue).dpu_seconds("recover", "jr_1")
    assert 800.0 == Executions(sized, glue=glue).dpu_seconds("ingest", "jr_1")


def test_a_glue_run_that_is_forgotten_has_no_charge():
    """Glue keeps runs for a while only."""
    gone = ClientError({"Error": {"Code": "EntityNotFoundException"}}, "GetJobRun")

    assert Executions(environment(), glue=Mock(get_job_run=Mock(side_effect=gone))).dpu_seconds("ingest", "jr_1") is None


@pytest.mark.parametrize(("type", "count", "dpus"), [("G.1X", 2, 2.0), ("G.12X", 3, 36.0), ("G.025X", 4, 1.0), ("R.8X", 2, 16.0)])
def test_a_worker_is_as_many_dpus_as_its_name_says(type, count, dpus):
    """Glue's own naming."""
    assert dpus == Workers(type=type, count=count, timeout_minutes=60).dpus


def test_the_lakes_own_prices_are_read():
    """Dated, sourced, and below what an earlier Glue costs."""
    prices = compile_lake(LAKE).prices

    assert "us-east-1" == prices.region
    assert prices.source.startswith("https://aws.amazon.com/")
    assert 0.1 < prices.glue_dpu_hour < 0.44


@pytest.mark.parametrize(
    ("old", "new", "at", "message", "fix"),
    [
        ("as_of = 2026-10-07", 'as_of = "yesterday"', 3, "'as_of' must be the day", "as_of = 2026"),
        ("glue_dpu_hour = 0.308", "glue_dpu_hours = 0.308", 6, "unknown key 'glue_dpu_hours' in prices.toml", "'glue_dpu_hour'"),
        ("glue_dpu_hour = 0.308", "glue_dpu_hour = -1", 6, "'glue_dpu_hour' cannot be -1", "0 or more"),
        ("s3_put = 0.000005\n", "", 1, "'s3_put' is missing", "Write s3_put = 0.0"),
        ('region = "us-east-1"', "region = us-east-1", 4, "this is not TOML", "Mend"),
    ],
)
def test_prices_that_do_not_hold_are_refused_with_their_place(tmp_path, old, new, at, message, fix):
    """A misspelt price is not a free service."""
    lake, text = copied(tmp_path), (LAKE / "prices.toml").read_text()
    assert old in text
    (lake / "prices.toml").write_text(text.replace(old, new))

    (problem, *_) = [one for one in problems_of(lake) if message in one.message]

    assert (str(lake / "prices.toml"), at) == (problem.file, problem.line)
    assert fix in problem.fix
