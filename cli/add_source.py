"""Reading a table's description from PostgreSQL's own catalogue, and what a sample of it looks like. Reads alone; no value leaves this module."""

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
from psycopg import sql

from cli.add_described import Described, DescribedColumn
from cli.add_personal import contents_of
from cli.errors import CommandError, Misused

SAMPLE_ROWS = 1000
POSTGRES = ("postgres", "postgresql")  # what contracts call a server of this kind
_TIMEOUT_MS = 30_000
_NAMED = 20  # tables, where one is not there
_LONGEST = 200  # characters of a value that are looked at

_FIND = """
select c.oid, obj_description(c.oid, 'pg_class') from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = %s and c.relname = %s and c.relkind in ('r', 'v', 'm', 'p', 'f')
"""
_KNOWN = """
select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'v', 'm', 'p', 'f') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast') order by 1
"""
_COLUMNS = """
select a.attname,
       case when t.typtype = 'd' then format_type(t.typbasetype, t.typtypmod) else format_type(a.atttypid, a.atttypmod) end,
       a.attnotnull or t.typnotnull,
       a.attidentity <> '' or coalesce(pg_get_expr(d.adbin, d.adrelid) like 'nextval(%%', false),
       col_description(a.attrelid, a.attnum),
       array(select e.enumlabel::text from pg_enum e where e.enumtypid = t.oid order by e.enumsortorder)
from pg_attribute a join pg_type t on t.oid = a.atttypid left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attrelid = %s and a.attnum > 0 and not a.attisdropped order by a.attnum
"""
_INDEXES = """
select i.indisprimary, i.indisunique and i.indpred is null and i.indexprs is null,
       array(select a.attname::text from unnest(i.indkey::int2[]) with ordinality k(number, place)
             join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number where k.place <= i.indnkeyatts order by k.place)
from pg_index i where i.indrelid = %s and i.indisvalid order by i.indexrelid
"""
_CHECKS = "select pg_get_expr(conbin, conrelid) from pg_constraint where conrelid = %s and contype = 'c' order by conname"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Where a database is and who asks. The password is in no text made of it."""

    host: str
    port: int
    database: str
    username: str
    password: str = field(repr=False)


def describe(login: Login, schema: str, name: str, *, sampled: bool) -> Described:
    """Raises Misused when there is no such table, CommandError when the database does not answer or says no."""
    with asking(login) as connection:
        found = connection.execute(_FIND, [schema, name]).fetchone()
        if found is None:
            known = [row[0] for row in connection.execute(_KNOWN).fetchall()]
            raise Misused(f"{schema}.{name} is not a table or view of {login.database}{_there_are(f'{schema}.{name}', known)}")
        oid, comment = found
        columns = [_column(row) for row in connection.execute(_COLUMNS, [oid]).fetchall()]
        indexes = connection.execute(_INDEXES, [oid]).fetchall()
        checks = tuple(row[0] for row in connection.execute(_CHECKS, [oid]).fetchall())
        if sampled:
            columns = _sampled(connection, schema, name, columns)
    return Described(
        schema=schema,
        name=name,
        columns=tuple(columns),
        comment=comment,
        key=next((tuple(names) for primary, _, names in indexes if primary), ()),
        uniques=tuple(dict.fromkeys(tuple(names) for primary, unique, names in indexes if unique and not primary and names)),
        indexed=frozenset(names[0] for _, _, names in indexes if names),
        checks=checks,
    )


def _there_are(name: str, known: Sequence[str]) -> str:
    """The nearest of the names that the role can see, and the names: first those of the schema that was asked for."""
    near = difflib.get_close_matches(name, known, n=1)
    schema = name.split(".")[0] + "."
    first = sorted(known, key=lambda other: (not other.startswith(schema), other))
    more = f" and {len(first) - _NAMED} more" if len(first) > _NAMED else ""
    return f"{f'; did you mean {near[0]}?' if near else '.'} There are {', '.join(first[:_NAMED]) or 'none'}{more}"


def _column(row: Sequence[Any]) -> DescribedColumn:
    name, kind, required, counted, comment, labels = row
    return DescribedColumn(name=name, type=kind, required=required, counted=counted, comment=comment, labels=tuple(labels))


def _sampled(connection: "psycopg.Connection[Any]", schema: str, name: str, columns: Sequence[DescribedColumn]) -> list[DescribedColumn]:
    """The columns with what the first rows look like. Bytes are not looked at."""
    looked = [column for column in columns if column.type != "bytea"]
    cut = sql.SQL(", ").join(sql.SQL("left({}::text, {})").format(sql.Identifier(column.name), _LONGEST) for column in looked)
    query = sql.SQL("select {} from {} limit {}").format(cut, sql.Identifier(schema, name), SAMPLE_ROWS)
    rows = connection.execute(query).fetchall() if looked else []
    contents = {column.name: contents_of(row[place] for row in rows) for place, column in enumerate(looked)}
    return [replace(column, contents=contents.get(column.name)) for column in columns]


@contextmanager
def asking(login: Login) -> Iterator["psycopg.Connection[Any]"]:
    """A connection that can change nothing and does not wait long. Errors say the database's own first line: it names objects, never rows."""
    place = f"{login.host}:{login.port}/{login.database}"
    try:
        with psycopg.connect(
            host=login.host,
            port=login.port,
            dbname=login.database,
            user=login.username,
            password=login.password,
            connect_timeout=10,
            options=f"-c default_transaction_read_only=on -c statement_timeout={_TIMEOUT_MS}",
        ) as connection:
            yield connection
    except psycopg.OperationalError as failed:
        raise CommandError(f"{place} does not answer, or refuses {login.username}: {_first_line(failed, login)}") from None
    except psycopg.errors.InsufficientPrivilege as refused:
        raise CommandError(
            f"{place}: {_first_line(refused, login)}; grant {login.username} select on it, or leave the sample out: --no-sample"
        ) from None
    except psycopg.Error as failed:
        raise CommandError(f"{place}: {type(failed).__name__} while the table was described ({failed.sqlstate})") from None


def _first_line(failed: psycopg.Error, login: Login) -> str:
    return (str(failed).strip().splitlines() or [type(failed).__name__])[0].replace(login.password, "********")
