"""Owns the writing of bronze: one window of a source becomes one replaceable batch, both lanes in one commit, and its rejects as JSON lines."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from shared.core.errors import ContractError, DataRejected, SchemaMismatch
from shared.core.files import FileObject
from shared.core.messages import Batch, BatchEvidence, CommitMeta
from shared.core.ports import Guard, Writer
from shared.core.window import before, looked_back
from shared.spark import landing, snapshots
from shared.spark.counting import Related
from shared.spark.digests import content_digest
from shared.spark.frames import checkpointed, misfits, release, widened
from shared.spark.masks import needs_key
from shared.spark.refusals import halting
from shared.spark.replay import replayed
from shared.spark.silence import silence_executors
from shared.spark.sources import SourceReader
from shared.spark.store import Store, lines_of
from shared.spec.lake import Position, Table

MaskKey = Callable[[], bytes]
PARTITIONS = ("_run_date", "_lane")


class Bronze:
    """Batches of source tables."""

    def __init__(self, store: Store, sources: SourceReader, mask_key: MaskKey) -> None:
        self._store, self._sources, self._mask_key = store, sources, mask_key

    def land(
        self, table: Table, batch: Batch, related: Related, *, objects: Sequence[FileObject] = (), holds_rows: bool, writer: Writer, guard: Guard
    ) -> BatchEvidence:
        silence_executors(self._store.spark)
        widens = self._widens(table)
        key = self._mask_key() if needs_key(table) else None
        windows = batch.replay is None and table.source is not None and table.source.watermark is not None
        null_positions = self._sources.null_positions(table) if windows else 0
        work, measured, warnings = self._examine(table, batch, objects, key)
        try:
            with halting(table):
                evidence = _evidence(work, measured, batch, related, writer, null_positions, warnings)
            if batch.replay is None:
                evidence = replace(evidence, unknown_columns=self._sources.unknown_columns(table))
            counts = evidence.counts
            written = counts.accepted_lane + counts.rejected + (counts.seen if work.replay else 0)
            if not written and not holds_rows:
                return replace(evidence, digest=None)
            rows = landing.bronze_rows(work, batch, self._sources.system(table))
            meta = _meta(table, evidence, writer)
            if widens:
                self._store.allow_widening(table, replace(meta, kind="widen", digest=None, batch=None), guard)
            return replace(evidence, version=self._store.replace(table, rows, written, _is_batch(batch), meta, guard))
        finally:
            release(work.rows)

    def write_errors(self, table: Table, batch: Batch, prefix: str, *, rejected: int) -> None:
        lines = self._reject_lines(table, batch) if rejected else None
        self._store.replace_lines(lines, rejected, prefix, batch.batch_id)

    def _reject_lines(self, table: Table, batch: Batch) -> DataFrame:
        rejects = self._store.read(table).where(f"{_is_batch(batch)} AND _lane = '{landing.REJECTED}'")
        told = rejects.withColumn("_table", F.lit(table.name)).withColumn("_frozen_by", F.lit(batch.run))
        texts = {"table": "_table", "batch_id": "_batch_id", "run_id": "_frozen_by", "row_id": "_row_id"}
        return lines_of(told, "_original", texts, "_reasons")

    def _examine(self, table: Table, batch: Batch, objects: Sequence[FileObject], key: bytes | None) -> tuple[landing.Examined, Row, tuple[str, ...]]:
        """The batch's rows, read and computed once, what was measured on them, and what the gate should warn of. The frame is a
        checkpoint; the caller releases it."""
        if table.source is None:
            raise ContractError(f"{table.file}: {table.name} has no source")
        if batch.replay is not None:
            return (*self._sources.patiently(table, lambda: self._measured(self._replayed(table, batch, key))), ())
        if table.source.files is not None:
            return self._examine_files(table, batch, objects, key)
        if table.source.snapshot is not None:
            return (*self._examine_snapshot(table, batch, key), ())
        return (*self._sources.patiently(table, lambda: self._measured(self._window(table, batch, key))), ())

    def _replayed(self, table: Table, batch: Batch, key: bytes | None) -> landing.Examined:
        return replayed(self._store.read(table), table, batch, ask=lambda keys: self._sources.by_keys(table, keys), key=key)

    def _examine_files(
        self, table: Table, batch: Batch, objects: Sequence[FileObject], key: bytes | None
    ) -> tuple[landing.Examined, Row, tuple[str, ...]]:
        """Objects are looked at before and after they are read: what changed meanwhile is left out, and the rest read again."""
        still = self._sources.standing(table, objects)
        while True:
            read = still

            def examined(read: Sequence[FileObject] = read) -> tuple[landing.Examined, Row]:
                return self._measured(landing.examined(self._sources.rows(table, read), table, batch, known_ids=None, key=key))

            try:
                work, measured = self._sources.patiently(table, examined)
            except DataRejected:
                self._sources.standing(table, read)  # gone is why it cannot be read
                raise
            with _released_on_failure(work):
                still = self._sources.standing(table, read)
            if still == read:
                return work, measured, _changed(objects, still)
            release(work.rows)

    def _examine_snapshot(self, table: Table, batch: Batch, key: bytes | None) -> tuple[landing.Examined, Row]:
        lower = self._store.read(table).where(F.col("_batch_id") < batch.batch_id)

        def examined() -> tuple[landing.Examined, Row]:
            raw = snapshots.with_made(self._sources.snapshot(table), table, batch)
            return self._measured(snapshots.compared(landing.examined(raw, table, batch, known_ids=None, key=key), lower, batch))

        work, measured = self._sources.patiently(table, examined)
        with _released_on_failure(work):
            snapshots.refuse_small(table, read=measured["read"], known=snapshots.live_rows(lower, table))
        return work, measured

    def _window(self, table: Table, batch: Batch, key: bytes | None) -> landing.Examined:
        earliest = self._earliest(table, batch)
        raw = self._sources.window(table, earliest, batch.hi)
        known = self._known_ids(table, batch) if batch.seq > 1 and before(earliest, batch.lo) else None
        return landing.examined(raw, table, batch, known_ids=known, key=key)

    def _measured(self, work: landing.Examined) -> tuple[landing.Examined, Row]:
        table = work.table
        with halting(table):
            work = replace(work, rows=checkpointed(work.rows))
            with _released_on_failure(work):
                measured = landing.measure(work)
                if measured is None:
                    raise ContractError(f"{table.name}: an aggregate without a row")
        return work, measured

    def _earliest(self, table: Table, batch: Batch) -> Position:
        if table.source is None:
            raise ContractError(f"{table.file}: {table.name} has no source")
        return looked_back(table.source.windows, batch.lo)

    def _known_ids(self, table: Table, batch: Batch) -> DataFrame | None:
        if self._store.latest(table) is None:
            return None
        return self._store.read(table).where(landing.lookback_filter(table, batch, self._earliest(table, batch))).select("_row_id")

    def _widens(self, table: Table) -> bool:
        """Whether a stored column takes on a wider type. Columns may be added and widened; one that was changed or dropped halts the table."""
        if self._store.latest(table) is None:
            raise ContractError(f"{table.name} is to be landed and there is no table; create it first")
        stored, wanted = self._store.read(table).schema, landing.bronze_schema(table)
        changed = misfits(stored, wanted)
        if changed:
            raise SchemaMismatch(
                f"{table.name} on disk does not fit {table.file}: {'; '.join(changed)}. Columns can be added and widened, not changed or dropped: "
                "give a changed one a new name, keep a dropped one, or take the change back"
            )
        return bool(widened(stored, wanted))


def _is_batch(batch: Batch) -> str:
    return f"_run_date = DATE'{batch.ingest_time:%Y-%m-%d}' AND _batch_id = '{batch.batch_id}'"


@contextmanager
def _released_on_failure(work: landing.Examined) -> Iterator[None]:
    try:
        yield
    except BaseException:
        release(work.rows)
        raise


def _changed(frozen: Sequence[FileObject], read: Sequence[FileObject]) -> tuple[str, ...]:
    left_out = [item.key for item in frozen if item not in read]
    if not left_out:
        return ()
    named = ", ".join(left_out[:5]) + (f" and {len(left_out) - 5} more" if len(left_out) > 5 else "")
    return (f"{named}: changed after the batch was frozen and left out of it; the new content is in the next window",)


def _evidence(
    work: landing.Examined, measured: Row, batch: Batch, related: Related, writer: Writer, null_positions: int, warnings: tuple[str, ...]
) -> BatchEvidence:
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
        late=int(measured["late"]),
        late_at_edge=int(measured["late_at_edge"]),
        manifest=batch.manifest,
        warnings=warnings,
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
