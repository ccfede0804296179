"""History in plain Python, for tests to compare with: replay a thing's events in order, one after the other. Knows no Spark and no engine code."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

BEGINNING = datetime(1900, 1, 1, tzinfo=UTC)
Row = dict[str, Any]


def replayed(
    events: Sequence[Row],
    *,
    natural: tuple[str, ...],
    tracked: tuple[str, ...],
    latest: tuple[str, ...],
    at: str,
    is_delete: Callable[[Row], bool],
    first_valid_from: str | None = None,
) -> list[Row]:
    """Every version: natural key, tracked and latest columns, valid_from, valid_to, is_current, and `opened`: the time of its event."""
    of_thing: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for event in events:
        of_thing[tuple(event[name] for name in natural)].append(event)
    return [version for mine in of_thing.values() for version in _versions(mine, natural, tracked, latest, at, is_delete, first_valid_from)]


def _versions(events, natural, tracked, latest, at, is_delete, first_valid_from) -> list[Row]:
    made: list[Row] = []
    now: Row | None = None
    counting = {event[at]: event for event in sorted(events, key=lambda event: (event[at], is_delete(event), content(event)))}
    for time, event in counting.items():
        if is_delete(event):
            if now is not None:
                now["valid_to"] = time
            now = None
        elif now is None or any(now[name] != event[name] for name in tracked):
            if now is not None:
                now["valid_to"] = time
            since = min(BEGINNING if first_valid_from is None else event[first_valid_from] or time, time) if not made else time
            now = {name: event[name] for name in (*natural, *tracked)} | {"valid_from": since, "valid_to": None, "opened": time}
            made.append(now)
    last = list(counting.values())[-1]
    return [version | {name: last[name] for name in latest} | {"is_current": version["valid_to"] is None} for version in made]


def latest_states(events: Sequence[Row], *, key: tuple[str, ...], at: str, is_delete: Callable[[Row], bool]) -> list[Row]:
    """The last event of each key, those that end in a delete left out."""
    last = {tuple(event[name] for name in key): event for event in sorted(events, key=lambda event: (event[at], is_delete(event), content(event)))}
    return [event for event in last.values() if not is_delete(event)]


def content(event: Row) -> str:
    """What decides between states of one time: the digest of the row's text."""
    texts = [f"{name}={len(text)}:{text};" for name in sorted(event) if (text := _text(event[name])) is not None]
    return hashlib.sha256("".join(texts).encode()).hexdigest()


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else value.strftime("%Y-%m-%d %H:%M:%S") if isinstance(value, datetime) else str(value)
