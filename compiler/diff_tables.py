"""What changed between two versions of one compiled table, each change weighed: does it break who reads the table or who feeds it?

breaking     a reader or the source must act, or rows are judged harder, or the stored table cannot follow by itself
compatible   the next run applies it, and nobody needs to act
words        nothing that a row could show
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from compiler.diff_rules import compare_rules
from compiler.hashes import contract_hash
from compiler.sql import normalised
from shared.spec.codec import to_json
from shared.spec.lake import LEVELS, Column, Rule, Source, Table
from shared.spec.stored_types import is_widened

Weight = Literal["breaking", "compatible", "words"]

_OF_TYPE = "expect_column_values_to_be_of_type"
_FROM_BELOW = ("append", "log", "merge", "scd2")  # their rows were landed before a column came
# How a source is read, not what: neither windows' sizes nor where a copy of the same database stands change a row.
_READING = (
    "watermark.lookback",
    "watermark.safety_lag",
    "watermark.max_window",
    "watermark.start_at",
    "servers.",
    "parallel",
    "files.max_objects",
    "snapshot.min_share",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change. `columns` are the table's own that it touches, empty where it is about the whole table."""

    weight: Weight
    what: str
    why: str | None = None
    columns: tuple[str, ...] = ()


def changes_of(old: Table, new: Table) -> tuple[Change, ...]:
    """Every change, the breaking ones first."""
    found = [
        *_columns(old, new),
        *_keys(old, new),
        *_rules(old, new),
        *_loading(old, new),
        *_source(old, new),
        *_readers(old, new),
        *_words(old, new),
    ]
    if not any(change.weight != "words" for change in found) and _hash(old) != _hash(new):
        found.append(Change(weight="breaking", what="the contract changed", why="in a way that this comparison does not know"))
    return tuple(sorted(found, key=lambda change: ("breaking", "compatible", "words").index(change.weight)))


# ---- columns


def _columns(old: Table, new: Table) -> Iterator[Change]:
    had, has = {column.name: column for column in old.columns}, {column.name: column for column in new.columns}
    gone, came = [had[name] for name in had if name not in has], [has[name] for name in has if name not in had]
    for column in gone:
        yield Change(weight="breaking", what=f"column '{column.name}' removed", why=_renamed(column, came, old, new), columns=(column.name,))
    for column in came:
        yield _added(column, new)
    for name in (name for name in had if name in has):
        yield from _column(had[name], has[name])
    if [name for name in had if name in has] != [name for name in has if name in had]:
        yield Change(weight="compatible", what="columns stand in another order")


def _added(column: Column, table: Table) -> Change:
    told = f"column '{column.name}' {column.type} added"
    if column.required and table.load in _FROM_BELOW:
        why = "it is required, and rows that were loaded before do not have it"
        return Change(weight="breaking", what=f"required {told}", why=why, columns=(column.name,))
    return Change(weight="compatible", what=told, columns=(column.name,))


def _renamed(column: Column, came: Iterable[Column], old: Table, new: Table) -> str | None:
    """A hint where an added column looks like this one under another name: of its type, at its place or with a like name."""
    place = old.columns.index(column)
    for other in came:
        alike = difflib.SequenceMatcher(None, column.name, other.name).ratio() >= 0.6
        if column.type == other.type and (alike or new.columns.index(other) == place):
            return f"looks renamed to '{other.name}'; to a reader that is a removal and an addition"
    return None


