"""Files behind bronze: what is frozen is read whole or not at all, line by line, whatever the order of columns."""

import gzip
import json
import os
from dataclasses import replace

import pytest
from shop import WRITER, at, batch, column, rule, table

from shared.core.errors import DataRejected, MissingColumn, ObjectGone, SchemaMismatch, WidenedColumn
from shared.core.files import standing
from shared.core.layout import table_path
from shared.core.messages import Replay
from shared.spark.replay import open_rejects
from shared.spark.sources import FileSources
from shared.spark.tables import SparkTables
from shared.spec.lake import Files, Lake, Server, Source, Tolerance

COLUMNS = [
    column("currency", key=1, required=True),
    column("rate_date", "date", key=2, required=True),
    column("rate", "decimal(18,8)", required=True),
    column("note"),
    column("updated_at", "timestamp"),
]
HEADER = "currency,rate_date,rate,note,updated_at"
EUR = "EUR,2026-11-01,1.08500000,,2026-11-01T06:00:00Z"
GBP = "GBP,2026-11-01,1.27,sterling,2026-11-01T06:00:00Z"


def rates(folder, format="csv", pattern="**/*", columns=COLUMNS, rules=()):
    server = Server(
        name="drop", type="s3", environment="local", host=None, port=None, database=None, schema=None, location=str(folder), format=format
    )
    files = Files(pattern=pattern, max_objects=100)
    tolerance = Tolerance(share=0.5, rows=9)
    source = Source(relation=pattern, watermark=None, reject_tolerance=tolerance, servers=(server,), files=files)
    return table("bronze.fx_rates", "append", columns, source=source, rules=rules)


class Drop:
    """A folder of files, and the bronze table read from it."""

    def __init__(self, spark, root, **contract):
        self.spark, self.folder, self.root = spark, root / "drop", root / "lake"
        self.folder.mkdir()
        self.table = rates(self.folder, **contract)
        self.sources = FileSources(spark=spark, environment="local")
        self.tables = SparkTables(
            spark=spark, root=str(self.root), lake=Lake(tables=(self.table,), environments={}), sources=self.sources, mask_key=lambda: b"k"
        )
        self.tables.create(self.table, WRITER, lambda: None)

    def put(self, name, *lines, ends="\n"):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = ends.join([*lines, ""]).encode() if isinstance((*lines, "")[0], str) else lines[0]
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    def frozen(self):
        return tuple(sorted(self.sources.objects(self.table), key=lambda item: item.key))

    def land(self, objects=None, seq=1, of=None):
        found = self.frozen() if objects is None else objects
        frozen = replace(batch(self.table, seq, at(seq), at(seq)), manifest="m.json")
        return self.tables.land(of or self.table, frozen, objects=found, holds_rows=False, writer=WRITER, guard=lambda: None)

    def replay(self, seq, of):
        selector = Replay(table=of.name, rules=(), runs=())
        frozen = replace(batch(of, seq, at(1), at(1)), replay=selector)
        return self.tables.land(of, frozen, holds_rows=False, writer=WRITER, guard=lambda: None)

    def rows(self, lane="accepted", *columns):
        found = self.spark.read.format("delta").load(str(self.root / table_path(self.table))).where(f"_lane = '{lane}'")
        return sorted(tuple(map(str, row)) for row in found.select(*(columns or ("currency", "rate", "note"))).collect())

    def originals(self):
        return sorted(
            (json.loads(text) for (text,) in self.rows("rejected", "_original")), key=lambda held: (held.get("object", ""), held.get("line"))
        )


@pytest.fixture
def drop(spark, tmp_path):
    return Drop(spark, tmp_path)


def test_files_are_read_by_header_whatever_their_order_of_columns(drop):
    """Quotes as RFC 4180 has them, Windows line ends, a byte order mark, gzip, odd names: one table comes of it."""
    drop.put("a.csv", HEADER, EUR, GBP)
    drop.put("2026/b [1] {x}%20é.csv", "\ufeffRate,Currency,rate_date,other", '1.5,"A,""B""",2026-11-02,left out', "", ends="\r\n")
    drop.put("2026/11/c.csv.gz", "rate_date,rate,currency", "2026-11-03,0.0066,JPY")
    drop.put("2026/empty.csv", b"")
    drop.put("2026/_SUCCESS", "not", "ours")

    evidence = drop.land()

    assert (4, 4, 0, 0) == (evidence.counts.read, evidence.counts.accepted, evidence.counts.rejected, evidence.counts.seen)
    assert [
        ('A,"B"', "1.50000000", "None"),
        ("EUR", "1.08500000", "None"),
        ("GBP", "1.27000000", "sterling"),
        ("JPY", "0.00660000", "None"),
    ] == drop.rows()
    assert ("m.json", (), ("other",)) == (evidence.manifest, evidence.warnings, evidence.unknown_columns)


