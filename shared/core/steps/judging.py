"""What the three gates share: the bench they sit on, and how findings become a table's verdict."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from shared.core.errors import EvidenceInvalid, EvidenceMissing
from shared.core.events import GateRequest
from shared.core.layout import evidence_key, gate_key, plan_key
from shared.core.messages import Bypass, Certified, Entry, Finding, IngestEvidence, RuleResult, TableEvidence, TableVerdict
from shared.core.ports import DeltaLog, Documents, State
from shared.core.run_documents import GateDecision, Plan
from shared.core.verdict import verdict_of, with_bypasses
from shared.spec.codec import parse_instant
from shared.spec.lake import Lake, Stage, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """One gate's view: the run it judges, what plan let it touch, and where evidence and log are. `lake` is limited to the planned tables."""

    request: GateRequest
    lake: Lake
    at: datetime  # plan's time
    refresh: tuple[str, ...]
    state: State
    documents: Documents
    delta_log: DeltaLog
    certified: Certified
    bypasses: tuple[Bypass, ...]

    def decision(self, stage: Stage) -> GateDecision:
        return read_decision(self.documents, self.request.run, self.request.fence, stage)


@dataclass(slots=True, kw_only=True)
class Docket:
    """Verdicts as they are reached, and the counts that go into RUN."""

    verdicts: dict[str, TableVerdict] = field(default_factory=dict)
    counts: dict[str, Mapping[str, int]] = field(default_factory=dict)

    def rule(self, bench: Bench, table: Table, findings: Iterable[Finding]) -> bool:
        """Record a table's verdict, bypasses applied; whether it may go on."""
        judged = with_bypasses(table, findings, bench.bypasses, at=bench.at)
        self.verdicts[table.name] = TableVerdict(table=table.name, verdict=verdict_of(judged), findings=judged)
        return self.verdicts[table.name].verdict != "halt"

    @property
    def halted(self) -> dict[str, str]:
        """table -> first critical message."""
        return {
            name: next(finding.message for finding in verdict.findings if finding.severity == "critical")
            for name, verdict in self.verdicts.items()
            if verdict.verdict == "halt"
        }


def read_plan(documents: Documents, run: str, fence: int) -> Plan:
    """What plan let this very run touch. Raises EvidenceMissing, EvidenceInvalid."""
    key = plan_key(run)
    plan = documents.get(key, Plan)
    if (plan.run, plan.fence) != (run, fence):
        raise EvidenceInvalid(f"{key} belongs to run {plan.run}, fence {plan.fence}")
    return plan


def read_decision(documents: Documents, run: str, fence: int, stage: Stage) -> GateDecision:
    """An earlier gate's decision of this very run. Raises EvidenceMissing, EvidenceInvalid."""
    key = gate_key(run, stage)
    decision = documents.get(key, GateDecision)
    if (decision.run, decision.fence, decision.stage) != (run, fence, stage):
        raise EvidenceInvalid(f"{key} belongs to run {decision.run}, fence {decision.fence}, stage {decision.stage}")
    return decision


def ingest_evidence(bench: Bench, table: Table) -> IngestEvidence | Finding:
    """The table's evidence, or why there is none."""
    try:
        return bench.documents.get(evidence_key(bench.request.run, "ingest", table.name), IngestEvidence)
    except (EvidenceMissing, EvidenceInvalid) as absent:
        return distrust([str(absent)])[0]


def table_evidence(bench: Bench, table: Table) -> TableEvidence | Finding:
    """The table's evidence, or why there is none."""
    try:
        return bench.documents.get(evidence_key(bench.request.run, bench.request.stage, table.name), TableEvidence)
    except (EvidenceMissing, EvidenceInvalid) as absent:
        return distrust([str(absent)])[0]


def newest_value(table: Table, results: Iterable[RuleResult]) -> datetime | None:
    """The greatest value of the table's freshness element among what was counted."""
    rule = table.freshness
    seen = [result.observed for result in results if rule is not None and result.rule == rule.id]
    return max((parse_instant(value) for value in seen if isinstance(value, str)), default=None)


def entry_of(table: Table, evidence: TableEvidence, version: int) -> Entry:
    """What CERTIFIED is to say of a table above bronze whose evidence held."""
    newest = newest_value(table, evidence.rules)
    return Entry(version=version, definition_hash=evidence.definition_hash, consumed=evidence.consumed, newest=newest)


def distrust(doubts: Iterable[str]) -> list[Finding]:
    """Doubts about evidence, as findings that halt and that no bypass lifts."""
    return [Finding(rule=None, severity="critical", message=f"evidence: {doubt}") for doubt in doubts]


def problem_finding(problem: str | None) -> list[Finding]:
    """What the job itself said stopped the table."""
    return [] if problem is None else [Finding(rule=None, severity="critical", message=problem)]


def warning_findings(warnings: Iterable[str]) -> list[Finding]:
    """What the job itself found odd."""
    return [Finding(rule=None, severity="warning", message=warning) for warning in warnings]
