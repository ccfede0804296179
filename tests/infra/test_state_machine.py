"""The state machine, run by the emulator's interpreter: what it calls, in which order, with which payloads, and how it ends."""

import json

import pytest
from ministack.services import stepfunctions

from infra.access import FUNCTIONS
from infra.workflow import OUTSIDE, definition
from shared.core.events import CommitRequest, FailRequest, GateRequest, ReportRequest, RunRequest
from shared.spec.codec import from_json
from shared.spec.environment import Workers
from tests.infra.interpreter import MACHINE, Refusal, execute
from tests.infra.tides import environment

PLANNED = {"fence": 7, "recover": None, "duplicate": False, "groups": ["main", "slow"]}
REQUESTS = {"plan": RunRequest, "gate": GateRequest, "commit": CommitRequest, "report": ReportRequest, "fail": FailRequest}


def answers(**changed):
    passing = {
        "plan": PLANNED,
        "gate": lambda payload, _: {"groups": {"ingest": ["main"], "refine": ["main"], "stage": ["all"]}[payload["stage"]], "halted": 0},
        "commit": {"status": "passed", "blocked": ""},
        "report": {"html": "_runs/run-1/report.html", "json": "_runs/run-1/report.json"},
        "fail": {"status": "failed", "released": True},
    }
    return passing | {name.replace("_", "-"): given for name, given in changed.items()}


@pytest.fixture
def run(monkeypatch):
    return lambda given=None, **kwargs: execute(environment(), given or answers(), monkeypatch, **kwargs)


def raises(error, cause="{}", *, times=None):
    """An answer that fails; with `times`, that many times, and then what follows."""
    left = [times]

    def fail(payload, calls):
        if left[0] is None or left[0] > 0:
            left[0] = None if left[0] is None else left[0] - 1
            raise Refusal(error, cause)
        return answers().get(calls[-1][0], {})

    return fail


def test_a_passing_run_calls_its_steps_in_order(run):
    """Every stage is followed by its gate, and gold by the commit."""
    done = run()

    stages = ["plan", "ingest-job", "ingest-job", "gate", "refine-job", "gate", "stage-job", "gate", "publish-job", "commit", "report"]
    assert ("SUCCEEDED", stages) == (done.status, done.order)


def test_every_payload_is_the_message_its_lambda_reads(run):
    """A missing or extra key would be refused by the Lambda's own codec."""
    passed, failed = run(), run(answers(commit=raises("BadState")))

    for name, payload in (*passed.calls, *failed.calls):
        if name in REQUESTS:
            from_json(REQUESTS[name], payload)
    assert set(FUNCTIONS) - set(OUTSIDE) == {name for name in (*passed.order, *failed.order) if name in REQUESTS}


def test_a_group_has_workers_of_its_own(monkeypatch):
    """A large table is given its own by its contract; the others of its stage keep the stage's, and what has none keeps the job's."""
    sized = environment(
        groups={"ingest.slow": Workers(type="G.4X", count=20, timeout_minutes=240), "refine": Workers(type="R.1X", count=3, timeout_minutes=5)}
    )

    done = execute(sized, answers(), monkeypatch)

    usual = ("G.1X", 2, 60)
    assert {
        ("ingest-job", "main"): usual,
        ("ingest-job", "slow"): ("G.4X", 20, 240),
        ("refine-job", "main"): ("R.1X", 3, 5),
        ("stage-job", "main"): usual,
        ("publish-job", "all"): (None, None, None),
    } == done.workers


def test_a_job_is_started_with_its_run_fence_and_group(run):
    """The fence is text: Glue's arguments know no numbers."""
    done = run()

    assert [{"--run": "run-1", "--fence": "7", "--group": group} for group in ("main", "slow")] == sorted(
        done.called("ingest-job"), key=lambda arguments: arguments["--group"]
    )
    assert [{"--run": "run-1", "--fence": "7", "--group": "all", "--target": "run-1"}] == done.called("publish-job")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"scheduled": "2026-03-22T18:59:43Z"},
        {"tables": ["silver.tides"]},
        {"replay": {"table": "bronze.tides", "rules": ["level.range"]}},
        {"tables": [], "tabels": ["gold.daily_tides"]},
        "silver.tides",
    ],
)
def test_plan_gets_the_input_as_it_was_given(run, given):
    """Also what no run takes: code refuses it by name, where an expression of the state machine would miss it."""
    (asked,) = run(input=given).called("plan")

    assert {"run": "run-1", "machine": MACHINE, "input": given} == asked


def test_a_run_with_nothing_new_starts_no_job_after_ingest(run):
    """Gates and commit run all the same: they are what says that nothing changed."""
    done = run(answers(gate={"groups": [], "halted": 0}))

    assert ("SUCCEEDED", ["plan", "ingest-job", "ingest-job", "gate", "gate", "gate", "commit", "report"]) == (done.status, done.order)


def test_a_schedule_delivered_twice_is_one_run(run):
    """The second execution succeeds and touches nothing."""
    done = run(answers(plan={"fence": 0, "recover": None, "duplicate": True, "groups": []}))

    assert ("SUCCEEDED", ["plan"]) == (done.status, done.order)


