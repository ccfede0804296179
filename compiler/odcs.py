"""Whether a document is an ODCS v3.1 data contract: its shape by the standard's own model, unknown keys at any depth, its own JSON schema."""

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any, get_args

import open_data_contract_standard
from open_data_contract_standard.model import OpenDataContractStandard
from pydantic import BaseModel, ValidationError

from compiler.document import Document
from compiler.node import Node

API_VERSION = "v3.1.0"


def check_shape(doc: Document) -> None:
    """Refuse what the standard does not have: keys it does not know, values of another type than it says."""
    _check_keys(Node.root(doc), OpenDataContractStandard)
    try:
        OpenDataContractStandard.model_validate(doc.data, strict=True)
    except ValidationError as invalid:
        for error in invalid.errors():
            if error["type"] != "extra_forbidden":
                path = doc.known_part(error["loc"])
                doc.problems.add(doc.file, doc.line(path), f"not ODCS: {_lower(error['msg'])}", "Write what ODCS v3.1 has there.", in_doubt=True)


def json_schema() -> dict[str, Any]:
    """The JSON schema that the standard publishes, as its model's package ships it."""
    found: dict[str, Any] = json.loads(files(open_data_contract_standard).joinpath("schema.json").read_text(encoding="utf-8"))
    return found


def _check_keys(node: Node, model: type[BaseModel]) -> None:
    fields = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
    node.only(fields, what=_called(model))
    for key, annotation in fields.items():
        for inner, inner_model in _models(node[key], annotation):
            _check_keys(inner, inner_model)


def _models(node: Node, annotation: Any) -> Iterator[tuple[Node, type[BaseModel]]]:
    """The parts of a value that the standard describes by a model of their own."""
    for option in get_args(annotation) or (annotation,):
        if isinstance(option, type) and issubclass(option, BaseModel) and isinstance(node.value, dict):
            yield node, option
        items = [arg for arg in get_args(option) if isinstance(arg, type) and issubclass(arg, BaseModel)]
        if items and isinstance(node.value, list):
            yield from ((item, items[0]) for item in node.items() if isinstance(item.value, dict))


def _called(model: type[BaseModel]) -> str:
    names = {"OpenDataContractStandard": "a data contract", "SchemaProperty": "a column", "SchemaObject": "a schema", "DataQuality": "a quality rule"}
    return names.get(model.__name__, f"ODCS {model.__name__}")


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
