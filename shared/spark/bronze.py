"""Owns the writing of bronze: one window of a source becomes one replaceable batch, both lanes in one commit, and its rejects as JSON lines."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

from pyspark import StorageLevel
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from shared.core.errors import ContractError, SchemaMismatch
from shared.core.messages import Batch, BatchEvidence, CommitMeta
from shared.core.ports import Guard, Writer
from shared.spark import landing
from shared.spark.counting import Related
from shared.spark.digests import content_digest
from shared.spark.frames import type_differences
from shared.spark.masks import needs_key
from shared.spark.refusals import halting
from shared.spark.replay import replayed
from shared.spark.sources import SourceReader
from shared.spark.store import Store, lines_of
from shared.spec.lake import Table

MaskKey = Callable[[], bytes]
PARTITIONS = ("_run_date", "_lane")


class Bronze:
    """Batches of source tables."""

    def __init__(self, store: Store, sources: SourceReader, mask_key: MaskKey) -> None:
        self._store, self._sources, self._mask_key = store, sources, mask_key

    def land(self, table: Table, batch: Batch, related: Related, *, holds_rows: bool, writer: Writer, guard: Guard) -> BatchEvidence:
        self._refuse_other_schema(table)
        key = self._mask_key() if needs_key(table) else None
        null_positions = self._sources.null_positions(table) if batch.replay is None else 0
        work, measured = self._sources.patiently(table, lambda: self._examine(table, batch, key))
        try:
            with halting(table):
                evidence = _evidence(work, measured, batch, related, writer, null_positions)
            counts = evidence.counts
            written = counts.accepted + counts.rejected + (counts.seen if work.replay else 0)
            if not written and not holds_rows:
                return replace(evidence, digest=None)
            rows = landing.bronze_rows(work, batch, self._sources.system(table))
            meta = _meta(table, evidence, writer)
            return replace(evidence, version=self._store.replace(table, rows, written, _is_batch(batch), meta, guard))
        finally:
            work.rows.unpersist()

    def write_errors(self, table: Table, batch: Batch, prefix: str) -> int:
        rejects = self._store.read(table).where(f"{_is_batch(batch)} AND _lane = '{landing.REJECTED}'")
        rows = rejects.count()
        told = rejects.withColumn("_table", F.lit(table.name)).withColumn("_frozen_by", F.lit(batch.run))
        texts = {"table": "_table", "batch_id": "_batch_id", "run_id": "_frozen_by", "row_id": "_row_id"}
        self._store.replace_lines(lines_of(told, "_original", texts, "_reasons"), rows, prefix, batch.batch_id)
        return rows

    def _examine(self, table: Table, batch: Batch, key: bytes | None) -> tuple[landing.Examined, Row]:
        """The batch's rows, read and computed once, and what was measured on them. The frame is persisted; the caller lets it go."""
        if table.source is None:
            raise ContractError(f"{table.file}: {table.name} has no source")
        if batch.replay is not None:
            work = replayed(self._store.read(table), table, batch, ask=lambda keys: self._sources.by_keys(table, keys), key=key)
        else:
            earliest = batch.lo - timedelta(seconds=table.source.watermark.lookback_seconds)
            raw = self._sources.window(table, earliest, batch.hi)
            known = self._known_ids(table, batch) if batch.seq > 1 and earliest < batch.lo else None
            work = landing.examined(raw, table, batch, known_ids=known, key=key)
        work.rows.persist(StorageLevel.DISK_ONLY)
        try:
            with halting(table):
                measured = work.rows.agg(*landing.measure(work)).first()
        except BaseException:
            work.rows.unpersist()
            raise
        if measured is None:
            raise ContractError(f"{table.name}: an aggregate without a row")
        return work, measured

    def _known_ids(self, table: Table, batch: Batch) -> DataFrame | None:
        if table.source is None or self._store.latest(table) is None:
            return None
        earliest = batch.lo - timedelta(seconds=table.source.watermark.lookback_seconds)
        return self._store.read(table).where(landing.lookback_filter(table, batch, earliest)).select("_row_id")

    def _refuse_other_schema(self, table: Table) -> None:
        """Columns may be added; a changed or dropped one must be decided by somebody."""
        if self._store.latest(table) is None:
            raise ContractError(f"{table.name} is to be landed and there is no table; create it first")
        stored = self._store.read(table).schema
        kept = [text for text in type_differences(stored, landing.bronze_schema(table)) if "missing instead of" not in text]
        changed = [text for text in kept if "instead of nothing" not in text]
        if changed:
            raise SchemaMismatch(
                f"{table.name} on disk does not fit {table.file}: {'; '.join(changed)}. Give the column a new name, or take the change back"
            )


def _is_batch(batch: Batch) -> str:
    return f"_run_date = DATE'{batch.ingest_time:%Y-%m-%d}' AND _batch_id = '{batch.batch_id}'"


def _evidence(work: landing.Examined, measured: Row, batch: Batch, related: Related, writer: Writer, null_positions: int) -> BatchEvidence:
    reasons: Mapping[str, int] = landing.reasons(work, measured)
    return BatchEvidence(
        batch_id=batch.batch_id,
        seq=batch.seq,
        lo=batch.lo,
        hi=batch.hi,
        contract_hash=work.table.contract_hash,
        fence=writer.fence,
        glue_run=writer.glue_run,
        version=None,
        digest=content_digest(measured, salt=batch.batch_id),
        counts=landing.counts(measured),
        null_positions=null_positions,
        reasons=reasons,
        rules=landing.rule_results(work, measured, related),
        replay=batch.replay,
    )


def _meta(table: Table, evidence: BatchEvidence, writer: Writer) -> CommitMeta:
    return CommitMeta(
        kind="batch",
        run=writer.run,
        fence=writer.fence,
        glue_run=writer.glue_run,
        table=table.name,
        digest=evidence.digest,
        phase=None,
        restored_to=None,
        batch=evidence,
    )