def test_a_broken_line_is_rejected_with_its_object_version_and_number(drop):
    """Too few and too many fields, quotes that do not end, bytes that are no text: each at its place, and nothing else is wrong with it."""
    drop.put("a.csv", HEADER, EUR, "USD,2026-11-01", f"{GBP},more", "", "")
    drop.put("c.csv", "currency,rate_date,rate,note", 'CHF,2026-11-01,1.1,"two', 'lines"')
    drop.put("b.csv", f"{HEADER}\nSEK,2026-11-01,0.09,caf".encode() + b"\xe9,2026-11-01T06:00:00Z\n")
    etags = {item.key: item.etag for item in drop.frozen()}

    evidence = drop.land()

    assert {"broken_line": 5} == evidence.reasons
    assert (6, 1, 5) == (evidence.counts.read, evidence.counts.accepted, evidence.counts.rejected)
    found = drop.originals()
    assert [("a.csv", 3), ("a.csv", 4), ("b.csv", 2), ("c.csv", 2), ("c.csv", 3)] == [(held["object"], held["line"]) for held in found]
    assert all(etags[held["object"]] == held["etag"] for held in found)
    assert "USD,2026-11-01" == found[0]["text"]
    drop.tables.write_errors(drop.table, batch(drop.table, 1, at(1), at(1)), "_errors/x", rejected=evidence.counts.rejected)
    lines = [json.loads(line) for path in (drop.root / "_errors/x").glob("*.json") for line in path.read_text().splitlines()]
    assert {"2", "3", "4"} == {line["original"]["line"] for line in lines}


def test_the_text_of_a_broken_line_stays_out_when_a_column_is_classified(spark, tmp_path):
    """Nobody knows which part of it is personal; nor of a first line, where a header is missing."""
    drop = Drop(spark, tmp_path, columns=[*COLUMNS[:3], column("note", mask="hmac"), COLUMNS[4]])
    drop.put("a.csv", HEADER, "EUR,secret")
    drop.land()
    drop.put("b.csv", "EUR,2026-11-01,1,secret,secret")

    with pytest.raises(MissingColumn, match=r"b\.csv has no column currency, rate, rate_date") as refused:
        drop.land(seq=2)

    assert "secret" not in str(refused.value)
    assert [{"object", "etag", "line"}] == [set(held) for held in drop.originals()]
    for path in drop.root.rglob("*"):
        assert not path.is_file() or b"secret" not in path.read_bytes()


def test_a_value_that_does_not_fit_rejects_its_row_as_from_any_source(spark, tmp_path):
    """A line that can be read and breaks the contract keeps what it said."""
    known = rule("expect_column_values_to_be_in_set", "currency", id="known", value_set=["EUR", "GBP"])
    drop = Drop(spark, tmp_path, rules=(known,))
    drop.put("a.csv", HEADER, EUR, "EUR,2026-11-01,much,,", "XXX,2026-11-01,1,,", "broken")

    evidence = drop.land()

    assert {"rate.type": 1, "known": 1, "broken_line": 1} == evidence.reasons
    (result,) = evidence.rules
    assert (4, 1, 1) == (result.elements, result.missing, result.unexpected)
    assert "much" == next(held["rate"] for held in drop.originals() if held.get("rate") == "much")


def test_json_lines_are_one_object_each(spark, tmp_path):
    """What stands behind an object on its line is not dropped in silence; numbers keep every digit."""
    drop = Drop(spark, tmp_path, format="json")
    drop.put(
        "a.json",
        '{"currency": "EUR", "rate_date": "2026-11-01", "rate": 1234567890.12345678, "note": {"by": ["a", 1]}, "more": 1}',
        '{"currency": "GBP", "rate_date": "2026-11-01", "rate": "1.27"}{"currency": "USD"}',
        '[{"currency": "GBP"}]',
        '{"currency": "GBP", "currency": "USD"}',
        '{"currency": "GBP"}}',
        '{"currency": "GBP"}]',
        '{"currency": "GBP"},{"currency": "USD"}',
        '{"currency": ',
        "null",
        "",
        '{"currency": "SEK", "rate": 1}',
    )

    evidence = drop.land()

    assert {"broken_line": 8, "rate_date.required": 1} == evidence.reasons
    assert [("EUR", "1234567890.12345678", '{"by":["a",1]}')] == drop.rows()
    assert [2, 3, 4, 5, 6, 7, 8, 9] == [held["line"] for held in drop.originals() if "line" in held]


