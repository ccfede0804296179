"""One dashboard per environment: health, freshness, quality, volumes, cost. Searches, not lists: a table that is added draws itself."""

from collections.abc import Mapping, Sequence
from typing import Any

from infra.alarms import AGE_PERIOD, PERIOD
from shared.spec.environment import Environment
from shared.spec.measures import NAMESPACE, Measure

_WIDTH, _HEIGHT = 24, 6  # of a row of the console's grid
_DAY = 86400
_ENDS = ("ExecutionsSucceeded", "ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted")
_OF_TABLE, _OF_STAGE, _OF_RUN = ("environment", "layer", "table"), ("environment", "stage"), ("environment",)

Widget = dict[str, Any]


def dashboard(environment: Environment, alarms: Sequence[str]) -> Mapping[str, Any]:
    """The body that CloudWatch takes; `alarms` are the ARNs to show."""
    ends = [["AWS/States", metric, "StateMachineArn", environment.machine_arn, {"stat": "Sum"}] for metric in _ENDS]
    rows: Sequence[tuple[str, Sequence[Widget]]] = (
        (
            "Health",
            (
                _alarms(alarms),
                _graph("Runs by how they ended", environment, ends, period=3600),
                _graph("Run under way, and its wait for gold's gate", environment, [*_search(environment, "run_age_seconds", "gate_wait_seconds")]),
                _graph("Stages", environment, _search(environment, "latency_seconds", of=_OF_STAGE, period=PERIOD)),
            ),
        ),
        (
            "Freshness",
            (
                _graph("Newest certified value", environment, _search(environment, "freshness_seconds", of=_OF_TABLE)),
                _graph("Sources: behind now", environment, _search(environment, "watermark_lag_seconds", of=_OF_TABLE)),
                _graph("Since the schedule's last strike", environment, _search(environment, "schedule_age_seconds")),
            ),
        ),
        (
            "Quality",
            (
                _graph("Critical failures", environment, _search(environment, "dq_critical_failures", of=_OF_TABLE, period=PERIOD)),
                _graph("Warnings", environment, _search(environment, "dq_warnings", of=_OF_TABLE, period=PERIOD)),
                _graph("Blocked tables", environment, _search(environment, "table_blocked", of=_OF_TABLE, period=PERIOD)),
            ),
        ),
        (
            "Volumes",
            (
                _graph("Rows processed", environment, _search(environment, "records_processed_total", of=_OF_TABLE, stat="Sum", period=3600)),
                _graph("Rows rejected", environment, _search(environment, "records_rejected_total", of=_OF_TABLE, stat="Sum", period=3600)),
            ),
        ),
        (
            "Cost",
            (
                _graph("US dollars per day", environment, _search(environment, "run_cost_usd", stat="Sum", period=_DAY)),
                _graph("The dearest run of an hour", environment, _search(environment, "run_cost_usd", period=3600)),
            ),
        ),
    )
    return {"widgets": [widget for number, (title, widgets) in enumerate(rows) for widget in _row(number, title, widgets)]}


def _row(number: int, title: str, widgets: Sequence[Widget]) -> list[Widget]:
    top, width = number * (_HEIGHT + 1), _WIDTH // len(widgets)
    heading: Widget = {"type": "text", "x": 0, "y": top, "width": _WIDTH, "height": 1, "properties": {"markdown": f"## {title}"}}
    return [heading, *({**widget, "x": at * width, "y": top + 1, "width": width, "height": _HEIGHT} for at, widget in enumerate(widgets))]


def _alarms(arns: Sequence[str]) -> Widget:
    return {"type": "alarm", "properties": {"title": "What rings", "alarms": list(arns), "sortBy": "stateUpdatedTimestamp"}}


def _graph(title: str, environment: Environment, metrics: Sequence[Sequence[Any]], *, period: int = AGE_PERIOD) -> Widget:
    properties = {"title": title, "view": "timeSeries", "region": environment.region, "period": period, "metrics": list(metrics)}
    return {"type": "metric", "properties": {**properties, "yAxis": {"left": {"min": 0}}}}


def _search(
    environment: Environment, *measures: Measure, of: Sequence[str] = _OF_RUN, stat: str = "Maximum", period: int = AGE_PERIOD
) -> list[list[Any]]:
    """One line per table, stage or environment that ever told the measure."""
    names = ",".join((NAMESPACE, *of))
    return [
        [{"expression": f"SEARCH('{{{names}}} environment=\"{environment.name}\" MetricName=\"{measure}\"', '{stat}', {period})", "id": f"e{at}"}]
        for at, measure in enumerate(measures)
    ]
