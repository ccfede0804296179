"""Owns what is Snowflake's own: its driver's settings, its clock, its literals, times with a zone as UTC."""

from collections.abc import Mapping
from datetime import datetime

from shared.spark.sources.reader import Connection, SourceColumn
from shared.spec.codec import instant_text
from shared.spec.lake import Position

_TEXT = "to_char({}, 'YYYY-MM-DD HH24:MI:SS.FF6') || '+00:00'"
_NOW = "convert_timezone('UTC', current_timestamp())"
_CLOCK = f"select {_TEXT.format(_NOW)} as now_utc, null as oldest_utc"


class Snowflake:
    """Snowflake by its driver 4.x. Spark cannot read times with a zone through it: they are selected as times without one, in UTC."""

    driver = "net.snowflake.client.api.driver.SnowflakeDriver"
    clock_query = _CLOCK
    keeps_zones = False

    def url(self, connection: Connection) -> str:
        return f"jdbc:snowflake://{connection.host}:{connection.port}/"

    def properties(self, connection: Connection) -> Mapping[str, str]:
        named = {
            "account": connection.account,
            "db": connection.database,
            "schema": connection.schema,
            "warehouse": connection.warehouse,
            "role": connection.role,
        }
        settings = {
            "TIMEZONE": "UTC",
            # NUMBER(38,0) would be given as a 64-bit integer, and one value beyond it would end the query.
            "JDBC_TREAT_DECIMAL_AS_INT": "false",
            # Else every connection first asks three clouds' metadata services where it is.
            "disablePlatformDetection": "true",
            "loginTimeout": "60",
            **({"ssl": "off"} if connection.is_here else {}),
        }
        return {**settings, **{name: value for name, value in named.items() if value is not None}}

    def zoned(self, column: SourceColumn) -> bool:
        name = column.type_name.upper()
        return name.startswith("TIMESTAMP") and name.endswith("TZ") and not name.endswith("NTZ")

    def literal(self, position: Position, *, zoned: bool) -> str:
        if isinstance(position, int):
            return str(position)
        if not isinstance(position, datetime):
            return f"'{position.isoformat()}'::date"
        text = instant_text(position)
        return f"'{text}'::timestamp_tz" if zoned else f"'{text.removesuffix('Z')}'::timestamp_ntz"

    def readable(self, column: SourceColumn) -> str:
        return f"convert_timezone('UTC', {column.name})::timestamp_ntz" if self.zoned(column) else column.name

    def as_text(self, column: SourceColumn, value: str) -> str:
        if not column.type_name.upper().startswith("TIMESTAMP"):
            return f"({value})::varchar"
        return _TEXT.format(f"convert_timezone('UTC', {value})" if self.zoned(column) else value)
