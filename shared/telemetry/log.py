"""ports.Log: one line of JSON per step, the same in Lambdas and Glue jobs. Never holds row values or secrets: callers pass counts and names.

An event with numbers is one line too, in CloudWatch's embedded metric format: what a Lambda writes, CloudWatch takes as metrics.
Jobs log events alone: gates and report count from their evidence.

Every line has run_id, batch_id, job_name and table, null where they do not apply, beside `message` (the event's name) and the event's own
fields. A field that would shadow one of the line's own is written as `field_<name>`.
"""

import json
import logging
import os
import sys
from collections.abc import Mapping
from typing import TextIO

from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter
from aws_lambda_powertools.logging.types import LogRecord
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

from shared.spec.codec import CodecError, to_json
from shared.spec.lake import Stage
from shared.spec.measures import NAMESPACE, UNITS, Measure, dimensions

ALWAYS = ("run_id", "batch_id", "job_name", "table")
# a record's own attributes (logging refuses them as extra fields), and the keys of every line
TAKEN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "level", "location", "timestamp", "service", "run_id", "job_name"}


class EventLog:
    """The log of one job or function in one run."""

    def __init__(self, logger: Logger, *, job_name: str, run_id: str | None, environment: str, stream: TextIO | None = None) -> None:
        self._logger, self._job_name, self._run_id, self._environment, self._stream = logger, job_name, run_id, environment, stream

    def event(self, name: str, **fields: object) -> None:
        self._logger.info(name, extra=self._line(fields))

    def warning(self, name: str, **fields: object) -> None:
        self._logger.warning(name, extra=self._line(fields))

    def measured(
        self, name: str, measures: Mapping[Measure, float], *, table: str | None = None, stage: Stage | None = None, **fields: object
    ) -> None:
        if not measures:
            self.event(name, **fields, table=table, stage=stage)
            return
        # a service of its own would become a dimension
        metrics = AmazonCloudWatchEMFProvider(namespace=NAMESPACE, service="", metric_set={}, dimension_set={}, metadata_set={})
        for measure, number in measures.items():
            metrics.add_metric(measure, UNITS[measure], number)
        for dimension, value in dimensions(self._environment, table=table, stage=stage).items():
            metrics.add_dimension(dimension, value)
        for key, field in {"level": "INFO", "message": name, "batch_id": None, "table": table, **self._line(fields)}.items():
            metrics.add_metadata(key, field)
        stream = self._stream or sys.stdout
        stream.write(json.dumps(metrics.serialize_metric_set(), ensure_ascii=False) + "\n")
        stream.flush()

    def _line(self, fields: Mapping[str, object]) -> dict[str, object]:
        own: dict[str, object] = {"run_id": self._run_id, "job_name": self._job_name}
        return own | {f"field_{name}" if name in TAKEN else name: _plain(value) for name, value in fields.items()}


class LineFormatter(LambdaPowertoolsFormatter):
    """Powertools leaves out keys without a value; ours stand in every line, its own lines among them."""

    def serialize(self, log: LogRecord) -> str:
        return super().serialize({**log, **{name: log.get(name) for name in ALWAYS}})


def json_logger(service: str, *, stream: TextIO | None = None) -> Logger:
    """A Powertools logger that writes JSON lines to `stream` (standard output), in UTC."""
    formatter = LineFormatter(location=None, utc=True, use_rfc3339=True)
    return Logger(service=service, stream=stream or sys.stdout, level="INFO", logger_formatter=formatter)


def job_log(job_name: str, run_id: str, *, environment: str, stream: TextIO | None = None) -> EventLog:
    """The log of a Glue job: plain standard output."""
    return EventLog(json_logger(job_name, stream=stream), job_name=job_name, run_id=run_id, environment=environment, stream=stream)


def function_logger(name: str) -> Logger:
    """The logger of a Lambda, made once per container; its service is what the stack set, else the function's name."""
    return json_logger(os.environ.get("POWERTOOLS_SERVICE_NAME", name))


def _plain(value: object) -> object:
    try:
        return to_json(value)
    except CodecError:
        return str(value)
