"""The gate after refine: judges the silver tables that were computed; the others keep what is certified."""

from shared.core.graph import held_back, with_work
from shared.core.layout import table_path
from shared.core.messages import Entry, Finding
from shared.core.run_documents import GateDecision
from shared.core.steps.judging import Bench, Docket, distrust, entry_of, problem_finding, table_evidence
from shared.core.trust import doubts_of_silver
from shared.core.verdict import judge_table
from shared.spec.lake import Table


def decide_silver(bench: Bench, docket: Docket) -> GateDecision:
    """Entries of every planned silver table that passed or stayed, and the gold tables that have work.

    What read a halted table stays, whatever it says.
    """
    before = bench.decision("ingest")
    earned = {}
    for name in before.todo:
        entry = _judge_silver(bench, docket, bench.lake.table(name))
        if entry is not None:
            earned[name] = entry
    blocked = held_back(bench.lake, dict(before.blocked) | docket.halted)
    earned = {name: entry for name, entry in earned.items() if name not in blocked}
    kept = {
        t.name: bench.certified.tables[t.name] for t in bench.lake.of_stage("refine") if t.name in bench.certified.tables and t.name not in earned
    }
    silver = kept | earned
    versions = {name: entry.version for name, entry in (dict(bench.certified.tables) | silver).items()}
    return GateDecision(
        run=bench.request.run,
        fence=bench.request.fence,
        stage="refine",
        verdicts=tuple(docket.verdicts.values()),
        progress=before.progress,
        entries=dict(before.entries) | silver,
        todo=with_work(bench.lake, "stage", bench.certified, versions, refresh=bench.refresh, blocked=blocked),
        refresh=bench.refresh,
        blocked=blocked,
        change_sets=(),
    )


def _judge_silver(bench: Bench, docket: Docket, table: Table) -> Entry | None:
    evidence = table_evidence(bench, table)
    if isinstance(evidence, Finding):
        docket.rule(bench, table, [evidence])
        return None
    if evidence.problem is not None:
        docket.rule(bench, table, problem_finding(evidence.problem))
        return None
    path, entry = table_path(table), bench.certified.tables.get(table.name)
    commits = bench.delta_log.commits(path, -1 if entry is None else entry.version)
    request = bench.request
    doubts = doubts_of_silver(table, evidence, commits, run=request.run, fence=request.fence, latest=bench.delta_log.latest(path))
    counts = evidence.counts
    docket.counts[table.name] = {"inserted": counts.inserted, "updated": counts.updated, "deleted": counts.deleted}
    if not docket.rule(bench, table, distrust(doubts) or judge_table(table, evidence.rules, at=bench.at)) or evidence.version is None:
        return None
    return entry_of(table, evidence, evidence.version)
