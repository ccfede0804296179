"""Where things lie in the lake's bucket: keys relative to its root. One fact, one home."""

from datetime import datetime

from shared.spec.lake import Stage, Table


def table_path(table: Table) -> str:
    """Folder of the Delta table: `silver/orders`."""
    return table.name.replace(".", "/", 1)


def plan_key(run: str) -> str:
    return f"_runs/{run}/plan.json"


def gate_key(run: str, stage: Stage) -> str:
    return f"_runs/{run}/gate-{stage}.json"


def report_key(run: str, suffix: str) -> str:
    return f"_runs/{run}/report.{suffix}"


def evidence_key(run: str, stage: Stage, table: str) -> str:
    return f"_evidence/{run}/{stage}/{table}.json"


def errors_prefix(table: Table, ingest_time: datetime, frozen_by: str) -> str:
    """Folder of a batch's JSON rejects; its files start with the batch id."""
    return f"{rejects_path(table)}/dt={ingest_time:%Y-%m-%d}/run_id={frozen_by}"


def rejects_path(table: Table) -> str:
    """Folder of a bronze table's rejects, a folder for each day."""
    return f"_errors/{table_path(table)}"


def staging_path(run: str, fence: int, glue_run: str, table: str) -> str:
    """Folder of one change set; one per Glue run, so that a twin never writes into another's."""
    return f"_staging/{run}/{fence}/{glue_run}/{table}"


def window_key(table: str, run: str, fence: int, batch: str) -> str:
    """The document that lists a batch's files; one per fence, so that no run overwrites another's."""
    return f"_windows/{table}/{run}/{fence}/{batch}.json"


def batch_id(table: Table, seq: int) -> str:
    """Identity of a batch, derived from table and seq alone; ids of one table order as their seq does."""
    return f"{table.name}-{seq:010d}"
