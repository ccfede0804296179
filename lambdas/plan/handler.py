"""plan: takes the lock and says what this run may touch."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from shared.aws.wiring import LambdaPorts, utc_now
from shared.core.choice import plan_request
from shared.core.events import RunRequest
from shared.core.steps.plan import plan
from shared.spec.codec import from_json, to_json
from shared.telemetry.log import EventLog, function_logger

LOGGER = function_logger("plan")


@LOGGER.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    request = plan_request(from_json(RunRequest, event))
    ports = LambdaPorts.from_environment()
    log = EventLog(LOGGER, job_name="plan", run_id=request.run, environment=ports.environment.name)
    answer = plan(request, pinned=ports.pinned, state=ports.state, documents=ports.documents, executions=ports.executions, log=log, clock=utc_now)
    return to_json(answer)
