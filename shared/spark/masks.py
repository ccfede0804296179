"""Owns masking: HMAC, redaction, partial display. Masked columns stay NULL where they were NULL.

Spark has no HMAC function, so it is built of `sha2`. The key travels as a one-row broadcast frame and never as a literal: literals stand in
plans, in the UI and in the event log, where `spark.sql.redaction.string.regex` does not reach; rows of a frame stand in none of them.
"""

import hashlib

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BinaryType, StructField, StructType

from shared.core.errors import ContractError, SecretMissing
from shared.spark.literal_rows import literal_rows
from shared.spec.lake import Mask, Table

_INNER, _OUTER = "_mask_inner", "_mask_outer"
_BLOCK = 64  # bytes of a SHA-256 block
KEY_COLUMNS = (_INNER, _OUTER)


def masked_columns(table: Table) -> dict[str, Mask]:
    """Mask of every masked column. Raises ContractError for one that is not a string."""
    odd = [column.name for column in table.columns if column.mask and column.type != "string"]
    if odd:
        raise ContractError(f"{table.file}: only string columns can be masked; {', '.join(odd)} is not. Make it a string or drop the mask")
    return {column.name: column.mask for column in table.columns if column.mask}


def needs_key(table: Table) -> bool:
    return "hmac" in masked_columns(table).values()


def with_mask_key(frame: DataFrame, key: bytes) -> DataFrame:
    """`frame` with the key's two padded forms beside every row, for `masked`; drop `KEY_COLUMNS` afterwards. Raises SecretMissing."""
    if not key:
        raise SecretMissing("the mask key is empty; put at least 32 random bytes into the secret that lake/environments.toml names as mask_key")
    block = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
    padded = [[bytes(byte ^ pad for byte in block) for pad in (0x36, 0x5C)]]
    keys = StructType([StructField(name, BinaryType()) for name in KEY_COLUMNS])
    return frame.crossJoin(F.broadcast(literal_rows(frame.sparkSession, padded, keys)))


def masked(text: Column, mask: Mask) -> Column:
    """A string column as the lake may hold it. `hmac` needs a frame made by `with_mask_key`."""
    if mask == "redact":
        return F.when(text.isNotNull(), F.lit("[redacted]"))
    if mask == "partial":
        hidden = F.length(text) - F.when(F.length(text) > 4, 4).otherwise(0)
        return F.concat(F.repeat(F.lit("*"), hidden), F.when(F.length(text) > 4, F.substring(text, -4, 4)).otherwise(F.lit("")))
    inner = F.sha2(F.concat(F.col(_INNER), text.cast("binary")), 256)
    return F.sha2(F.concat(F.col(_OUTER), F.unhex(inner)), 256)


def looks_masked(text: Column, mask: Mask) -> Column:
    """Whether a value has the form that a mask gives; a clear one may have it by chance."""
    pattern = {"hmac": "^[0-9a-f]{64}$", "redact": r"^\[redacted\]$", "partial": r"^(\*{0,4}|(?s)\*+.{4})$"}[mask]
    return F.coalesce(text.rlike(pattern), F.lit(False))
