"""A folder to a Lake: everything is read and checked, then either every problem is told or every table is built."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from compiler.contract import read_contract
from compiler.copied import read_copy, read_delete_when
from compiler.derived import read_sql
from compiler.draft import Draft, DraftColumn
from compiler.environments import FILE, check_groups_used, check_servers_used, check_teams_told, read_environments
from compiler.files import Found, check_sql_files, find_tables
from compiler.graph import check_classification, check_groups, check_relationships, check_sources, in_order
from compiler.hashes import contract_hash, definition_hash
from compiler.prices import FILE as PRICES
from compiler.prices import read_prices
from compiler.problems import Problems, Refused
from compiler.readers import read_readers
from compiler.rules import read_rules
from compiler.sources import read_source
from shared.spec.environment import Environment
from shared.spec.lake import STAGE_OF, Column, Lake, Server, Table


def compile_lake(folder: Path) -> Lake:
    """The lake of a folder such as `lake/`. Raises Refused with all its problems. The same files give the same lake, wherever they lie."""
    problems = Problems()
    if not folder.is_dir():
        problems.add(str(folder), 1, "there is no such folder", "Name the folder that holds bronze/, silver/, gold/ and environments.toml.")
        raise Refused(problems.all)
    toml = folder / FILE
    environments = read_environments(toml, str(toml), problems)
    prices = read_prices(folder / PRICES, str(folder / PRICES), problems)
    found = find_tables(folder, problems)
    _read_each(found, environments)
    _check_together(found, problems)
    if environments is not None:
        named = _servers_named(found, environments)
        check_servers_used(str(toml), toml, environments, named, problems)
        check_groups_used(str(toml), toml, environments, _groups_named(found), problems)
        check_teams_told(str(toml), toml, environments, {draft.owner for draft in found.drafts.values()}, problems)
    order = in_order(found.drafts)
    if problems.all or environments is None:
        raise Refused(problems.all)
    return Lake(tables=tuple(_table(draft) for draft in order), environments=environments, prices=prices)


def _read_each(found: Found, environments: Mapping[str, Environment] | None) -> None:
    for draft in found.drafts.values():
        if draft.name in found.unread:
            continue
        read_contract(draft)
        read_readers(draft)
        check_sql_files(draft)
        if draft.load == "append":
            draft.source = read_source(draft, environments)
            draft.lineage = dict.fromkeys(draft.names or (), ())
            read_delete_when(draft, draft)
        read_rules(draft)


def _check_together(found: Found, problems: Problems) -> None:
    drafts = found.drafts
    for draft in drafts.values():
        if draft.load in ("log", "merge", "scd2"):
            read_copy(draft, drafts)
        elif draft.load in ("derive", "replace"):
            read_sql(draft, drafts)
    for draft in drafts.values():
        check_relationships(draft, drafts)
        check_classification(draft, drafts)
        check_groups(draft, drafts)
    _check_ids(drafts)
    _check_servers(drafts)
    check_sources(drafts, problems)


def _check_ids(drafts: Mapping[str, Draft]) -> None:
    seen: dict[str, Draft] = {}
    for draft in drafts.values():
        written = draft.root["id"].value
        first = seen.setdefault(written, draft) if isinstance(written, str) else draft
        if first is not draft:
            draft.root["id"].refuse(f"id '{written}' is also the id of {first.file}", f"Write id: {draft.name}.")


def _check_servers(drafts: Mapping[str, Draft]) -> None:
    """A server's name stands for one secret of its environment, and that for one kind of system."""
    first: dict[tuple[str, str], tuple[Server, Draft]] = {}
    for draft in drafts.values():
        for server in draft.source.servers if draft.source else ():
            other, of = first.setdefault((server.environment, server.name), (server, draft))
            if other.type != server.type:
                node = next(node for node in draft.root["servers"].items() if node["environment"].value == server.environment)
                wrong = f"server '{server.name}' of environment '{server.environment}' is of type {server.type} here and {other.type} in {of.file}"
                node["type"].refuse(wrong, "Name the two differently, here and in environments.toml: one name is one server with one secret.")


def _servers_named(found: Found, environments: Mapping[str, Environment]) -> dict[str, set[str]]:
    named: dict[str, set[str]] = {name: set() for name in environments}
    for draft in found.drafts.values():
        for node in draft.root["servers"].items() if isinstance(draft.root["servers"].value, list) else ():
            environment, server = node["environment"].value, node["server"].value
            if environment in named and isinstance(server, str):
                named[environment].add(server)
    return named


def _groups_named(found: Found) -> dict[str, set[str]]:
    named: dict[str, set[str]] = {}
    for draft in found.drafts.values():
        named.setdefault(STAGE_OF[draft.layer], set()).add(draft.group)
    return named


def _table(draft: Draft) -> Table:
    if draft.load is None or draft.columns is None:
        raise AssertionError(f"{draft.name} was not read, and nothing was said of it")
    table = Table(
        name=draft.name,
        layer=draft.layer,
        load=draft.load,
        title=draft.title,
        version=draft.version,
        owner=draft.owner,
        file=draft.place,
        group=draft.group,
        columns=tuple(_column(draft, column) for column in draft.columns),
        rules=draft.rules,
        inputs=draft.inputs,
        relationships=tuple(relationship for relationship, _ in draft.relationships),
        source=draft.source,
        origin=draft.origin,
        sequence=draft.sequence,
        delete_when=draft.delete_when,
        history=draft.history,
        sql=draft.sql.text if draft.sql else None,
        affected_sql=draft.affected.text if draft.affected else None,
        zorder=draft.zorder,
        contract_hash="",
        definition_hash="",
        domain=draft.domain,
        readers=draft.readers,
    )
    return replace(table, contract_hash=contract_hash(table), definition_hash=definition_hash(table))


def _column(draft: Draft, column: DraftColumn) -> Column:
    if column.type is None:
        raise AssertionError(f"{draft.name}.{column.name} has no type, and nothing was said of it")
    return Column(
        name=column.name,
        type=column.type,
        required=column.required,
        key_position=column.key_position,
        partition_position=column.partition_position,
        classification=column.classification if column.level else None,
        mask=column.mask,
        lineage=draft.lineage[column.name],
    )
