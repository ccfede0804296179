"""Owns a computed change set while it is worked on: computed once, weighed once, written to a silver table or told apart for staging."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from shared.core.errors import BadState, DataRejected
from shared.core.messages import CommitMeta, WriteCounts
from shared.core.ports import Guard, Writer, Written
from shared.spark.asking import only_rows
from shared.spark.digests import content_digest, digest_aggregates, row_digest
from shared.spark.frames import CHANGE, computed_once
from shared.spark.refusals import halting
from shared.spark.rules import column
from shared.spark.store import Store
from shared.spec.lake import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """A weighed change set. `rows` (without those that stay the same) have `columns` and `_change`."""

    rows: DataFrame
    columns: tuple[str, ...]
    key: tuple[str, ...]
    counts: WriteCounts
    digest: str

    @property
    def upserts(self) -> DataFrame:
        return self.rows.where(F.col(CHANGE) != "delete").select(*(column(name) for name in self.columns))

    @property
    def deletes(self) -> DataFrame:
        return self.rows.where(F.col(CHANGE) == "delete").select(*(column(name) for name in self.key))

    @property
    def written(self) -> int:
        return self.counts.inserted + self.counts.updated

    @property
    def total(self) -> int:
        return self.written + self.counts.deleted


@contextmanager
def weighed(table: Table, changes: DataFrame, columns: tuple[str, ...], key: tuple[str, ...], *, grouped: bool = False) -> Iterator[Changes]:
    """A change set (`frames.change_set`) computed once; let go when the block ends.

    Raises DataRejected when a key comes out more than once (it could not be merged, whatever a gate says) or a row cannot be computed.
    `grouped`: what is wanted came out of a grouping by `key`, so that no key can come out twice, and that is not looked for.
    """
    with ExitStack() as kept:
        with halting(table):
            once = kept.enter_context(computed_once(changes))
            row = _measured(once, columns, key)
            again = 0 if grouped else once.groupBy(*(column(name) for name in key)).count().where("count > 1").count()
        if again:
            raise DataRejected(f"{table.name}: {again:,} keys ({', '.join(key)}) come out more than once; make the SQL give one row per key")
        if row is None:
            raise DataRejected(f"{table.name}: its change set could not be counted")
        yield _changes(table, once, columns, key, row)


def write_changes(store: Store, table: Table, changes: Changes, writer: Writer, guard: Guard, *, whole: bool) -> Written:
    """Bring a silver table to its change set in one commit; with nothing to change, none. Counts are those that Delta's log gives.

    `whole`: the schema differs, `changes` holds every row as an insert, and content and schema are replaced.
    """
    if not whole and not changes.total:
        latest = store.latest(table)
        if latest is None:
            raise BadState(f"{table.name}: there is no table to leave unchanged")
        return Written(version=latest, digest=None, unchanged=True, counts=changes.counts)
    meta = CommitMeta(
        kind="merge",
        run=writer.run,
        fence=writer.fence,
        glue_run=writer.glue_run,
        table=table.name,
        digest=changes.digest,
        phase=None,
        restored_to=None,
        batch=None,
    )
    if whole:
        version = store.overwrite(table, changes.upserts, changes.written, table.partitions, meta, guard)
    else:
        version = store.merge(table, changes.rows, changes.key, changes.columns, meta, guard)
    return Written(version=version, digest=changes.digest, unchanged=False, counts=changes.counts)


def staged_digest(table: Table, upserts: DataFrame, deletes: DataFrame) -> tuple[str, int, int]:
    """Digest and row counts of a change set as its files hold it; the digest is that of `weighed` for the same rows.

    A column that the contract gained since is NULL in every row, and a row's digest leaves NULLs out: it stays the same.
    """
    written, removed = only_rows(
        [
            upserts.select(row_digest(upserts, upserts.columns).alias("_digest")).agg(*digest_aggregates("_digest")),
            deletes.select(row_digest(deletes, table.key).alias("_digest")).agg(*digest_aggregates("_digest")),
        ]
    )
    digest = content_digest(written, removed, salt=table.name)
    return digest, int(written["_digest_rows"]), int(removed["_digest_rows"])


def _measured(changes: DataFrame, columns: tuple[str, ...], key: tuple[str, ...]) -> Row | None:
    counted = [F.expr(f"count_if({CHANGE} = '{name}') AS `{name}`") for name in ("insert", "update", "delete", "same")]
    written = digest_aggregates("_written", among=f"{CHANGE} IN ('insert', 'update')")
    removed = digest_aggregates("_removed", among=f"{CHANGE} = 'delete'")
    rows = changes.select(CHANGE, row_digest(changes, columns).alias("_written"), row_digest(changes, key).alias("_removed"))
    return rows.agg(*counted, F.struct(*written).alias("written"), F.struct(*removed).alias("removed")).first()


def _changes(table: Table, changes: DataFrame, columns: tuple[str, ...], key: tuple[str, ...], row: Row) -> Changes:
    counts = WriteCounts(inserted=row["insert"], updated=row["update"], deleted=row["delete"], unchanged=row["same"])
    digest = content_digest(row["written"], row["removed"], salt=table.name)
    return Changes(rows=changes.where(F.col(CHANGE) != "same"), columns=columns, key=key, counts=counts, digest=digest)
