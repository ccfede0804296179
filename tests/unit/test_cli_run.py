"""`sluice run`: what it tells while a run goes on, and what it exits with."""

import json
from dataclasses import replace

import pytest

from cli import run as run_module
from cli.follow import looks
from cli.machine import Execution, JobRun, new_run_id, states_of
from shared.core.messages import Lock
from tests.fakes import START
from tests.unit.cli_desk import FakeDesk


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "_LAPTOP_PAUSE_S", 0)
    return FakeDesk(tmp_path)


def test_a_run_that_passed_exits_0_and_shows_the_equation_of_every_batch(desk):
    """Every row is accounted for, to be seen by whoever started the run."""
    desk.trade(("O2", -5))

    ended = desk.sluice("run")

    assert 0 == ended.exit_code, ended.output
    assert "2 = 1 + 1 + 0" in ended.stdout
    assert "passed" in ended.stdout
    assert str(desk.home / "reports") in ended.stdout


def test_a_run_tells_each_change_once_on_its_own_line(desk):
    """A log file of `sluice run` reads like the run went."""
    lines = desk.sluice("run").stdout.splitlines()

    told = [line.split("  ", 1)[1].strip() if " s  " in line else line for line in lines]

    assert 1 == len([line for line in told if "-> Ingest" in line])
    assert 1 == len([line for line in told if "ingest: bronze.orders pass | read 1 = accepted 1 + rejected 0 + seen 0" in line])


def test_two_looks_that_see_the_same_are_one(desk):
    """A terminal is not drawn, and a log not written, for nothing."""
    desk.machine.states_seen = ["Plan", *["Ingest"] * 4]
    desk.machine.start("run-1")

    states = [look.state for look in looks(desk.open(None), "run-1", lambda: None)]

    assert ["Plan", "Ingest", "Ingest"] == states  # the last: the execution is over


def test_a_blocked_run_exits_3_and_says_which_table(desk):
    """A scheduler tells "committed, but look" from "failed" by the number alone."""
    desk.world.tables.halting.add("silver.orders")

    ended = desk.sluice("run")

    assert 3 == ended.exit_code
    assert "blocked" in ended.stderr
    assert "bronze.orders" in ended.stderr


def test_a_failed_run_exits_1_with_the_reason_and_the_log_of_its_job(desk):
    """Nobody has to look for the log file."""
    desk.world.state._lock = Lock(run="another", fence=4, since=START, lake_hash="x")
    desk.world.executions._running.add("another")
    desk.machine.ends = Execution(status="FAILED", error="RunFailed", cause="LockHeld: the lake is held by run another")
    desk.machine.failed_jobs = (JobRun(job="sluice-local-ingest", id="jr_1", state="FAILED", problem="no"),)

    ended = desk.sluice("run")

    assert 1 == ended.exit_code
    assert "held by run another" in ended.stderr
    assert str(desk.home / "logs" / "glue" / "sluice-local-ingest" / "jr_1.log") in ended.stderr


def test_a_failed_function_is_told_by_its_log(desk):
    """The state before the fail path names it."""
    desk.machine.ends = Execution(status="FAILED", error="RunFailed", cause="DeployedMidRun: start again")
    desk.machine.states_seen = ["Plan", "Ingest", "GateIngest", "RecordFailure", "ReportFailure", "RunFailed"]
    desk.machine.start = lambda run, asked: desk.machine.executions.__setitem__(run, desk.machine.ends)

    logs = [line for line in desk.sluice("run").stderr.splitlines() if line.startswith("log: ")]

    assert [f"log: {desk.home / 'logs' / 'lambda' / 'sluice-local-gate.log'}"] == logs


def test_a_run_that_failed_before_it_was_recorded_is_failed(desk):
    """No record is not a pass."""
    desk.machine.start = lambda run, asked: desk.machine.executions.__setitem__(run, Execution(status="SUCCEEDED", error=None, cause=None))

    assert 1 == desk.sluice("run").exit_code


def test_a_committed_run_whose_execution_failed_exits_1_and_says_both(desk):
    """The report could not be written: the data is true, and somebody must look."""
    desk.machine.ends = Execution(status="FAILED", error="RunFailed", cause="report broke")

    ended = desk.sluice("run")

    assert 1 == ended.exit_code
    assert "committed (passed)" in ended.stderr
    assert "report broke" in ended.stderr


@pytest.mark.parametrize("status", ["TIMED_OUT", "ABORTED"])
def test_an_execution_that_was_ended_from_outside_is_failed(desk, status):
    """Step Functions has more ends than ours."""
    desk.machine.ends = Execution(status=status, error=None, cause=None)

    assert 1 == desk.sluice("run").exit_code


def test_json_is_one_document_on_stdout_and_progress_is_on_stderr(desk):
    """`sluice run --json | jq` works."""
    ended = desk.sluice("run", "--json")

    told = json.loads(ended.stdout)

    assert ("passed", 0) == (told["status"], told["exit_code"])
    assert 1 == sum(batch["read"] for batch in told["batches"] if batch["table"] == "bronze.orders")
    assert "-> Ingest" in ended.stderr


def test_ctrl_c_while_following_says_that_the_run_goes_on(desk):
    """Looking away does not stop a run."""
    desk.machine.interrupted = True

    ended = desk.sluice("run")

    assert 130 == ended.exit_code
    assert "goes on" in ended.stderr
    assert "sluice runs show" in ended.stderr


def test_no_follow_only_starts(desk):
    """For those who look later."""
    told = json.loads(desk.sluice("run", "--no-follow", "--json").stdout)

    assert "started" == told["status"]
    assert 0 == desk.machine.looked


def test_a_deployed_lake_that_is_not_the_one_here_is_told(desk):
    """Who edits a contract and forgets to deploy would wonder otherwise."""
    opened = desk.open

    def edited(_desk):
        lake = opened(_desk)
        return replace(lake, pinned=replace(lake.pinned, hash="another"))

    desk.open = edited

    assert "`sluice local up` deploys it" in desk.sluice("run").stderr


def test_the_state_shown_is_the_machines_own_not_a_groups():
    """A Map over ten groups is one state to whoever waits."""
    entered = [("TaskStateEntered", "Plan"), ("MapStateEntered", "Ingest"), ("TaskStateEntered", "IngestGroup")]
    events = [{"type": kind, "stateEnteredEventDetails": {"name": name}} for kind, name in entered]

    inside = states_of(events)
    after = states_of([*events, {"type": "MapStateExited"}, {"type": "TaskStateEntered", "stateEnteredEventDetails": {"name": "GateIngest"}}])

    assert ("Plan", "Ingest") == inside
    assert ("Plan", "Ingest", "GateIngest") == after
    assert () == states_of([])


def test_run_ids_are_names_that_executions_may_have():
    """No colon, and sorted by time."""
    run = new_run_id(START)

    assert ":" not in run
    assert run.startswith("20260101T000000Z-")
