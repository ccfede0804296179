"""SQL as text: parsed as Spark's, one SELECT, deterministic, its tables named plainly; conditions; the form that hashes see.

The engine puts its own relations in the place of `layer.table` and `changed.layer.table`. That is why these are written plain (no quotes, no
spaces) and why columns are qualified by an alias, never by the table's own name.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError, TokenError
from sqlglot.tokenizer_core import Token, TokenType

from compiler.draft import LAYERS, SqlFile
from compiler.node import Node
from compiler.problems import Problems, did_you_mean

DIALECT = "spark"
CHANGED = "changed"

# What gives another answer on another run, another machine or another order of rows.
_VOLATILE_NAMES = """
    current_date current_timestamp current_time localtimestamp now curdate rand randn random randstr uuid shuffle monotonically_increasing_id
    spark_partition_id input_file_name input_file_block_start current_user session_user user current_database current_catalog current_schema
    current_timezone version
"""
_VOLATILE = frozenset(_VOLATILE_NAMES.split())
_WITHOUT_BRACKETS = frozenset(["current_date", "current_timestamp", "current_time", "localtimestamp", "current_user", "session_user"])
_ORDER_DEPENDENT = frozenset(["first", "last", "first_value", "last_value", "any_value", "collect_list", "collect_set", "array_agg"])
_NO_SUM_OF_PARTS = {"unix_timestamp": "unix_timestamp() without an argument is the time of the run"}
_QUOTED = (TokenType.STRING, TokenType.RAW_STRING, TokenType.IDENTIFIER, TokenType.NATIONAL_STRING, TokenType.HEX_STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRead:
    """A table that a SELECT names."""

    name: str  # layer.table
    changed: bool
    line: int


def parse_select(sql: SqlFile, problems: Problems, *, limited: bool) -> exp.Query | None:
    """The one SELECT of a file; None, with the problems written down, when it is none or gives another answer each time."""
    try:
        statements = [found for found in sqlglot.parse(sql.text, dialect=DIALECT) if found is not None]
    except (ParseError, TokenError) as error:
        line, text = _place_of(error)
        problems.add(sql.file, line, f"this is not Spark SQL: {text}", "Mend the syntax here.")
        return None
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        problems.add(sql.file, 1, f"the file holds {len(statements)} statements, not one SELECT", "Keep one SELECT (WITH and UNION are fine).")
        return None
    tokens = sqlglot.tokenize(sql.text, dialect=DIALECT)
    for token in tokens:
        if token.token_type == TokenType.SEMICOLON:
            problems.add(sql.file, token.line, "a SELECT that is part of another has no ';'", "Delete it.")
    for line, text, fix in _volatile(tokens):
        problems.add(sql.file, line, text, fix)
    _refuse_clauses(statements[0], tokens, sql, problems, limited=limited)
    return statements[0]


def tables_of(query: exp.Query, sql: SqlFile, problems: Problems, known: Sequence[str]) -> tuple[TableRead, ...] | None:
    """Every table a SELECT reads; None, with the problems written down, when one is not a table of the lake or not written plainly."""
    views = {cte.alias for cte in query.find_all(exp.CTE)}
    good, reads = True, []
    for table in query.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier) or (not table.args.get("db") and table.name in views):
            continue
        read = _read_of(table, sql, problems, known)
        good = good and read is not None
        reads += [read] if read else []
    good = _qualified_by_alias(query, sql, problems) and good
    return tuple(reads) if good else None


def check_condition(node: Node, columns: Mapping[str, str | None], of: str) -> bool:
    """Whether a text is a condition on one row of a table; says what is wrong with it otherwise."""
    text, before = str(node.value), len(node.doc.problems.all)
    try:
        tokens = sqlglot.tokenize(text, dialect=DIALECT)
        condition = sqlglot.parse_one(f"SELECT ({text})", dialect=DIALECT).expressions[0]
    except (ParseError, TokenError) as error:
        node.refuse(f"condition '{text}' is not Spark SQL: {_place_of(error)[1]}", "Write what must hold of a row: updated_at >= ordered_at.")
        return False
    if any(token.comments for token in tokens) or any(token.token_type == TokenType.SEMICOLON for token in tokens):
        node.refuse("a condition holds no comments and no ';'", "Put the comment above it, after #.")
    for _, message, fix in _volatile(tokens):
        node.refuse(message, fix)
    if condition.find(exp.Query, exp.AggFunc, exp.Window):
        node.refuse("a condition speaks of one row: no SELECT, no aggregate, no window", "Use a table rule, or compute it in SQL first.")
    for column in condition.find_all(exp.Column):
        if column.table or column.name.lower() not in columns:
            written = column.sql(dialect=DIALECT)
            node.refuse(f"'{written}' in the condition is not a column of {of}", did_you_mean(column.name, columns))
    inner = condition.unnest()
    if isinstance(inner, (exp.Literal, exp.Binary)) and not isinstance(inner, (exp.Predicate, exp.Connector, exp.Dot)):
        node.refuse(f"'{text}' is neither true nor false", "Compare something: <, =, IN, IS NOT NULL, LIKE.")
    return len(node.doc.problems.all) == before


def normalised(text: str) -> str:
    """The tokens of an SQL text: comments, white space and the case of keywords do not show, everything else does.

    Tokens and not a printed tree: sqlglot prints some different trees alike, and an edit that it does not see would not rebuild the table.
    """
    words = (_word(token) for token in sqlglot.tokenize(text, dialect=DIALECT))
    return " ".join(words)


def _word(token: Token) -> str:
    if token.token_type in _QUOTED:
        return f"{token.token_type.name}:{len(token.text)}:{token.text}"
    return token.text if token.token_type in (TokenType.VAR, TokenType.NUMBER) else token.text.upper()


def _place_of(error: SqlglotError) -> tuple[int, str]:
    details = getattr(error, "errors", None) or [{}]
    line = details[0].get("line") or 1
    text = details[0].get("description") or str(error).splitlines()[0]
    near = details[0].get("highlight")
    return int(line), f"{text}{f' at {near!r}' if near else ''}"


def _volatile(tokens: Sequence[Token]) -> list[tuple[int, str, str]]:
    """Line, message and fix of every call that does not depend on the rows alone."""
    found = []
    for index, token in enumerate(tokens):
        name = token.text.lower()
        if token.token_type in _QUOTED or (index and tokens[index - 1].token_type == TokenType.DOT):
            continue
        called = index + 1 < len(tokens) and tokens[index + 1].token_type == TokenType.L_PAREN
        if name in _VOLATILE and (called or (name in _WITHOUT_BRACKETS and not _is_alias(tokens, index))):
            fix = "Take the time from a column, a key from a hash (xxhash64) of the row's own key."
            found.append((token.line, f"{name} gives another answer on every run, so that a rebuild would not equal the table", fix))
        elif name in _ORDER_DEPENDENT and called and not _windowed(tokens, index + 1):
            fix = "Use max_by(value, order), min, max, or sort_array(collect_list(...)) with a total order in a window."
            found.append((token.line, f"{name} depends on the order in which rows arrive, so that a rebuild would not equal the table", fix))
        elif name in _NO_SUM_OF_PARTS and called and tokens[index + 2].token_type == TokenType.R_PAREN:
            found.append((token.line, f"{_NO_SUM_OF_PARTS[name]}, so that a rebuild would not equal the table", "Give it a column."))
    return found


def _is_alias(tokens: Sequence[Token], index: int) -> bool:
    return index > 0 and tokens[index - 1].token_type == TokenType.ALIAS


def _windowed(tokens: Sequence[Token], opening: int) -> bool:
    """Whether the call whose bracket opens here is followed by OVER, or is sorted by the function around it."""
    if opening >= 3 and tokens[opening - 2].token_type == TokenType.L_PAREN and tokens[opening - 3].text.lower() in ("sort_array", "array_sort"):
        return True
    depth = 0
    for index in range(opening, len(tokens)):
        depth += (tokens[index].token_type == TokenType.L_PAREN) - (tokens[index].token_type == TokenType.R_PAREN)
        if depth == 0:
            after = [token.text.lower() for token in tokens[index + 1 : index + 4]]
            return bool(after) and (after[0] == "over" or (after[0] in ("ignore", "respect") and after[-1] == "over"))
    return False


def _refuse_clauses(query: exp.Query, tokens: Sequence[Token], sql: SqlFile, problems: Problems, *, limited: bool) -> None:
    """TABLESAMPLE and recursion; LIMIT where it is not `limited` to a whole, ordered table."""
    lines = {token.text.lower(): token.line for token in reversed(tokens) if token.token_type not in _QUOTED}
    if query.find(exp.TableSample):
        fix = "Filter by a hash of the key instead."
        problems.add(sql.file, lines.get("tablesample", 1), "TABLESAMPLE gives other rows on every run", fix)
    for clause in query.find_all(exp.Limit, exp.Fetch, exp.Offset):
        ordered = clause.parent is not None and clause.parent.args.get("order") is not None
        if not limited or not ordered:
            line = next((lines[word] for word in ("limit", "fetch", "offset") if word in lines), 1)
            why = "LIMIT without ORDER BY takes any rows" if limited else "LIMIT: which rows are first depends on all the others"
            problems.add(sql.file, line, why, "Use load: replace with ORDER BY, or a window function and a filter.")
    if any(views.args.get("recursive") for views in query.find_all(exp.With)):
        fix = "Write the levels out, or load the tree flat."
        problems.add(sql.file, lines.get("recursive", 1), "recursive queries are not supported by this version", fix)


def line_of(expression: exp.Expr) -> int:
    """The line of the first name in an expression."""
    for part in expression.find_all(exp.Identifier, bfs=False):
        if "line" in part.meta:
            return int(part.meta["line"])
    return 1


def _read_of(table: exp.Table, sql: SqlFile, problems: Problems, known: Sequence[str]) -> TableRead | None:
    parts = [part for part in table.parts if isinstance(part, exp.Identifier)]
    line, written = line_of(table), ".".join(part.name for part in parts)
    changed = len(parts) == 3 and parts[0].name == CHANGED
    name = ".".join(part.name for part in parts[-2:]) if changed or len(parts) == 2 else written
    if name not in known or len(parts) == 1:
        problems.add(
            sql.file, line, f"'{written}' is not a table of this lake", did_you_mean(name, [word for word in known if not word.startswith("bronze.")])
        )
        return None
    start, end = parts[0].meta.get("start"), parts[-1].meta.get("end")
    if start is None or end is None or sql.text[start : end + 1] != written:
        problems.add(sql.file, line, f"table {name} is not written plainly", f"Write {written}, without quotes and spaces.")
        return None
    return TableRead(name=name, changed=changed, line=line)


def _qualified_by_alias(query: exp.Query, sql: SqlFile, problems: Problems) -> bool:
    """Columns must not be qualified by the bare name of a table, nor texts name one: the engine renames tables in the text."""
    good = True
    bare = {table.name for table in query.find_all(exp.Table) if table.args.get("db") and not table.alias}
    aliases = {found.alias for found in query.find_all(exp.Table, exp.CTE, exp.Subquery, exp.Lateral) if found.alias}
    for column in query.find_all(exp.Column):
        if column.table and (column.args.get("db") or column.table in bare - aliases):
            written = column.sql(dialect=DIALECT)
            fix = f"Give the table an alias (FROM layer.{column.table} AS {column.table[0]}) and write {column.table[0]}.{column.name}."
            problems.add(sql.file, line_of(column), f"'{written}' qualifies a column by its table's name", fix)
            good = False
    for token in sqlglot.tokenize(sql.text, dialect=DIALECT):
        if token.token_type in _QUOTED and re.search(rf"\b({'|'.join(LAYERS)})\.[a-z]", token.text):
            problems.add(
                sql.file, token.line, f"the text '{token.text}' looks like a table's name", "Write it another way: tables are renamed in this text."
            )
            good = False
    return good
