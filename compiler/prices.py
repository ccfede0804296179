"""`prices.toml`: what AWS charges, each refusal with its line. A lake may have none: then no run tells a cost."""

from dataclasses import fields
from datetime import date
from pathlib import Path

from compiler.environments import read_toml
from compiler.node import Node
from compiler.problems import Problems
from shared.spec.codec import from_json, to_json
from shared.spec.prices import Prices

FILE = "prices.toml"
_TEXTS = ("region", "source")
_NUMBERS = tuple(field.name for field in fields(Prices) if field.name not in ("as_of", *_TEXTS))


def read_prices(path: Path, file: str, problems: Problems) -> Prices | None:
    """None where there is no file, and, with the problems written down, where it does not hold."""
    doc = read_toml(path, file, problems) if path.is_file() else None
    if doc is None:
        return None
    root = Node.root(doc)
    root.only(("as_of", *_TEXTS, *_NUMBERS), what=FILE)
    as_of = _read_date(root["as_of"])
    texts = {name: root[name].text(f'Write {name} = "...": whose prices these are, and where they stand.') for name in _TEXTS}
    numbers = {name: _read_number(root[name]) for name in _NUMBERS}
    if as_of is None or problems.concern(file):
        return None
    return from_json(Prices, {"as_of": to_json(as_of), **texts, **numbers})


def _read_date(node: Node) -> date | None:
    if type(node.value) is date:
        return node.value
    node.refuse("'as_of' must be the day these prices were looked up", "Write as_of = 2026-11-23, without quotes.")
    return None


def _read_number(node: Node) -> float | None:
    if node.absent:
        node.refuse(f"'{node.name}' is missing", f"Write {node.name} = 0.0, or what it costs.")
    return node.number(0)
