"""Masks against Python's own, and the key nowhere to be read."""

import hashlib
import hmac

import pytest
from pyspark.sql import functions as F

from shared.core.errors import SecretMissing
from shared.spark.masks import KEY_COLUMNS, masked, with_mask_key

TEXTS = ["", "a", "abcd", "abcde", "4111111111111111", "ünï", "日本語テスト", "😀😀😀😀😀", "line\nbreak", " x ", None, "\x00", "a" * 500]


@pytest.fixture
def texts(spark):
    return spark.createDataFrame([(text,) for text in TEXTS], "text string")


@pytest.mark.parametrize("key", [b"k", b"x" * 64, b"y" * 200, bytes(range(256))])
def test_hmac_is_pythons(texts, key):
    """Whoever holds the key can compute the digest of a value and find its rows."""
    rows = with_mask_key(texts, key).select("text", masked(F.col("text"), "hmac").alias("digest")).collect()

    assert [row["digest"] for row in rows] == [
        None if row["text"] is None else hmac.new(key, row["text"].encode(), hashlib.sha256).hexdigest() for row in rows
    ]
    assert len(rows) == len(TEXTS)


def test_redaction_and_partial_display_keep_null_and_nothing_else(texts):
    """All but the last four characters, counted as characters; four or fewer are hidden whole."""
    rows = texts.select("text", masked(F.col("text"), "redact").alias("redacted"), masked(F.col("text"), "partial").alias("partial")).collect()

    for row in rows:
        text = row["text"]
        assert row["redacted"] == (None if text is None else "[redacted]")
        wanted = None if text is None else "*" * len(text) if len(text) <= 4 else "*" * (len(text) - 4) + text[-4:]
        assert row["partial"] == wanted


def test_no_plan_holds_the_key_in_any_form(texts, spark):
    """Plans go to logs, to the UI and to the event log, none of which redacts literals."""
    key = b"never-to-be-seen-in-any-plan-at-all!"
    block = key.ljust(64, b"\0")
    forms = [key, block, bytes(b ^ 0x36 for b in block), bytes(b ^ 0x5C for b in block)]
    keyed = with_mask_key(texts, key)
    frame = keyed.withColumn("text", masked(F.col("text"), "hmac")).drop(*KEY_COLUMNS).persist()
    frame.count()
    again = frame.where("text is not null")
    again.collect()

    plan = again._jdf.queryExecution()
    explain = spark._jvm.org.apache.spark.sql.api.python.PythonSQLUtils.explainString
    shown = [plan.toString(), *(explain(plan, mode) for mode in ("extended", "formatted", "cost", "codegen"))]
    for tree in (plan.logical(), plan.analyzed(), plan.optimizedPlan(), plan.executedPlan()):
        shown += [tree.toString(), tree.treeString(), tree.toJSON()]
    info = spark._jvm.org.apache.spark.sql.execution.SparkPlanInfo
    shown.append(_tree_of(info.fromSparkPlan(plan.executedPlan())))
    frame.unpersist()

    assert again.columns == ["text"]
    for form in forms:
        for text in shown:
            lowered = text.lower()
            assert form.hex() not in lowered
            assert form.decode("latin-1") not in text
            assert ", ".join(str(b) for b in form[:8]) not in text


def test_an_empty_key_is_refused(texts):
    """A lake is never masked with nothing."""
    with pytest.raises(SecretMissing, match="mask key is empty"):
        with_mask_key(texts, b"")


def _tree_of(info):
    """What the event log writes of a physical plan."""
    children = info.children()
    return info.simpleString() + info.metadata().toString() + "".join(_tree_of(children.apply(i)) for i in range(children.size()))
