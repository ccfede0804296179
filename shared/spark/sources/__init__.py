"""The databases and files behind bronze.

reader.py     SourceReader, what landing a batch asks of a source; Dialect, what one kind of database must say
every.py      all of them behind one SourceReader
patience.py   waiting for a database that does not answer
jdbc.py       every database that has a JDBC driver
asking.py     small questions to it, without a Spark job
declared.py   what declared types mean beside the contract's
keys.py       asking for rows by key, with typed literals
postgres.py   PostgreSQL's clock and literals; redshift.py, snowflake.py theirs
files.py      tables of files; objects.py looks at objects, lines.py takes text apart
"""

from shared.spark.sources.every import EverySource
from shared.spark.sources.files import FileSources
from shared.spark.sources.jdbc import JdbcSources
from shared.spark.sources.patience import Patience
from shared.spark.sources.reader import Connection, SourceReader

__all__ = ["Connection", "EverySource", "FileSources", "JdbcSources", "Patience", "SourceReader"]
