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

_RESOURCE = "arn:aws:states:::glue:startJobRun"
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
        self._glue = pinned.module("services.glue")
        for name in ("_SERVICE_DISPATCH", "_state_machines"):
            pinned.mapping(self._states, name)
        if not callable(getattr(self._states, "_ExecutionError", None)):
            raise pinned.moved("services.stepfunctions._ExecutionError")

    def install(self) -> None:
        execute = self._states._execute_task

        def knowing(state_def: Any, raw_input: Any, execution: Any, ctx: Any) -> Any:
            token = _execution.set(execution)
            try:
                return execute(state_def, raw_input, execution, ctx)
            finally:
                _execution.reset(token)

        invoke = self._states._invoke_resource

        def authorized(resource: str, input_data: dict[str, Any]) -> Any:
            self._authorize(resource, input_data)
            return invoke(resource, input_data)

        self._states._execute_task = knowing
        self._states._invoke_resource = authorized
        self._states._SERVICE_DISPATCH[_RESOURCE] = self._start_job_run

    def check(self) -> None:
        """A job that does not exist is refused by the name a Catch would use."""
        try:
            self._states._invoke_resource(f"{_RESOURCE}.sync", {"JobName": "seam-check"})
        except self._states._ExecutionError as refused:
            pinned.expect("services.stepfunctions._invoke_resource(glue:startJobRun.sync)", refused.error, "Glue.EntityNotFoundException")
        else:
            raise pinned.moved("services.stepfunctions._invoke_resource(glue:startJobRun.sync)")

    def _authorize(self, resource: str, data: dict[str, Any]) -> None:
        """The machine's role must be allowed what the task does. Raises Step Functions' own error when it is not."""
        execution = _execution.get()
        if execution is None:
            return
        machine = execution["stateMachineArn"]
        if "lambda:invoke" in resource:
            action, target = "lambda:InvokeFunction", data["FunctionName"]
        else:
            action, target = "glue:StartJobRun", self._glue._arn("job", data["JobName"])
        role = self._states._state_machines[machine]["roleArn"]
        refusal = self._roles.refusal(role, "states.amazonaws.com", action, target, source=machine)
        if refusal is not None:
            raise self._states._ExecutionError("States.Permissions", refusal)

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
