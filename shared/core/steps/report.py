"""report: write a run's page and its JSON from whatever the run left, on success and on failure. Decides nothing, changes no state."""

from typing import TypeVar

from shared.core.errors import EvidenceInvalid, EvidenceMissing, StateUnavailable
from shared.core.events import ReportAnswer, ReportRequest
from shared.core.layout import evidence_key, gate_key, plan_key, report_key
from shared.core.messages import IngestEvidence, TableEvidence
from shared.core.ports import Clock, Documents, Executions, Log, State
from shared.core.report import Gathered, RunReport, compose
from shared.core.report_page import page
from shared.core.run_documents import GateDecision, Plan
from shared.spec.lake import Lake, PinnedLake, Stage, Table

T = TypeVar("T")
GATED: tuple[Stage, ...] = ("ingest", "refine", "stage")


def report(
    request: ReportRequest, *, pinned: PinnedLake, state: State, documents: Documents, executions: Executions, log: Log, clock: Clock
) -> ReportAnswer:
    """Repeating it writes the report again, as things are then."""
    composed = compose(pinned.lake, _gather(request.run, pinned.lake, state, documents, executions, clock))
    answer = ReportAnswer(html=report_key(request.run, "html"), json=report_key(request.run, "json"))
    documents.put(answer.json, composed)
    documents.put_text(answer.html, page(composed), "text/html; charset=utf-8")
    _tell(composed, log)
    return answer


def _tell(composed: RunReport, log: Log) -> None:
    log.event("reported", status=composed.status, blocked=sorted(composed.blocked))
    if composed.cost is not None:
        log.measured("charged", {"run_cost_usd": composed.cost.usd})
    for stage in composed.stages:
        if stage.seconds is not None:
            log.measured("stage_done", {"latency_seconds": stage.seconds}, stage=stage.stage)


def _gather(run: str, lake: Lake, state: State, documents: Documents, executions: Executions, clock: Clock) -> Gathered:
    reader = _Reader(run, documents)
    decisions = {stage: reader.read(gate_key(run, stage), GateDecision) for stage in GATED}
    evidence = {table.name: _evidence(reader, run, table) for table in lake.tables}
    plan = reader.read(plan_key(run), Plan)
    dpu_seconds = None if lake.prices is None else _dpu_seconds(run, plan, state, executions, reader.troubles)
    return Gathered(
        run=run,
        at=clock(),
        record=state.run(run),
        plan=plan,
        decisions={stage: decision for stage, decision in decisions.items() if decision is not None},
        evidence={name: found for name, found in evidence.items() if found is not None},
        pending={table.name: state.pending(table.name) for table in lake.sources},
        certified=state.certified(),
        troubles=reader.troubles,
        dpu_seconds=dpu_seconds,
    )


def _dpu_seconds(run: str, plan: Plan | None, state: State, executions: Executions, troubles: dict[str, str]) -> tuple[float, ...] | None:
    """Of the Glue runs that claimed a group. One whose claim another took over is not known any more; it had failed."""
    groups = [] if plan is None else [(str(planned.stage), planned.group) for planned in plan.tables]
    claimed = {place: state.claim(run, *place) for place in dict.fromkeys([("recover", "all"), *groups, ("publish", "all")])}
    try:
        asked = [executions.dpu_seconds(stage, glue_run) for (stage, _), glue_run in claimed.items() if glue_run is not None]
    except StateUnavailable as silent:
        troubles["cost"] = str(silent)
        return None
    return tuple(seconds for seconds in asked if seconds is not None)


def _evidence(reader: "_Reader", run: str, table: Table) -> IngestEvidence | TableEvidence | None:
    key = evidence_key(run, table.stage, table.name)
    return reader.read(key, IngestEvidence) if table.stage == "ingest" else reader.read(key, TableEvidence)


class _Reader:
    """Reads documents of one run: absent is None, unbelievable is None and a trouble with its reason."""

    def __init__(self, run: str, documents: Documents) -> None:
        self._run, self._documents = run, documents
        self.troubles: dict[str, str] = {}

    def read(self, key: str, kind: type[T]) -> T | None:
        try:
            found = self._documents.get(key, kind)
        except EvidenceMissing:
            return None
        except EvidenceInvalid as odd:
            self.troubles[key] = str(odd)
            return None
        owner = getattr(found, "run", self._run)
        if owner != self._run:
            self.troubles[key] = f"it belongs to run {owner}"
            return None
        return found
