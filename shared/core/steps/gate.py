"""gate: one Lambda, three states. Reads evidence, scans nothing, decides which tables pass and what the next stage may do. Fails closed."""

from collections.abc import Callable, Mapping

from shared.core.alerts import of_gate
from shared.core.events import GateAnswer, GateRequest
from shared.core.graph import groups_of, only
from shared.core.job import check_pin
from shared.core.layout import gate_key
from shared.core.measuring import measures_of
from shared.core.ports import Clock, DeltaLog, Documents, Log, Notify, State
from shared.core.run_documents import GateDecision
from shared.core.steps.gate_bronze import decide_bronze
from shared.core.steps.gate_gold import decide_gold, intend
from shared.core.steps.gate_silver import decide_silver
from shared.core.steps.judging import Bench, Docket, read_plan
from shared.spec.lake import Lake, PinnedLake, Stage

JUDGES: Mapping[Stage, Callable[[Bench, Docket], GateDecision]] = {"ingest": decide_bronze, "refine": decide_silver, "stage": decide_gold}

BEFORE: Mapping[Stage, Stage] = {"refine": "ingest", "stage": "refine"}


def gate(
    request: GateRequest,
    *,
    pinned: PinnedLake,
    state: State,
    documents: Documents,
    delta_log: DeltaLog,
    notify: Notify,
    log: Log,
    clock: Clock,
) -> GateAnswer:
    """Judge one stage and record it. Repeating it gives the same decision, and tells it again.

    Raises StaleFence, DeployedMidRun, EvidenceMissing (no plan).
    """
    check_pin(state, pinned, run=request.run, fence=request.fence)
    plan = read_plan(documents, request.run, request.fence)
    bench = Bench(
        request=request,
        lake=only(pinned.lake, {planned.table for planned in plan.tables}),
        at=plan.at,
        refresh=plan.full_refresh,
        state=state,
        documents=documents,
        delta_log=delta_log,
        certified=state.certified(),
        bypasses=state.bypasses(),
    )
    docket = Docket()
    decision = JUDGES[request.stage](bench, docket)
    documents.put(gate_key(request.run, request.stage), decision)
    verdicts = {name: verdict.verdict for name, verdict in docket.verdicts.items()}
    state.note_stage(request.run, request.fence, request.stage, verdicts=verdicts, counts=docket.counts, at=clock())
    if request.stage == "stage":
        intend(bench, decision)
    _tell(pinned.lake, docket, log)
    if request.stage == "stage":
        _tell_outcome(bench.lake, decision, (clock() - plan.at).total_seconds(), log)
    for alert in of_gate(pinned.lake, request.run, request.stage, docket.verdicts, _newly_waiting(bench, decision, docket)):
        notify.alert(alert)
    return GateAnswer(groups=_next_groups(pinned.lake, decision), halted=len(docket.halted))


def _newly_waiting(bench: Bench, decision: GateDecision, docket: Docket) -> list[str]:
    """Tables that wait since this gate: those of an earlier one were told then."""
    waiting = set(decision.blocked) - set(docket.halted)
    earlier = BEFORE.get(decision.stage)
    return sorted(waiting - set(bench.decision(earlier).blocked) if waiting and earlier is not None else waiting)


def _next_groups(lake: Lake, decision: GateDecision) -> tuple[str, ...]:
    if decision.stage == "stage":
        return ("all",) if any(ref.phases or ref.base_version is None for ref in decision.change_sets) else ()
    return groups_of(lake, "refine" if decision.stage == "ingest" else "stage", decision.todo)


def _tell(lake: Lake, docket: Docket, log: Log) -> None:
    for name, verdict in docket.verdicts.items():
        log.measured(
            "verdict",
            measures_of(verdict, docket.counts.get(name)),
            table=name,
            owner=lake.table(name).owner,
            verdict=verdict.verdict,
            findings=[finding.message for finding in verdict.findings],
        )


def _tell_outcome(lake: Lake, decision: GateDecision, waited_seconds: float, log: Log) -> None:
    """The last gate alone knows which tables the run leaves behind, and when the waiting for gates was over."""
    log.measured("gates_done", {"gate_wait_seconds": waited_seconds})
    for table in lake.tables:
        log.measured("standing", {"table_blocked": int(table.name in decision.blocked)}, table=table.name)
