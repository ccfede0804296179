"""A source's table as its database describes it, and what a sample of it looks like, without any of its values. Values; no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "secret", "national_id", "account", "card", "email", "phone", "ip", "birth", "name", "address", "login", "location", "free_text", "structured"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a sample of a column holds. Counts and shares alone: no value leaves the sample."""

    rows: int
    filled: int  # not NULL
    distinct: int
    numbers: int  # texts that are numbers
    looks_like: Mapping[Kind, float]  # share of the filled ones; kinds that do not occur are left out


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedColumn:
    """One column. `type` is the database's own spelling, of a domain its base type; `labels` are those of an enumeration."""

    name: str
    type: str
    required: bool = False
    counted: bool = False  # filled from a sequence
    comment: str | None = None
    labels: tuple[str, ...] = ()
    contents: Contents | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """One table or view. `indexed` are the leading columns of its indexes, `checks` the expressions of its CHECK constraints."""

    schema: str
    name: str
    columns: tuple[DescribedColumn, ...]
    comment: str | None = None
    key: tuple[str, ...] = ()
    uniques: tuple[tuple[str, ...], ...] = ()
    indexed: frozenset[str] = frozenset()
    checks: tuple[str, ...] = ()

    @property
    def relation(self) -> str:
        return f"{self.schema}.{self.name}"
