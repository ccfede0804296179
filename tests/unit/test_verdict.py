"""What counts mean: a rule's tolerance, a batch's, a bypass."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.core.messages import (
    BatchCounts,
    BatchEvidence,
    Bypass,
    Finding,
    RuleResult,
)
from shared.core.verdict import judge_batch, judge_rule, verdict_of, with_bypasses, within
from shared.spec.lake import Column, Limit, Rule, Source, Tolerance, Watermark
from tests.machine import table

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def rule(**changes):
    made = {
        "id": "currency_known",
        "kind": "row",
        "expectation": "expect_column_values_to_be_in_set",
        "kwargs": {"column": "currency"},
        "element": "currency",
        "severity": "critical",
        "mostly": 1.0,
        "limit": None,
        "tolerance_written": False,
    }
    return Rule(**made | changes)


def result(elements=100, missing=0, unexpected=0, observed=None, of=None):
    of = of or rule()
    return RuleResult(
        rule=of.id,
        expectation=of.expectation,
        kwargs=of.kwargs,
        element=of.element,
        elements=elements,
        missing=missing,
        unexpected=unexpected,
        observed=observed,
    )


def limit(low=None, high=None, *, unit="rows", low_open=False, high_open=False, negated=False):
    return Limit(unit=unit, low=low, high=high, low_open=low_open, high_open=high_open, negated=negated)


@pytest.mark.parametrize(
    ("mostly", "missing", "unexpected", "holds"),
    [(1.0, 0, 0, True), (1.0, 0, 1, False), (0.95, 0, 5, True), (0.95, 0, 6, False), (0.95, 50, 3, False), (0.9, 100, 0, True)],
)
def test_mostly_is_a_share_of_the_values_that_are_there(mostly, missing, unexpected, holds):
    """NULLs are neither good nor bad; with nothing there, nothing is broken."""
    of = rule(mostly=mostly)

    findings = judge_rule(of, result(missing=missing, unexpected=unexpected, of=of), at=NOW)

    assert holds is (findings == ())


@pytest.mark.parametrize(
    ("bound", "value", "holds"),
    [
        (limit(0, 0), 0, True),
        (limit(0, 0), 1, False),
        (limit(high=1, high_open=True), 1, False),
        (limit(high=1), 1, True),
        (limit(low=5, low_open=True), 5, False),
        (limit(low=5), 5, True),
        (limit(2, 4, negated=True), 3, False),
        (limit(2, 4, negated=True), 5, True),
        (limit(), 7, True),
    ],
)
def test_an_odcs_comparison_means_what_its_operator_says(bound, value, holds):
    """Open and closed ends and their negation."""
    assert holds is within(bound, value)


def test_a_percent_limit_counts_missing_values_among_all():
    """ODCS measures a share of rows; 2 of 200 are one percent."""
    of = rule(limit=limit(high=1, high_open=True, unit="percent"))

    assert () != judge_rule(of, result(elements=200, unexpected=2, of=of), at=NOW)
    assert () == judge_rule(of, result(elements=200, unexpected=1, of=of), at=NOW)


@pytest.mark.parametrize(("observed", "holds"), [(5.0, True), (4.99, False), (10, True), (10.01, False), (None, False)])
def test_a_table_rule_holds_between_its_bounds_and_never_without_a_value(observed, holds):
    """As Great Expectations: the mean of nothing is not between anything."""
    of = rule(kind="table", expectation="expect_column_mean_to_be_between", kwargs={"column": "amount", "min_value": 5, "max_value": 10})

    findings = judge_rule(of, result(observed=observed, of=of), at=NOW)

    assert holds is (findings == ())


@pytest.mark.parametrize(("hours", "holds"), [(23, True), (24, True), (25, False)])
def test_freshness_is_measured_from_plans_time(hours, holds):
    """Not from the time the job or gate happened to run."""
    of = rule(kind="freshness", expectation="freshness", severity="warning", kwargs={"column": "updated_at", "max_age_seconds": 86400})
    observed = (NOW - timedelta(hours=hours)).isoformat()

    findings = judge_rule(of, result(observed=observed, of=of), at=NOW)

    assert holds is (findings == ())
    assert ("pass" if holds else "warn") == verdict_of(findings)


def test_freshness_without_any_value_is_broken():
    """Absence is an error."""
    of = rule(kind="freshness", kwargs={"column": "updated_at", "max_age_seconds": 86400})

    assert () != judge_rule(of, result(of=of), at=NOW)


def source_table(rules, *, share=0.1, rows=5, columns=()):
    mark = Watermark(column="at", lookback=0, safety_lag_seconds=0, start_at=NOW, max_window=60)
    source = Source(relation="orders", watermark=mark, reject_tolerance=Tolerance(share=share, rows=rows), servers=())
    return table("bronze.orders", "append", source=source, rules=tuple(rules), columns=tuple(columns))


def batch(*, accepted=100, rejected=0, seen=0, null_positions=0, rules=(), **more):
    counts = BatchCounts(read=accepted + rejected + seen, accepted=accepted, rejected=rejected, seen=seen)
    return BatchEvidence(
        batch_id="b",
        seq=1,
        lo=NOW,
        hi=NOW,
        contract_hash="c",
        fence=1,
        glue_run="jr",
        version=1,
        digest="d",
        counts=counts,
        null_positions=null_positions,
        reasons={},
        rules=tuple(rules),
        **more,
    )


def test_a_late_row_at_the_edge_of_the_lookback_warns_and_says_which_key_to_raise():
    """The next one may be later than the lookback reaches, and would be lost without a word."""
    of = source_table([])

    assert () == judge_batch(of, batch(late=3), at=NOW)
    (finding,) = judge_batch(of, batch(late=3, late_at_edge=1), at=NOW)

    assert ("warning", None) == (finding.severity, finding.rule)
    assert finding.message.startswith("1 of 3 late rows lie in the oldest tenth of the lookback")
    assert f"Raise watermark.lookback in {of.file}" in finding.message


def test_a_column_the_contract_does_not_name_is_a_warning_by_name():
    """It is kept out; somebody decides whether it should be."""
    (finding,) = judge_batch(source_table([]), batch(unknown_columns=("loyalty", "nickname")), at=NOW)

    assert "warning" == finding.severity
    assert finding.message.endswith("does not name, and they are not read: loyalty, nickname")


@pytest.mark.parametrize(
    ("accepted", "rejected", "verdict"),
    [(95, 5, "pass"), (90, 10, "pass"), (89, 11, "halt"), (1, 5, "pass"), (1, 6, "halt"), (1000, 100, "pass")],
)
def test_a_batch_halts_when_rejects_exceed_both_parts_of_its_tolerance(accepted, rejected, verdict):
    """A few rows of a small batch and a small share of a large one are both borne."""
    judged = source_table([rule()])

    findings = judge_batch(judged, batch(accepted=accepted, rejected=rejected, rules=[result(unexpected=rejected)]), at=NOW)

    assert verdict == verdict_of(findings)


def test_a_critical_row_rule_of_bronze_rejects_rows_and_halts_only_by_what_its_contract_wrote():
    """Its rows are in the rejects already; a written tolerance still halts."""
    silent, written = rule(), rule(id="strict", mostly=0.99, tolerance_written=True)
    counted = [result(elements=102, unexpected=2, of=silent), result(elements=102, unexpected=2, of=written)]

    findings = judge_batch(source_table([silent, written]), batch(rejected=2, rules=counted), at=NOW)

    assert ["strict"] == [finding.rule for finding in findings]


def test_rows_without_a_position_warn_and_halt_when_they_are_many():
    """They are in no window: nobody would read them again."""
    few = judge_batch(source_table([]), batch(null_positions=1), at=NOW)
    many = judge_batch(source_table([]), batch(null_positions=50), at=NOW)

    assert ("warn", "halt") == (verdict_of(few), verdict_of(many))


def test_a_batch_without_new_rows_is_not_judged_by_table_rules():
    """A quiet night is not a broken row count."""
    of = rule(kind="table", expectation="expect_table_row_count_to_be_between", kwargs={"min_value": 1}, element=None)

    assert () == judge_batch(source_table([of]), batch(accepted=0, seen=7, rules=[result(elements=0, observed=0, of=of)]), at=NOW)


def bypass(**changes):
    made = {
        "table": "bronze.orders",
        "rule": "currency_known",
        "approver": "ana",
        "ticket": "OPS-7",
        "reason": "new market",
        "expires": NOW + timedelta(1),
    }
    return Bypass(**made | changes)


CRITICAL = Finding(rule="currency_known", severity="critical", message="3 of 100 values break it")


def test_an_unexpired_bypass_turns_a_halt_into_a_warning_that_says_so():
    """Switching a safety off is allowed, and shown everywhere."""
    (finding,) = with_bypasses(source_table([rule()]), [CRITICAL], [bypass()], at=NOW)

    assert "warning" == finding.severity
    assert "ana" in finding.message
    assert "OPS-7" in finding.message


@pytest.mark.parametrize("changes", [{"expires": NOW}, {"rule": "other"}, {"table": "bronze.customers"}])
def test_a_bypass_that_expired_or_speaks_of_something_else_changes_nothing(changes):
    """It covers one rule of one table for a time."""
    assert (CRITICAL,) == with_bypasses(source_table([rule()]), [CRITICAL], [bypass(**changes)], at=NOW)


def test_a_rule_on_a_classified_column_cannot_be_bypassed():
    """Personal data has no exceptions by ticket."""
    email = Column(
        name="currency",
        type="string",
        required=False,
        key_position=None,
        partition_position=None,
        classification="restricted",
        mask="hmac",
        lineage=(),
    )

    assert (CRITICAL,) == with_bypasses(source_table([rule()], columns=[email]), [CRITICAL], [bypass()], at=NOW)


def test_what_holds_of_every_history_cannot_be_bypassed():
    """Broken versions are the engine's fault, and facts would be tied to the wrong one."""
    broken = replace(CRITICAL, rule="history.no_overlap")
    table = source_table([rule(id="history.no_overlap", kind="history", expectation="history_no_overlap")])

    assert (broken,) == with_bypasses(table, [broken], [bypass(rule="history.no_overlap")], at=NOW)
