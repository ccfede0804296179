"""Every rule of a table: those its columns imply, those its `quality` writes, and freshness. Ids are stable and unique in the table.

Patterns are searched in the value, not matched against the whole of it: so do ODCS (as JSON schema does), Great Expectations (`str.contains`)
and Spark (`rlike`). Anchor with ^ and $ to mean all of it. They must compile in Python and use nothing that Java lacks.
"""

from collections.abc import Iterator
from dataclasses import replace

from compiler.columns import sluice_blocks
from compiler.contract import the_schema
from compiler.draft import Draft, DraftColumn
from compiler.expectations import read_expectation
from compiler.metrics import read_metric
from compiler.node import Node
from compiler.rule_values import SEVERITIES, Written, bounds_of, check_pattern, rule
from shared.spec.history import CURRENT_IS_OPEN, INVARIANTS, IS_CURRENT
from shared.spec.lake import Relationship, Rule, Severity

MAX_ROW_RULES = 60  # they are the bits of one bigint

_OF_TYPE = "expect_column_values_to_be_of_type"  # what every bronze column has; it says nothing that the contract asked for
_UNIT_SECONDS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
}
_OPTIONS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "pattern", "minLength", "maxLength")


def read_rules(draft: Draft) -> None:
    """Fill a draft's rules and relationships."""
    schema = the_schema(draft)
    if draft.columns is None or schema is None:
        return
    found: list[tuple[Rule, Node]] = []
    draft.relationships = tuple(pair for column in draft.columns for pair in _relationships(draft, column))
    for column in draft.columns:
        found += [(made, column.node) for made in _implied(draft, column)]
        found += _written(draft, column.node["quality"], column)
    found += [(made, schema) for made in (*_key_rule(draft), *_history_rules(draft))]
    found += _written(draft, schema["quality"], None)
    found += _freshness(draft)
    _check_ids(found)
    draft.rules = tuple(made for made, _ in found)
    row_rules = [made for made, _ in found if made.kind == "row"]
    if len(row_rules) > MAX_ROW_RULES:
        schema.refuse(
            f"{draft.name} has {len(row_rules)} row rules, and {MAX_ROW_RULES} is the most",
            "Join conditions into one expect_row, or split the table.",
        )
    if all(made.expectation == _OF_TYPE for made, _ in found) and not draft.problems.concern(draft.file):
        schema.refuse(f"{draft.name} has no rule", "Say what must hold: required, primaryKey, logicalTypeOptions or quality.")


def _implied(draft: Draft, column: DraftColumn) -> Iterator[Rule]:
    of_column = {"column": column.name}
    if column.required:
        yield rule(f"{column.name}.required", "row", "expect_column_values_to_not_be_null", of_column, column.name)
    if draft.layer == "bronze" and column.type not in (None, "string"):
        kwargs = {**of_column, "type_": column.type}
        yield rule(f"{column.name}.type", "row", _OF_TYPE, kwargs, column.name)
    options = column.node["logicalTypeOptions"]
    options.only(_OPTIONS, what="logicalTypeOptions that are checked here")
    if not options["pattern"].absent and check_pattern(options["pattern"], column):
        kwargs = {**of_column, "regex": options["pattern"].value}
        yield rule(f"{column.name}.pattern", "row", "expect_column_values_to_match_regex", kwargs, column.name)
    names = {"minimum": "min_value", "maximum": "max_value", "exclusiveMinimum": "strict_min", "exclusiveMaximum": "strict_max"}
    if bounds := bounds_of({names[key]: options[key] for key in names}, column):
        yield rule(f"{column.name}.range", "row", "expect_column_values_to_be_between", {**of_column, **bounds}, column.name)
    lengths = {"min_value": options["minLength"].integer(0), "max_value": options["maxLength"].integer(0)}
    if any(value is not None for value in lengths.values()):
        _check_lengths(options, column)
        given = {key: value for key, value in lengths.items() if value is not None}
        yield rule(f"{column.name}.length", "row", "expect_column_value_lengths_to_be_between", {**of_column, **given}, column.name)
    if column.unique and draft.key != (column.name,):
        yield rule(f"{column.name}.unique", "unique", "expect_column_values_to_be_unique", of_column, column.name)
    for relationship, _ in draft.relationships:
        if relationship.column == column.name:
            kwargs = {**of_column, "to_table": relationship.to_table, "to_column": relationship.to_column}
            yield rule(f"{column.name}.relationship", "relationship", "relationship", kwargs, column.name)


def _check_lengths(options: Node, column: DraftColumn) -> None:
    low, high = options["minLength"].value, options["maxLength"].value
    if column.type not in (None, "string"):
        options.refuse(f"'{column.name}' is {column.type} and has no length", "Use minimum and maximum.")
    elif isinstance(low, int) and isinstance(high, int) and low > high:
        options["minLength"].refuse(f"no text is {low} or more and {high} or fewer characters long", "Swap minLength and maxLength.")


def _history_rules(draft: Draft) -> Iterator[Rule]:
    """What the gate asserts of every history after every run; the counting takes its columns from the table."""
    for expectation in INVARIANTS if draft.load == "scd2" else ():
        if expectation != CURRENT_IS_OPEN or IS_CURRENT in (draft.names or ()):
            yield rule(expectation.replace("_", ".", 1), "history", expectation, {}, None)


