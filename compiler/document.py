"""YAML documents as plain JSON values, with the line on which each key and item stands."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.nodes import Node as YamlNode

from compiler.problems import Problems

Path = tuple[str | int, ...]
Lines = dict[Path, int]

_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: plain values, lines by path, and the list its problems go to."""

    file: str
    data: Any
    lines: Lines
    problems: Problems

    def line(self, path: Path) -> int:
        """The line of the deepest part of `path` that is written in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def known_part(self, path: Path) -> Path:
        """`path` without the parts that are not in the file (pydantic adds names of its own)."""
        found: Path = ()
        for part in path:
            if (*found, part) in self.lines:
                found = (*found, part)
        return found


def read_yaml(text: str, file: str, problems: Problems) -> Document | None:
    """The one document of a text; None, with the problem written down, when it is not one. Times stay the text they are."""
    try:
        node = _compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problems.add(file, mark.line + 1 if mark else 1, f"this is not YAML: {error.problem or error.context}", "Mend the syntax here.")
        return None
    except YAMLError as error:
        problems.add(file, 1, f"this is not YAML: {error}", "Save the file as UTF-8 text.")
        return None
    if node is None:
        problems.add(file, 1, "the file is empty", "Write the table's contract (ODCS v3.1) into it, or delete it.")
        return None
    return _Converter(file, problems).document(node)


@lru_cache(maxsize=1024)  # most of compiling is this, and one process compiles the same files several times
def _compose(text: str) -> YamlNode | None:
    node: YamlNode | None = YAML(typ="safe", pure=True).compose(text)
    return node


class _Converter:
    def __init__(self, file: str, problems: Problems) -> None:
        self._constructor, self._file, self._problems = YAML(typ="safe", pure=True).constructor, file, problems
        self._lines: Lines = {}
        self._open: set[int] = set()

    def document(self, node: YamlNode) -> Document:
        data = self._value(node, ())
        return Document(self._file, data, self._lines, self._problems)

    def _value(self, node: YamlNode, path: Path) -> Any:
        self._lines.setdefault(path, _line(node))
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if id(node) in self._open:
            self._problems.add(self._file, _line(node), "an alias contains itself", "Write the value out.")
            return None
        self._open.add(id(node))
        value = dict(self._mapping(node, path)) if isinstance(node, MappingNode) else list(self._items(node, path))
        self._open.discard(id(node))
        return value

    def _mapping(self, node: MappingNode, path: Path) -> Iterator[tuple[str, Any]]:
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key in seen:
                self._problems.add(self._file, _line(key_node), f"key '{key}' is here twice (first on line {seen[key]})", "Keep one of them.")
                continue
            seen[key] = self._lines[(*path, key)] = _line(key_node)
            yield key, self._value(value_node, (*path, key))

    def _items(self, node: YamlNode, path: Path) -> Iterator[Any]:
        for index, item in enumerate(node.value if isinstance(node, SequenceNode) else ()):
            yield self._value(item, (*path, index))

    def _scalar(self, node: ScalarNode) -> Any:
        kind = node.tag.removeprefix(_TAG) if isinstance(node.tag, str) else str(node.tag)
        if kind in ("str", "timestamp"):
            return str(node.value)
        convert = {
            "null": lambda _: None,
            "bool": self._constructor.construct_yaml_bool,
            "int": self._constructor.construct_yaml_int,
            "float": self._constructor.construct_yaml_float,
        }.get(kind)
        if convert is None:
            self._problems.add(
                self._file, _line(node), f"a value of type '{kind}' has no place in a contract", "Write text, a number, true or false."
            )
            return None
        value = convert(node)
        if isinstance(value, float) and not math.isfinite(value):
            self._problems.add(
                self._file, _line(node), f"{node.value} is not a number one can compare with", "Write a finite number, or leave it out."
            )
            return None
        return value


def _line(node: YamlNode) -> int:
    return int(node.start_mark.line) + 1
