"""A proposal as the text of its contracts, written as people write them: one line per column, and a comment where somebody must decide. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cli.add_position import Position
from cli.add_proposal import Proposal, ProposedColumn
from compiler.odcs import API_VERSION
from compiler.spark_types import INTEGERS, family

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*|\d+[smhd]|\d+(\.\d+){3}")
UNKNOWN_HOST = "unknown.invalid"  # ODCS wants one; this one is nowhere, by RFC 2606

_WORDS_OF_YAML = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"}
_WINDOWS: Mapping[str, Mapping[str, Any]] = {
    "timestamp": {"lookback": "2h", "safety_lag": "5m", "start_at": "2000-01-01T00:00:00Z", "max_window": "3650d"},
    "date": {"lookback": "2d", "safety_lag": "12h", "start_at": "2000-01-01", "max_window": "3650d"},
    "integer": {"lookback": 10_000, "start_at": 0, "max_window": 1_000_000},
}
_LATE = "how late may a row become visible (safety_lag), how far back do rows still come (lookback), from when on is it read (start_at)?"
_TO_DECIDE: Mapping[str, str] = {
    "timestamp": _LATE,
    "date": _LATE,
    "integer": "how far back may a number still be committed (lookback)? Changes of old rows are never read.",
    "snapshot": "from which share of the last snapshot's rows on is one taken for whole (min_share)?",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What the drafts take from the lake around them. `servers` are entries of a contract's `servers`, one per environment."""

    server: str
    team: str | None
    servers: tuple[Mapping[str, Any], ...]


def bronze_text(proposal: Proposal, setting: Setting, *, undecided: bool) -> str:
    """The source's contract. `undecided`: its position is a comment, because the lake refuses it as it is."""
    note = f"drafted from {proposal.relation} of server {setting.server}. A line that says DECIDE waits for somebody who knows the data."
    lines = [f"# bronze.{proposal.stem}: {note}", *_head("bronze", proposal, setting), "servers:"]
    if any(server.get("host") == UNKNOWN_HOST for server in setting.servers):
        lines.append(f"  # DECIDE: where it is, in place of {UNKNOWN_HOST}; what the secret that environments.toml names says of it wins")
    lines += [f"  - {_flow(server)}" for server in setting.servers]
    notes = [*proposal.notes, *(f"{name} is left out: {why}" for name, why in proposal.left_out)]
    lines += _schema(proposal, [*(f"      # DECIDE: {_one_line(note)}" for note in notes), *_columns(proposal)])
    if proposal.uniques:
        lines.append("    quality:")
        for number, columns in enumerate(proposal.uniques, start=1):
            lines.append(
                f"      - {_flow({'id': f'unique_{number}', 'metric': 'duplicateValues', 'arguments': {'properties': columns}, 'mustBe': 0})}"
            )
    lines += _freshness(proposal)
    lines += ["customProperties:", "  - property: sluice", "    value:", "      load: append", f"      source: {proposal.relation}"]
    lines += [f"      # DECIDE: {_one_line(_TO_DECIDE[proposal.position.kind])}", f"      {'# ' if undecided else ''}{_position(proposal.position)}"]
    lines += ["      # DECIDE: a batch with more rejects than both of these halts.", "      reject_tolerance: {share: 0.01, rows: 20}"]
    return "\n".join(lines) + "\n"


def silver_text(proposal: Proposal, setting: Setting) -> str:
    """The latest state of each key, loaded by name from bronze."""
    note = f"drafted with bronze.{proposal.stem}, which says what to decide."
    lines = [f"# silver.{proposal.stem}: the latest state of each ({', '.join(proposal.key)}), {note}"]
    lines += _head("silver", proposal, setting)
    kept = [column for column in proposal.columns if column.name != proposal.marker or column.key_position or column.name == proposal.position.column]
    lines += _schema(proposal, [_silver_column(column, proposal) for column in kept])
    lines += ["customProperties:", "  - property: sluice", "    value:", "      load: merge", f"      from: bronze.{proposal.stem}"]
    lines.append(f"      sequence: {proposal.position.column}")
    if proposal.delete_when is not None:
        lines.append(f"      delete_when: {proposal.delete_when}")
    return "\n".join(lines) + "\n"


