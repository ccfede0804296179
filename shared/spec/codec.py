"""Dataclasses to JSON and back, strictly: a missing key (of a field without a default), an unknown key or a wrong type is an error.

Standard library only.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cache
from typing import Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin

T = TypeVar("T")
Where: TypeAlias = "str | tuple[Where, str | int]"  # a path by its end; made a text only when something does not fit
Decoder = Callable[[Any, Where], Any]


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
    return typing.cast(T, _decoder(typing.cast(Hashable, cls))(data, cls.__name__))


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
def _names(cls: Hashable) -> tuple[str, ...]:
    """The fields of a dataclass."""
    return tuple(f.name for f in dataclasses.fields(typing.cast(Any, cls)))


@cache
def _needed(cls: Hashable) -> frozenset[str]:
    """Its fields without a default."""
    return frozenset(f.name for f in dataclasses.fields(typing.cast(Any, cls)) if f.default is dataclasses.MISSING)


@cache
def _decoder(kind: Any) -> Decoder:
    """What reads a value of this kind; made once for each."""
    if kind is Any:
        return lambda data, where: data
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return lambda data, where: _expect(data in arguments, data, kind, where)
    if origin in (Union, types.UnionType):
        return _of_optional(kind, arguments)
    if origin is tuple:
        return _of_tuple(kind, _decoder(arguments[0]))
    if origin is not None and issubclass(origin, Mapping):
        return _of_mapping(kind, _decoder(arguments[1]))
    if dataclasses.is_dataclass(kind):
        return _of_dataclass(typing.cast(type[Any], kind))
    return lambda data, where: _decode_scalar(kind, data, where)


def _of_tuple(kind: Any, item: Decoder) -> Decoder:
    def decode(data: Any, where: Where) -> Any:
        _expect(isinstance(data, list), data, kind, where)
        return tuple([item(value, (where, i)) for i, value in enumerate(data)])

    return decode


def _of_mapping(kind: Any, value: Decoder) -> Decoder:
    def decode(data: Any, where: Where) -> Any:
        _expect(isinstance(data, dict), data, kind, where)
        return {key: value(held, (where, key)) for key, held in data.items()}

    return decode


def _of_optional(kind: Any, arguments: tuple[Any, ...]) -> Decoder:
    inner = [arg for arg in arguments if arg is not type(None)]
    present = _of_union(kind, inner)

    def decode(data: Any, where: Where) -> Any:
        return present(data, where) if data is not None else _expect(len(inner) < len(arguments), data, kind, where)

    return decode


def _of_union(kind: Any, inner: Sequence[Any]) -> Decoder:
    if len(inner) == 1:
        return _decoder(inner[0])
    if set(inner) <= {int, float, str}:
        return lambda data, where: _expect(type(data) in inner, data, kind, where)
    if set(inner) == {datetime, date, int}:
        return lambda data, where: _decode_scalar(
            int if isinstance(data, int) else date if isinstance(data, str) and "T" not in data else datetime, data, where
        )

    def refuse(data: Any, where: Where) -> Any:
        raise CodecError(f"{_text(where)}: {kind} is not a type this codec reads")

    return refuse


def _of_dataclass(cls: type[Any]) -> Decoder:
    kind = typing.cast(Hashable, cls)

    def decode(data: Any, where: Where) -> Any:
        _expect(isinstance(data, dict), data, cls, where)
        fields = _fields(kind)
        if not (_needed(kind) <= data.keys() <= fields.keys()):
            missing, unknown = sorted(_needed(kind) - data.keys()), sorted(data.keys() - fields.keys())
            raise CodecError(f"{_text(where)}: missing {missing}, unknown {unknown}")
        return cls(**{name: fields[name](value, (where, name)) for name, value in data.items()})

    return decode


@cache
def _fields(cls: Hashable) -> dict[str, Decoder]:
    """Of a dataclass: what reads each field."""
    hints = typing.get_type_hints(cls)
    return {name: _decoder(hints[name]) for name in _names(cls)}


def _text(where: Where) -> str:
    """`Lake.tables[0].name`."""
    if isinstance(where, str):
        return where
    parent, part = where
    return f"{_text(parent)}[{part}]" if isinstance(part, int) else f"{_text(parent)}.{part}"


def _decode_scalar(kind: Any, data: Any, where: Where) -> Any:
    if kind is datetime:
        _expect(isinstance(data, str), data, kind, where)
        try:
            return parse_instant(data)
        except CodecError as odd:
            raise CodecError(f"{_text(where)}: {odd}") from odd
    if kind is date:
        return _parse_date(_expect(isinstance(data, str), data, kind, where), where)
    if kind is float:
        return float(_expect(isinstance(data, (int, float)) and not isinstance(data, bool), data, kind, where))
    if kind is int:
        return _expect(isinstance(data, int) and not isinstance(data, bool), data, kind, where)
    return _expect(isinstance(data, kind), data, kind, where)


def _parse_date(text: str, where: Where) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise CodecError(f"{_text(where)}: expected a date, found other text") from None


def _expect(held: bool, data: Any, kind: Any, where: Where) -> Any:
    if not held:
        raise CodecError(f"{_text(where)}: expected {getattr(kind, '__name__', kind)}, found {type(data).__name__}")
    return data
