"""What a replay takes from where, how it asks for keys, and what a source's batches add up to."""

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.errors import RequestRefused
from shared.core.messages import BatchCounts, BatchEvidence, Progress, Replay
from shared.core.replay import asks_source, key_that_can_be_asked, refuse_replay, replay_batch, sees_clear_values, totals_with, why_not_asked
from shared.core.totals import Totals
from shared.core.window import Freezer
from shared.spark.sources.keys import KEYS_AT_ONCE, key_conditions
from shared.spec.codec import CodecError, from_json, to_json
from shared.spec.lake import Files, Lake, Source, Tolerance
from tests.fakes import START, FakeState, World
from tests.machine import column, rule, table

EMAIL = replace(column("email"), mask="hmac", classification="restricted")
PHONE = replace(column("phone"), mask="partial", classification="restricted")


def of_column(name, id, expectation="expect_column_values_to_match_regex", severity="critical"):
    return replace(rule(id, severity=severity), expectation=expectation, kwargs={"column": name}, element=name)


CUSTOMERS = table(
    "bronze.customers",
    "append",
    columns=(column("id", key=1), EMAIL, PHONE, column("tier")),
    rules=(
        of_column("email", "email.pattern"),
        of_column("email", "email.required", "expect_column_values_to_not_be_null"),
        of_column("tier", "tier_known", "expect_column_values_to_be_in_set"),
        replace(rule("reachable"), kwargs={"condition": "tier = 'gold' OR length(PHONE) > 5"}),
        replace(rule("sane"), kwargs={"condition": "tier <> 'telephone'"}),
        of_column("phone", "phone.length", "expect_column_value_lengths_to_be_between", "warning"),
    ),
)


@pytest.mark.parametrize(
    ("reason", "asks"),
    [
        ("email.pattern", True),
        ("reachable", True),  # a condition that names a masked column
        ("email.required", False),  # NULL stays NULL under every mask
        ("tier_known", False),
        ("sane", False),  # a word that only begins like a column
        ("phone.length", False),  # no longer critical: it rejects nothing
        ("email.format", True),  # a rule that is gone; its column is still checked in clear
        ("phone.format", True),  # so is this one's, by a condition
        ("legacy", True),  # nobody knows what it saw
    ],
)
def test_only_a_fault_of_a_masked_column_that_is_still_checked_asks_the_source(reason, asks):
    """Everything else is told by what the reject carries."""
    assert asks == asks_source(CUSTOMERS, reason)


def test_presence_and_type_are_told_without_the_clear_value():
    """So rules about them are evaluated again on the masked one."""
    seeing = [rule.id for rule in CUSTOMERS.rules if sees_clear_values(CUSTOMERS, rule)]

    assert ["email.pattern", "reachable", "phone.length"] == seeing
    assert not sees_clear_values(CUSTOMERS, of_column("email", "email.type", "expect_column_values_to_be_of_type"))


def test_a_contract_that_checks_nothing_in_clear_never_asks_the_source():
    """A rule that was dropped sets its rejects free."""
    loose = replace(CUSTOMERS, rules=(of_column("tier", "tier_known"),))

    assert not any(asks_source(loose, reason) for reason in ("email.pattern", "legacy", "reachable"))


def test_a_key_that_is_masked_or_of_no_plain_type_cannot_be_asked_for():
    """Its clear value is known to nobody; a fraction compares with nothing."""
    assert ("id",) == key_that_can_be_asked(CUSTOMERS)
    assert () == key_that_can_be_asked(replace(CUSTOMERS, columns=(replace(EMAIL, key_position=1),)))
    assert () == key_that_can_be_asked(replace(CUSTOMERS, columns=(column("id", key=1, type="double"),)))
    assert () == key_that_can_be_asked(replace(CUSTOMERS, columns=(column("id"),)))


def test_rows_of_files_are_never_asked_for():
    """The reason says what to do: deliver the object again."""
    source = Source(
        relation="*.csv",
        watermark=None,
        reject_tolerance=Tolerance(share=0.5, rows=1),
        servers=(),
        files=Files(pattern="*.csv", max_objects=2),
    )

    assert () == key_that_can_be_asked(replace(CUSTOMERS, source=source))
    assert "not_read_again" == why_not_asked(replace(CUSTOMERS, source=source))
    assert "key_unknown" == why_not_asked(CUSTOMERS)


def test_a_line_that_could_not_be_read_is_not_replayed():
    """Nothing in it is known: a corrected object is."""
    lake = Lake(tables=(CUSTOMERS,), environments={})

    with pytest.raises(RequestRefused, match="put a corrected object under the name that `sluice rejects show bronze.customers"):
        refuse_replay(Replay(table="bronze.customers", rules=("broken_line",), runs=()), lake, FakeState(World()))


def test_a_replay_is_the_next_batch_and_moves_no_position():
    """Its window is empty."""
    replay = Replay(table="bronze.customers", rules=(), runs=())
    freezer = Freezer(run="run-3", fence=3, at=START)

    batch = replay_batch(CUSTOMERS, Progress(position=START, seq=4), replay, freezer)

    assert ("bronze.customers-0000000005", 5, START, START, replay) == (batch.batch_id, batch.seq, batch.lo, batch.hi, batch.replay)
    with pytest.raises(RequestRefused, match="no committed position"):
        replay_batch(CUSTOMERS, Progress(position=None, seq=0), replay, freezer)


