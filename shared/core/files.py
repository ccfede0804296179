"""How a source of files is cut into batches: which objects are new, and what is known of them afterwards. Pure.

A batch's objects are frozen with their ETags in a manifest, written before the batch is pending. What arrives or changes later is the next one's.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.spec.lake import Files

MOST_BYTES = 4 * 1024**3  # of one batch; a single object may be larger


@dataclass(frozen=True, slots=True, kw_only=True)
class FileObject:
    """One object as a listing shows it. `key` is relative to the server's location; `etag` changes with the content."""

    key: str
    etag: str
    size_bytes: int
    modified: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What one batch reads, and the ETag of every object that this batch and those before it account for."""

    objects: tuple[FileObject, ...]
    inventory: Mapping[str, str]


def matching(pattern: str, keys: Iterable[str]) -> frozenset[str]:
    """The keys that a pattern means. `*` and `?` stay within a folder, `**/` is any depth. Names that begin with _ or . are never meant, as
    Spark does not read them."""
    wanted = re.compile("".join(_part(part) for part in re.split(r"(\*\*/|\*\*|\*|\?)", pattern)))
    return frozenset(key for key in keys if wanted.fullmatch(key) and not key.rpartition("/")[2].startswith(("_", ".")))


def static_folder(pattern: str) -> str:
    """The folder in which everything that a pattern can mean lies; empty for the location itself."""
    return re.split(r"[*?]", pattern, maxsplit=1)[0].rpartition("/")[0]


def next_manifest(files: Files, listed: Sequence[FileObject], inventory: Mapping[str, str]) -> Manifest:
    """The oldest objects that are new or have changed since `inventory`, as many as one batch may hold; none when nothing is new.

    Objects that are no longer listed leave the inventory: it is never larger than the listing, and one that comes back is new.
    """
    new = sorted((item for item in listed if inventory.get(item.key) != item.etag), key=lambda item: (item.modified, item.key))
    taken, size_bytes = list[FileObject](), 0
    for item in new[: files.max_objects]:
        size_bytes += item.size_bytes
        if taken and size_bytes > MOST_BYTES:
            break
        taken.append(item)
    present = {item.key for item in listed}
    known = {key: etag for key, etag in inventory.items() if key in present}
    return Manifest(objects=tuple(taken), inventory=known | {item.key: item.etag for item in taken})


def manifests(files: Files, listed: Sequence[FileObject], inventory: Mapping[str, str], *, first: bool) -> Iterator[Manifest]:
    """What is new, cut into batches, one by one. The `first` batch ever is cut even if it is empty."""
    frozen = next_manifest(files, listed, inventory)
    while frozen.objects or first:
        yield frozen
        frozen, first = next_manifest(files, listed, frozen.inventory), False


def standing(frozen: Sequence[FileObject], found: Mapping[str, str]) -> tuple[tuple[FileObject, ...], tuple[str, ...], tuple[str, ...]]:
    """Frozen objects apart: those whose ETag (`found`, by key) is still theirs, keys of changed ones, keys of vanished ones."""
    same = tuple(item for item in frozen if found.get(item.key) == item.etag)
    changed = tuple(item.key for item in frozen if item.key in found and found[item.key] != item.etag)
    return same, changed, tuple(item.key for item in frozen if item.key not in found)


def _part(text: str) -> str:
    return {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(text, re.escape(text))
