"""Owns what is PostgreSQL's own: its clock with the oldest open transaction, its literals."""

from collections.abc import Mapping
from datetime import datetime

from shared.spark.sources.reader import Connection, SourceColumn
from shared.spec.codec import instant_text
from shared.spec.lake import Position

# A row's time is that of its transaction's start, and it becomes visible at its end: what is open now may still bring earlier rows. Every
# transaction with a start counts, also one that has written nothing yet. Without pg_read_all_stats other users' are hidden: then nothing is told.
_CLOCK = """
select to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as now_utc,
       case when pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') then to_char(
         least(now(), coalesce(min(xact_start) filter (where pid <> pg_backend_pid()), now())) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
       end as oldest_utc
from pg_stat_activity where datname = current_database()
"""


class Postgres:
    """PostgreSQL 10 and later."""

    driver = "org.postgresql.Driver"
    clock_query = _CLOCK
    keeps_zones = True

    def url(self, connection: Connection) -> str:
        return f"jdbc:postgresql://{connection.host}:{connection.port}/{connection.database}"

    def properties(self, connection: Connection) -> Mapping[str, str]:
        named = {"currentSchema": connection.schema} if connection.schema else {}
        return {"connectTimeout": "10", "socketTimeout": "600", "tcpKeepAlive": "true", **named}

    def zoned(self, column: SourceColumn) -> bool:
        return column.type_name == "timestamptz"

    def literal(self, position: Position, *, zoned: bool) -> str:
        return typed_literal(position, zoned=zoned)

    def readable(self, column: SourceColumn) -> str:
        return column.name

    def as_text(self, column: SourceColumn, value: str) -> str:
        return text_of_position(column, value, zoned=self.zoned(column))


def typed_literal(position: Position, *, zoned: bool) -> str:
    """As PostgreSQL and its descendants write it."""
    if isinstance(position, int):
        return str(position)
    if not isinstance(position, datetime):
        return f"date '{position.isoformat()}'"
    text = instant_text(position)
    return f"timestamptz '{text}'" if zoned else f"timestamp '{text.removesuffix('Z')}'"


def text_of_position(column: SourceColumn, value: str, *, zoned: bool) -> str:
    """As PostgreSQL and its descendants write it."""
    if not column.type_name.startswith("timestamp"):
        return f"cast({value} as varchar)"
    utc = f"({value}) at time zone 'UTC'" if zoned else value
    return f"to_char({utc}, 'YYYY-MM-DD HH24:MI:SS.US') || '+00:00'"
