"""Owns what is PostgreSQL's own: its clock with the oldest open transaction, its literals."""

from datetime import datetime

from shared.spark.sources.reader import Connection
from shared.spec.codec import instant_text
from shared.spec.lake import Position

_TEXT = "to_char({} at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
# A row's time is that of its transaction's start, and it becomes visible at its end: what is open now may still bring earlier rows. Every
# transaction with a start counts, also one that has written nothing yet. Without pg_read_all_stats other users' are hidden: then nothing is told.
_CLOCK = f"""
select {_TEXT.format("now()")} as now_utc,
       {_TEXT.format("least(now(), coalesce(min(xact_start) filter (where pid <> pg_backend_pid()), now()))")} as oldest_utc,
       pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') as tells_open
from pg_stat_activity where datname = current_database()
"""


class Postgres:
    """PostgreSQL 10 and later."""

    driver = "org.postgresql.Driver"
    clock_query = _CLOCK

    def url(self, connection: Connection) -> str:
        return f"jdbc:postgresql://{connection.host}:{connection.port}/{connection.database}?connectTimeout=10&socketTimeout=600&tcpKeepAlive=true"

    def literal(self, position: Position) -> str:
        if isinstance(position, datetime):
            return f"timestamptz '{instant_text(position)}'"
        return str(position) if isinstance(position, int) else f"date '{position.isoformat()}'"

    def readable(self, column: str, type_name: str) -> str:
        return column