def _head(layer: str, proposal: Proposal, setting: Setting) -> list[str]:
    title = proposal.title if layer == "bronze" else proposal.stem.replace("_", " ").capitalize()
    lines = ["apiVersion: " + API_VERSION, "kind: DataContract", f"id: {layer}.{proposal.stem}", f"name: {_flow(title)}", "version: 1.0.0"]
    lines += ["status: draft", "team:", f"  name: {_flow(setting.team or 'data')}"]
    if setting.team is None:
        lines[-1] += "  # DECIDE: who answers for this table?"
    return lines


def _schema(proposal: Proposal, columns: Iterable[str]) -> list[str]:
    lines = ["schema:", f"  - name: {proposal.stem}", "    logicalType: object"]
    if proposal.comment:
        lines.append(f"    description: {_flow(proposal.comment)}")
    return [*lines, "    properties:", *columns]


def _columns(proposal: Proposal) -> list[str]:
    return [line for column in proposal.columns for line in _column_lines(column)]


def _column_lines(column: ProposedColumn) -> list[str]:
    lines = [f"      # DECIDE: {column.name}: {_one_line(note)}" for note in column.notes]
    written: dict[str, Any] = _shape(column)
    if column.unique:
        written["unique"] = True
    if column.options:
        written["logicalTypeOptions"] = column.options
    if column.mask is not None:
        written |= {"classification": "restricted", "customProperties": [{"property": "sluice", "value": {"mask": column.mask}}]}
    if column.values:
        rule = {"id": f"{column.name}_known", "metric": "invalidValues", "arguments": {"validValues": column.values}, "mustBe": 0}
        written["quality"] = [rule]
    if column.description:
        written["description"] = column.description
    return [*lines, f"      - {_flow(written)}"]


def _silver_column(column: ProposedColumn, proposal: Proposal) -> str:
    written = _shape(column)
    if column.name in (*proposal.key, proposal.position.column):
        written["required"] = True
    if column.mask is not None:
        written["classification"] = "restricted"
    if column.description:
        written["description"] = column.description
    return f"      - {_flow(written)}"


def _shape(column: ProposedColumn) -> dict[str, Any]:
    logical = {"flag": "boolean", "number": "integer" if column.type in INTEGERS else "number"}
    kind = "date" if column.type == "date" else "timestamp" if family(column.type) == "time" else logical.get(family(column.type), "string")
    shape: dict[str, Any] = {"name": column.name, "logicalType": kind, "physicalType": column.type}
    if column.required:
        shape["required"] = True
    if column.key_position is not None:
        shape |= {"primaryKey": True, "primaryKeyPosition": column.key_position}
    return shape


def _freshness(proposal: Proposal) -> list[str]:
    if proposal.position.kind not in ("timestamp", "date"):
        return []
    element = f"{proposal.stem}.{proposal.position.column}"
    return [
        "# DECIDE: how old may the newest row be before somebody is warned?",
        "# slaProperties:",
        f"#   - {{property: freshness, value: 24, unit: h, element: {element}}}",
    ]


def _position(position: Position) -> str:
    if position.kind == "snapshot":
        return f"snapshot: {_flow({'min_share': 0.5, 'deleted': position.deleted, 'at': position.column})}"
    return f"watermark: {_flow({'column': position.column, **_WINDOWS[position.kind]})}"


# ---- YAML


def _flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return _scalar(value) if isinstance(value, str) else repr(value)


def _scalar(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS_OF_YAML:
        return text
    if text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    return '"' + "".join(_ESCAPES.get(char) or (char if char.isprintable() else _code(char)) for char in text) + '"'


def _one_line(text: str) -> str:
    """For a comment."""
    return "".join(char if char.isprintable() else _code(char) for char in " ".join(text.split()))


def _code(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"