def _column(old: Column, new: Column) -> Iterator[Change]:
    own, name = (old.name,), f"column '{old.name}'"
    if is_widened(old.type, new.type):
        yield Change(weight="compatible", what=f"{name} widened", why=f"{old.type} -> {new.type}: every value stays as it is", columns=own)
    elif old.type != new.type:
        yield Change(weight="breaking", what=f"{name} retyped", why=f"{old.type} -> {new.type}", columns=own)
    if new.required and not old.required:
        yield Change(weight="breaking", what=f"{name} made required", why="rows without it were good, and are not any more", columns=own)
    if old.required and not new.required:
        yield Change(weight="breaking", what=f"{name} made optional", why="who reads it may meet NULL now", columns=own)
    was, now = (LEVELS.index(column.classification or "public") for column in (old, new))
    if was != now:
        weight: Weight = "breaking" if now > was else "compatible"
        yield Change(weight=weight, what=f"{name} classified otherwise", why=f"{LEVELS[was]} -> {LEVELS[now]}", columns=own)
    if old.mask != new.mask:
        why = f"{old.mask or 'clear'} -> {new.mask or 'clear'}: rows landed before keep their value, so old and new ones do not compare"
        yield Change(weight="breaking", what=f"{name} masked otherwise", why=why, columns=own)
    if old.lineage != new.lineage:
        why = f"from {', '.join(new.lineage) or 'no column'} (was {', '.join(old.lineage) or 'no column'})"
        yield Change(weight="compatible", what=f"{name} computed from other columns", why=why, columns=own)


def _keys(old: Table, new: Table) -> Iterator[Change]:
    if old.key != new.key:
        why = f"({', '.join(old.key)}) -> ({', '.join(new.key)}): its rows are other things now"
        yield Change(weight="breaking", what="primary key changed", why=why)
    if old.partitions != new.partitions:
        why = f"({', '.join(old.partitions)}) -> ({', '.join(new.partitions)}): a table that is there keeps its own until somebody makes it anew"
        yield Change(weight="breaking", what="partitions changed", why=why)
    if old.zorder != new.zorder:
        yield Change(weight="compatible", what="Z-order changed", why=f"({', '.join(old.zorder)}) -> ({', '.join(new.zorder)})")


# ---- rules


def _rules(old: Table, new: Table) -> Iterator[Change]:
    """But those that a column's type and `required` imply and the key's own: their changes are the column's and the key's."""
    kept = {column.name for column in old.columns} & {column.name for column in new.columns}
    had, has = ({rule.id: rule for rule in _own_rules(table, kept)} for table in (old, new))
    renamed = dict(_renamed_rules([had[i] for i in had if i not in has], [has[i] for i in has if i not in had]))
    for was, now in renamed.items():
        yield Change(
            weight="compatible", what=f"rule '{was}' is called '{now}'", why="rejects and bypasses carry the new name", columns=_of(has[now])
        )
    for rule_id in (i for i in had if i not in has and i not in renamed):
        yield Change(weight="compatible", what=f"rule '{rule_id}' removed", columns=_of(had[rule_id]))
    for rule_id in (i for i in has if i not in had and i not in renamed.values()):
        yield _added_rule(has[rule_id])
    for rule_id in (i for i in has if i in had):
        yield from _changed_rule(had[rule_id], has[rule_id], old, new)


def _own_rules(table: Table, kept: set[str]) -> Iterator[Rule]:
    required = {f"{column.name}.required" for column in table.columns if column.required}
    for rule in table.rules:
        implied = rule.expectation == _OF_TYPE or rule.id in required or (rule.id == "primary_key" and rule.kind == "unique")
        if not implied and (rule.element is None or rule.element in kept):
            yield rule


def _renamed_rules(gone: Iterable[Rule], came: Iterable[Rule]) -> Iterator[tuple[str, str]]:
    left = list(came)
    for rule in gone:
        same = next((other for other in left if replace(other, id=rule.id) == rule), None)
        if same is not None:
            left.remove(same)
            yield rule.id, same.id


def _added_rule(rule: Rule) -> Change:
    if rule.severity == "warning":
        return Change(weight="compatible", what=f"rule '{rule.id}' added", why="it only warns", columns=_of(rule))
    return Change(weight="breaking", what=f"rule '{rule.id}' added", why="rows that were good may break it", columns=_of(rule))


def _changed_rule(old: Rule, new: Rule, before: Table, after: Table) -> Iterator[Change]:
    compared = compare_rules(old, new, before, after)
    if compared.relation == "same":
        return
    weight: Weight
    told = {"looser": "loosened", "tighter": "tightened"}.get(compared.relation, "changed")
    if compared.relation == "looser":
        weight, note = "compatible", ""
    elif new.severity == "warning":
        weight, note = "compatible", "; it only warns"
    else:
        weight, note = "breaking", "; taken as breaking" if compared.relation == "other" else ""
    yield Change(weight=weight, what=f"rule '{new.id}' {told}", why=f"{compared.why}{note}", columns=_of(new))


