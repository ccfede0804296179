"""One SELECT over `layer.table` names: what `sluice sql` accepts, and which certified tables it reads. Pure but for the state's pointer."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from cli.errors import Misused
from shared.core.layout import batch_id
from shared.core.ports import State
from shared.spec.lake import Lake, Table

DELETED = "_deleted"  # marks a merged table's tombstones
_PLACE = "sluice sql"


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One table that a query reads, as the last committed run left it. Bronze is read up to its last committed batch."""

    table: Table
    version: int
    last_batch: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A SELECT as written, parsed, and what it reads."""

    text: str
    parsed: exp.Query
    reads: tuple[Read, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Rows in the order of the query. `notes` are what a reader should know of them."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    notes: tuple[str, ...]


def resolve(text: str, *, lake: Lake, state: State, dialect: str) -> Query:
    """Raises Misused when it is not one SELECT, or reads what is not a certified table of the lake."""
    parsed = _one_select(text, dialect)
    certified = state.certified().tables
    names = dict.fromkeys(table_name(node, lake) for node in tables_of(parsed))
    reads = []
    for name in names:
        if name not in certified:
            raise Misused(f"{_PLACE}: {name} is not certified yet: no run has committed it. {_known(lake, certified)}")
        table = lake.table(name)
        last = batch_id(table, state.progress(name).seq) if table.layer == "bronze" else None
        reads.append(Read(table=table, version=certified[name].version, last_batch=last))
    return Query(text=text, parsed=parsed, reads=tuple(reads))


def tables_of(parsed: exp.Expr) -> list[exp.Table]:
    """The tables a query names; neither its own WITH names nor functions in FROM."""
    own = {cte.alias_or_name.lower() for cte in parsed.find_all(exp.CTE)}
    found = [node for node in parsed.find_all(exp.Table) if isinstance(node.this, exp.Identifier)]
    return [node for node in found if node.db or node.name.lower() not in own]


def table_name(node: exp.Table, lake: Lake) -> str:
    """The lake's name of a table. Raises Misused with what there is."""
    written = ".".join(part for part in (node.catalog, node.db, node.name) if part)
    name = written.lower()
    known = [table.name for table in lake.tables]
    if name in known:
        return name
    bare = [candidate for candidate in known if candidate.split(".", 1)[1] == name]
    near = bare or difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    raise Misused(f"{_PLACE}: {written} is not a table of this lake. {hint}There are {', '.join(known)}")


def rows_of(found: Any) -> tuple[tuple[Any, ...], ...]:
    """Plain Python values of an Arrow table, row by row."""
    return tuple(zip(*(column.to_pylist() for column in found.columns), strict=True))


def _one_select(text: str, dialect: str) -> exp.Query:
    try:
        statements = [statement for statement in sqlglot.parse(text, read=dialect) if statement is not None]
    except SqlglotError as odd:
        errors: list[Mapping[str, Any]] = getattr(odd, "errors", [])
        place = f" at line {errors[0]['line']}, column {errors[0]['col']}" if errors and errors[0].get("line") else ""
        reason = errors[0]["description"] if errors else str(odd)
        raise Misused(f"{_PLACE}: this is not SQL{place}: {reason.rstrip('.')}") from odd
    if len(statements) != 1:
        raise Misused(f"{_PLACE}: one statement at a time; found {len(statements)}")
    (statement,) = statements
    if not isinstance(statement, exp.Query) or statement.find(exp.DML, exp.DDL, exp.Into, exp.Command):
        raise Misused(f"{_PLACE}: only SELECT: tables are written by runs alone. Found {statement.key.upper()}")
    return statement


def _known(lake: Lake, certified: Mapping[str, object]) -> str:
    names = [table.name for table in lake.tables if table.name in certified]
    return f"Certified are {', '.join(names)}" if names else "Nothing is; start a run with `sluice run`"
