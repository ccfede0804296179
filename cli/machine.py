"""One execution of the state machine, as Step Functions and Glue tell it: started, looked at. The execution's name is the run's id."""

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from botocore.exceptions import ClientError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_fixed

from cli.errors import CommandError
from shared.aws import clients
from shared.aws.executions import JOBS, RUN_ARGUMENT
from shared.spec.environment import Environment

ExecutionStatus = Literal["RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """What became of an execution. `error` and `cause` are those of the Fail state it ended in."""

    status: ExecutionStatus
    error: str | None
    cause: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRun:
    """A Glue run that the execution started."""

    job: str
    id: str
    state: str
    problem: str | None


class Machine(Protocol):
    """The state machine of one environment."""

    def start(self, run: str, asked: Mapping[str, Any] | None = None) -> None:
        """`asked` is the execution's input, which plan reads; nothing: a run of every table. Raises CommandError when there is no such machine."""

    def execution(self, run: str) -> Execution: ...

    def states(self, run: str) -> tuple[str, ...]:
        """The states it went through, in order; the last is the one it is in, or ended in."""

    def jobs(self, run: str) -> tuple[JobRun, ...]:
        """Every Glue run of the execution, by stage."""


class StepFunctionsMachine:
    """Machine over boto3."""

    def __init__(self, environment: Environment, *, step_functions: Any, glue: Any) -> None:
        self._environment = environment
        self._step_functions, self._glue = step_functions, glue

    def start(self, run: str, asked: Mapping[str, Any] | None = None) -> None:
        arn = self._environment.machine_arn
        try:
            with clients.asking(arn):
                self._step_functions.start_execution(stateMachineArn=arn, name=run, input=json.dumps(asked or {}))
        except ClientError as refused:
            if clients.code_of(refused) != "StateMachineDoesNotExist":
                raise
            raise CommandError(f"{arn} does not exist: environment {self._environment.name} is not deployed there") from refused
        # DescribeExecution is eventually consistent: for a moment it may not know what was just started.
        for attempt in Retrying(retry=retry_if_exception(_is_unknown), stop=stop_after_attempt(10), wait=wait_fixed(0.5), reraise=True):
            with attempt:
                self.execution(run)

    def execution(self, run: str) -> Execution:
        arn = self._arn(run)
        with clients.asking(arn):
            found = self._step_functions.describe_execution(executionArn=arn)
        return Execution(status=found["status"], error=found.get("error"), cause=found.get("cause"))

    def states(self, run: str) -> tuple[str, ...]:
        arn = self._arn(run)
        with clients.asking(arn):
            pages = self._step_functions.get_paginator("get_execution_history").paginate(executionArn=arn, includeExecutionData=False)
            return states_of(event for page in pages for event in page["events"])

    def jobs(self, run: str) -> tuple[JobRun, ...]:
        return tuple(job_run for stage in JOBS for job_run in self._jobs(self._environment.job(stage), run))

    def _jobs(self, job: str, run: str) -> list[JobRun]:
        with clients.asking(f"Glue job {job}"):
            newest = self._glue.get_job_runs(JobName=job)["JobRuns"]
        mine = [found for found in newest if found.get("Arguments", {}).get(RUN_ARGUMENT) == run]
        return [JobRun(job=job, id=found["Id"], state=found["JobRunState"], problem=found.get("ErrorMessage") or None) for found in mine]

    def _arn(self, run: str) -> str:
        return f"{self._environment.machine_arn.replace(':stateMachine:', ':execution:')}:{run}"


def states_of(events: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The states entered, in order, without those that are a Map's own."""
    entered: list[str] = []
    inside = False
    for event in events:
        kind: str = event["type"]
        if kind == "MapStateExited":
            inside = False
        elif kind.endswith("StateEntered") and not inside:
            entered.append(event["stateEnteredEventDetails"]["name"])
            inside = kind == "MapStateEntered"
    return tuple(entered)


def new_run_id(at: datetime) -> str:
    """A name that sorts by time. Execution names hold no colon."""
    return f"{at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def _is_unknown(error: BaseException) -> bool:
    return isinstance(error, ClientError) and clients.code_of(error) == "ExecutionDoesNotExist"
