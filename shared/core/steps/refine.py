"""refine: bring each silver table from what it consumed to what this run's gate passed, starting from its certified version."""

from collections.abc import Mapping

from shared.core.batches import begun_by_us
from shared.core.errors import BadState, DataRejected
from shared.core.job import JobContext, claim_group
from shared.core.layout import table_path
from shared.core.messages import Certified, Entry, RuleResult, TableEvidence, WriteCounts
from shared.core.ports import InputRead, Written
from shared.core.run_documents import GateDecision
from shared.core.steps.judging import read_decision
from shared.core.steps.working import work_through
from shared.spec.lake import Table

NOTHING = WriteCounts(inserted=0, updated=0, deleted=0, unchanged=0)


def refine(ctx: JobContext) -> None:
    """Every silver table of the job's group that has work; those go together that do not need each other."""
    claim_group(ctx)
    decision = read_decision(ctx.documents, ctx.job.run, ctx.job.fence, "ingest")
    certified = ctx.state.certified()
    written: dict[str, int] = {}
    work_through(
        ctx,
        decision.todo,
        compute=lambda table: _refine_table(ctx, table, decision, certified, written),
        stopped=lambda table, problem: table_evidence(ctx, table, problem=problem),
    )


def _refine_table(ctx: JobContext, table: Table, decision: GateDecision, certified: Certified, written: dict[str, int]) -> TableEvidence:
    entry = certified.tables.get(table.name)
    try:
        _start_from_certified(ctx, table, entry)
        result, consumed = _write(ctx, table, decision, certified, written)
        rules = ctx.tables.check(table, result.version, consumed=consumed)
    except DataRejected as refused:
        ctx.log.warning("table_refused", table=table.name, problem=str(refused))
        return table_evidence(ctx, table, problem=str(refused))
    written[table.name] = result.version
    counts = result.counts
    ctx.log.event("table_refined", table=table.name, version=result.version, inserted=counts.inserted, updated=counts.updated, deleted=counts.deleted)
    return table_evidence(ctx, table, result=result, consumed=consumed, rules=rules)


def table_evidence(
    ctx: JobContext,
    table: Table,
    *,
    result: Written | None = None,
    consumed: Mapping[str, int] | None = None,
    rules: tuple[RuleResult, ...] = (),
    problem: str | None = None,
) -> TableEvidence:
    """Evidence of a silver table: what was written, or the problem that stopped it."""
    return TableEvidence(
        run=ctx.job.run,
        fence=ctx.job.fence,
        stage=ctx.job.stage,
        table=table.name,
        glue_run=ctx.job.glue_run,
        contract_hash=table.contract_hash,
        definition_hash=table.definition_hash,
        path=table_path(table),
        version=None if result is None else result.version,
        digest=None if result is None else result.digest,
        unchanged=result is not None and result.unchanged,
        consumed=consumed or {},
        counts=NOTHING if result is None else result.counts,
        rules=rules,
        change_set=None,
        problem=problem,
    )


def _start_from_certified(ctx: JobContext, table: Table, entry: Entry | None) -> None:
    """A dead or halted run may have left a newer version: take it back. Raises BadState when the table is not as any run of ours left it."""
    path = table_path(table)
    latest = ctx.delta_log.latest(path)
    if latest is None:
        if entry is not None:
            raise BadState(f"{table.name} is certified at version {entry.version} but there is no table at {path}")
        ctx.tables.create(table, ctx.writer, ctx.guard)
        return
    base = _own_empty_version(ctx, table) if entry is None else entry.version
    if latest < base:
        raise BadState(f"{table.name} is certified at version {base} but its log ends at {latest}")
    if latest > base:
        ctx.log.warning("table_restored", table=table.name, from_version=latest, to_version=base)
        ctx.tables.restore(table, base, ctx.writer, ctx.guard)


def _own_empty_version(ctx: JobContext, table: Table) -> int:
    if not begun_by_us(ctx.delta_log.commits(table_path(table), -1)):
        raise BadState(
            f"{table.name} has data at {table_path(table)} that no run of this lake certified or created; "
            "move it away, or restore the state table to the point in time that certified it"
        )
    return 0


def _write(ctx: JobContext, table: Table, decision: GateDecision, certified: Certified, written: Mapping[str, int]) -> tuple[Written, dict[str, int]]:
    entry = certified.tables.get(table.name)
    rebuild = entry is None or entry.definition_hash != table.definition_hash or table.name in decision.refresh
    if table.origin is not None and table.origin.startswith("bronze."):
        origin, up_to = ctx.lake.table(table.origin), decision.progress[table.origin].seq
        after = 0 if entry is None or rebuild else entry.consumed[table.origin]
        done = ctx.tables.merge(table, origin, after_seq=after, up_to_seq=up_to, rebuild=rebuild, writer=ctx.writer, guard=ctx.guard)
        return done, {table.origin: up_to}
    inputs = tuple(_input(ctx, name, None if rebuild else entry, certified, written) for name in table.inputs)
    result = ctx.tables.derive(table, inputs, rebuild=rebuild, writer=ctx.writer, guard=ctx.guard)
    return result, {read.table.name: read.version for read in inputs if read.version is not None}


def _input(ctx: JobContext, name: str, entry: Entry | None, certified: Certified, written: Mapping[str, int]) -> InputRead:
    """A silver table as this run left it, or as certified. One not judged yet may still halt: then its reader is held back with it."""
    version = written[name] if name in written else certified.tables[name].version
    return InputRead(table=ctx.lake.table(name), version=version, consumed=None if entry is None else entry.consumed.get(name), overlay=None)
