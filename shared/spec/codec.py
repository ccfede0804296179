"""Dataclasses to JSON and back, strictly: a missing key (of a field without a default), an unknown key or a wrong type is an error.

Standard library only.
"""

import dataclasses
import types
import typing
from collections.abc import Hashable, Mapping
from datetime import UTC, date, datetime
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

T = TypeVar("T")


class CodecError(ValueError):
    """A document does not have the shape of its type; the text says where and what was expected."""


class NoTimeZone(CodecError):
    """An instant that does not name its offset."""


def to_json(value: Any) -> Any:
    """Plain JSON values (dict, list, str, int, float, bool, None) of a dataclass, tuple, mapping or scalar.

    Datetimes become ISO 8601 UTC, dates YYYY-MM-DD.
    """
    if value is None or isinstance(value, (str, int, float, bool)):  # first: most values are
        return value
    if dataclasses.is_dataclass(type(value)):
        return {name: to_json(getattr(value, name)) for name in _names(typing.cast(Hashable, type(value)))}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, datetime):
        return instant_text(value)
    if isinstance(value, date):
        return value.isoformat()
    raise CodecError(f"{type(value).__name__} has no JSON form")


def from_json(cls: type[T], data: Any) -> T:
    """The value of type `cls` that `data` holds. Raises CodecError naming the path of the first thing that does not fit."""
    return typing.cast(T, _decode(cls, data, cls.__name__))


def instant_text(value: datetime) -> str:
    """ISO 8601 in UTC with microseconds and a Z; texts order as the instants do. Raises CodecError for a time without zone."""
    if value.tzinfo is None:
        raise CodecError(f"{value.isoformat()} has no time zone")
    # not strftime: it writes the year 999 with three digits
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_instant(text: str) -> datetime:
    """The UTC datetime of an ISO 8601 text that names its offset. Raises CodecError, also for an instant outside the years 1 to 9999."""
    try:
        value = datetime.fromisoformat(text)
        if value.tzinfo is not None:
            return value.astimezone(UTC)
    except (ValueError, OverflowError) as odd:
        raise CodecError(f"{text} is not an ISO 8601 instant") from odd
    raise NoTimeZone(f"{text} has no time zone")


@cache
def _hints(cls: Hashable) -> dict[str, Any]:
    return typing.get_type_hints(cls)


@cache
def _names(cls: Hashable) -> tuple[str, ...]:
    """The fields of a dataclass."""
    return tuple(f.name for f in dataclasses.fields(typing.cast(Any, cls)))


@cache
def _needed(cls: Hashable) -> frozenset[str]:
    """Its fields without a default."""
    return frozenset(f.name for f in dataclasses.fields(typing.cast(Any, cls)) if f.default is dataclasses.MISSING)


def _decode(kind: Any, data: Any, where: str) -> Any:
    if kind is Any:
        return data
    origin = get_origin(kind)
    if origin is Literal:
        return _expect(data in get_args(kind), data, kind, where)
    if origin in (Union, types.UnionType):
        return _decode_optional(kind, data, where)
    if origin is tuple:
        item = get_args(kind)[0]
        _expect(isinstance(data, list), data, kind, where)
        return tuple(_decode(item, value, f"{where}[{i}]") for i, value in enumerate(data))
    if origin is not None and issubclass(origin, Mapping):
        _expect(isinstance(data, dict), data, kind, where)
        return {key: _decode(get_args(kind)[1], value, f"{where}.{key}") for key, value in data.items()}
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(typing.cast(type[Any], kind), data, where)
    return _decode_scalar(kind, data, where)


def _decode_optional(kind: Any, data: Any, where: str) -> Any:
    if data is None:
        return _expect(type(None) in get_args(kind), data, kind, where)
    inner = [arg for arg in get_args(kind) if arg is not type(None)]
    if set(inner) <= {int, float, str} and len(inner) > 1:
        return _expect(type(data) in inner, data, kind, where)
    if set(inner) == {datetime, date, int}:
        return _decode_scalar(int if isinstance(data, int) else date if isinstance(data, str) and "T" not in data else datetime, data, where)
    if len(inner) != 1:
        raise CodecError(f"{where}: {kind} is not a type this codec reads")
    return _decode(inner[0], data, where)


def _decode_dataclass(cls: type[Any], data: Any, where: str) -> Any:
    _expect(isinstance(data, dict), data, cls, where)
    kind = typing.cast(Hashable, cls)
    hints, missing, unknown = _hints(kind), sorted(_needed(kind) - data.keys()), sorted(data.keys() - set(_names(kind)))
    if missing or unknown:
        raise CodecError(f"{where}: missing {missing}, unknown {unknown}")
    return cls(**{name: _decode(hints[name], data[name], f"{where}.{name}") for name in sorted(data)})


def _decode_scalar(kind: Any, data: Any, where: str) -> Any:
    if kind is datetime:
        _expect(isinstance(data, str), data, kind, where)
        try:
            return parse_instant(data)
        except CodecError as odd:
            raise CodecError(f"{where}: {odd}") from odd
    if kind is date:
        return _parse_date(_expect(isinstance(data, str), data, kind, where), where)
    if kind is float:
        return float(_expect(isinstance(data, (int, float)) and not isinstance(data, bool), data, kind, where))
    if kind is int:
        return _expect(isinstance(data, int) and not isinstance(data, bool), data, kind, where)
    return _expect(isinstance(data, kind), data, kind, where)


def _parse_date(text: str, where: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise CodecError(f"{where}: expected a date, found other text") from None


def _expect(held: bool, data: Any, kind: Any, where: str) -> Any:
    if not held:
        raise CodecError(f"{where}: expected {getattr(kind, '__name__', kind)}, found {type(data).__name__}")
    return data
