"""The planted faults against the rejects, row for row: every fault was rejected for its reason, and nothing else was rejected."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cli.errors import CommandError
from cli.lakes import OpenLake
from cli.sql import answer_to
from shared.spec.lake import Source, Table

_NOT_CONTENT = ("kind", "table", "reason")


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One faulty row: its bronze table, what it is rejected for, and what identifies it. Two alike are two faults."""

    table: str
    reasons: tuple[str, ...]
    content: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        shown = ", ".join(f"{name} {value}" for name, value in self.content)
        return f"{self.table}: {' and '.join(self.reasons)}: {shown}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`missing` were planted and not rejected so; `unexpected` were rejected and not planted so."""

    planted: int
    rejected: int
    missing: tuple[Fault, ...]
    unexpected: tuple[Fault, ...]

    @property
    def equal(self) -> bool:
        return not self.missing and not self.unexpected


def compare(planted: Iterable[Fault], rejected: Iterable[Fault]) -> Comparison:
    ledger, rejects = Counter(planted), Counter(rejected)
    return Comparison(
        planted=ledger.total(),
        rejected=rejects.total(),
        missing=tuple(sorted((ledger - rejects).elements())),
        unexpected=tuple(sorted((rejects - ledger).elements())),
    )


def read_ledger(path: Path, lake: OpenLake) -> tuple[Fault, ...]:
    """The shop's ledger in the lake's words. Raises CommandError when there is none, or it names what no contract reads."""
    if not path.is_file():
        raise CommandError(f"{path}: there is no ledger; `sluice shop trade --faults` writes it")
    return tuple(fault_of_entry(entry, lake.lake.sources) for entry in json.loads(path.read_text(encoding="utf-8")))


def fault_of_entry(entry: Mapping[str, Any], sources: Sequence[Table]) -> Fault:
    table = next((table for table in sources if table.source and _shops_name(table, table.source) == entry["table"].lower()), None)
    if table is None:
        raise CommandError(f"the ledger speaks of the shop's {entry['table']}, which no bronze contract reads; the demo needs its own lake")
    return Fault(table.name, (entry["reason"],), _content(entry, ledger_columns(entry, table)))


def fault_of_reject(table: Table, reasons: Iterable[str], original: str, columns: Iterable[str]) -> Fault:
    """`original` is the JSON of what the source gave."""
    return Fault(table.name, tuple(sorted(reasons)), _content(json.loads(original), columns))


def read_rejects(lake: OpenLake, columns: Mapping[str, Sequence[str]]) -> tuple[Fault, ...]:
    """Every rejected row of certified bronze, identified by the columns its table has in the ledger, else by all of them."""
    certified = lake.state.certified().tables
    found = []
    for table in lake.lake.sources:
        if table.name not in certified:
            continue
        answer = answer_to(lake, f"select _reasons, _original from {table.name} where _lane = 'rejected'")
        names = columns.get(table.name) or [column.name for column in table.columns if column.classification is None]
        found += [fault_of_reject(table, reasons, original, names) for reasons, original in answer.rows]
    return tuple(found)


def compared(lake: OpenLake, path: Path) -> Comparison:
    """The ledger at `path` against the lake's rejects."""
    planted = read_ledger(path, lake)
    columns = {fault.table: [name for name, _ in fault.content] for fault in planted}
    return compare(planted, read_rejects(lake, columns))


def ledger_columns(entry: Mapping[str, Any], table: Table) -> list[str]:
    """What identifies a row on both sides: the ledger's columns, but those that bronze holds masked."""
    masked = {column.name for column in table.columns if column.mask is not None}
    return sorted(name for name in entry if name not in _NOT_CONTENT and name not in masked)


def _shops_name(table: Table, source: Source) -> str:
    """What the shop calls a source: its relation; files have no name but their table's."""
    return (table.name if source.files else source.relation).rsplit(".", 1)[-1].lower()


def _content(values: Mapping[str, Any], columns: Iterable[str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, _text(values.get(name))) for name in columns)


def _text(value: Any) -> str:
    """NULL by name; instants in one spelling: PostgreSQL's, Spark's and Python's differ."""
    if value is None:
        return "NULL"
    text = str(value)
    try:
        at = datetime.fromisoformat(text) if "-" in text and ":" in text else None
    except ValueError:
        return text
    return text if at is None else (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
