"""The search for personal data itself: what it cannot find, it cannot say is nowhere."""

import base64
import gzip
import hashlib
import json
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.flow.canaries import Search, new_word

WORD = new_word()
VALUE = f"{WORD}-ann@example.com"


def parquet(path, column, **options):
    filler = [f"row {number}" for number in range(200)]
    rows = [*filler, column] if isinstance(column, str) else [column]
    pq.write_table(pa.table({"a": pa.array(range(len(rows))), "email": rows}), path, **options)


def archive(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr("inner/rows.json.gz", gzip.compress(VALUE.encode()))


HIDDEN = {
    "plain text": lambda path: path.write_text(f"a log says {VALUE}."),
    "upper case": lambda path: path.write_text(VALUE.upper()),
    "JSON in JSON": lambda path: path.write_text(json.dumps({"payload": json.dumps({"email": f'"{VALUE}"'})})),
    "the local part alone": lambda path: path.write_text(VALUE.partition("@")[0]),
    "UTF-16": lambda path: path.write_bytes(VALUE.encode("utf-16")),
    "hex": lambda path: path.write_text(VALUE.encode().hex().upper()),
    "bytes as numbers": lambda path: path.write_text(str(list(VALUE.encode()))),
    "base64 of all": lambda path: path.write_bytes(base64.b64encode(VALUE.encode())),
    "base64, behind one byte": lambda path: path.write_bytes(base64.b64encode(b"x" + VALUE.encode())),
    "base64, behind two bytes": lambda path: path.write_bytes(base64.urlsafe_b64encode(b"xy" + VALUE.lower().encode())),
    "gzip": lambda path: path.write_bytes(gzip.compress(VALUE.encode())),
    "gzip in zip": archive,
    "Parquet, snappy": lambda path: parquet(path, VALUE, compression="snappy", write_statistics=False),
    "Parquet, zstd with a dictionary": lambda path: parquet(path, VALUE, compression="zstd"),
    "Parquet, nested": lambda path: parquet(path, [{"k": [{"original": VALUE}]}], compression="gzip", write_statistics=False),
    "Parquet, bytes": lambda path: parquet(path, VALUE.encode(), compression="gzip", write_statistics=False),
    "SHA-256 without a key": lambda path: path.write_text(f"id={hashlib.sha256(VALUE.encode()).hexdigest()};"),
    "MD5": lambda path: path.write_text(hashlib.md5(VALUE.encode()).hexdigest().upper()),
}


@pytest.mark.parametrize("how", HIDDEN)
def test_a_canary_is_found_however_it_is_written_down(tmp_path, how):
    """In a file of its own, and in no other."""
    HIDDEN[how](tmp_path / "hidden")
    (tmp_path / "innocent").write_text(f"{new_word()} {WORD[:-1]} {hashlib.sha256(b'ann@example.com').hexdigest()}")

    found = Search(WORD, [VALUE]).below(tmp_path)

    assert {"hidden"} == {find.file for find in found}


def test_a_find_names_the_column(tmp_path):
    """Whoever has to mend it knows where to look."""
    parquet(tmp_path / "part-0.parquet", VALUE, compression="zstd")

    found = Search(WORD).below(tmp_path)

    parts = {find.part for find in found}
    assert all(VALUE in find.near for find in found)
    assert {"column email", "statistics of email"} <= parts
    assert not any("column a" in part for part in parts)


def test_a_canary_is_found_in_the_names_of_files(tmp_path):
    """A partition is a folder."""
    (tmp_path / f"email={VALUE}").mkdir()
    (tmp_path / f"email={VALUE}" / "part-0").write_text("nothing")

    assert ["its name"] == [find.part for find in Search(WORD).below(tmp_path)]


def test_what_is_left_out_is_not_searched(tmp_path):
    """A source may hold what it holds."""
    (tmp_path / "source").write_text(VALUE)

    assert not Search(WORD).below(tmp_path, leave_out=lambda file: file == "source")
