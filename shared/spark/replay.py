"""Owns where the rows of a replay come from: open rejects of bronze, as they were or as their source holds them now. Writes nothing.

A reject carries what its source gave, as texts, and its masked values. It is conformed anew from these; rules that see the clear values of
masked columns had passed and are not evaluated again. Where one of them had not, the row is read from its source by key, checked and masked in
the plan that reads it, and only then joined to the reject whose place it takes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from shared.core.errors import ContractError
from shared.core.messages import Batch, Replay
from shared.core.replay import (
    BROKEN_LINE,
    COPY,
    NOT_AT_SOURCE,
    POINTER,
    asks_source,
    key_that_can_be_asked,
    rules_in_clear,
    why_not_asked,
)
from shared.spark.landing import ACCEPTED, POINTER_COLUMN, REJECTED, Check, Examined, checked, conformed, position_column, raw_name, row_checks, told
from shared.spark.masks import masked_columns
from shared.spark.rules import column
from shared.spec.lake import Table

Ask = Callable[[Sequence[tuple[str, ...]]], DataFrame]  # keys, as texts -> the rows of the source that have one of them
_POINTED, _FOUND, _BEST = "_pointed", "_found", "_best"
_HAD = "_had"  # the clear reasons a reject had
_AT = "_at"  # text of a row's position


@dataclass(frozen=True, slots=True)
class Asking:
    """Rows of a source that are asked for: by which columns (none: they cannot be), as of which batch, after which faults."""

    table: Table
    batch: Batch
    at_fault: tuple[str, ...]
    ask: Ask
    key: bytes | None
    checks: tuple[Check, ...]  # of values that are carried masked

    @property
    def asked(self) -> tuple[str, ...]:
        return key_that_can_be_asked(self.table)

    @property
    def position(self) -> str:
        if self.table.source is None:
            raise ContractError(f"{self.table.file}: {self.table.name} has no source")
        return self.table.source.windows.column


def open_rejects(bronze: DataFrame) -> DataFrame:
    """The rejected rows of `bronze` that repeat no other row and that no row of it points back to; with `_pointer`."""
    back = F.get_json_object("_original", f"$.{POINTER}").alias(_POINTED)
    pointed = bronze.where(F.col("_original").isNotNull()).select(back).where(F.col(_POINTED).isNotNull()).distinct()
    rejects = bronze.where((F.col("_lane") == REJECTED) & ~F.array_contains("_reasons", COPY))
    named = rejects.withColumn(POINTER_COLUMN, F.concat_ws("/", "_batch_id", "_row_id"))
    return named.join(pointed, F.col(POINTER_COLUMN) == F.col(_POINTED), "left_anti")


def selected(rejects: DataFrame, replay: Replay) -> DataFrame:
    """Those that a replay asks for, and that can be judged again: of a line that could not be read nothing is known.

    Rows with one pointer (alike once conformed, broken differently) go together: it closes them all.
    """
    rejects = rejects.where(~F.array_contains("_reasons", BROKEN_LINE))
    if not replay.rules and not replay.runs:
        return rejects
    wanted = F.lit(True)
    if replay.rules:
        wanted = wanted & F.arrays_overlap("_reasons", F.array(*map(F.lit, replay.rules)))
    if replay.runs:
        wanted = wanted & F.col("_run_id").isin(*replay.runs)
    pointers = rejects.where(wanted).select(F.col(POINTER_COLUMN).alias(_POINTED)).distinct()
    return rejects.join(pointers, F.col(POINTER_COLUMN) == F.col(_POINTED), "left_semi")


def replayed(bronze: DataFrame, table: Table, batch: Batch, *, ask: Ask, key: bytes | None) -> Examined:
    """Every open reject of the lower batches in `bronze` that the batch's replay selects, judged again: one row each.

    A row that holds now and is accepted in a lower batch already is seen. One that is wanted from the source, and of which there is none before
    the table's position, stays rejected for what it was and for `not_at_source`; one that cannot be asked for, for why (`why_not_asked`).
    """
    if batch.replay is None:
        raise ContractError(f"{batch.batch_id} is no replay")
    lower = bronze.where(F.col("_batch_id") < batch.batch_id)
    chosen = selected(open_rejects(lower), batch.replay)
    reasons = _clear_reasons_among(chosen) if rules_in_clear(table) else []
    checks = row_checks(table, carried=True)
    asking = Asking(table, batch, tuple(reason for reason in reasons if asks_source(table, reason)), ask, key, checks)
    at_fault = F.arrays_overlap("_clear_reasons", F.array(*map(F.lit, asking.at_fault))) if asking.at_fault else F.lit(False)
    rows = checked(_carried(chosen.where(~at_fault), table), table, checks, key=key, keep=(POINTER_COLUMN,), carried=True)
    if asking.at_fault:
        rows = rows.unionByName(_from_source(chosen.where(at_fault), asking))
    known = lower.where(F.col("_lane") == ACCEPTED).select("_row_id")
    return told(rows, table, checks, known_ids=known, replay=True)


def _clear_reasons_among(rejects: DataFrame) -> list[str]:
    found = rejects.select(F.explode("_clear_reasons").alias("reason")).distinct().collect()
    return sorted(row["reason"] for row in found)


def _carried(rejects: DataFrame, table: Table) -> DataFrame:
    """Rejects as rows to be checked: what was cast stays, and what was not is cast again, for a column may have been widened since; masked values
    as they are. Columns that are new are NULL."""
    marks, texts = masked_columns(table), F.from_json("_original", "map<string,string>")
    columns: list[Column] = []
    for item in table.columns:
        value, given = column(item.name) if item.name in rejects.columns else F.lit(None), texts.getItem(item.name)
        if item.name in marks:
            given = value
        else:
            value = F.coalesce(value.cast(item.type), given.try_cast(item.type))
        columns += [value.alias(item.name), given.alias(raw_name(item.name))]
    return rejects.select(*columns, POINTER_COLUMN, F.col("_clear_reasons").alias(_HAD), "_original")


def _from_source(rejects: DataFrame, asking: Asking) -> DataFrame:
    """Each reject as its source holds it now, else as it was and for the same faults; in the columns of `checked`, with its pointer."""
    table, texts = asking.table, F.from_json("_original", "map<string,string>")
    if not asking.asked:
        was = checked(_carried(rejects, table), table, asking.checks, key=asking.key, keep=(POINTER_COLUMN, _HAD), carried=True)
        return _as_it_was(was, asking, F.lit(why_not_asked(table)))
    sought = {_AT: texts.getItem(asking.position)} | {f"_key_{part}": texts.getItem(name) for part, name in enumerate(asking.asked)}
    given = _carried(rejects, table).withColumns(sought).drop("_original")
    was = checked(given, table, asking.checks, key=asking.key, keep=(POINTER_COLUMN, _HAD, *sought), carried=True)
    keys = _keys_among(given, len(asking.asked))
    return _as_found(was, asking, keys) if keys else _as_it_was(was, asking, F.lit(why_not_asked(table)))


def _keys_among(rows: DataFrame, parts: int) -> list[tuple[str, ...]]:
    """The distinct keys that are whole. They are not classified: a key with a masked part is not asked for."""
    columns = [F.col(f"_key_{part}") for part in range(parts)]
    return sorted(tuple(row) for row in rows.select(*columns).na.drop().distinct().collect())


def _as_found(was: DataFrame, asking: Asking, keys: Sequence[tuple[str, ...]]) -> DataFrame:
    same_key, whole = F.lit(True), F.lit(True)
    for part in range(len(asking.asked)):
        same_key = same_key & (F.col(f"_key_{part}") == F.col(f"_its_key_{part}"))
        whole = whole & F.col(f"_key_{part}").isNotNull()
    # of several rows with its key the very one, else one at the reject's own position, else the last
    ranked = F.transform(_FOUND, lambda row: F.struct(row["_original"] == F.col("_original"), row[_AT].eqNullSafe(F.col(_AT)), row.alias("row")))
    joined = was.join(_at_source(asking, keys), same_key, "left").withColumn(_BEST, F.array_max(ranked)["row"])
    left = _as_it_was(joined, asking, F.when(whole, NOT_AT_SOURCE).otherwise(why_not_asked(asking.table)), keep=(_BEST,))
    found = F.col(_BEST).isNotNull()
    return left.select(
        *(F.when(found, F.col(_BEST)[name]).otherwise(column(name)).alias(name) for name in left.columns if name not in (POINTER_COLUMN, _BEST)),
        POINTER_COLUMN,
    )


def _at_source(asking: Asking, keys: Sequence[tuple[str, ...]]) -> DataFrame:
    """One row per key that the source has: `_found`, its rows before the table's position, checked and masked.

    A row at the position or after it comes with a window of its own: taken here, it would be there twice.
    """
    given = conformed(asking.ask(keys), asking.table)
    position = position_column(asking.table)
    texts = {f"_its_key_{part}": column(raw_name(name)).cast("string") for part, name in enumerate(asking.asked)}
    settled = given.where(position < F.lit(asking.batch.hi)).withColumns(
        {"_order": position, _AT: column(raw_name(asking.position)).cast("string")} | texts
    )
    rows = checked(settled, asking.table, row_checks(asking.table), key=asking.key, keep=("_order", _AT, *texts))
    values = [name for name in rows.columns if name not in texts and name != "_order"]
    return rows.groupBy(*texts).agg(F.collect_list(F.struct("_order", *values)).alias(_FOUND))


def _as_it_was(rows: DataFrame, asking: Asking, why: Column, *, keep: Sequence[str] = ()) -> DataFrame:
    """Rejects that could not be judged again: still rejected for the faults they had, and for `why`."""
    faults = F.array_intersect(_HAD, F.array(*map(F.lit, asking.at_fault)))
    reasons = {"_reasons": F.array_distinct(F.concat("_reasons", faults, F.array(why))), "_clear_reasons": faults}
    dropped = {_HAD, _AT, *(f"_key_{part}" for part in range(len(asking.asked)))}
    kept = [name for name in rows.columns if name not in dropped and not name.startswith(("_its_key_", _FOUND, _BEST))]
    return rows.withColumns(reasons).select(*(column(name) for name in kept), *keep)