def _key_rule(draft: Draft) -> Iterator[Rule]:
    """A log has none: two states of one key may share their time, and the later one by operation and content counts."""
    if draft.load == "log":
        return
    if len(draft.key) == 1:
        yield rule("primary_key", "unique", "expect_column_values_to_be_unique", {"column": draft.key[0]}, draft.key[0])
    elif draft.key:
        yield rule("primary_key", "unique", "expect_compound_columns_to_be_unique", {"column_list": list(draft.key)}, None)


def _written(draft: Draft, quality: Node, column: DraftColumn | None) -> list[tuple[Rule, Node]]:
    found = []
    for node in quality.items():
        written = Written(draft=draft, column=column, node=node)
        made = _read_quality(written)
        if made is not None:
            found.append((made, node["id"]))
    return found


def _read_quality(written: Written) -> Rule | None:
    node = written.node
    rule_id = node["id"].text("Give the rule an id: it is the reason that a broken row carries.")
    severity = _severity(node["severity"], "critical")
    for key in ("schedule", "scheduler"):
        if not node[key].absent:
            node[key].refuse(f"'{key}' of a rule is not supported", "Leave it out: every rule is checked in every run.")
    kind = node["type"].word(("library", "custom", "text", "sql"), "") if not node["type"].absent else "library"
    made: Rule | None = None
    if kind in ("text", "sql"):
        node["type"].refuse(f"a rule of type {kind} is checked by nobody here", "Use a library metric, greatExpectations, or sluice's expect_row.")
    elif kind == "library":
        made = read_metric(written)
    elif kind == "custom":
        made = read_expectation(written)
    if made is None or rule_id is None:
        return None
    return replace(made, id=rule_id, severity=severity)


def _severity(node: Node, default: Severity) -> Severity:
    if node.absent:
        return default
    found = node.word(SEVERITIES, "")
    return next((word for word in SEVERITIES if word == found), default)


def _freshness(draft: Draft) -> Iterator[tuple[Rule, Node]]:
    if not draft.root["slaDefaultElement"].absent:
        draft.root["slaDefaultElement"].refuse("'slaDefaultElement' is not read here", "Give each of slaProperties its element.")
    for node in draft.root["slaProperties"].items():
        if node["property"].word(("freshness",), "Write property: freshness.") is None:
            continue
        element = node["element"].text(f"Name the column: {draft.stem}.<column>.")
        value, unit = node["value"].number(0), node["unit"].word(tuple(_UNIT_SECONDS), "Write unit: h (or s, m, d).")
        if node["value"].absent:
            node["value"].refuse("'value' is missing", "Write how old the newest row may be: value: 24, unit: h.")
        table, _, name = (element or "").rpartition(".")
        column = draft.column(name)
        if element is not None and (table != draft.stem or column is None):
            known = ", ".join(f"{draft.stem}.{c.name}" for c in draft.columns or () if c.type in (None, "date", "timestamp"))
            node["element"].refuse(f"'{element}' is not a column of this table", f"Write one of {known}.")
        elif column is not None and column.type not in (None, "date", "timestamp"):
            node["element"].refuse(f"'{name}' is {column.type} and has no age", "Name a timestamp or date column.")
        elif column is not None and value is not None and unit is not None:
            kwargs = {"column": name, "max_age_seconds": int(value * _UNIT_SECONDS[unit])}
            severity: Severity = "warning"
            for block in sluice_blocks(node):
                block.only(("severity",), what="a freshness's sluice block")
                severity = _severity(block["severity"], severity)
            yield replace(rule(f"{name}.freshness", "freshness", "freshness", kwargs, name), severity=severity), node


def _relationships(draft: Draft, column: DraftColumn) -> Iterator[tuple[Relationship, Node]]:
    for index, node in enumerate(column.node["relationships"].items()):
        to = node["to"]
        target = to.text("Write to: table.column.")
        if draft.layer == "bronze":
            node.refuse("bronze tables do not wait for each other", "Declare the relationship in silver or gold.")
        elif index:
            node.refuse(f"'{column.name}' has a second relationship", "Keep one: its rule is called after the column.")
        elif target is not None and target.count(".") == 2 and target.startswith(f"{draft.layer}."):
            to.refuse(f"'{target}' names the layer", f"Write to: {target.split('.', 1)[1]}: a relationship stays within its layer.")
        elif target is not None and target.count(".") != 1:
            to.refuse(f"'{target}' is not table.column", f"Write to: <table>.<column> of the {draft.layer} layer.")
        elif target is not None:
            table, _, name = target.partition(".")
            yield Relationship(column=column.name, to_table=f"{draft.layer}.{table}", to_column=name), to


def _check_ids(found: list[tuple[Rule, Node]]) -> None:
    seen: dict[str, Node] = {}
    for made, node in found:
        first = seen.setdefault(made.id, node)
        if first is not node:
            node.refuse(f"rule id '{made.id}' is here twice (first on line {first.line})", "Give each rule of a table an id of its own.")
