"""What a run came to: its status and exit code, the reason, its batches, what is certified, and where to read on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cli.follow import Look
from cli.lakes import OpenLake
from cli.machine import JobRun
from shared.core.errors import EvidenceMissing
from shared.core.layout import report_key
from shared.core.messages import Finding
from shared.core.report import BatchReport, RunReport
from shared.spec.codec import to_json

FAIL_PATH = "RecordFailure"
FUNCTIONS = ("plan", "gate", "commit", "report")
EXIT = {"passed": 0, "failed": 1, "blocked": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of a run. `reason` is None when it passed; `report` when it could not be written."""

    run: str
    status: Literal["passed", "blocked", "failed"]
    reason: str | None
    report: RunReport | None
    report_place: str | None
    logs: tuple[str, ...]
    certified: Mapping[str, int]

    @property
    def exit_code(self) -> int:
        return EXIT[self.status]

    @property
    def batches(self) -> tuple[tuple[str, BatchReport], ...]:
        """Every batch with its table."""
        tables = () if self.report is None else self.report.tables
        return tuple((table.table, batch) for table in tables for batch in table.batches)

    @property
    def findings(self) -> tuple[tuple[str, Finding], ...]:
        """Everything a gate found, with its table."""
        tables = () if self.report is None else self.report.tables
        return tuple((table.table, found) for table in tables for found in table.findings)

    def as_json(self) -> Mapping[str, Any]:
        return {
            "run": self.run,
            "status": self.status,
            "exit_code": self.exit_code,
            "reason": self.reason,
            "batches": [{"table": table, **to_json(batch)} for table, batch in self.batches],
            "findings": [{"table": table, **to_json(found)} for table, found in self.findings],
            "certified": dict(self.certified),
            "stages": [] if self.report is None else to_json(self.report.stages),
            "report": self.report_place,
            "logs": list(self.logs),
        }


def outcome_of(lake: OpenLake, look: Look) -> Outcome:
    """Of an execution that is over."""
    status, reason = judged(look)
    failed_jobs = () if status == "passed" else tuple(job for job in lake.machine.jobs(look.run) if job.state != "SUCCEEDED")
    return Outcome(
        run=look.run,
        status=status,
        reason=reason,
        report=read_report(lake, look.run),
        report_place=report_place(lake, look.run),
        logs=logs_of(lake, look.run, failed_jobs) if status == "failed" else (),
        certified=certified_versions(lake),
    )


def certified_versions(lake: OpenLake) -> Mapping[str, int]:
    """By table, in the lake's order; tables that are no longer of the lake stand last."""
    entries = lake.state.certified().tables
    known = [table.name for table in lake.lake.tables if table.name in entries]
    return {name: entries[name].version for name in dict.fromkeys([*known, *sorted(entries)])}


def judged(look: Look) -> tuple[Literal["passed", "blocked", "failed"], str | None]:
    """Passed and blocked only when the execution and the RUN item agree on it: one alone is a failure to look into."""
    execution, recorded = look.execution, None if look.record is None else look.record.status
    if execution.status == "SUCCEEDED" and recorded == "passed":
        return "passed", None
    said = ": ".join(part for part in (execution.error, execution.cause) if part)
    if execution.error == "TablesBlocked" and recorded == "blocked":
        return "blocked", execution.cause
    if recorded in ("passed", "blocked"):
        return "failed", f"the run is committed ({recorded}), but its execution ended {execution.status}: {said or 'no reason was given'}"
    problem = None if look.record is None else look.record.problem
    return "failed", said or problem or f"the execution ended {execution.status} and gave no reason"


def read_report(lake: OpenLake, run: str) -> RunReport | None:
    """None when there is none."""
    try:
        return lake.documents.get(report_key(run, "json"), RunReport)
    except EvidenceMissing:
        return None


def report_place(lake: OpenLake, run: str) -> str | None:
    """Where to open the report: on the laptop a copy that a browser can read, on AWS its address. None when there is none."""
    key = report_key(run, "html")
    page = lake.files.read(key)
    if page is None or lake.home is None:
        return None if page is None else lake.files.url(key)
    copy = lake.home / "reports" / f"{run}.html"
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(page)
    return shown(copy)


def logs_of(lake: OpenLake, run: str, failed: Iterable[JobRun]) -> tuple[str, ...]:
    """The logs of the jobs that failed; when none did, of the function whose state failed."""
    jobs = tuple(failed)
    functions = () if jobs else tuple(map(lake.environment.function, functions_of(lake.machine.states(run))))
    if lake.home is None:
        return (*(f"log group /aws-glue/{job.job}/error, stream {job.id}" for job in jobs), *(f"log group /aws/lambda/{name}" for name in functions))
    logs = lake.home / "logs"
    files = (*(logs / "glue" / job.job / f"{job.id}.log" for job in jobs), *(logs / "lambda" / f"{name}.log" for name in functions))
    return tuple(shown(file) for file in files)


def functions_of(states: Sequence[str]) -> tuple[str, ...]:
    """The function of the state that failed, which is the one before the fail path; a state's name starts with its function's."""
    failed = next((before for before, state in zip(states, states[1:], strict=False) if state == FAIL_PATH), "")
    return tuple(name for name in FUNCTIONS if failed.lower().startswith(name))


def shown(path: Path) -> str:
    """Relative to where the user stands, when it is below."""
    here = Path.cwd()
    return str(path.resolve().relative_to(here)) if path.resolve().is_relative_to(here) else str(path)
