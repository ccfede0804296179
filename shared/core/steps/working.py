"""What refine and stage share: a group's tables worked through in waves, each leaving its evidence."""

from collections.abc import Callable, Iterable
from functools import partial

from shared.core.graph import waves
from shared.core.job import JobContext, check_writer
from shared.core.layout import evidence_key
from shared.core.messages import TableEvidence
from shared.spec.lake import Table


def work_through(
    ctx: JobContext, todo: Iterable[str], *, compute: Callable[[Table], TableEvidence], stopped: Callable[[Table, str], TableEvidence]
) -> None:
    """Every table of `todo` that is of the job's group: in dependency order, those that do not need each other at once.

    `compute` gives a table's evidence; `stopped`, the evidence of one that reads a table with a problem, by the problem's text.
    """
    refused: set[str] = set()

    def one(table: Table) -> None:
        waits_for = refused.intersection(table.inputs)
        evidence = stopped(table, f"waits for {min(waits_for)}") if waits_for else compute(table)
        if evidence.problem is not None:
            refused.add(table.name)
        check_writer(ctx)
        ctx.documents.put(evidence_key(ctx.job.run, ctx.job.stage, table.name), evidence)

    for wave in waves([table for name in todo if (table := ctx.lake.table(name)).group == ctx.job.group]):
        ctx.at_once([partial(one, table) for table in wave])
