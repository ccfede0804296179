"""Owns counting what breaks the invariants of a history (`spec.history`), over all of its rows. They are rules that the gate judges."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from shared.spark.frames import names
from shared.spark.history import AT, history_of
from shared.spark.rules import column
from shared.spec.history import (
    CURRENT_IS_OPEN,
    IS_CURRENT,
    NEIGHBOURS_DIFFER,
    NO_GAP,
    NO_OVERLAP,
    ONE_CURRENT,
    UNKNOWN_KEY,
    UNKNOWN_MEMBER,
    VALID_FROM,
    VALID_TO,
)
from shared.spec.lake import Table


def broken_versions(rows: DataFrame, table: Table, deletes: DataFrame) -> dict[str, int]:
    """By invariant, how many of a history's rows break it; `deletes` as `history.deletes_of` gives them. One pass.

    The unknown member is no version; its own invariant alone counts it: how far from once it is there.
    """
    natural = history_of(table).natural_key
    gone = deletes.select(*(column(name).alias(f"_gone_{name}") for name in natural), F.col(AT).alias("_gone_at"))
    then = column(VALID_TO) == F.col("_gone_at")
    for name in natural:
        then = then & column(name).eqNullSafe(F.col(f"_gone_{name}"))
    is_unknown = F.col("_unknown")
    counts = [F.count_if(~is_unknown & broken).alias(invariant) for invariant, broken in _breaks(table).items()]
    joined = _beside_their_next(rows, table).join(gone, then, "left")
    counted = joined.agg(*counts, F.abs(F.count_if(is_unknown) - 1).alias(UNKNOWN_MEMBER)).first()
    return {} if counted is None else {name: int(value) for name, value in counted.asDict().items()}


def _beside_their_next(rows: DataFrame, table: Table) -> DataFrame:
    """Each row with `_next_from` and `_next_state` of the following version, and `_open_before`: whether one before it has no end."""
    history = history_of(table)
    key, end = column(history.surrogate_key), column(VALID_TO)
    # the unknown member stands apart, lest it become the neighbour of a thing that has its very key
    in_order = Window.partitionBy("_unknown", *(column(name) for name in history.natural_key)).orderBy(VALID_FROM, end.asc_nulls_last(), key)
    state = F.struct(*(column(name) for name in history.tracked))
    apart = rows.select(*(column(name) for name in names(table)), state.alias("_state"), (key == UNKNOWN_KEY).alias("_unknown"))
    return apart.withColumns(
        {
            "_next_from": F.lead(VALID_FROM).over(in_order),
            "_next_state": F.lead("_state").over(in_order),
            "_open_before": F.count_if(end.isNull()).over(in_order.rowsBetween(Window.unboundedPreceding, -1)) > 0,
        }
    )


def _breaks(table: Table) -> dict[str, Column]:
    """By invariant, whether a row of `_beside_their_next`, joined with a delete at its end, breaks it."""
    start, end, following = column(VALID_FROM), column(VALID_TO), F.col("_next_from")
    ends_early = F.coalesce(following > end, F.lit(True))
    overlaps = following.isNotNull() & F.coalesce(following < end, F.lit(True))
    breaks = {
        ONE_CURRENT: end.isNull() & F.col("_open_before"),
        NO_OVERLAP: F.coalesce(end <= start, F.lit(False)) | overlaps,
        NO_GAP: end.isNotNull() & ends_early & F.col("_gone_at").isNull(),
        NEIGHBOURS_DIFFER: F.coalesce(end == following, F.lit(False)) & F.col("_state").eqNullSafe(F.col("_next_state")),
    }
    if IS_CURRENT in names(table):
        breaks[CURRENT_IS_OPEN] = ~column(IS_CURRENT).eqNullSafe(end.isNull())
    return breaks
