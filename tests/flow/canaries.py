"""Canaries: words like no other, the forms in which one could be written down, and a search for them through every file below a folder.

A canary is a word that all of a test's values have in common, so that one search finds any of them, whole or cut off behind it.
"""

import base64
import gzip
import hashlib
import io
import json
import os
import re
import secrets
import string
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

_WORD = 12  # letters; none of them alone is found by chance in some tens of megabytes
_NEAR = 60  # bytes
_DIGESTS = re.compile(rb"(?<![0-9a-f])(?:[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{32})(?![0-9a-f])")
_KEYLESS = ("sha256", "sha1", "md5")


def new_word() -> str:
    """Letters of both cases, none of them a hexadecimal digit."""
    letters = [one for one in string.ascii_letters if one.lower() not in string.hexdigits]
    return "".join(secrets.choice(letters) for _ in range(_WORD))


@dataclass(frozen=True, slots=True, kw_only=True)
class Find:
    """Where a canary is: the file, below what was searched, what of it, in which form, and what stands around it."""

    file: str
    part: str
    form: str
    near: str


class Search:
    """For one word, and for the digests of `values` without a key: anybody can try those out."""

    def __init__(self, word: str, values: Iterable[str] = ()) -> None:
        self._forms = forms(word)
        self._digests = {hashlib.new(name, value.encode()).hexdigest().encode(): name for value in values for name in _KEYLESS}

    def below(self, folder: Path, *, leave_out: Callable[[str], bool] = lambda _file: False) -> list[Find]:
        """Every find in names and contents of files; contents that were searched already are not searched again.

        Files may come and go meanwhile, as Spark's do.
        """
        found, searched = list[Find](), set[bytes]()
        for path in sorted(Path(parent, name) for parent, _, names in os.walk(folder) for name in names):
            file = path.relative_to(folder).as_posix()
            if leave_out(file):
                continue
            found += self._finds(file, "its name", file.encode())
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                continue
            digest = hashlib.sha256(data).digest()
            if digest not in searched:
                searched.add(digest)
                found += self.in_file(file, data)
        return found

    def in_file(self, file: str, data: bytes) -> list[Find]:
        return [find for part, read in readings(data) for find in self._finds(file, part, read)]

    def _finds(self, file: str, part: str, data: bytes) -> Iterator[Find]:
        lowered = data.lower()
        for form, (needle, any_case) in self._forms.items():
            at = (lowered if any_case else data).find(needle)
            if at >= 0:
                yield Find(file=file, part=part, form=form, near=_text(data[max(0, at - _NEAR) : at + len(needle) + _NEAR]))
        for digest in set(_DIGESTS.findall(lowered)) & set(self._digests) if self._digests else ():
            yield Find(file=file, part=part, form=self._digests[digest], near=_text(digest))


def forms(word: str) -> Mapping[str, tuple[bytes, bool]]:
    """By name: the bytes to look for, and whether in any case."""
    found = {
        "text": (word.lower().encode(), True),
        "UTF-16, little": (word.lower().encode("utf-16-le"), True),
        "UTF-16, big": (word.lower().encode("utf-16-be"), True),
    }
    for case, text in {"": word, ", lower case": word.lower(), ", upper case": word.upper()}.items():
        raw = text.encode()
        found[f"hex{case}"] = (raw.hex().encode(), True)
        found |= {f"base64 at {start}{case}": (core, False) for start, core in enumerate(_base64_cores(raw))}
        for separator in (", ", ","):
            found[f"numbers with '{separator}'{case}"] = (separator.join(map(str, raw)).encode(), False)
    return found


def _base64_cores(raw: bytes) -> list[bytes]:
    """What the base64 of any text shows that holds `raw`, by where `raw` starts in a group of three. Letters alone give no + and no /."""
    cores = []
    for start in range(3):
        padded = base64.b64encode(b"\0" * start + raw + b"\0\0")
        whole = (start + len(raw)) // 3 * 4  # from there on what follows shows too
        cores.append(padded[(0, 2, 3)[start] : whole])
    return cores


def readings(data: bytes, part: str = "") -> Iterator[tuple[str, bytes]]:
    """The bytes themselves, and what they are compressed, archived or Parquet of."""
    yield part or "its bytes", data
    inner = f"{part}, " if part else ""
    if data[:2] == b"\x1f\x8b":
        yield from readings(gzip.decompress(data), f"{inner}unzipped")
    elif data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.namelist():
                yield f"{inner}the name of {member}", member.encode()
                yield from readings(archive.read(member), f"{inner}{member}")
    elif data[:4] == b"PAR1" == data[-4:]:
        yield from _of_parquet(pq.ParquetFile(io.BytesIO(data)), inner)


def _of_parquet(file: pq.ParquetFile, inner: str) -> Iterator[tuple[str, bytes]]:
    meta = file.metadata
    yield f"{inner}what it says of itself", json.dumps([str(file.schema), *(meta.metadata or {}).items()], default=_text).encode()
    for name in file.schema_arrow.names:
        yield f"{inner}column {name}", json.dumps(file.read(columns=[name]).to_pylist(), default=_text, ensure_ascii=False).encode()
    for group in range(meta.num_row_groups):
        for position in range(meta.num_columns):
            column = meta.row_group(group).column(position)
            if column.statistics is not None and column.statistics.has_min_max:
                bounds = f"{_text(column.statistics.min)}\n{_text(column.statistics.max)}"
                yield f"{inner}statistics of {column.path_in_schema}", bounds.encode()


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
