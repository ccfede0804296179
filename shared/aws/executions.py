"""ports.Executions over Step Functions and Glue: what still runs, whatever the state table thinks."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from shared.aws import clients
from shared.core.errors import BadState
from shared.core.messages import GlueStatus
from shared.spec.environment import Environment

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient
    from mypy_boto3_stepfunctions import SFNClient

JOBS = ("ingest", "refine", "stage", "publish")
JOB_OF = {"recover": "publish"}  # stages that another stage's job does
OVER = {"SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT", "ERROR", "EXPIRED"}
EXECUTION_OVER = {"SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"}
RUN_ARGUMENT = "--run"
STOPPED_AT_ONCE = 25
LEAST_SECONDS = 60  # that Glue charges for
MACHINE_PARTS = 7  # arn:partition:states:region:account:stateMachine:name


class Executions:
    """The executions of one deployment's state machine and the runs of its Glue jobs.

    A status that is not known to be over counts as live: taking a living writer for dead costs data, the other way round costs a wait.
    """

    def __init__(self, environment: Environment, *, step_functions: "SFNClient | None" = None, glue: "GlueClient | None" = None) -> None:
        self._environment = environment
        self._injected_machines, self._injected_glue = step_functions, glue

    @cached_property
    def _machines(self) -> "SFNClient":
        return self._injected_machines or clients.step_functions(self._environment.region)

    @cached_property
    def _glue(self) -> "GlueClient":
        return self._injected_glue or clients.glue(self._environment.region)

    def is_terminal(self, machine: str, run: str) -> bool:
        # what was started through an alias or a version tells of its machine by that; an execution's own ARN knows neither
        arn = f"{':'.join(machine.split(':')[:MACHINE_PARTS]).replace(':stateMachine:', ':execution:')}:{run}"
        try:
            with clients.asking(f"Step Functions {arn}"):
                return self._machines.describe_execution(executionArn=arn)["status"] in EXECUTION_OVER
        except ClientError as refused:
            if clients.code_of(refused) != "ExecutionDoesNotExist":
                raise
            return True

    def live_glue_runs(self, run: str) -> tuple[str, ...]:
        """Raises BadState when one of the jobs does not exist: an unknown job must not read as "nothing runs"."""
        return tuple(id for stage in JOBS for id in self._live(self._environment.job(stage), run))

    def stop_glue_runs(self, run: str) -> None:
        """Runs that end meanwhile are no error."""
        for stage in JOBS:
            job = self._environment.job(stage)
            live = list(self._live(job, run))
            for start in range(0, len(live), STOPPED_AT_ONCE):
                with clients.asking(f"Glue job {job}"):
                    self._glue.batch_stop_job_run(JobName=job, JobRunIds=live[start : start + STOPPED_AT_ONCE])

    def glue_status(self, stage: str, glue_run: str) -> GlueStatus:
        job = self._environment.job(JOB_OF.get(stage, stage))
        try:
            with clients.asking(f"Glue job {job} run {glue_run}"):
                state: str = self._glue.get_job_run(JobName=job, RunId=glue_run)["JobRun"]["JobRunState"]
        except ClientError as refused:
            if clients.code_of(refused) != "EntityNotFoundException":
                raise
            return "failed"
        if state == "SUCCEEDED":
            return "succeeded"
        return "failed" if state in OVER else "live"

    def dpu_seconds(self, stage: str, glue_run: str) -> float | None:
        worked = JOB_OF.get(stage, stage)
        job = self._environment.job(worked)
        try:
            with clients.asking(f"Glue job {job} run {glue_run}"):
                found: Mapping[str, Any] = self._glue.get_job_run(JobName=job, RunId=glue_run)["JobRun"]
        except ClientError as refused:
            if clients.code_of(refused) != "EntityNotFoundException":
                raise
            return None
        if found.get("DPUSeconds"):  # with auto-scaling, what was really there
            return float(found["DPUSeconds"])
        capacity = found.get("MaxCapacity") or self._environment.workers_of(worked).dpus
        return max(float(found.get("ExecutionTime", 0)), LEAST_SECONDS) * float(capacity)

    def _live(self, job: str, run: str) -> Iterator[str]:
        for glue_run in self._runs(job):
            if glue_run.get("Arguments", {}).get(RUN_ARGUMENT) == run and glue_run["JobRunState"] not in OVER:
                yield str(glue_run["Id"])

    def _runs(self, job: str) -> list[Any]:
        try:
            with clients.asking(f"Glue job {job}"):
                pages = self._glue.get_paginator("get_job_runs").paginate(JobName=job)
                return [glue_run for page in pages for glue_run in page["JobRuns"]]
        except ClientError as refused:
            if clients.code_of(refused) != "EntityNotFoundException":
                raise
            raise BadState(f"Glue job {job} does not exist: whether it still runs cannot be told; deploy the environment's stacks") from refused