def test_parquet_keeps_its_types_and_may_gain_a_column(spark, tmp_path):
    """Files of one batch need not have the same columns; a wider type follows the contract's word; a file that is none halts the table by name."""
    drop = Drop(spark, tmp_path, format="parquet", pattern="*.parquet")
    old = "'EUR' AS currency, DATE'2026-11-01' AS rate_date, CAST(1.08 AS decimal(10,2)) AS rate"
    for name, text in {"old": old, "new": f"{old.replace('1.08', '2.08')}, 'n' AS note, 7 AS more"}.items():
        spark.sql(f"SELECT {text}").coalesce(1).write.parquet(str(tmp_path / name))
        next((tmp_path / name).glob("part-*.parquet")).rename(drop.folder / f"{name}.parquet")

    evidence = drop.land()

    assert 2 == evidence.counts.accepted
    assert [("EUR", "1.08000000", "None"), ("EUR", "2.08000000", "n")] == drop.rows()
    assert ("more",) == evidence.unknown_columns
    narrow = replace(drop.table, columns=(*COLUMNS[:2], column("rate", "decimal(8,1)"), *COLUMNS[3:]))
    with pytest.raises(WidenedColumn, match=r"rate is decimal\(10,2\) at the source and decimal\(8,1\) in the contract"):
        drop.sources.rows(narrow, drop.frozen())
    accepts = replace(narrow, source=replace(narrow.source, widening="accept"))
    assert 2 == drop.sources.rows(accepts, drop.frozen()).count()
    drop.put("broken.parquet", "no parquet at all")
    with pytest.raises(DataRejected, match=r"broken\.parquet"):
        drop.land(seq=2)


def test_a_header_without_a_required_column_halts_the_table_and_names_the_object(drop):
    """Its rows would all be rejects for one and the same reason."""
    drop.put("good.csv", HEADER, EUR)
    drop.put("bad.csv", "currency,rate", "EUR,1")

    with pytest.raises(MissingColumn, match=r"bad\.csv has no column rate_date, which lake/bronze/fx_rates\.yaml requires"):
        drop.land()
    drop.put("bad.csv", f"{HEADER},Rate", f"{EUR},2")
    with pytest.raises(SchemaMismatch, match=r"bad\.csv has column rate twice"):
        drop.land()


def test_an_object_that_vanished_after_the_freeze_halts_the_table_until_it_is_back(drop):
    """Nothing of the batch is written; put back, all of it is."""
    drop.put("a.csv", HEADER, EUR)
    path = drop.put("b.csv", HEADER, GBP)
    frozen, aside = drop.frozen(), drop.root / "aside"
    path.rename(aside)

    with pytest.raises(ObjectGone, match=r"b\.csv vanished .* Put it back"):
        drop.land(frozen)
    assert [] == drop.rows()
    aside.rename(path)

    assert 2 == drop.land(frozen).counts.accepted


def test_a_changed_object_is_left_out_with_a_warning(drop):
    """Its frozen content is gone; the new one is the next window's, and is not read under the old name."""
    drop.put("a.csv", HEADER, EUR)
    drop.put("b.csv", HEADER, GBP)
    frozen = drop.frozen()
    drop.put("b.csv", HEADER, GBP, GBP.replace("GBP", "USD"))

    evidence = drop.land(frozen)

    assert [("EUR", "1.08500000", "None")] == drop.rows()
    assert ("b.csv: changed after the batch was frozen and left out of it; the new content is in the next window",) == evidence.warnings
    assert {"b.csv"} == {item.key for item in drop.frozen()} - {item.key for item in standing(frozen, {i.key: i.etag for i in drop.frozen()})[0]}


