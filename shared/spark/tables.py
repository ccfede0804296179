"""`shared.core.ports.Tables` over Delta. Puts bronze, silver and derived tables together; what a table is to be comes from its contract alone."""

from collections.abc import Mapping

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from shared.core.errors import BadState, EvidenceInvalid, SchemaMismatch
from shared.core.files import FileObject
from shared.core.messages import (
    Batch,
    BatchEvidence,
    ChangeSetRef,
    CommitKind,
    CommitMeta,
    Phase,
    RuleResult,
)
from shared.core.ports import Guard, InputRead, Staged, Writer, Written
from shared.spark.bronze import PARTITIONS, Bronze, MaskKey
from shared.spark.changes import staged_digest, write_changes
from shared.spark.counting import Deletes, Related, count_rules
from shared.spark.derived import changes_of
from shared.spark.frames import CHANGE, contract_schema, laid_over, names, type_differences, widened
from shared.spark.from_log import recorded_deletes
from shared.spark.inputs import as_contract, rows_of, staged
from shared.spark.landing import ACCEPTED, bronze_schema
from shared.spark.refusals import halting
from shared.spark.silver import Loader, live, stored_schema
from shared.spark.sources import SourceReader
from shared.spark.store import Store
from shared.spec.lake import Lake, Relationship, Table


