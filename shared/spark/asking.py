"""Owns asking several aggregates in one query: each reads what it reads, and they cost one plan and one job between them."""

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F


def only_rows(frames: Sequence[DataFrame]) -> list[Row]:
    """The row of each frame; a frame holds one, as an aggregate without groups does."""
    if not frames:
        return []
    apart = [frame.select(F.struct("*").alias(f"_{position}")) for position, frame in enumerate(frames)]
    rows = reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), apart).collect()
    return [next(row[name] for row in rows if row[name] is not None) for name in (f"_{position}" for position in range(len(frames)))]
