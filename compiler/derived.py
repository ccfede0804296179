"""Tables made by SQL: their SELECT against their contract, their lineage, and the SELECT of the keys to recompute."""

from collections.abc import Mapping, Sequence

from compiler.draft import Draft, DraftColumn, SqlFile
from compiler.node import Node
from compiler.problems import did_you_mean
from compiler.queries import Output, Types, outputs_of
from compiler.spark_types import family
from compiler.sql import TableRead, parse_select, tables_of

Drafts = Mapping[str, Draft]


def read_sql(draft: Draft, drafts: Drafts) -> None:
    """Fill a derived table's inputs and lineage from its SQL, and check both of its files."""
    if draft.sql is None:
        return
    query = parse_select(draft.sql, draft.problems, limited=draft.load == "replace")
    reads = tables_of(query, draft.sql, draft.problems, list(drafts)) if query is not None else None
    if query is None or reads is None or not _check_reads(draft, draft.sql, reads):
        return
    draft.inputs = tuple(sorted({read.name for read in reads}))
    types = _types(draft.inputs, drafts)
    outputs = outputs_of(query, types, draft.sql, draft.problems) if types is not None else None
    if outputs is not None:
        _check_outputs(draft.sql, outputs, draft.columns, draft, whole=True)
        draft.lineage = {output.name: output.lineage for output in outputs}
    if draft.load == "derive":
        _check_affected(draft, drafts, types, outputs)


def _check_reads(draft: Draft, sql: SqlFile, reads: Sequence[TableRead]) -> bool:
    good = True
    for read in reads:
        layer = read.name.partition(".")[0]
        if read.changed:
            message, fix = f"changed.{read.name} in the table's own SELECT", "Use changed.… in the .affected.sql file alone."
        elif layer == "bronze":
            silver = f"silver.{read.name.partition('.')[2]}"
            message, fix = f"{draft.name} reads {read.name}: SQL never reads bronze", f"Read {silver}, loaded by 'merge' (or 'log') from {read.name}."
        elif read.name == draft.name:
            message, fix = f"{draft.name} reads itself", "Compute it from its inputs alone: a rebuild starts from nothing."
        elif draft.layer == "silver" and layer == "gold":
            message, fix = f"{draft.name} reads {read.name}: silver comes before gold", "Move this table to gold, or read silver tables."
        else:
            continue
        draft.problems.add(sql.file, read.line, message, fix)
        good = False
    return good


def _types(inputs: Sequence[str], drafts: Drafts) -> Types | None:
    """The columns of the inputs; None where a contract among them could not be read."""
    found: dict[str, dict[str, str]] = {}
    for name in inputs:
        columns = drafts[name].columns
        if columns is None or any(column.type is None for column in columns):
            return None
        found[name] = {column.name: column.type or "" for column in columns}
    return found


def _check_outputs(sql: SqlFile, outputs: Sequence[Output], columns: Sequence[DraftColumn] | None, draft: Draft, *, whole: bool) -> None:
    """`whole`: the outputs are the table's columns; else they are its key."""
    if columns is None:
        return
    of = "contract" if whole else "key"
    wanted, problems = {column.name: column for column in columns}, draft.problems
    given = [output.name for output in outputs]
    missing = [name for name in wanted if name not in given]
    for output in outputs:
        column = wanted.get(output.name)
        if given.count(output.name) > 1:
            problems.add(sql.file, output.line, f"column '{output.name}' is selected twice", "Keep one of them.")
        elif column is None:
            problems.add(
                sql.file, output.line, f"'{output.name}' is not a column of the {of} of {draft.name}", did_you_mean(output.name, missing or wanted)
            )
        elif _differs(output, column.type):
            problems.add(
                sql.file, output.line, f"'{output.name}' is {output.type} and the contract says {column.type}", f"Write cast(... AS {column.type})."
            )
    for name in missing:
        line = outputs[-1].line if outputs else 1
        problems.add(sql.file, line, f"column '{name}' of the {of} of {draft.name} is not selected", f"Select it: ... AS {name}.")


def _differs(output: Output, wanted: str | None) -> bool:
    if output.type is None or wanted is None:
        return False
    return output.type != wanted if output.exact else family(output.type) != family(wanted)


# ---- .affected.sql


def _check_affected(draft: Draft, drafts: Drafts, types: Types | None, outputs: Sequence[Output] | None) -> None:
    if draft.affected is None:
        _check_keys_pass(draft, drafts, outputs)
        return
    query = parse_select(draft.affected, draft.problems, limited=False)
    reads = tables_of(query, draft.affected, draft.problems, list(drafts)) if query is not None else None
    if query is None or reads is None:
        return
    strangers = [read for read in reads if read.name not in draft.inputs]
    for read in strangers:
        fix = f"The table's own SELECT reads {', '.join(draft.inputs) or 'no table'}: use these."
        draft.problems.add(draft.affected.file, read.line, f"{read.name} is not an input of {draft.name}", fix)
    if strangers:
        return
    changed = {read.name for read in reads if read.changed}
    for name in draft.inputs:
        if name not in changed:
            fix = f"Add UNION SELECT <keys> FROM changed.{name} (joined as far as needed)."
            draft.problems.add(draft.affected.file, 1, f"changes of {name}, which {draft.name} reads, affect no key", fix)
    found = outputs_of(query, types, draft.affected, draft.problems) if types is not None else None
    if found is not None:
        key = [column for name in draft.key if (column := draft.column(name)) is not None]
        _check_outputs(draft.affected, found, key, draft, whole=False)


def _check_keys_pass(draft: Draft, drafts: Drafts, outputs: Sequence[Output] | None) -> None:
    """Without .affected.sql the changed rows of every input name the keys, so each must carry all of them, unchanged."""
    place: Node = draft.options["load"]
    file = f"{draft.stem}.affected.sql"
    for name in draft.inputs:
        names = drafts[name].names
        lacking = [key for key in draft.key if names is not None and key not in names]
        if lacking:
            place.refuse(
                f"{draft.name} has no {file}, and its input {name} does not carry {', '.join(lacking)}",
                f"Write {file}: the keys to recompute, from changed.{name}.",
            )
    for output in outputs or ():
        if output.name in draft.key and not output.plain and draft.sql is not None:
            fix = f"Write {file}, or select the inputs' own '{output.name}'."
            draft.problems.add(draft.sql.file, output.line, f"key '{output.name}' is computed, so that changed input rows do not name it", fix)
