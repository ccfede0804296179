"""What Step Functions and Glue know, against moto: alive unless known to be over."""

import json
from dataclasses import replace
from unittest.mock import Mock

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from shared.aws.executions import JOBS, Executions
from shared.core.errors import BadState, StateUnavailable
from shared.spec.environment import Environment, Secrets, Workers

ENVIRONMENT = Environment(
    name="test",
    account="123456789012",
    region="eu-central-1",
    keeps_data=False,
    max_windows=3,
    log_retention_days=7,
    workers=Workers(type="G.1X", count=2, timeout_minutes=60),
    schedule=None,
    secrets=Secrets(mask_key="m", servers={}),
)


@pytest.fixture
def aws(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with mock_aws():
        yield


def test_an_execution_is_over_when_it_ended_or_is_not_known(aws):
    """A lock outlives neither an aborted execution nor one whose history is gone."""
    machines = boto3.client("stepfunctions", region_name="eu-central-1")
    definition = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}})
    arn = machines.create_state_machine(name="sluice-test", definition=definition, roleArn="arn:aws:iam::123456789012:role/x")["stateMachineArn"]
    for run in ("alive", "dead"):
        machines.start_execution(stateMachineArn=arn, name=run)
    machines.stop_execution(executionArn=arn.replace("stateMachine", "execution") + ":dead")
    executions = Executions(ENVIRONMENT, step_functions=machines)

    assert arn == ENVIRONMENT.machine_arn
    assert [False, True, True] == [executions.is_terminal(arn, run) for run in ("alive", "dead", "unknown")]


@pytest.mark.parametrize("qualifier", [":live", ":7"])
def test_a_run_that_the_schedule_started_by_alias_holds_its_lock(qualifier):
    """Its own name does not hold the alias: asked for by that it would be unknown, and a living writer taken for dead."""
    machines = Mock(describe_execution=Mock(return_value={"status": "RUNNING"}))

    assert not Executions(ENVIRONMENT, step_functions=machines).is_terminal(ENVIRONMENT.machine_arn + qualifier, "r1")
    machines.describe_execution.assert_called_with(executionArn="arn:aws:states:eu-central-1:123456789012:execution:sluice-test:r1")


@pytest.mark.parametrize("status", ["RUNNING", "PENDING_REDRIVE", "SOMETHING_NEW"])
def test_an_execution_that_may_go_on_holds_its_lock(status):
    """A redrive asked for is not an end."""
    machines = Mock(describe_execution=Mock(return_value={"status": status}))

    assert not Executions(ENVIRONMENT, step_functions=machines).is_terminal(ENVIRONMENT.machine_arn, "r1")
    machines.describe_execution.assert_called_with(executionArn="arn:aws:states:eu-central-1:123456789012:execution:sluice-test:r1")


class FakeGlue:
    """Glue with the runs it is given, in pages of two."""

    def __init__(self, runs) -> None:
        self.runs, self.stopped = runs, []

    def get_paginator(self, name):
        assert name == "get_job_runs"
        return self

    def paginate(self, JobName):  # noqa: N803
        if JobName not in self.runs:
            raise ClientError({"Error": {"Code": "EntityNotFoundException"}}, "GetJobRuns")
        found = self.runs[JobName]
        return [{"JobRuns": found[start : start + 2]} for start in range(0, len(found), 2)] or [{"JobRuns": []}]

    def get_job_run(self, JobName, RunId):  # noqa: N803
        for run in self.runs[JobName]:
            if run["Id"] == RunId:
                return {"JobRun": run}
        raise ClientError({"Error": {"Code": "EntityNotFoundException"}}, "GetJobRun")

    def batch_stop_job_run(self, JobName, JobRunIds):  # noqa: N803
        self.stopped.append((JobName, JobRunIds))
        return {"SuccessfulSubmissions": [], "Errors": [{"JobRunId": JobRunIds[0]}]}


def run_of(run, id, state, **more):
    return {"Id": id, "JobRunState": state, "Arguments": {"--run": run, "--group": "a"} | more}


def jobs(**runs):
    return {ENVIRONMENT.job(stage): runs.get(stage, []) for stage in JOBS}


