"""Owns telling what changed between a snapshot and what bronze knows: rows that are new or differ, rows known already, keys that are gone.

What is known of a key is its latest accepted row in lower batches; values are compared as bronze holds them, masked. Frames in, frames out.
"""

from dataclasses import replace

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from shared.core.errors import ContractError, SnapshotTooSmall
from shared.core.messages import Batch
from shared.spark.digests import row_digest
from shared.spark.frames import names
from shared.spark.landing import ACCEPTED, DELETED, REJECTED, SEEN, Examined
from shared.spark.rules import column
from shared.spec.lake import Snapshot, Table

_WAS, _WAS_CONTENT, _WAS_DELETED, _REFUSED = "_was", "_was_content", "_was_deleted", "_refused"


def snapshot_of(table: Table) -> Snapshot:
    if table.source is None or table.source.snapshot is None:
        raise ContractError(f"{table.file}: {table.name} is not read by snapshots")
    return table.source.snapshot


def with_made(raw: DataFrame, table: Table, batch: Batch) -> DataFrame:
    """The source's rows with the two columns that the engine fills."""
    made = snapshot_of(table)
    return raw.withColumns({made.deleted: F.lit(False), made.at: F.lit(batch.hi)})


def known_state(lower: DataFrame, table: Table) -> DataFrame:
    """One row per key of the accepted rows in `lower` (bronze, lower batches alone): its latest row `_was`, digest and deletion of that."""
    for item in table.columns:  # one that the contract gained after the last batch landed
        if item.name not in lower.columns:
            lower = lower.withColumn(item.name, F.lit(None).cast(item.type))
    accepted = lower.where(F.col("_lane") == ACCEPTED)
    row = F.struct(*(column(name) for name in names(table)))
    latest = accepted.groupBy(*(column(name).alias(f"_key_{name}") for name in table.key)).agg(
        F.max_by(row, F.struct("_batch_id", "_row_id")).alias(_WAS)
    )
    flat = latest.select(f"{_WAS}.*")
    digest, deleted = row_digest(flat, _content(table)), F.coalesce(column(snapshot_of(table).deleted), F.lit(False))
    return flat.select(F.struct(*(column(name) for name in names(table))).alias(_WAS), digest.alias(_WAS_CONTENT), deleted.alias(_WAS_DELETED))


def compared(work: Examined, lower: DataFrame, batch: Batch) -> Examined:
    """A snapshot's rows with their lanes: an accepted row that is what is known, and a rejected one that was rejected so before, are `seen`.

    Added are rows of lane `deleted`: the last known row of every key that no row of the snapshot has, not even a rejected one.
    """
    table, made = work.table, snapshot_of(work.table)
    refused = lower.where(F.col("_lane") == REJECTED).select(_refusal().alias(_REFUSED)).distinct()
    rows = work.rows.withColumns({"_content": row_digest(work.rows, _content(table)), "_refusal": F.when(F.col("_lane") == REJECTED, _refusal())})
    told = rows.join(refused, F.col("_refusal") == F.col(_REFUSED), "left")
    same_key = F.lit(True)
    for name in table.key:
        same_key = same_key & column(name).eqNullSafe(F.col(f"{_WAS}.`{name}`"))
    joined = told.join(known_state(lower, table), same_key, "full_outer")
    gone = F.col("_lane").isNull()
    unchanged = (F.col("_lane") == ACCEPTED) & ~F.col(_WAS_DELETED) & (F.col("_content") == F.col(_WAS_CONTENT))
    seen = F.coalesce(unchanged, F.lit(False)) | F.col(_REFUSED).isNotNull()
    lane = F.when(gone, DELETED).when(seen, SEEN).otherwise(F.col("_lane"))
    written = joined.where(~(gone & F.col(_WAS_DELETED))).withColumn("_now", lane)
    filled = {made.deleted: F.lit(True), made.at: F.lit(batch.hi)}
    own = [F.when(gone, filled.get(name, F.col(f"{_WAS}.`{name}`"))).otherwise(column(name)).alias(name) for name in names(table)]
    rest = [name for name in work.rows.columns if name not in names(table)]
    flags = {name: F.coalesce(F.col(name), F.lit(0).cast("bigint")) for name in rest if name.startswith(("_broken_", "_missing_"))}
    kept = F.col("_now") == REJECTED
    flags |= {
        "_lane": F.col("_now"),
        **{name: F.when(kept, F.col(name)).otherwise(F.array().cast("array<string>")) for name in ("_reasons", "_clear_reasons")},
        "_original": F.when(kept, F.col("_original")),
    }
    decided = written.select(*own, *(flags.get(name, F.col(name)).alias(name) for name in rest))
    identity = F.when(F.col("_lane") == DELETED, row_digest(decided, names(table))).otherwise(F.col("_row_id"))
    return replace(work, rows=decided.withColumn("_row_id", identity))


def refuse_small(table: Table, *, read: int, known: int) -> None:
    """Raise SnapshotTooSmall for a snapshot that would take much of what is known for deleted."""
    made = snapshot_of(table)
    if read < made.min_share * known:
        raise SnapshotTooSmall(
            f"{table.name}: the snapshot holds {read:,} rows and {known:,} are known ({read / known:.1%}); below min_share {made.min_share:g} "
            f"nothing is written. Mend the source; if so much is really gone, lower min_share in {table.file} for one run"
        )


def live_rows(lower: DataFrame, table: Table) -> int:
    """Keys known and not deleted."""
    return known_state(lower, table).where(~F.col(_WAS_DELETED)).count()


def _content(table: Table) -> list[str]:
    """The columns that the source has."""
    made = snapshot_of(table)
    return [name for name in names(table) if name not in (made.deleted, made.at)]


def _refusal() -> Column:
    """What a row was rejected for, and what the source gave (masked): the same again is nothing new."""
    return F.sha2(F.concat_ws("|", F.concat_ws(",", "_reasons"), "_original"), 256)
