"""CloudWatch as the lake's alarms need it: metrics out of what Lambdas log, alarms by their own dimensions and periods, and silence.

MiniStack reads no embedded metrics, compares an alarm with every metric of its name whatever the dimensions, and never looks at an alarm again
when nothing comes. The rules of evaluation are CloudWatch's own, for alarms on a single metric.
"""

import json
import math
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from local.seams import pinned

_EVERY_S = 15.0
_ENDS = {"SUCCEEDED": "ExecutionsSucceeded", "FAILED": "ExecutionsFailed", "TIMED_OUT": "ExecutionsTimedOut", "ABORTED": "ExecutionsAborted"}


class CloudWatchSeam:
    """Replaces the evaluation of alarms, and feeds it from Lambdas' logs and from executions that end."""

    def __init__(self, *, account: str, region: str) -> None:
        self._account, self._region = account, region
        self._cloudwatch = pinned.functions(
            "services.cloudwatch",
            {
                "_evaluate_alarm": ("alarm",),
                "_evaluate_all_alarms": (),
                "_record_history": ("alarm_name", "old_state", "new_state", "reason", "alarm_type", "reason_data"),
                "_dispatch_alarm_actions": ("alarm", "old_state", "new_state", "reason"),
                "_evaluate_parent_alarms": ("child", "seen"),
                "_calc_stats": ("points",),
                "record_metric": ("namespace", "metric_name", "value", "unit", "dimensions"),
                "_dims_key": ("dims",),
            },
        )
        self._lambda = pinned.functions("services.lambda_svc", {"_execute_function_dispatch": ("func", "config", "event", "request_id", "started")})
        self._states = pinned.functions("services.stepfunctions", {"_run_execution": ("exec_arn",)})
        self._requests = pinned.functions("core.responses", {"set_request_account_id": ("access_key_id",), "set_request_region": ("region",)})

    def install(self) -> None:
        """The last of the seams: it wraps what others wrapped."""
        self._cloudwatch._evaluate_alarm = self.evaluate
        dispatch, run = self._lambda._execute_function_dispatch, self._states._run_execution

        def counted(func: Any, config: Any, event: Any, request_id: str, started: float) -> Any:
            result = dispatch(func, config, event, request_id, started)
            if isinstance(result, dict):
                self.take(str(result.get("log", "")))
            return result

        def told(exec_arn: str) -> None:
            run(exec_arn)
            self._ended(exec_arn)

        self._lambda._execute_function_dispatch = counted
        self._states._run_execution = told

    def check(self) -> None:
        """An alarm that nothing was told to rings by what it takes silence for."""
        states = [self._judged({**_SILENT, "TreatMissingData": silence}, 0.0)[0] for silence in ("breaching", "notBreaching", "ignore", "missing")]
        pinned.expect("services.cloudwatch._evaluate_alarm", states, ["ALARM", "OK", "OK", "INSUFFICIENT_DATA"])

    def watch_silence(self) -> None:
        """Look at every alarm again and again, in a thread that ends with the process."""

        def loop() -> None:
            self._requests.set_request_account_id(self._account)
            self._requests.set_request_region(self._region)
            while True:
                time.sleep(_EVERY_S)
                self._cloudwatch._evaluate_all_alarms()

        threading.Thread(target=loop, daemon=True, name="alarms").start()

    def take(self, log: str) -> None:
        """Record every embedded metric of a log, and look at the alarms."""
        found = [datum for line in log.splitlines() for datum in embedded(line)]
        for namespace, name, value, unit, dimensions in found:
            self._cloudwatch.record_metric(namespace, name, value, unit, dimensions)
        if found:
            self._cloudwatch._evaluate_all_alarms()

    def evaluate(self, alarm: dict[str, Any]) -> None:
        """Bring one alarm to the state that its last periods give it, and send its messages when that is another."""
        new, reason = self._judged(alarm, self._cloudwatch.time.time())
        old = alarm["StateValue"]
        if new == old:
            return
        alarm.update({"StateValue": new, "StateReason": reason, "StateUpdatedTimestamp": int(self._cloudwatch.time.time())})
        self._cloudwatch._record_history(alarm["AlarmName"], old, new, reason)
        self._cloudwatch._dispatch_alarm_actions(alarm, old, new, reason)
        self._cloudwatch._evaluate_parent_alarms(alarm)

    def _judged(self, alarm: Mapping[str, Any], now: float) -> tuple[str, str]:
        key = (alarm["Namespace"], alarm["MetricName"], self._cloudwatch._dims_key({one["Name"]: one["Value"] for one in alarm["Dimensions"]}))
        points = self._cloudwatch._metrics.get(key, ())
        period, periods = alarm["Period"], alarm["EvaluationPeriods"]
        values = [self._value(alarm, points, now - (back + 1) * period, now - back * period) for back in range(periods)]
        silence = alarm["TreatMissingData"]
        if all(value is None for value in values):
            if silence in ("ignore", "missing"):
                return (alarm["StateValue"], "") if silence == "ignore" else ("INSUFFICIENT_DATA", "no data")
            return ("ALARM" if silence == "breaching" else "OK"), f"no datapoint was received for {periods} periods and treated as {silence}"
        breaching = [silence == "breaching" if value is None else _beyond(alarm, value) for value in values]
        rings = sum(breaching) >= alarm.get("DatapointsToAlarm", periods)
        return ("ALARM" if rings else "OK"), f"{alarm['Statistic']} {values} against {alarm['ComparisonOperator']} {alarm['Threshold']:g}"

    def _value(self, alarm: Mapping[str, Any], points: Any, after: float, until: float) -> float | None:
        stats = self._cloudwatch._calc_stats([point for point in points if after < point["Timestamp"] <= until])
        return float(stats[alarm["Statistic"]]) if stats else None

    def _ended(self, exec_arn: str) -> None:
        execution = self._states._executions.get(exec_arn)
        metric = None if execution is None else _ENDS.get(execution["status"])
        if metric is not None:
            self._cloudwatch.record_metric("AWS/States", metric, 1, "Count", {"StateMachineArn": execution["stateMachineArn"]})
            self._cloudwatch._evaluate_all_alarms()


def embedded(line: str) -> Iterator[tuple[str, str, float, str, dict[str, str]]]:
    """Namespace, name, value, unit and dimensions of every metric that a line in embedded metric format holds; nothing of another line."""
    if not line.startswith('{"_aws"'):
        return
    held = json.loads(line)
    for directive in held["_aws"]["CloudWatchMetrics"]:
        for names in directive["Dimensions"]:
            for metric in directive["Metrics"]:
                value = held[metric["Name"]]
                for one in value if isinstance(value, list) else [value]:
                    yield directive["Namespace"], metric["Name"], float(one), metric.get("Unit", "None"), {name: str(held[name]) for name in names}


def _beyond(alarm: Mapping[str, Any], value: float) -> bool:
    threshold = float(alarm["Threshold"])
    return {
        "GreaterThanOrEqualToThreshold": value >= threshold,
        "GreaterThanThreshold": value > threshold,
        "LessThanThreshold": value < threshold,
        "LessThanOrEqualToThreshold": value <= threshold,
    }[str(alarm["ComparisonOperator"])]


_SILENT: dict[str, Any] = {
    "AlarmName": "seam-check",
    "Namespace": "seam-check",
    "MetricName": "seam-check",
    "Dimensions": [],
    "Period": 60,
    "EvaluationPeriods": 1,
    "Statistic": "Maximum",
    "Threshold": math.inf,
    "ComparisonOperator": "GreaterThanThreshold",
    "StateValue": "OK",
    "ActionsEnabled": False,
}
