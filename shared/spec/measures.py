"""The numbers Sluice emits: their names, units and dimensions. What emits them, what alarms on them and what draws them agree here."""

from collections.abc import Mapping
from typing import Literal

NAMESPACE = "Sluice"
Unit = Literal["Count", "Seconds", "None"]
Measure = Literal[
    "records_processed_total",
    "records_rejected_total",
    "dq_critical_failures",
    "dq_warnings",
    "table_blocked",
    "latency_seconds",
    "freshness_seconds",
    "watermark_lag_seconds",
    "gate_wait_seconds",
    "run_age_seconds",
    "schedule_age_seconds",
    "run_cost_usd",
]
UNITS: Mapping[Measure, Unit] = {
    "records_processed_total": "Count",  # rows read from a source, or changed in a table
    "records_rejected_total": "Count",  # of those read from a source
    "dq_critical_failures": "Count",  # findings of one gate that halt the table
    "dq_warnings": "Count",  # findings of one gate that do not
    "table_blocked": "Count",  # 1 when the run left the table as it was although there was work, else 0
    "latency_seconds": "Seconds",  # of one stage with its gate; publish with its commit
    "freshness_seconds": "Seconds",  # from now back to the newest certified value of the contract's freshness element
    "watermark_lag_seconds": "Seconds",  # from now back to the source's committed position
    "gate_wait_seconds": "Seconds",  # from plan to gold's gate, or to now while that has not spoken; 0 when no run waits for it
    "run_age_seconds": "Seconds",  # since the run that holds the lake began; 0 when none does
    "schedule_age_seconds": "Seconds",  # since the last strike of the schedule that became a run, or since the schedule was last changed
    "run_cost_usd": "None",
}


def dimensions(environment: str, *, table: str | None = None, stage: str | None = None) -> dict[str, str]:
    """Of a number of a whole run, of one table (`silver.orders`) or of one stage."""
    of_table = {} if table is None else {"layer": table.partition(".")[0], "table": table}
    return {"environment": environment} | of_table | ({} if stage is None else {"stage": stage})