def test_an_unfinished_intent_is_published_before_anything_else(run):
    """Recovery runs under this execution's name and fence, for the killed run's intent; then the run plans anew."""
    recovering = [{**PLANNED, "recover": "run-0", "groups": []}, PLANNED]

    done = run(answers(plan=lambda payload, calls: recovering[len([1 for name, _ in calls if name == "plan"]) - 1]))

    assert ["plan", "publish-job", "commit", "plan"] == done.order[:4]
    assert {"--run": "run-1", "--fence": "7", "--group": "all", "--target": "run-0"} == done.called("publish-job")[0]
    assert [{"run": "run-1", "fence": 7, "target": target} for target in ("run-0", "run-1")] == done.called("commit")
    assert done.status == "SUCCEEDED"


def test_a_blocked_run_is_committed_and_reported_and_ends_failed(run):
    """Who looks at the execution sees which tables waited."""
    done = run(answers(commit={"status": "blocked", "blocked": "silver.tides, gold.daily_tides"}))

    assert ("FAILED", "TablesBlocked", ["commit", "report"]) == (done.status, done.error, done.order[-2:])
    assert "silver.tides, gold.daily_tides" in done.cause


@pytest.mark.parametrize("step", ["plan", "ingest_job", "gate", "refine_job", "stage_job", "publish_job", "commit"])
def test_every_failure_takes_the_one_fail_path(run, step):
    """Recorded, reported, ended FAILED; nothing goes on behind it."""
    cause = json.dumps({"errorMessage": 'the lake is held by run "run-0"', "trace": ["x"]})

    done = run(answers(**{step: raises("BadState", cause)}))

    assert ("FAILED", "RunFailed", ["fail", "report"]) == (done.status, done.error, done.order[-2:])
    assert [{"run": "run-1", "machine": MACHINE, "error": "BadState", "cause": r"the lake is held by run \"run-0\""}] == done.called("fail")
    assert done.cause.startswith("BadState: the lake is held by run")


def test_a_jobs_own_message_is_the_cause(run):
    """Glue's cause is the whole job run as JSON; people get its ErrorMessage."""
    cause = json.dumps({"JobName": "sluice-local-ingest", "ErrorMessage": "SourceUnavailable: tower does not answer", "Attempt": 0})

    done = run(answers(ingest_job=raises("States.TaskFailed", cause)))

    assert done.cause == "States.TaskFailed: SourceUnavailable: tower does not answer"


@pytest.mark.parametrize("cause", ["", "plain words", '{"errorMessage": 7}', "{broken", "x" * 9000])
def test_no_cause_is_too_strange_for_the_fail_path(run, cause):
    """An expression that fails inside a Catch would skip the fail path."""
    done = run(answers(gate=raises("Sandbox.Timedout", cause)))

    assert ("RunFailed", ["fail", "report"]) == (done.error, done.order[-2:])
    assert len(done.called("fail")[0]["cause"]) <= 4000


@pytest.mark.parametrize("error", ["Lambda.TooManyRequestsException", "Lambda.ServiceException", "StateUnavailable"])
def test_a_transient_error_of_a_lambda_is_waited_out(run, error):
    """Throttling does not fail a run."""
    done = run(answers(commit=raises(error, times=2)))

    assert ("SUCCEEDED", 3) == (done.status, len(done.called("commit")))


def test_a_job_is_started_again_only_when_glue_had_no_room(run):
    """A job that failed is not repeated: recovery is a new run."""
    waited = run(answers(refine_job=raises("Glue.ConcurrentRunsExceededException", times=2)))
    failed = run(answers(refine_job=raises("States.TaskFailed")))

    assert ("SUCCEEDED", 3) == (waited.status, len(waited.called("refine-job")))
    assert ("FAILED", 1) == (failed.status, len(failed.called("refine-job")))


def test_a_commit_whose_answer_was_lost_is_a_commit(run):
    """fail reads RUN: a committed run ends as what it is."""
    passed = run(answers(commit=raises("States.Timeout"), fail={"status": "passed", "released": False}))
    blocked = run(answers(commit=raises("States.Timeout"), fail={"status": "blocked", "released": False}))

    assert ("SUCCEEDED", ["fail", "report"]) == (passed.status, passed.order[-2:])
    assert ("FAILED", "TablesBlocked") == (blocked.status, blocked.error)
    assert "see the report" in blocked.cause


def test_a_failure_that_cannot_be_recorded_still_ends_the_run(run):
    """The cause says both what failed and that nobody was told."""
    done = run(answers(plan=raises("LockHeld"), fail=raises("StateUnavailable"), report=raises("StateUnavailable")))

    assert ("FAILED", "RunFailed") == (done.status, done.error)
    assert done.cause.startswith("LockHeld: ")
    assert "could not be recorded" in done.cause
    assert "report could not be written" in done.cause


def test_a_committed_run_ends_as_its_record_says_without_its_report_too(run):
    """The answer of the commit and the report are both lost: people are still not told to run again what is true."""
    lost = {"commit": raises("States.Timeout"), "report": raises("States.Timeout")}

    passed = run(answers(**lost, fail={"status": "passed", "released": False}))
    blocked = run(answers(**lost, fail={"status": "blocked", "released": False}))

    assert ("SUCCEEDED", ["fail", "report"]) == (passed.status, passed.order[-2:])
    assert ("FAILED", "TablesBlocked") == (blocked.status, blocked.error)


def test_the_emulator_accepts_the_definition():
    """Every expression parses."""
    assert stepfunctions._validate_definition_jsonata(definition(environment())) is None