def test_live_glue_runs_are_found_by_the_runs_argument_over_all_jobs_and_pages():
    """Twins that no claim knows are among them; other runs' and ended ones are not."""
    ingest = [run_of("r1", f"jr_{i}", "SUCCEEDED") for i in range(4)] + [run_of("r1", "jr_twin", "RUNNING"), run_of("r2", "jr_other", "RUNNING")]
    publish = [run_of("r1", "jr_p", "STOPPING"), {"Id": "jr_bare", "JobRunState": "RUNNING"}]
    executions = Executions(ENVIRONMENT, glue=FakeGlue(jobs(ingest=ingest, publish=publish)))

    assert ("jr_twin", "jr_p") == executions.live_glue_runs("r1")
    assert () == executions.live_glue_runs("r3")


@pytest.mark.parametrize("missing", JOBS)
def test_a_job_that_does_not_exist_is_not_a_job_without_runs(missing):
    """A lock must not be taken because a name was wrong."""
    there = jobs()
    del there[ENVIRONMENT.job(missing)]

    with pytest.raises(BadState, match=f"Glue job sluice-test-{missing} does not exist"):
        Executions(ENVIRONMENT, glue=FakeGlue(there)).live_glue_runs("r1")


@pytest.mark.parametrize(
    ("state", "status"),
    [("SUCCEEDED", "succeeded")]
    + [(state, "failed") for state in ("FAILED", "STOPPED", "TIMEOUT", "ERROR", "EXPIRED")]
    + [(state, "live") for state in ("STARTING", "RUNNING", "STOPPING", "WAITING", "SOMETHING_NEW")],
)
def test_a_glue_run_is_live_unless_known_to_be_over(state, status):
    """Only one that ended and failed may be followed by another; both views agree on who lives."""
    executions = Executions(ENVIRONMENT, glue=FakeGlue(jobs(refine=[run_of("r1", "jr_1", state)])))

    assert status == executions.glue_status("refine", "jr_1")
    assert (status == "live") == (executions.live_glue_runs("r1") == ("jr_1",))


def test_a_glue_run_that_glue_does_not_know_failed():
    """Its history is gone: whatever it was, it does not run."""
    assert "failed" == Executions(ENVIRONMENT, glue=FakeGlue(jobs())).glue_status("ingest", "jr_1")


def test_recovery_is_the_publish_jobs_work():
    """Its claim stands under another stage name, its run in the same job."""
    assert "live" == Executions(ENVIRONMENT, glue=FakeGlue(jobs(publish=[run_of("r2", "jr_1", "RUNNING")]))).glue_status("recover", "jr_1")


def test_only_the_runs_own_live_glue_runs_are_stopped_25_at_a_time():
    """Runs that ended meanwhile are no error."""
    glue = FakeGlue(
        jobs(ingest=[run_of("r1", f"jr_{i}", "RUNNING") for i in range(30)] + [run_of("r2", "no", "RUNNING")], stage=[run_of("r1", "no", "FAILED")])
    )

    Executions(ENVIRONMENT, glue=glue).stop_glue_runs("r1")

    assert [("sluice-test-ingest", 25), ("sluice-test-ingest", 5)] == [(job, len(ids)) for job, ids in glue.stopped]
    assert "no" not in [id for _, ids in glue.stopped for id in ids]


def test_the_real_calls_fit_the_real_api(aws):
    """moto holds parameters to the service model."""
    glue = boto3.client("glue", region_name="eu-central-1")
    for stage in JOBS:
        glue.create_job(Name=ENVIRONMENT.job(stage), Role="x", Command={"Name": "glueetl", "ScriptLocation": "s3://x/y.py"}, GlueVersion="6.0")
    executions = Executions(ENVIRONMENT, glue=glue)
    started = glue.start_job_run(JobName="sluice-test-publish", Arguments={"--run": "r1"})["JobRunId"]

    found = executions.live_glue_runs("r1")
    executions.stop_glue_runs("r1")

    assert executions.glue_status("recover", started) in ("live", "succeeded")
    assert found in ((started,), ())


def test_throttling_is_worth_waiting_for_and_a_refusal_is_not():
    """Neither may be read as "nothing runs"."""
    for code, raised in (("ThrottlingException", StateUnavailable), ("AccessDeniedException", ClientError)):
        machines = Mock(describe_execution=Mock(side_effect=ClientError({"Error": {"Code": code}}, "DescribeExecution")))
        with pytest.raises(raised):
            Executions(replace(ENVIRONMENT), step_functions=machines).is_terminal(ENVIRONMENT.machine_arn, "r1")
