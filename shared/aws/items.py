"""DynamoDB's attribute values to plain Python values and back. Numbers are int; money never goes through here."""

from collections.abc import Mapping
from typing import Any


def encode(value: Any) -> dict[str, Any]:
    """The attribute value of a plain JSON value (what `shared.spec.codec.to_json` gives, without fractions)."""
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, int):
        return {"N": str(value)}
    if isinstance(value, Mapping):
        return {"M": {str(key): encode(item) for key, item in value.items()}}
    if isinstance(value, (list, tuple)):
        return {"L": [encode(item) for item in value]}
    raise TypeError(f"{type(value).__name__} has no place in a state item")


def decode(attribute: Mapping[str, Any]) -> Any:
    """The plain value of an attribute value; a number that is not whole becomes a float."""
    ((tag, held),) = attribute.items()
    if tag == "NULL":
        return None
    if tag == "N":
        return int(held) if held.lstrip("-").isdigit() else float(held)
    if tag == "M":
        return {key: decode(item) for key, item in held.items()}
    if tag == "L":
        return [decode(item) for item in held]
    return held


def encode_item(values: Mapping[str, Any]) -> dict[str, Any]:
    """An item. A top-level None is an absent attribute, so that conditions can say `attribute_not_exists`."""
    return {key: encode(value) for key, value in values.items() if value is not None}


def decode_item(item: Mapping[str, Any]) -> dict[str, Any]:
    return {key: decode(attribute) for key, attribute in item.items()}
