"""Step Functions' `glue:startJobRun` and `.sync`, with its error names; an execution that is stopped stops its Glue runs.

Tasks are held to what the machine's role allows.
"""

import json
import time
from contextvars import ContextVar
from typing import Any

from local.seams import pinned
from local.seams.glue import LIVE, GlueSeam
from local.seams.roles import RoleSeam

_INVOKE = "arn:aws:states:::lambda:invoke"
_RESOURCE = "arn:aws:states:::glue:startJobRun"
# What a machine's role needs for a task; a job is waited for, and stopped with the execution.
_ACTIONS = {
    _INVOKE: ("lambda:InvokeFunction",),
    _RESOURCE: ("glue:StartJobRun", "glue:GetJobRun", "glue:GetJobRuns", "glue:BatchStopJobRun"),
}
_POLL_S = 0.05
_execution: ContextVar[dict[str, Any] | None] = ContextVar("execution", default=None)


class StepFunctionsSeam:
    """Adds the integration that MiniStack has not."""

    def __init__(self, glue: GlueSeam, roles: RoleSeam) -> None:
        self._glue_seam = glue
        self._roles = roles
        self._states = pinned.functions(
            "services.stepfunctions",
            {"_execute_task": ("state_def", "raw_input", "execution", "ctx"), "_invoke_resource": ("resource", "input_data")},
        )
        self._invoke = self._states._invoke_resource
        self._glue = pinned.module("services.glue")
        for name in ("_SERVICE_DISPATCH", "_state_machines"):
            pinned.mapping(self._states, name)
        if not callable(getattr(self._states, "_ExecutionError", None)):
            raise pinned.moved("services.stepfunctions._ExecutionError")

    def install(self) -> None:
        execute = self._states._execute_task

        def knowing(state_def: Any, raw_input: Any, execution: Any, ctx: Any) -> Any:
            if state_def["Resource"].removesuffix(".sync") not in _ACTIONS:
                raise self._states._ExecutionError("States.Runtime", f"{state_def['Resource']}: the laptop's tasks are {', '.join(_ACTIONS)}")
            token = _execution.set(execution)
            try:
                return execute(state_def, raw_input, execution, ctx)
            finally:
                _execution.reset(token)

        self._states._execute_task = knowing
        self._states._invoke_resource = self._held
        self._states._SERVICE_DISPATCH[_RESOURCE] = self._start_job_run

    def check(self) -> None:
        """A job that does not exist is refused by the name a Catch would use."""
        try:
            self._invoke(f"{_RESOURCE}.sync", {"JobName": "seam-check"})
        except self._states._ExecutionError as refused:
            pinned.expect("services.stepfunctions._invoke_resource(glue:startJobRun.sync)", refused.error, "Glue.EntityNotFoundException")
        else:
            raise pinned.moved("services.stepfunctions._invoke_resource(glue:startJobRun.sync)")

    def _held(self, resource: str, data: dict[str, Any]) -> Any:
        """What a task does, if the machine's role allows it. Raises Step Functions' own error when not."""
        execution = _execution.get()
        if execution is None:
            raise AssertionError("a task belongs to an execution")
        machine = ":".join(execution["stateMachineArn"].split(":")[:7])  # without version or alias
        target = self._glue._arn("job", data["JobName"]) if "JobName" in data else data["FunctionName"]
        if ":" not in target:
            target = machine.replace(":states:", ":lambda:").rpartition(":stateMachine:")[0] + f":function:{target}"
        role = self._states._state_machines[machine]["roleArn"]
        refusal = self._roles.refusal(role, "states.amazonaws.com", _ACTIONS[resource.removesuffix(".sync")], target, source=machine)
        if refusal is not None:
            raise self._states._ExecutionError("States.Permissions", refusal)
        return self._invoke(resource, data)

    def _start_job_run(self, resource: str, data: dict[str, Any]) -> dict[str, Any]:
        status, _, body = self._glue._start_job_run(data)
        answer = json.loads(body)
        if status >= 400:
            raise self._states._ExecutionError("Glue." + str(answer.get("__type", "Exception")).split("#")[-1], answer.get("message", ""))
        if not resource.endswith(".sync"):
            return {"JobName": data["JobName"], "JobRunId": answer["JobRunId"]}
        run = self._ended(data["JobName"], answer["JobRunId"])
        if run["JobRunState"] != "SUCCEEDED":
            raise self._states._ExecutionError("States.TaskFailed", json.dumps(run))
        return run

    def _ended(self, job: str, run_id: str) -> dict[str, Any]:
        run: dict[str, Any] = next(each for each in self._glue._job_runs[job] if each["Id"] == run_id)
        while run["JobRunState"] in LIVE:
            execution = _execution.get()
            if execution is not None and execution.get("status") != "RUNNING":
                self._glue_seam.stop_run(run)
            time.sleep(_POLL_S)
        return dict(run)
