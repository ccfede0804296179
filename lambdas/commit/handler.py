"""commit: makes a published run true, in one transaction."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from shared.aws.wiring import LambdaPorts, utc_now
from shared.core.events import CommitRequest
from shared.core.steps.commit import commit
from shared.spec.codec import from_json, to_json
from shared.telemetry.log import EventLog, function_logger

LOGGER = function_logger("commit")


@LOGGER.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    request = from_json(CommitRequest, event)
    ports = LambdaPorts.from_environment()
    log = EventLog(LOGGER, job_name="commit", run_id=request.run, environment=ports.environment.name)
    answer = commit(request, pinned=ports.pinned, state=ports.state, delta_log=ports.delta_log, log=log, clock=utc_now)
    return to_json(answer)
