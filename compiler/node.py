"""A value at its place in a document: typed reading. What does not fit is refused there and reads as None, so that reading goes on."""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from compiler.document import Document, Path
from compiler.problems import did_you_mean

_DURATION = re.compile(r"(\d+)(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Node:
    """`value` is None where the key is absent or null; the line is then that of the nearest parent."""

    doc: Document
    path: Path
    value: Any

    @classmethod
    def root(cls, doc: Document) -> "Node":
        return cls(doc, (), doc.data)

    @property
    def line(self) -> int:
        return self.doc.line(self.path)

    @property
    def name(self) -> str:
        """The key this value stands under."""
        return next((part for part in reversed(self.path) if isinstance(part, str)), "the document")

    @property
    def absent(self) -> bool:
        return self.value is None

    def __getitem__(self, key: str) -> "Node":
        found = self.value.get(key) if isinstance(self.value, dict) else None
        return Node(self.doc, (*self.path, key), found)

    def refuse(self, message: str, fix: str) -> None:
        self.doc.problems.add(self.doc.file, self.line, message, fix)

    # ---- containers

    def items(self) -> Iterator["Node"]:
        """The items of a list; nothing when absent."""
        if self.value is not None and not isinstance(self.value, list):
            self.refuse(f"'{self.name}' must be a list", "Write it as '- item' lines or [a, b].")
        elif self.value is not None:
            for index, value in enumerate(self.value):
                yield Node(self.doc, (*self.path, index), value)

    def entries(self) -> Iterator[tuple[str, "Node"]]:
        """The keys of a mapping with their values; nothing when absent."""
        if self.value is not None and not isinstance(self.value, dict):
            self.refuse(f"'{self.name}' must be a mapping", "Write it as 'key: value' lines or {key: value}.")
        elif self.value is not None:
            for key in self.value:
                yield key, self[key]

    def only(self, known: Iterable[str], *, what: str) -> None:
        """Refuse keys that are not in `known`."""
        words = tuple(known)
        for key, node in self.entries():
            if key not in words:
                node.refuse(f"unknown key '{key}' in {what}", did_you_mean(key, words))

    # ---- scalars

    def text(self, fix: str) -> str | None:
        """A non-empty text; absence is refused with `fix`."""
        if self.value is None:
            self.refuse(f"'{self.name}' is missing", fix)
            return None
        return self.optional_text()

    def optional_text(self) -> str | None:
        if self.value is None:
            return None
        if not isinstance(self.value, str) or not self.value.strip():
            self.refuse(f"'{self.name}' must be text, not {_shown(self.value)}", "Write the text, in quotes if YAML reads it as something else.")
            return None
        return self.value

    def word(self, known: Collection[str], fix: str) -> str | None:
        """One word of a closed set."""
        found = self.text(fix)
        if found is not None and found not in known:
            self.refuse(f"unknown {self.name} '{found}'", did_you_mean(found, known))
            return None
        return found

    def flag(self) -> bool:
        """True or false; false when absent."""
        if self.value is not None and not isinstance(self.value, bool):
            self.refuse(f"'{self.name}' must be true or false, not {_shown(self.value)}", "Write true or false, without quotes.")
        return self.value is True

    def number(self, low: float | None = None, high: float | None = None) -> float | int | None:
        """A number within [low, high]; None when absent."""
        if self.value is None:
            return None
        within = isinstance(self.value, (int, float)) and not isinstance(self.value, bool)
        if within:
            within = (low is None or self.value >= low) and (high is None or self.value <= high)
        if not within:
            self.refuse(f"'{self.name}' cannot be {_shown(self.value)}", f"Write a number{_between(low, high)}.")
            return None
        return self.value  # type: ignore[no-any-return]

    def integer(self, low: int, high: int | None = None, *, required: bool = False) -> int | None:
        """A whole number within [low, high]."""
        if self.value is None:
            if required:
                self.refuse(f"'{self.name}' is missing", f"Write a whole number{_between(low, high)}.")
            return None
        if not isinstance(self.value, int) or isinstance(self.value, bool) or self.value < low or (high is not None and self.value > high):
            self.refuse(f"'{self.name}' cannot be {_shown(self.value)}", f"Write a whole number{_between(low, high)}.")
            return None
        return self.value

    def seconds(self, *, example: str) -> int | None:
        """A duration such as 30s, 5m, 2h or 31d, in seconds."""
        found = self.text(f"Write {self.name}: {example}")
        if found is None:
            return None
        match = _DURATION.fullmatch(found)
        if match is None:
            self.refuse(f"'{found}' is not a duration", f"Write a whole number and s, m, h or d, as in {example}.")
            return None
        return int(match[1]) * _SECONDS[match[2]]

    def column(self, columns: Collection[str] | None, of: str, fix: str) -> str | None:
        """The name of one of `columns` (None: they are not known, any will do)."""
        found = self.text(fix)
        if found is None or columns is None or found in columns:
            return found
        self.refuse(f"'{found}' ({self.name}) is not a column of {of}", did_you_mean(found, columns))
        return None

    def columns(self, columns: Collection[str] | None, of: str, fix: str) -> tuple[str, ...]:
        """A non-empty list of different names of `columns`."""
        if self.absent or self.value == []:
            self.refuse(f"'{self.name}' is missing", fix)
            return ()
        found = tuple(name for item in self.items() if (name := item.column(columns, of, fix)) is not None)
        if len(set(found)) < len(found):
            self.refuse(f"'{self.name}' names a column twice", "Name each column once.")
        return found


def _between(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f" from {low:,} to {high:,}"
    return f", {low:,} or more" if low is not None else f", {high:,} or less" if high is not None else ""


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    return f"'{value}'" if isinstance(value, str) else str(value).lower()