@pytest.mark.parametrize("what", ["changed", "gone"])
def test_an_object_that_changes_while_it_is_read_is_noticed_afterwards(drop, what):
    """Looked at before and after: what was computed in between does not count."""
    drop.put("a.csv", HEADER, EUR)
    path = drop.put("b.csv", HEADER, GBP)
    read, reads = drop.sources.rows, []

    def meanwhile(table, objects):
        rows = read(table, objects)
        reads.append([item.key for item in objects])
        if len(reads) == 1 and what == "gone":
            path.unlink()
        elif len(reads) == 1:
            path.write_text(f"{HEADER}\n{GBP}\n{EUR}\n")
        return rows

    drop.sources.rows = meanwhile
    if what == "gone":
        with pytest.raises(ObjectGone):
            drop.land()
        assert [] == drop.rows()
    else:
        evidence = drop.land()
        assert [["a.csv", "b.csv"], ["a.csv"]] == reads
        assert (1, 1) == (evidence.counts.read, len(evidence.warnings))


def test_two_files_with_the_same_key_and_time_both_land_and_exact_copies_once(drop):
    """Which of the two is right is silver's to say by content; the very same row twice in a batch is a copy."""
    drop.put("a.csv", HEADER, EUR)
    drop.put("b.csv", HEADER, EUR.replace("1.085", "1.086"), GBP)
    drop.put("c.csv", HEADER, GBP)

    evidence = drop.land()

    assert {"exact_copy": 1} == evidence.reasons
    assert ["EUR", "EUR", "GBP"] == [currency for currency, *_ in drop.rows()]


def test_a_file_too_large_to_number_its_lines_is_refused_by_name(drop, monkeypatch):
    """Before a task dies of it."""
    drop.put("a.csv", HEADER, EUR)
    monkeypatch.setattr("shared.spark.sources.files.LARGEST_BYTES", 10)

    with pytest.raises(DataRejected, match=r"a\.csv has 88 bytes; text is read whole, up to 10"):
        drop.land()


def test_a_folder_without_files_gives_an_empty_batch(drop):
    """And a location that is not there yet has no objects."""
    nowhere = rates(drop.folder / "nowhere", pattern="in/*.csv")

    evidence = drop.land(())

    assert (0, None) == (evidence.counts.read, evidence.version)
    assert () == drop.sources.objects(nowhere)


def test_the_same_content_under_the_same_name_has_the_same_etag(drop):
    """Only what changed is new."""
    path = drop.put("a.csv", HEADER, EUR)
    (before,) = drop.frozen()
    stamp = os.stat(path)
    drop.put("a.csv", HEADER, EUR)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))

    assert (before,) == drop.frozen()


def test_rejects_of_files_are_replayed_from_bronze_and_no_object_is_read_again(spark, tmp_path):
    """A row that holds now is accepted, a line that could not be read stays as it is, and what only a clear value could tell says so."""
    columns = [replace(item, mask="redact", classification="restricted") if item.name == "note" else item for item in COLUMNS]
    known = rule("expect_column_values_to_be_in_set", "currency", id="currency_known", value_set=["EUR"])
    clean = rule("expect_column_values_to_match_regex", "note", id="note.pattern", regex="^[a-z]*$")
    drop = Drop(spark, tmp_path, columns=columns, rules=(known, clean))
    path = drop.put("a.csv", HEADER, EUR, GBP, "USD,2026-11-01,one,,", "CHF,2026-11-01", "EUR,2026-11-02,1.1,Secret 7,")
    first = drop.land()
    path.unlink()
    mended = replace(drop.table, rules=(replace(known, kwargs={"column": "currency", "value_set": ["EUR", "GBP", "USD"]}), clean))

    replays = [drop.replay(seq, of=mended) for seq in (2, 3)]

    assert {"currency_known": 2, "rate.type": 1, "broken_line": 1, "note.pattern": 1} == first.reasons
    for evidence, accepted in zip(replays, (1, 0), strict=True):
        assert {"rate.type": 1, "note.pattern": 1, "not_read_again": 1} == evidence.reasons
        assert (accepted, 2, 0) == (evidence.counts.accepted, evidence.counts.rejected, evidence.counts.seen)
    assert [("EUR", "1.08500000", "None"), ("GBP", "1.27000000", "[redacted]")] == drop.rows()
    left = open_rejects(spark.read.format("delta").load(str(drop.root / table_path(drop.table)))).collect()
    assert [["broken_line"], ["note.pattern", "not_read_again"], ["rate.type"]] == sorted(row["_reasons"] for row in left)
    assert b"Secret" not in b"".join(file.read_bytes() for file in drop.root.rglob("*") if file.is_file())
