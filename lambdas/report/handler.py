"""report: writes the run's page and its JSON, however the run ended."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from shared.aws.wiring import LambdaPorts, utc_now
from shared.core.events import ReportRequest
from shared.core.steps.report import report
from shared.spec.codec import from_json, to_json
from shared.telemetry.log import EventLog, function_logger

LOGGER = function_logger("report")


@LOGGER.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    request = from_json(ReportRequest, event)
    ports = LambdaPorts.from_environment()
    log = EventLog(LOGGER, job_name="report", run_id=request.run, environment=ports.environment.name)
    answer = report(request, pinned=ports.pinned, state=ports.state, documents=ports.documents, executions=ports.executions, log=log, clock=utc_now)
    return to_json(answer)