# ---- keys


def read_back(condition):
    """The texts of a condition `id in (…)`, by a reader of its own."""
    inner = condition.removeprefix("id in (").removesuffix(")")
    parts = re.findall(r"'([^']*)'|chr\((\d+)\)|(\|\|)|(,)", inner)
    texts, text = [], ""
    for plain, code, _, comma in parts:
        if comma:
            texts.append(text)
            text = ""
        text += plain or (chr(int(code)) if code else "")
    return [*texts, text]


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1, max_size=5))
def test_whatever_a_text_key_holds_it_stays_one_literal(texts):
    """A quote or a backslash in a key neither ends its literal nor escapes anything, in any database."""
    (condition,) = key_conditions(("id",), ("text",), [(text,) for text in texts])

    assert texts == read_back(condition)
    assert not re.search(r"[\\\x00-\x1f]", condition)
    assert 0 == condition.count("'") % 2


@pytest.mark.parametrize(
    ("kind", "text", "literal"),
    [
        ("text", "O1", "'O1'"),
        ("text", "", "''"),
        ("text", "a'b", "('a' || chr(39) || 'b')"),
        ("number", "42", "42"),
        ("number", "-1", "-1"),
        ("number", "1E+3", "1000"),
        ("date", "2026-11-23", "date '2026-11-23'"),
        ("boolean", "true", "true"),
    ],
)
def test_a_key_is_written_as_a_literal_of_its_columns_type(kind, text, literal):
    """An index on the key can be used."""
    assert [f"id in ({literal})"] == list(key_conditions(("id",), (kind,), [(text,)]))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("number", "one"),
        ("number", "1) or (1=1"),
        ("number", "NaN"),
        ("number", "1E+999999"),
        ("date", "soon"),
        ("boolean", "1"),
        (None, "1.0"),
        ("text", "\0"),
    ],
)
def test_a_text_that_is_no_value_of_its_type_is_no_rows_key(kind, text):
    """It selects nothing, and reaches no SQL."""
    assert ["1 = 0"] == list(key_conditions(("id",), (kind,), [(text,)]))


def test_many_keys_are_asked_for_in_parts_and_wide_ones_by_all_their_columns():
    """No statement grows without bound."""
    parts = list(key_conditions(("id",), ("number",), [(str(n),) for n in range(KEYS_AT_ONCE + 1)]))
    wide = list(key_conditions(("shop", "id"), ("text", "number"), [("A", "1"), ("B", "2")]))

    assert [KEYS_AT_ONCE, 1] == [len(part.split(",")) for part in parts]
    assert ["(shop = 'A' and id = 1) or (shop = 'B' and id = 2)"] == wide


# ---- totals


def evidence(replay=None, **counts):
    given = {"read": 0, "accepted": 0, "rejected": 0, "seen": 0} | {name: count for name, count in counts.items() if name != "copies"}
    return BatchEvidence(
        batch_id="b", seq=1, lo=START, hi=START, contract_hash="", fence=1, glue_run="jr", version=1, digest="", counts=BatchCounts(**given),
        null_positions=0, reasons={"exact_copy": counts.get("copies", 0)}, rules=(), replay=replay,
    )  # fmt: skip


def test_a_row_that_was_replayed_is_counted_once():
    """Ten rows of the source: what is accepted, open, copied and seen is ten before the replay and after it."""
    window = totals_with(Progress(position=None, seq=0), evidence(read=10, accepted=4, rejected=5, seen=1, copies=2))
    replay = evidence(Replay(table="bronze.orders", rules=(), runs=()), read=3, accepted=1, rejected=1, seen=1)
    after = totals_with(Progress(position=START, seq=1, totals=window), replay)

    assert (10, 4, 3, 2, 1, 0) == (window.from_source, window.accepted, window.open, window.copies, window.seen, window.replayed)
    assert (10, 5, 1, 2, 2, 3) == (after.from_source, after.accepted, after.open, after.copies, after.seen, after.replayed)
    assert window.holds
    assert after.holds
    assert not replace(after, accepted=6).holds
    assert not Totals(read=1, accepted=1, replayed=1).holds


def test_totals_that_nobody_began_to_count_stay_unknown():
    """A lake of an older version: a sum over some of its batches would look like one over all."""
    assert totals_with(Progress(position=START, seq=7), evidence(read=1, accepted=1)) is None


def test_a_field_with_a_default_may_be_absent_and_no_other():
    """What an older version wrote is read; what is missing is still an error."""
    progress = Progress(position=START, seq=1, totals=Totals(read=1, accepted=1))

    assert progress == from_json(Progress, to_json(progress))
    assert Progress(position=START, seq=1) == from_json(Progress, {"position": "2026-01-01T00:00:00Z", "seq": 1})
    with pytest.raises(CodecError, match="seq"):
        from_json(Progress, {"position": None})
