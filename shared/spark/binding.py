"""Owns the way from `layer.table` names in a contract's SQL to frames. No catalog is needed: names become temporary views.

The SQL is cut into tokens, so that text in strings, comments and quoted names is left alone. A name that stands where a table stands
becomes its view, under the table's own last name unless the SQL gives an alias; a longer name (`silver.orders.amount`) is a column of it.
"""

import re
import uuid
from collections.abc import Iterable, Mapping

from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import DataFrame, SparkSession

from shared.core.errors import ContractError

_TOKEN = re.compile(
    r"""(?P<skip>\s+|--[^\n]*|/\*.*?\*/)
      | (?P<text>[rR]?'(?:[^'\\]|\\.|'')*'|[rR]?"(?:[^"\\]|\\.|"")*")
      | (?P<name>(?:[A-Za-z_]\w*|`(?:[^`]|``)*`)(?:\s*\.\s*(?:[A-Za-z_]\w*|`(?:[^`]|``)*`))*)
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
# What may follow a table that has no alias. Anything else that is a word is its alias.
_CLAUSES = "CLUSTER DISTRIBUTE EXCEPT FETCH FROM GROUP HAVING INTERSECT LIMIT MINUS OFFSET ORDER QUALIFY SELECT SORT UNION WHERE WINDOW"
_JOINS = "ANTI CROSS FULL INNER JOIN LATERAL LEFT NATURAL ON PIVOT RIGHT SEMI TABLESAMPLE UNPIVOT USING"
_NOT_ALIASES = frozenset((*_CLAUSES.split(), *_JOINS.split()))


def bind(spark: SparkSession, sql: str, frames: Mapping[str, DataFrame], *, file: str) -> DataFrame:
    """The frame of `sql` over `frames`, by the names the SQL uses (`silver.orders`, `changed.silver.orders`). No view outlives the call.

    Raises ContractError naming `file` when Spark cannot resolve it. Names are matched whatever their case, as Spark does.
    """
    suffix = uuid.uuid4().hex[:12]
    views = {name: f"{name.replace('.', '__')}__{suffix}" for name in frames}
    for name, view in views.items():
        frames[name].createOrReplaceTempView(view)
    try:
        return spark.sql(rewritten(sql, views))
    except (AnalysisException, ParseException) as refused:
        raise ContractError(f"{file}: the SQL does not resolve: {refused.getCondition()}: {str(refused).splitlines()[0]}") from refused
    finally:
        for view in views.values():
            spark.catalog.dropTempView(view)


def mentioned(sql: str, candidates: Iterable[str]) -> set[str]:
    """The table names among `candidates` that `sql` reads from."""
    return {name for name in candidates if rewritten(sql, {name: "_"}) != rewritten(sql, {})}


def rewritten(sql: str, views: Mapping[str, str]) -> str:
    """`sql` with every name of `views` in the place of a table replaced by its view."""
    known = {tuple(name.lower().split(".")): view for name, view in views.items()}
    tokens = [(match.lastgroup or "other", match.group()) for match in _TOKEN.finditer(sql.rstrip().rstrip(";"))]
    return "".join(_replaced(text, known, tokens, position) if kind == "name" else text for position, (kind, text) in enumerate(tokens))


def _replaced(text: str, known: Mapping[tuple[str, ...], str], tokens: list[tuple[str, str]], position: int) -> str:
    parts = [part.strip().strip("`") for part in re.split(r"\s*\.\s*(?=(?:[^`]*`[^`]*`)*[^`]*$)", text)]
    path = tuple(part.lower() for part in parts)
    if path in known:
        return known[path] if _has_alias(tokens, position) else f"{known[path]} AS `{parts[-1]}`"
    for length in range(len(path) - 1, 1, -1):  # the longest table name that a column's name starts with
        if path[:length] in known:
            return ".".join(f"`{part}`" for part in parts[length - 1 :])
    return text


def _has_alias(tokens: list[tuple[str, str]], position: int) -> bool:
    for kind, text in tokens[position + 1 :]:
        if kind != "skip":
            return kind == "name" and text.upper() not in _NOT_ALIASES
    return False
