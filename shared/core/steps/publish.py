"""publish: apply exactly the change sets that the gate passed. Upserts in dependency order, then deletes in reverse, so that no visible fact
points at a missing dimension row; tables that do not need each other go together. What an earlier, killed publish already applied is found in the
log and skipped."""

from shared.core.errors import BadState
from shared.core.job import JobContext, claim_group
from shared.core.layout import table_path
from shared.core.messages import ChangeSetRef, Intent, Phase
from shared.core.steps.working import backwards, one_by_one, tasks
from shared.spec.lake import Table


def publish(ctx: JobContext) -> None:
    """Apply the intent of `target`: the job's own run, or the one it recovers. Raises BadState when there is no such intent."""
    claim_group(ctx)
    intent = ctx.state.intent()
    if intent is None or intent.run != ctx.job.target:
        found = "none" if intent is None else f"run {intent.run}'s"
        raise BadState(f"publish was started for the intent of run {ctx.job.target}; the intent found is {found}")
    change_sets = {change_set.table: change_set for change_set in intent.change_sets}

    def upsert(table: Table) -> None:
        change_set = change_sets[table.name]
        _ensure_table(ctx, table, change_set)
        _apply(ctx, intent, change_set, "upserts", change_set.upserts)

    def delete(name: str) -> None:
        _apply(ctx, intent, change_sets[name], "deletes", change_sets[name].deletes)

    tables = [ctx.lake.table(name) for name in change_sets]
    # another run's, perhaps of a lake before this one's: what needed what is not known any more, but that the intent is in such an order
    upserts = tasks(tables, upsert) if intent.run == ctx.job.run else one_by_one(tables, upsert)
    ctx.do_all(upserts)
    ctx.do_all(backwards(upserts, delete))


def _ensure_table(ctx: JobContext, table: Table, change_set: ChangeSetRef) -> None:
    """A new gold table exists from its first publish on, even when no row came out."""
    if ctx.delta_log.latest(table_path(table)) is None:
        if change_set.base_version is not None:
            raise BadState(f"{table.name} is certified at version {change_set.base_version} but there is no table at {table_path(table)}")
        ctx.tables.create(table, ctx.writer, ctx.guard)


def _apply(ctx: JobContext, intent: Intent, change_set: ChangeSetRef, phase: Phase, rows: int) -> None:
    table = ctx.lake.table(change_set.table)
    if phase not in change_set.phases:
        return
    if _applied(ctx, intent, change_set, phase):
        ctx.log.event("already_published", table=table.name, phase=phase)
        return
    version = ctx.tables.publish(table, change_set, phase, meta_run=intent.run, writer=ctx.writer, guard=ctx.guard)
    if version is not None:
        ctx.log.event("published", table=table.name, phase=phase, rows=rows, version=version)


def _applied(ctx: JobContext, intent: Intent, change_set: ChangeSetRef, phase: Phase) -> bool:
    """Whether any commit after the certified version carries this very phase: the last one alone may be the other phase's."""
    after = -1 if change_set.base_version is None else change_set.base_version
    mark = ("publish", intent.run, change_set.digest, phase)
    commits = ctx.delta_log.commits(table_path(ctx.lake.table(change_set.table)), after)
    return any((c.meta.kind, c.meta.run, c.meta.digest, c.meta.phase) == mark for c in commits if c.meta is not None)
