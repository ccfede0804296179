"""The gate before publish: what passes here is written down as INTENT, and from then on the run only goes forward."""

from shared.core.graph import held_back
from shared.core.messages import ChangeSetRef, Entry, Finding, Intent, TableEvidence
from shared.core.run_documents import GateDecision
from shared.core.steps.judging import Bench, Docket, distrust, entry_of, problem_finding, table_evidence
from shared.core.trust import doubts_of_gold
from shared.core.verdict import judge_table
from shared.spec.lake import Table


def decide_gold(bench: Bench, docket: Docket) -> GateDecision:
    """The change sets that publish must apply, in dependency order; tied tables pass or halt together."""
    before = bench.decision("refine")
    passed: dict[str, TableEvidence] = {}
    for name in before.todo:
        evidence = _judge_gold(bench, docket, bench.lake.table(name))
        if evidence is not None:
            passed[name] = evidence
    blocked = held_back(bench.lake, dict(before.blocked) | docket.halted)
    moved = {name: evidence for name, evidence in passed.items() if name not in blocked}
    entries = (
        dict(bench.certified.tables)
        | dict(before.entries)
        | {name: _open_entry(bench.lake.table(name), evidence) for name, evidence in moved.items()}
    )
    return GateDecision(
        run=bench.request.run,
        fence=bench.request.fence,
        stage="stage",
        verdicts=tuple(docket.verdicts.values()),
        progress=before.progress,
        entries=entries,
        todo=tuple(moved),
        refresh=bench.refresh,
        blocked=blocked,
        change_sets=tuple(_change_set(evidence) for evidence in moved.values()),
    )


def intend(bench: Bench, decision: GateDecision) -> None:
    """Write INTENT: from here on the run only goes forward."""
    bench.state.put_intent(
        Intent(
            run=decision.run,
            fence=decision.fence,
            change_sets=decision.change_sets,
            entries=decision.entries,
            progress=decision.progress,
            blocked=decision.blocked,
        )
    )


def _judge_gold(bench: Bench, docket: Docket, table: Table) -> TableEvidence | None:
    evidence = table_evidence(bench, table)
    if isinstance(evidence, Finding):
        docket.rule(bench, table, [evidence])
        return None
    if evidence.problem is not None:
        docket.rule(bench, table, problem_finding(evidence.problem))
        return None
    entry = bench.certified.tables.get(table.name)
    request, counts = bench.request, evidence.counts
    doubts = doubts_of_gold(table, evidence, run=request.run, fence=request.fence, certified_version=None if entry is None else entry.version)
    docket.counts[table.name] = {"inserted": counts.inserted, "updated": counts.updated, "deleted": counts.deleted}
    return evidence if docket.rule(bench, table, distrust(doubts) or judge_table(table, evidence.rules, at=bench.at)) else None


def _change_set(evidence: TableEvidence) -> ChangeSetRef:
    if evidence.change_set is None:
        raise ValueError(f"{evidence.table} passed without a change set")
    return evidence.change_set


def _open_entry(table: Table, evidence: TableEvidence) -> Entry:
    """The entry to be; commit takes the version from the log, since publish has yet to make it."""
    return entry_of(table, evidence, -1 if evidence.version is None else evidence.version)
