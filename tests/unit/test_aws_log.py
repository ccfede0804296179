"""The structured log, and the metrics that go through it."""

import io
import json
from datetime import UTC, datetime

import pytest

from shared.telemetry.log import job_log


@pytest.fixture
def lines(request):
    stream = io.StringIO()
    log = job_log(request.node.name, "r1", environment="test", stream=stream)
    return log, lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_every_line_has_run_batch_job_and_table(lines, request):
    """A query by any of them finds all there is; what does not apply is null, not absent."""
    log, written = lines

    log.event("planned", tables=3)
    log.event("batch_landed", table="bronze.orders", batch_id="bronze.orders-0000000001", read=7)

    always = {"run_id": "r1", "batch_id": None, "job_name": request.node.name, "table": None, "message": "planned", "tables": 3, "level": "INFO"}
    assert always.items() <= written()[0].items()
    assert {"run_id": "r1", "table": "bronze.orders", "batch_id": "bronze.orders-0000000001", "read": 7}.items() <= written()[1].items()


def test_one_event_is_one_line_of_plain_values(lines):
    """Instants, lists and texts with line breaks do not break the line."""
    log, written = lines

    log.warning("verdict", findings=["a\nb"], at=datetime(2026, 11, 23, tzinfo=UTC), odd=object)

    (line,) = written()
    assert ("WARNING", ["a\nb"], "2026-11-23T00:00:00.000000Z", "<class 'object'>") == (line["level"], line["findings"], line["at"], line["odd"])


def test_an_event_with_numbers_is_one_line_that_cloudwatch_takes_as_metrics(lines, monkeypatch):
    """Embedded metric format: the dimensions are the lake's own and no others, and the rest of the line says what it was about."""
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "sluice-test-gate")  # Powertools would make it a dimension
    log, written = lines

    log.measured("verdict", {"dq_warnings": 2, "records_processed_total": 7}, table="gold.sales", owner="sales")
    log.measured("stage_done", {"latency_seconds": 1.5}, stage="publish")
    log.measured("gates_done", {"gate_wait_seconds": 60})

    of_table, of_stage, of_run = written()
    (directive,) = of_table["_aws"]["CloudWatchMetrics"]
    assert ("Sluice", [["environment", "layer", "table"]]) == (directive["Namespace"], directive["Dimensions"])
    assert [("dq_warnings", "Count"), ("records_processed_total", "Count")] == [(one["Name"], one["Unit"]) for one in directive["Metrics"]]
    told = {"environment": "test", "layer": "gold", "table": "gold.sales", "run_id": "r1", "message": "verdict", "owner": "sales"}
    assert told.items() <= of_table.items()
    assert ([2.0], [7.0]) == (of_table["dq_warnings"], of_table["records_processed_total"])
    assert [["environment", "stage"]] == of_stage["_aws"]["CloudWatchMetrics"][0]["Dimensions"]
    assert ("publish", [1.5]) == (of_stage["stage"], of_stage["latency_seconds"])
    assert [["environment"]] == of_run["_aws"]["CloudWatchMetrics"][0]["Dimensions"]


def test_an_event_without_a_number_is_no_metric(lines):
    """Nothing is counted as zero that was not counted."""
    log, written = lines

    log.measured("verdict", {}, table="gold.sales")

    (line,) = written()
    assert ("verdict", "gold.sales") == (line["message"], line["table"])
    assert "_aws" not in line


def test_a_field_cannot_shadow_what_every_line_says(lines):
    """Not even by a name that Python's logging keeps for itself."""
    log, written = lines

    log.event("planned", message="x", level="x", run_id="x", job_name="x", args="x", msg="x")

    (line,) = written()
    assert ("planned", "INFO", "r1") == (line["message"], line["level"], line["run_id"])
    assert {"x"} == {line[f"field_{name}"] for name in ("message", "level", "run_id", "job_name", "args", "msg")}
