"""gate: judges one stage by its evidence and names the next stage's groups."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from shared.aws.notify import SnsNotify
from shared.aws.wiring import LambdaPorts, utc_now
from shared.core.events import GateRequest
from shared.core.steps.gate import gate
from shared.spec.codec import from_json, to_json
from shared.telemetry.log import EventLog, function_logger

LOGGER = function_logger("gate")


@LOGGER.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    request = from_json(GateRequest, event)
    ports = LambdaPorts.from_environment()
    log = EventLog(LOGGER, job_name="gate", run_id=request.run, environment=ports.environment.name)
    answer = gate(
        request,
        pinned=ports.pinned,
        state=ports.state,
        documents=ports.documents,
        delta_log=ports.delta_log,
        notify=SnsNotify(ports.environment, log),
        log=log,
        clock=utc_now,
    )
    return to_json(answer)
