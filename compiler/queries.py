"""What a SELECT gives: output columns with their types and what each is computed from. Resolved against the contracts of its inputs by sqlglot.

A type is *exact* where nothing but names, casts and choices between equal types leads to it. Elsewhere only its family is trusted: sqlglot does
not know Spark's arithmetic (a year is a tinyint to it, a sum of decimals keeps its precision), and where it knows nothing, nothing is said.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.lineage import Node as LineageNode
from sqlglot.lineage import lineage
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, build_scope, traverse_scope
from sqlglot.schema import MappingSchema

from compiler.draft import SqlFile
from compiler.problems import Problems, did_you_mean
from compiler.spark_types import family
from compiler.sql import CHANGED, DIALECT, line_of

Types = Mapping[str, Mapping[str, str]]  # layer.table -> column -> Spark type

_CHOICES = (exp.Coalesce, exp.Max, exp.Min, exp.Greatest, exp.Least)
_PICKS = (exp.ArgMax, exp.ArgMin)  # max_by, min_by: of the first argument's type


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One output column. `type` is None where it is not known."""

    name: str
    type: str | None
    exact: bool
    line: int
    lineage: tuple[str, ...]  # layer.table.column, sorted
    plain: bool  # nothing but a column of the same name, all the way down


def outputs_of(query: exp.Query, types: Types, sql: SqlFile, problems: Problems) -> tuple[Output, ...] | None:
    """The output columns of a SELECT in order; None, with the problems written down, when names in it do not resolve."""
    schema = MappingSchema(_nested(types), dialect=DIALECT)
    try:
        resolved = qualify(
            _flattened(query),
            dialect=DIALECT,
            schema=schema,
            quote_identifiers=False,
            validate_qualify_columns=False,
            allow_partial_qualification=True,
        )
        if not _resolves(resolved, types, sql, problems) or not _equally_wide(resolved, sql, problems):
            return None
        typed = annotate_types(resolved, schema=schema, dialect=DIALECT)
        scope = build_scope(typed)
        if scope is None:
            raise SqlglotError("it is not a SELECT")
        origins = lineage(None, typed, schema, scope=scope, dialect=DIALECT, trim_selects=False, copy=False)
        return tuple(_output(column, origins[column.name], types) for column in _columns(scope, types))
    except SqlglotError as error:
        problems.add(sql.file, 1, f"the SELECT does not resolve: {str(error).splitlines()[0]}", "Check its names and aliases.")
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    name: str
    type: str | None
    exact: bool
    line: int


def _flattened(query: exp.Query) -> exp.Query:
    """A copy in which changed.layer.table is changed_layer.table: sqlglot wants all names equally deep."""
    copy = query.copy()
    for table in copy.find_all(exp.Table):
        if table.catalog == CHANGED:
            table.set("db", exp.to_identifier(f"{CHANGED}_{table.db}"))
            table.set("catalog", None)
    return copy


def _nested(types: Types) -> dict[str, object]:
    nested: dict[str, dict[str, dict[str, str]]] = {}
    for name, columns in types.items():
        layer, _, table = name.partition(".")
        nested.setdefault(layer, {})[table] = dict(columns)
        nested.setdefault(f"{CHANGED}_{layer}", {})[table] = dict(columns)
    return dict(nested)


def _table_name(table: exp.Table) -> str:
    return f"{table.db.removeprefix(f'{CHANGED}_')}.{table.name}"


# ---- names


def _resolves(query: exp.Expr, types: Types, sql: SqlFile, problems: Problems) -> bool:
    good = True
    for scope in traverse_scope(query):
        for column in scope.columns:
            source = scope.sources.get(column.table)
            known = _names_of(source, types) if source is not None else sorted({n for s in scope.sources.values() for n in _names_of(s, types) or ()})
            if source is not None and (known is None or column.name in known):
                continue
            if column.table and source is None:
                message, fix = f"'{column.table}' is not an alias here", did_you_mean(column.table, [name for name in scope.sources if name])
            elif column.name in (known or ()):
                message, fix = f"'{column.name}' is in more than one of the tables", "Write which: alias.column."
            else:
                message, fix = f"'{column.name}' is not a column{_of(source)}", did_you_mean(column.name, known or ())
            if column.name == "_deleted":
                fix = "Leave it out: deleted rows are filtered before the SQL sees them."
            problems.add(sql.file, line_of(column), message, fix)
            good = False
    return good


def _equally_wide(query: exp.Expr, sql: SqlFile, problems: Problems) -> bool:
    good = True
    for operation in query.find_all(exp.SetOperation):
        left, right = len(operation.left.selects), len(operation.right.selects)
        if left != right:
            message = f"one side of {operation.key.upper()} has {left} columns and the other {right}"
            problems.add(sql.file, line_of(operation.right), message, "Select the same columns on both sides.")
            good = False
    return good


