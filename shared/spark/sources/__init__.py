"""The databases behind bronze.

reader.py     SourceReader, what landing a batch asks of a source; Dialect, what one kind of database must say
patience.py   waiting for a database that does not answer
jdbc.py       every database that has a JDBC driver
keys.py       asking for rows by key, with typed literals
postgres.py   PostgreSQL's clock and literals
"""

from shared.spark.sources.jdbc import JdbcSources
from shared.spark.sources.patience import Patience
from shared.spark.sources.reader import Connection, SourceReader

__all__ = ["Connection", "JdbcSources", "Patience", "SourceReader"]