class SparkTables:
    """The lake's tables under `root` (`s3://bucket`, or a folder). `mask_key` is asked only for tables with an hmac mask."""

    def __init__(self, *, spark: SparkSession, root: str, lake: Lake, sources: SourceReader, mask_key: MaskKey) -> None:
        self._lake, self._store = lake, Store(spark, root)
        self._bronze = Bronze(self._store, sources, mask_key)

    def create(self, table: Table, writer: Writer, guard: Guard) -> int:
        schema = bronze_schema(table) if table.layer == "bronze" else stored_schema(table)
        partitions = PARTITIONS if table.layer == "bronze" else table.partitions
        return self._store.create(table, schema, partitions, _meta(table, "create", writer), guard)

    def restore(self, table: Table, version: int, writer: Writer, guard: Guard) -> int:
        return self._store.restore(table, version, _meta(table, "restore", writer, restored_to=version), guard)

    def land(
        self, table: Table, batch: Batch, *, objects: tuple[FileObject, ...] = (), holds_rows: bool, writer: Writer, guard: Guard
    ) -> BatchEvidence:
        return self._bronze.land(table, batch, self._latest_rows, objects=objects, holds_rows=holds_rows, writer=writer, guard=guard)

    def write_errors(self, table: Table, batch: Batch, prefix: str, *, rejected: int) -> None:
        self._bronze.write_errors(table, batch, prefix, rejected=rejected)

    def merge(self, table: Table, origin: Table, *, after_seq: int, up_to_seq: int, rebuild: bool, writer: Writer, guard: Guard) -> Written:
        return Loader(self._store, table, origin).load(after_seq=after_seq, up_to_seq=up_to_seq, rebuild=rebuild, writer=writer, guard=guard)

    def derive(self, table: Table, inputs: tuple[InputRead, ...], *, rebuild: bool, writer: Writer, guard: Guard) -> Written:
        target = self._store.read(table)
        differs = type_differences(target.schema, stored_schema(table))
        if differs and not rebuild:
            raise SchemaMismatch(f"{table.name} on disk does not fit {table.file}: {'; '.join(differs)}")
        with changes_of(self._store, table, inputs, None if differs else target, rebuild=rebuild) as changes:
            return write_changes(self._store, table, changes, writer, guard, whole=bool(differs))

    def check(self, table: Table, version: int, *, consumed: Mapping[str, int]) -> tuple[RuleResult, ...]:
        with halting(table):
            return count_rules(table, live(table, self._store.read(table, version)), self._latest_rows, self._deletes(table, consumed))

    def stage(
        self, table: Table, inputs: tuple[InputRead, ...], *, target_version: int | None, rebuild: bool, path: str, overlays: Mapping[str, str]
    ) -> Staged:
        target = None if target_version is None else self._store.read(table, target_version)
        with changes_of(self._store, table, inputs, target, rebuild=rebuild) as changes:
            self._store.write_parquet(changes.upserts, changes.written, f"{path}/upserts")
            self._store.write_parquet(changes.deletes, changes.counts.deleted, f"{path}/deletes")
        upserts, deletes = staged(self._store, table, path)
        would_be = upserts if target is None else laid_over(as_contract(target, table), upserts, deletes, table.key)
        related = self._would_be_rows(inputs, {**overlays, table.name: path}, {} if target_version is None else {table.name: target_version})
        with halting(table):
            rules = count_rules(
                table, would_be, related, self._deletes(table, {item.table.name: item.version for item in inputs if item.version is not None})
            )
        reshapes = target is not None and bool(type_differences(target.schema, contract_schema(table)))
        return Staged(
            digest=changes.digest, upserts=changes.written, deletes=changes.counts.deleted, reshapes=reshapes, counts=changes.counts, rules=rules
        )

    def publish(self, table: Table, change_set: ChangeSetRef, phase: Phase, *, meta_run: str, writer: Writer, guard: Guard) -> int | None:
        upserts, deletes = staged(self._store, table, change_set.path)
        found = staged_digest(table, upserts, deletes)
        if found != (change_set.digest, change_set.upserts, change_set.deletes):
            raise EvidenceInvalid(
                f"{change_set.path} holds {found[1]} upserts, {found[2]} deletes, digest {found[0][:12]}; the gate passed {change_set.upserts} and "
                f"{change_set.deletes}, digest {change_set.digest[:12]}. It changed after the gate: restore the objects' versions. "
                f"Or {table.file} lost a column since: deploy it as it was, run once, then drop the column"
            )
        meta = _meta(table, "publish", writer, run=meta_run, digest=change_set.digest, phase=phase)
        if phase == "deletes":
            return self._store.merge(table, deletes.withColumn(CHANGE, F.lit("delete")), table.key, table.key, meta, guard)
        return self._upsert(table, upserts, change_set.upserts, meta, guard)

    def _upsert(self, table: Table, upserts: DataFrame, count: int, meta: CommitMeta, guard: Guard) -> int | None:
        """In one commit, with what the contract gained: added columns come with the rows, or alone; for a wider type all rows are written anew."""
        current, wanted = self._store.read(table), contract_schema(table)
        if widened(current.schema, wanted):
            rows = laid_over(as_contract(current, table), upserts, upserts.limit(0), table.key)
            return self._store.overwrite(table, rows, current.count() + count, table.partitions, meta, guard)
        if not count:
            return self._store.add_columns(table, wanted, meta, guard) if type_differences(current.schema, wanted) else None
        return self._store.merge(table, upserts.withColumn(CHANGE, F.lit("update")), table.key, names(table), meta, guard, evolve=True)

    def _deletes(self, table: Table, versions: Mapping[str, int]) -> Deletes:
        """What the log of a history has deleted, at the version the history was computed from."""

        def rows() -> DataFrame:
            log = self._lake.table(str(table.origin))
            return recorded_deletes(self._store, table, log, versions[log.name])

        return rows

    def _latest_rows(self, link: Relationship) -> DataFrame:
        """Live rows of the table a foreign key points to, as they are now."""
        other = self._lake.table(link.to_table)
        if self._store.latest(other) is None:
            raise BadState(f"{other.name}, which a relationship points to, does not exist yet; make the table read it, so that it is made first")
        rows = self._store.read(other)
        return rows.where(F.col("_lane") == ACCEPTED) if other.layer == "bronze" else live(other, rows)

    def _would_be_rows(self, inputs: tuple[InputRead, ...], overlays: Mapping[str, str], versions: Mapping[str, int]) -> Related:
        """Rows of a related gold table as publishing this run would leave them."""
        read = {item.table.name: item.version for item in inputs if item.version is not None} | dict(versions)

        def rows(link: Relationship) -> DataFrame:
            other = self._lake.table(link.to_table)
            version, overlay = read.get(other.name, self._store.latest(other)), overlays.get(other.name)
            if version is None and overlay is None:
                raise BadState(f"{other.name}, which a relationship points to, is neither there nor staged; put both tables into one group")
            return rows_of(self._store, InputRead(table=other, version=version, consumed=None, overlay=overlay))

        return rows


def _meta(
    table: Table,
    kind: CommitKind,
    writer: Writer,
    *,
    run: str | None = None,
    digest: str | None = None,
    phase: Phase | None = None,
    restored_to: int | None = None,
) -> CommitMeta:
    return CommitMeta(
        kind=kind,
        run=run or writer.run,
        fence=writer.fence,
        glue_run=writer.glue_run,
        table=table.name,
        digest=digest,
        phase=phase,
        restored_to=restored_to,
        batch=None,
    )
