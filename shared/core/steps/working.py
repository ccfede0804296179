"""A job's tables as tasks that wait for each other, and what refine and stage share: worked through, each table leaves its evidence."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from shared.core.graph import needs_among
from shared.core.job import JobContext, check_writer
from shared.core.layout import evidence_key
from shared.core.messages import TableEvidence
from shared.core.ports import Task
from shared.spec.lake import Table


def tasks(tables: Sequence[Table], do: Callable[[Table], None]) -> tuple[Task, ...]:
    """`do` for each of the tables, which come in dependency order; those begin early that the longest chain waits for."""
    named = {table.name: table for table in tables}
    return tuple(Task(name=name, needs=needs, do=partial(do, named[name])) for name, needs in needs_among(tables).items())


def one_by_one(tables: Sequence[Table], do: Callable[[Table], None]) -> tuple[Task, ...]:
    """`do` for each of the tables, each after all before it."""
    names = [table.name for table in tables]
    return tuple(Task(name=table.name, needs=frozenset(names[:number]), do=partial(do, table)) for number, table in enumerate(tables))


def backwards(forward: Sequence[Task], do: Callable[[str], None]) -> tuple[Task, ...]:
    """`do` for each of the tasks' names, in reverse: each after those that needed it."""
    return tuple(
        Task(name=task.name, needs=frozenset(other.name for other in forward if task.name in other.needs), do=partial(do, task.name))
        for task in reversed(forward)
    )


def work_through(
    ctx: JobContext, todo: Iterable[str], *, compute: Callable[[Table], TableEvidence], stopped: Callable[[Table, str], TableEvidence]
) -> None:
    """Every table of `todo` that is of the job's group.

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

    ctx.do_all(tasks([table for name in todo if (table := ctx.lake.table(name)).group == ctx.job.group], one))
