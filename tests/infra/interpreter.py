"""The emulator's own interpreter of state machines, with Lambdas and Glue jobs that a test writes as functions."""

import json
import time
from dataclasses import dataclass, field
from types import SimpleNamespace

from ministack.services import stepfunctions

import infra.workflow

MACHINE = "arn:aws:states:eu-west-1:000000000000:stateMachine:sluice-local"


class Refusal(Exception):
    """What a step raises: an error name and a cause, as Step Functions gets to see them."""

    def __init__(self, error, cause="{}"):
        super().__init__(error)
        self.error, self.cause = error, cause


@dataclass
class Run:
    """An execution that ended: its status, error, cause, and every call it made in order."""

    status: str
    error: str | None
    cause: str | None
    calls: list = field(default_factory=list)
    workers: dict = field(default_factory=dict)  # (job, group) -> type, count, minutes

    def called(self, name):
        return [payload for called, payload in self.calls if called == name]

    @property
    def order(self):
        return [name for name, _ in self.calls]


def execute(environment, answers, monkeypatch, *, input=None, run="run-1"):
    """Run the shipped definition. `answers` maps a function or job name to a value, or to a function of its payload and the calls so far."""
    calls, workers = [], {}

    def answer(name, payload):
        calls.append((name, payload))
        given = answers.get(name, {})
        try:
            return given(payload, calls) if callable(given) else given
        except Refusal as refusal:
            raise stepfunctions._ExecutionError(refusal.error, refusal.cause) from None

    monkeypatch.setattr(stepfunctions, "_SFN_WAIT_SCALE", 0)
    monkeypatch.setattr(stepfunctions, "time", SimpleNamespace(**{**vars(time), "sleep": lambda seconds: None}))
    monkeypatch.setattr(stepfunctions, "_call_lambda", answer)
    monkeypatch.setattr(stepfunctions, "_resolve_lambda_function_ref", lambda ref, optimized: ref)

    def start_job(_, call):
        workers[call["JobName"], call["Arguments"]["--group"]] = tuple(call.get(key) for key in ("WorkerType", "NumberOfWorkers", "Timeout"))
        return answer(call["JobName"], call["Arguments"])

    start = {"arn:aws:states:::glue:startJobRun": start_job}
    monkeypatch.setattr(stepfunctions, "_SERVICE_DISPATCH", start)
    execution = _execution(run, input or {})
    monkeypatch.setitem(stepfunctions._state_machines, MACHINE, {"name": "sluice-local", "definition": substituted(environment)})
    monkeypatch.setitem(stepfunctions._executions, execution["executionArn"], execution)
    stepfunctions._run_execution(execution["executionArn"])
    return Run(execution["status"], execution.get("error"), execution.get("cause"), calls, workers)


def substituted(environment):
    """The definition as CloudFormation would leave it, with short names for ARNs."""
    text = infra.workflow.definition(environment)
    for name in ("Plan", "Gate", "Commit", "Report", "Fail"):
        text = text.replace(f"${{{name}Function}}", name.lower())
    for stage in ("Ingest", "Refine", "Stage", "Publish"):
        text = text.replace(f"${{{stage}Job}}", f"{stage.lower()}-job")
    return text


def _execution(run, input):
    return {
        "executionArn": f"arn:aws:states:eu-west-1:000000000000:execution:sluice-local:{run}",
        "stateMachineArn": MACHINE,
        "name": run,
        "status": "RUNNING",
        "startDate": "2026-11-23T00:00:00Z",
        "input": json.dumps(input),
        "events": [],
        "sync": True,
    }
