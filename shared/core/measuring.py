"""What a run's own documents and the lake's state say in numbers. Pure. What is absent gets no number: its silence is an alarm's business."""

from collections.abc import Mapping
from datetime import UTC, datetime, time

from shared.core.messages import Entry, Lock, Progress, RunRecord, TableVerdict
from shared.spec.codec import parse_instant
from shared.spec.lake import Position
from shared.spec.measures import Measure


def measures_of(verdict: TableVerdict, counts: Mapping[str, int] | None) -> dict[Measure, float]:
    """Of one table that a gate judged. `counts` are those that went into RUN; None where the evidence could not be believed."""
    severities = [finding.severity for finding in verdict.findings]
    found: dict[Measure, float] = {"dq_critical_failures": severities.count("critical"), "dq_warnings": severities.count("warning")}
    if counts is None:
        return found
    if "read" in counts:
        return found | {"records_processed_total": counts["read"], "records_rejected_total": counts["rejected"]}
    return found | {"records_processed_total": counts["inserted"] + counts["updated"] + counts["deleted"]}


def run_ages(lock: Lock, record: RunRecord | None, at: datetime) -> dict[Measure, float]:
    """Of the run that holds the lake: how long it has, and how long gold's gate has been waited for. A free lake waits for nothing."""
    if lock.run is None or lock.since is None:
        return {"run_age_seconds": 0, "gate_wait_seconds": 0}
    waits = record is None or (record.status == "running" and "stage" not in record.timings)
    since = lock.since if record is None else record.started
    return {"run_age_seconds": _seconds(lock.since, at), "gate_wait_seconds": _seconds(since, at) if waits else 0}


def schedule_age(last: str | None, changed: datetime, at: datetime) -> dict[Measure, float]:
    """Since the last strike that became a run; a schedule that was made or changed later counts from then."""
    return {"schedule_age_seconds": _seconds(changed if last is None else max(changed, parse_instant(last)), at)}


def freshness(entry: Entry | None, at: datetime) -> dict[Measure, float]:
    return {} if entry is None or entry.newest is None else {"freshness_seconds": _seconds(entry.newest, at)}


def watermark_lag(progress: Progress, at: datetime) -> dict[Measure, float]:
    lag = lag_seconds(progress.position, at)
    return {} if lag is None else {"watermark_lag_seconds": lag}


def lag_seconds(position: Position | None, at: datetime) -> float | None:
    """From `at` back to a source's position. A date counts from its midnight in UTC; numbers have no age."""
    if position is None or isinstance(position, int):
        return None
    return _seconds(position if isinstance(position, datetime) else datetime.combine(position, time.min, UTC), at)


def _seconds(since: datetime, at: datetime) -> float:
    """A clock that is behind another's shows nothing younger than now."""
    return max(0.0, (at - since).total_seconds())
