"""The structured log, and the alert that goes through it."""

import io
import json
from datetime import UTC, datetime

import pytest

from shared.aws.notify import LogNotify
from shared.telemetry.log import job_log


@pytest.fixture
def lines(request):
    stream = io.StringIO()
    log = job_log(request.node.name, "r1", stream=stream)
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


def test_a_field_cannot_shadow_what_every_line_says(lines):
    """Not even by a name that Python's logging keeps for itself."""
    log, written = lines

    log.event("planned", message="x", level="x", run_id="x", job_name="x", args="x", msg="x")

    (line,) = written()
    assert ("planned", "INFO", "r1") == (line["message"], line["level"], line["run_id"])
    assert {"x"} == {line[f"field_{name}"] for name in ("message", "level", "run_id", "job_name", "args", "msg")}


def test_an_alert_reaches_the_log_with_its_owner(lines):
    """A subscription can carry it on."""
    log, written = lines

    LogNotify(log).alert(owner="sales", subject="Sluice run r1 failed", text="LockHeld: by r0")

    (line,) = written()
    assert ("owner_alert", "WARNING", "sales", "LockHeld: by r0") == (line["message"], line["level"], line["owner"], line["text"])
