"""watch: says how old things are, whether or not anything runs."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from shared.aws.wiring import LambdaPorts, utc_now
from shared.core.events import WatchRequest
from shared.core.steps.watch import watch
from shared.spec.codec import from_json
from shared.telemetry.log import EventLog, function_logger

LOGGER = function_logger("watch")


@LOGGER.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    from_json(WatchRequest, event)
    ports = LambdaPorts.from_environment()
    log = EventLog(LOGGER, job_name="watch", run_id=None, environment=ports.environment.name)
    watch(lake=ports.pinned.lake, environment=ports.environment, state=ports.state, timer=ports.timer, log=log, clock=utc_now)
    return {}
