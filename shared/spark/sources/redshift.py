"""Owns what is Redshift's own: its driver's settings, its clock, times with a zone as UTC. In what it shares with PostgreSQL it says it alike."""

from collections.abc import Mapping

from shared.spark.sources.postgres import text_of_position, typed_literal
from shared.spark.sources.reader import Connection, SourceColumn
from shared.spec.lake import Position

# getdate() is in the session's zone, without saying so: the cast takes it for that zone's, whichever it is. It cannot tell what is open.
_CLOCK = "select to_char(cast(getdate() as timestamptz) at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00:00' as now_utc, null as oldest_utc"


class Redshift:
    """Redshift by its driver 2.x. Spark cannot read timestamptz through it: such columns are selected as times without zone, in UTC."""

    driver = "com.amazon.redshift.Driver"
    clock_query = _CLOCK
    keeps_zones = False

    def url(self, connection: Connection) -> str:
        return f"jdbc:redshift://{connection.host}:{connection.port}/{connection.database}"

    def properties(self, connection: Connection) -> Mapping[str, str]:
        named = {"currentSchema": connection.schema} if connection.schema else {}
        tls = {"ssl": "false"} if connection.is_here else {"ssl": "true", "sslmode": "verify-full"}
        return {"connectTimeout": "10", "socketTimeout": "600", "tcpKeepAlive": "true", **tls, **named}

    def zoned(self, column: SourceColumn) -> bool:
        return column.type_name == "timestamptz"

    def literal(self, position: Position, *, zoned: bool) -> str:
        return typed_literal(position, zoned=zoned)

    def readable(self, column: SourceColumn) -> str:
        return f"{column.name} at time zone 'UTC'" if self.zoned(column) else column.name

    def as_text(self, column: SourceColumn, value: str) -> str:
        return text_of_position(column, value, zoned=self.zoned(column))
