"""fail: records a failure, tells the owners and releases the lock if nothing of the run lives."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from shared.aws.notify import SnsNotify
from shared.aws.wiring import LambdaPorts, utc_now
from shared.core.events import FailRequest
from shared.core.steps.fail import fail
from shared.spec.codec import from_json, to_json
from shared.telemetry.log import EventLog, function_logger

LOGGER = function_logger("fail")


@LOGGER.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    request = from_json(FailRequest, event)
    ports = LambdaPorts.from_environment()
    log = EventLog(LOGGER, job_name="fail", run_id=request.run, environment=ports.environment.name)
    notify = SnsNotify(ports.environment, log)
    answer = fail(request, pinned=ports.pinned, state=ports.state, executions=ports.executions, notify=notify, log=log, clock=utc_now)
    return to_json(answer)
