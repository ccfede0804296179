"""Rows with canaries in the classified columns of a lake's sources: sound ones, and one for every kind of fault. By contracts, never by name."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from shared.spec.lake import Lake, Rule, Table

_STEP = timedelta(seconds=1)
_AGO = timedelta(minutes=30)  # within every window: behind safety lags, within lookbacks

# Ways in which a source fails over a value and its database then quotes it; `{0}` is a classified column, `{1}` the watermark, `{2}` the word.
_FAILURES = (
    "case when {0} like {2} then cast(cast({0} as integer) as text) else {0} end as {0}",
    "case when {0} like {2} then public.quoting({0}) else {0} end as {0}",
    "case when {0} like {2} then cast({0} as timestamptz) else {1} end as {1}",  # met by questions on the driver too
)
_QUOTING = """
create or replace function public.quoting(text) returns text language plpgsql as $$
begin raise unique_violation using message = 'duplicate of ' || $1, detail = 'Key (it)=(' || $1 || ') already exists.'; end $$
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """One row as it was written: what it is, the reason it must be rejected for (None: it is sound), and its canaries by column."""

    table: str
    kind: str
    reason: str | None
    canaries: Mapping[str, str]


def classified_sources(lake: Lake) -> list[Table]:
    """The tables that read classified columns. Raises when one is read from files: then canaries must be planted in files too."""
    found = [table for table in lake.sources if classified(table)]
    assert all(table.source.kind == "windows" for table in found), "plant canaries in files and snapshots too"
    return found


def classified(table: Table) -> list[str]:
    return [column.name for column in table.columns if column.classification]


def plant(connection: Any, table: Table, word: str) -> list[Planted]:
    """Write them, each with a key and a position of its own."""
    cursor = connection.cursor(row_factory=dict_row)
    relation, kinds = _relation(table), _kinds(connection, table)
    mark = table.source.windows.column
    base = cursor.execute(sql.SQL("select * from {} order by {} limit 1").format(relation, sql.Identifier(mark))).fetchone()
    start = cursor.execute("select now() as at").fetchone()["at"] - _AGO
    planted = []
    for number, (kind, reason, changed) in enumerate(_rows(table, kinds, word)):
        row = (
            {name: value for name, value in base.items() if name in kinds} | _own_key(table, base, number) | {mark: start + number * _STEP} | changed
        )
        canaries = {name: row[name] for name in classified(table)}
        copies = 2 if kind == "copied" else 1
        names = sql.SQL(", ").join(map(sql.Identifier, row))
        places = sql.SQL(", ").join([sql.Placeholder()] * len(row))
        for _ in range(copies):
            cursor.execute(sql.SQL("insert into {} ({}) values ({})").format(relation, names, places), list(row.values()))
        planted.append(Planted(table=table.name, kind=kind, reason=reason, canaries=canaries))
    return planted


def break_source(connection: Any, table: Table, word: str, *, way: int, reader: str) -> None:
    """Put a view in the place of the table that fails over every canary, in one of the ways."""
    connection.execute(_QUOTING)
    kept, relation, mark = _kept(table), _relation(table), table.source.windows.column
    column = classified(table)[0]
    failure = sql.SQL(_FAILURES[way % len(_FAILURES)]).format(sql.Identifier(column), sql.Identifier(mark), sql.Literal(f"{word}%"))
    broken = mark if way % len(_FAILURES) == 2 else column
    names = [name for (name,) in connection.execute(_COLUMNS.format("column_name"), _place(table))]
    chosen = sql.SQL(", ").join(failure if name == broken else sql.Identifier(name) for name in names)
    connection.execute(sql.SQL("alter table {} rename to {}").format(relation, sql.Identifier(kept)))
    connection.execute(sql.SQL("create view {} as select {} from {}").format(relation, chosen, _relation(table, kept)))
    connection.execute(sql.SQL("grant select on {} to {}").format(relation, sql.Identifier(reader)))


