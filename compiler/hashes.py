"""The two fingerprints of a compiled table, of canonical JSON.

contract_hash     everything a job acts upon: a batch read under another contract is read again
definition_hash   what decides the table's content: a table made by another definition is rebuilt

SQL enters by its tokens, so that comments, white space and the case of keywords change neither; nor do titles, owners, readers and where the folder
lies.
`.affected.sql` decides when a row is recomputed, not what it is: it is part of the contract alone.
"""

import hashlib
import json
from typing import Any

from compiler.sql import normalised
from shared.spec.codec import to_json
from shared.spec.lake import Table

_NOT_ACTED_UPON = ("file", "title", "owner", "domain", "readers", "contract_hash", "definition_hash")


def contract_hash(table: Table) -> str:
    """SHA-256, in hex, of all that a job acts upon."""
    document: dict[str, Any] = to_json(table)
    for name in _NOT_ACTED_UPON:
        del document[name]
    return _sha256({**document, "sql": _plain(table.sql), "affected_sql": _plain(table.affected_sql), "delete_when": _plain(table.delete_when)})


def definition_hash(table: Table) -> str:
    """SHA-256, in hex, of what decides the table's content."""
    return _sha256(
        {
            "load": table.load,
            "columns": [[column.name, column.type, column.mask] for column in table.columns],
            "key": list(table.key),
            "partitions": list(table.partitions),
            "relation": None if table.source is None else table.source.relation,
            "origin": table.origin,
            "sequence": table.sequence,
            "delete_when": _plain(table.delete_when),
            "history": to_json(table.history),
            "sql": _plain(table.sql),
        }
    )


def _plain(sql: str | None) -> str | None:
    return None if sql is None else normalised(sql)


def _sha256(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