def _names_of(source: Scope | exp.Expr | None, types: Types) -> list[str] | None:
    """The columns a source offers; None where sqlglot cannot tell (a generator, a star over it)."""
    if isinstance(source, exp.Table) and isinstance(source.this, exp.Identifier):
        return list(types.get(_table_name(source), ()))
    if isinstance(source, Scope) and isinstance(source.expression, exp.Query):
        names = list(source.expression.named_selects)
        return None if "*" in names else names
    return None


def _of(source: Scope | exp.Expr | None) -> str:
    return f" of {_table_name(source)}" if isinstance(source, exp.Table) else " here"


# ---- types


def _columns(scope: Scope, types: Types) -> list[_Column]:
    expression = scope.expression
    if isinstance(expression, exp.SetOperation):
        branches = [_columns(branch, types) for branch in scope.set_operation_scopes]
        return [_common(columns) for columns in zip(*branches, strict=False)]
    if isinstance(expression, exp.Subquery) and scope.subquery_scopes:
        return _columns(scope.subquery_scopes[0], types)
    return [
        _Column(name=select.alias_or_name, type=kind, exact=exact, line=line_of(select))
        for select in (expression.selects if isinstance(expression, exp.Query) else [])
        for kind, exact in [_type(select, scope, types)]
    ]


def _common(columns: tuple[_Column, ...]) -> _Column:
    first, kinds = columns[0], {column.type for column in columns}
    if len(kinds) == 1:
        return _Column(name=first.name, type=first.type, exact=all(column.exact for column in columns), line=first.line)
    families = {None if kind is None else family(kind) for kind in kinds}
    same = len(families) == 1 and None not in families
    return _Column(name=first.name, type=first.type if same else None, exact=False, line=first.line)


def _type(expression: exp.Expr, scope: Scope, types: Types) -> tuple[str | None, bool]:
    """A type and whether it is exact."""
    inner = expression.unalias()
    if isinstance(inner, exp.Paren):
        return _type(inner.this, scope, types)
    if isinstance(inner, exp.Cast):
        return _spelled(inner.to), True
    if isinstance(inner, exp.Count):
        return "bigint", True
    if isinstance(inner, exp.Column):
        return _type_of_column(inner, scope, types)
    if isinstance(inner, _PICKS):
        return _type(inner.this, scope, types)
    if isinstance(inner, _CHOICES):
        chosen = [_type(part, scope, types) for part in (inner.this, *inner.expressions) if not isinstance(part, exp.Null)]
        if len({kind for kind, _ in chosen}) == 1 and all(exact for _, exact in chosen):
            return chosen[0]
    if any(_type_of_column(column, scope, types)[0] is None for column in inner.find_all(exp.Column)):
        return None, False
    return _spelled(inner.type), False


def _type_of_column(column: exp.Column, scope: Scope, types: Types) -> tuple[str | None, bool]:
    source = scope.sources.get(column.table)
    if isinstance(source, exp.Table) and isinstance(source.this, exp.Identifier):
        found = types.get(_table_name(source), {}).get(column.name)
        return found, found is not None
    if isinstance(source, Scope) and isinstance(source.expression, exp.Query):
        named = next((found for found in _columns(source, types) if found.name == column.name), None)
        return (None, False) if named is None else (named.type, named.exact)
    return None, False


def _spelled(kind: object) -> str | None:
    if not isinstance(kind, exp.DataType) or kind.is_type(exp.DataType.Type.UNKNOWN, exp.DataType.Type.NULL):
        return None
    return re.sub(r"\s+", "", kind.sql(dialect=DIALECT).lower())


# ---- lineage


def _output(column: _Column, origin: LineageNode, types: Types) -> Output:
    return Output(
        name=column.name,
        type=column.type,
        exact=column.exact,
        line=column.line,
        lineage=tuple(sorted(_leaves(origin, types))),
        plain=all(_is_plain(node, column.name) for node in origin.walk()),
    )


def _leaves(origin: LineageNode, types: Types) -> set[str]:
    """What a column is computed from. Where sqlglot loses the trail, everything that is read: rather too much than too little."""
    found: set[str] = set()
    for node in origin.walk():
        if isinstance(node.expression, exp.Table) and isinstance(node.expression.this, exp.Identifier):
            found.add(f"{_table_name(node.expression)}.{node.name.rpartition('.')[2]}")
        elif not node.downstream and (isinstance(node.expression, exp.Placeholder) or node.expression.find(exp.Column)):
            return {f"{table}.{name}" for table, columns in types.items() for name in columns}
    return found


def _is_plain(node: LineageNode, name: str) -> bool:
    if isinstance(node.expression, exp.Table):
        return node.name.rpartition(".")[2] == name
    if isinstance(node.source, exp.SetOperation):
        return True
    return isinstance(node.expression.unalias(), exp.Column)