def mend_source(connection: Any, table: Table) -> None:
    connection.execute(sql.SQL("drop view {}").format(_relation(table)))
    connection.execute(sql.SQL("alter table {} rename to {}").format(_relation(table, _kept(table)), sql.Identifier(_place(table)[1])))


def _rows(table: Table, kinds: Mapping[str, str], word: str) -> Iterator[tuple[str, str | None, dict[str, Any]]]:
    """Kind of row, the reason it is rejected for, and the values that make it so."""
    numbers = iter(range(1, 10_000))
    critical = [rule for rule in table.rules if rule.kind == "row" and rule.severity == "critical"]

    def sound(name: str) -> str:
        texts = _texts(word, name, next(numbers))
        return _first(text for text in texts if not any(_breaks(rule, text) for rule in critical if _subject(rule) == name))

    def row(**spoilt: Any) -> dict[str, Any]:
        return {name: sound(name) for name in classified(table)} | spoilt

    yield "sound", None, row()
    yield "copied", "exact_copy", row()
    for rule in critical:
        name = _subject(rule)
        if name in classified(table) and rule.expectation in _BREAKS:
            text = _first(text for text in _texts(word, name, next(numbers)) if _breaks(rule, text))
            yield f"breaks {rule.id}", rule.id, row(**{name: text})
        elif rule.expectation == "expect_column_values_to_be_in_set":
            yield f"breaks {rule.id}", rule.id, row(**{name: "no such value"})
    for column in table.columns:
        if column.type != "string" and kinds.get(column.name) == "text":
            yield f"{column.name} cannot be cast", f"{column.name}.type", row(**{column.name: "three"})
        if column.key_position is not None and column.name != table.source.windows.column:
            yield f"without {column.name}", f"{column.name}.required", row(**{column.name: None})


def _texts(word: str, column: str, number: int) -> tuple[str, ...]:
    """What a canary may look like; every part of one that is worth something begins with the word. It says whose it is."""
    plain = f"{word}-{column}-{number:04d}"
    return plain, f"{plain}@{word}.example", f"{plain} {plain}"


_BREAKS = {
    "expect_column_values_to_match_regex": lambda text, regex, **_: re.search(regex, text) is None,
    "expect_column_value_lengths_to_be_between": lambda text, min_value=0, max_value=None, **_: (
        len(text) < min_value or (max_value is not None and len(text) > max_value)
    ),
}


def _breaks(rule: Rule, text: str) -> bool:
    """Raises KeyError for an expectation that no canary was ever measured against."""
    return rule.expectation != "expect_column_values_to_not_be_null" and _BREAKS[rule.expectation](text, **rule.kwargs)


def _subject(rule: Rule) -> str | None:
    return rule.kwargs.get("column")


def _first(texts: Iterator[str]) -> str:
    found = next(texts, None)
    assert found is not None, "no canary has the form that this column's rules ask for: add one to _texts"
    return found


def _own_key(table: Table, base: Mapping[str, Any], number: int) -> dict[str, str]:
    """A text key with another number at its end, as long as it was."""
    texts = {name: base[name] for name in table.key if isinstance(base[name], str)}
    return {name: re.sub(r"\d{6}$", lambda digits: f"{int(digits[0]) + 500_000 + number:06d}", text) for name, text in texts.items()}


_COLUMNS = "select {} from information_schema.columns where table_schema = %s and table_name = %s order by ordinal_position"


def _kinds(connection: Any, table: Table) -> dict[str, str]:
    """Type by name of the columns that can be written."""
    found = connection.execute(_COLUMNS.format("column_name, data_type, is_generated"), _place(table)).fetchall()
    return {name: kind for name, kind, generated in found if generated == "NEVER"}


def _place(table: Table) -> list[str]:
    return table.source.relation.split(".")


def _kept(table: Table) -> str:
    return f"{_place(table)[1]}_kept"


def _relation(table: Table, name: str | None = None) -> sql.Identifier:
    schema, own = _place(table)
    return sql.Identifier(schema, name or own)