def _of(rule: Rule) -> tuple[str, ...]:
    """The columns a rule speaks of."""
    listed = rule.kwargs.get("column_list", ())
    return (rule.element,) if rule.element is not None else tuple(listed)


# ---- how it is made


def _loading(old: Table, new: Table) -> Iterator[Change]:
    for what, was, now in (
        ("load", old.load, new.load),
        ("the table it is loaded from", old.origin, new.origin),
        ("sequence", old.sequence, new.sequence),
        ("delete_when", _plain(old.delete_when), _plain(new.delete_when)),
    ):
        if was != now:
            why = "which rows are deleted is decided otherwise" if what == "delete_when" else f"{was or 'none'} -> {now or 'none'}"
            yield Change(weight="breaking", what=f"{what} changed", why=why)
    had, has = ({} if table.history is None else to_json(table.history) for table in (old, new))
    for key in sorted({*had, *has}) if had and has else ():
        if had.get(key) != has.get(key):
            why = f"{_listed(had.get(key))} -> {_listed(has.get(key))}: versions are cut otherwise"
            yield Change(weight="breaking", what=f"{'tracked columns' if key == 'tracked' else key} changed", why=why)
    if _plain(old.sql) != _plain(new.sql) and old.load == new.load:
        yield Change(
            weight="compatible", what="SQL changed", why="the next run computes the whole table again; its columns are compared by themselves"
        )


def _source(old: Table, new: Table) -> Iterator[Change]:
    if old.source is None or new.source is None:
        return
    had, has = (_flat(to_json(source) | {"servers": _places(source)}) for source in (old.source, new.source))
    tolerance = "reject_tolerance."
    for path in sorted({*had, *has}):
        was, now = had.get(path), has.get(path)
        if was == now:
            continue
        why = f"{_listed(was)} -> {_listed(now)}"
        if path.startswith(tolerance):
            looser = now is not None and was is not None and now > was
            yield Change(weight="compatible" if looser else "breaking", what=f"{path} {'loosened' if looser else 'tightened'}", why=why)
        elif path.startswith(_READING) or (path == "widening" and now == "accept"):
            yield Change(weight="compatible", what=f"source: {path} changed", why=why)
        else:
            yield Change(weight="breaking", what=f"source: {path} changed", why=why)


def _places(source: Source) -> dict[str, str]:
    """Where the source is, by environment."""
    told = {s.environment: to_json(s) for s in source.servers}
    return {name: ", ".join(f"{key} {value}" for key, value in server.items() if value is not None) for name, server in told.items()}


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Leaves by their dotted path."""
    if not isinstance(value, Mapping):
        return {path: value}
    return {name: leaf for key, item in value.items() for name, leaf in _flat(item, f"{path}.{key}" if path else str(key)).items()}


# ---- words


def _readers(old: Table, new: Table) -> Iterator[Change]:
    for role in sorted({*old.readers} - {*new.readers}):
        yield Change(weight="breaking", what=f"role '{role}' taken away", why="who has it reads the table today")
    for role in sorted({*new.readers} - {*old.readers}):
        yield Change(weight="compatible", what=f"opened to role '{role}'")


def _words(old: Table, new: Table) -> Iterator[Change]:
    for what, was, now in (
        ("title", old.title, new.title),
        ("owner", old.owner, new.owner),
        ("domain", old.domain, new.domain),
        ("group", old.group, new.group),
    ):
        if was != now:
            yield Change(weight="words", what=f"{what} changed", why=f"{was} -> {now}")
    if old.sql != new.sql and _plain(old.sql) == _plain(new.sql):
        yield Change(weight="words", what="comments or layout of its SQL changed")
    if old.affected_sql != new.affected_sql:
        yield Change(weight="words", what="its affected SQL changed", why="it says when a row is computed again, not what the row is")


def _hash(table: Table) -> str:
    """Of all that is not compared to the end above."""
    return contract_hash(replace(table, version="", group="", affected_sql=None, rules=()))


def _plain(sql: str | None) -> str | None:
    return None if sql is None else normalised(sql)


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else "none" if value is None else str(value)
