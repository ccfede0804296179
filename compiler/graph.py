"""What holds between tables: relationships, classification along lineage, groups, cycles, the order in which they are made."""

import heapq
from collections.abc import Mapping, Sequence

from compiler.draft import LAYERS, Draft
from compiler.problems import Problems, did_you_mean
from shared.spec.lake import LEVELS

MAX_SOURCES = 90  # commit moves every watermark in one DynamoDB transaction of at most 100 items

Drafts = Mapping[str, Draft]


def check_relationships(draft: Draft, drafts: Drafts) -> None:
    """Refuse a relationship to what is not there, or to a column of another type."""
    for relationship, node in draft.relationships:
        target = drafts.get(relationship.to_table)
        if target is None:
            known = [other.stem for other in drafts.values() if other.layer == draft.layer and other is not draft]
            table = relationship.to_table.partition(".")[2]
            node.refuse(f"'{table}' is not a table of the {draft.layer} layer", did_you_mean(table, known))
            continue
        column, own = target.column(relationship.to_column), draft.column(relationship.column)
        if column is None and target.names is not None:
            node.refuse(f"'{relationship.to_column}' is not a column of {target.name}", did_you_mean(relationship.to_column, target.names))
        elif column is not None and own is not None and None not in (column.type, own.type) and column.type != own.type:
            node.refuse(f"'{own.name}' is {own.type} and {target.name}.{column.name} is {column.type}", "Make the two types the same.")


def check_classification(draft: Draft, drafts: Drafts) -> None:
    """Refuse a column that is less classified than what it is computed from."""
    for column in draft.columns or ():
        for source in draft.lineage.get(column.name, ()):
            table, _, name = source.rpartition(".")
            origin = drafts[table].column(name)
            if origin is not None and origin.level > column.level:
                message = f"'{column.name}' is {LEVELS[column.level]} and is computed from {source}, which is {origin.classification}"
                column.node["classification"].refuse(message, f"Write classification: {origin.classification}.")
                break


def check_groups(draft: Draft, drafts: Drafts) -> None:
    """Refuse tables of one stage that need each other and stand in different Glue runs."""
    for name in _needs(draft, drafts):
        other = drafts[name]
        if other.layer == draft.layer and other.group != draft.group:
            message = f"{draft.name} (group {draft.group}) needs {name} (group {other.group}) of the same stage"
            draft.options["group"].refuse(message, f"Put both into one group: group: {other.group}.")


def check_sources(drafts: Drafts, problems: Problems) -> None:
    """Refuse more sources than one commit can move."""
    sources = sorted(name for name, draft in drafts.items() if draft.layer == "bronze")
    if len(sources) > MAX_SOURCES:
        file = drafts[sources[MAX_SOURCES]].file
        problems.add(file, 1, f"the lake has {len(sources)} sources, and {MAX_SOURCES} is the most", "Split it into two lakes.")


def in_order(drafts: Drafts) -> list[Draft]:
    """Tables by layer and name, each after what it needs. Those of a cycle are left out, with the problem written down."""
    waits = {name: set(_needs(draft, drafts)) for name, draft in drafts.items()}
    ready = [_rank(drafts[name]) for name, needs in waits.items() if not needs]
    heapq.heapify(ready)
    order: list[Draft] = []
    while ready:
        name = heapq.heappop(ready)[1]
        order.append(drafts[name])
        del waits[name]
        for other, needs in waits.items():
            if name in needs:
                needs.discard(name)
                if not needs:
                    heapq.heappush(ready, _rank(drafts[other]))
    _refuse_cycles(waits, drafts)
    return order


def _rank(draft: Draft) -> tuple[int, str]:
    return LAYERS.index(draft.layer), draft.name


def _needs(draft: Draft, drafts: Drafts) -> list[str]:
    """Inputs, and the tables its relationships point at: their rows must be there first."""
    wanted = {*draft.inputs, *(relationship.to_table for relationship, _ in draft.relationships)}
    return sorted(name for name in wanted if name in drafts and name != draft.name)


def _refuse_cycles(waits: Mapping[str, set[str]], drafts: Drafts) -> None:
    told: set[str] = set()
    for start in sorted(waits):
        path = _walk(start, waits)
        cycle = path[path.index(path[-1]) : -1]
        if told.isdisjoint(cycle):
            told.update(cycle)
            first = cycle.index(min(cycle))
            names = [*cycle[first:], *cycle[: first + 1]]
            drafts[names[0]].options["load"].refuse(f"the tables need each other: {' -> '.join(names)}", "Cut one of these reads or relationships.")


def _walk(start: str, waits: Mapping[str, set[str]]) -> Sequence[str]:
    """From a waiting table along what it waits for, until a table comes a second time: there is always one."""
    path = [start]
    while path.count(path[-1]) == 1:
        path.append(min(waits[path[-1]]))
    return path
