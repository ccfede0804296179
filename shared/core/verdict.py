"""What counts mean: for a rule, a batch, a table. Pure; counting itself happened in the job.

A row or unique rule holds as Great Expectations' `mostly` does (share of expected among non-missing values), or by its ODCS limit.
Bronze differs: a broken critical row rule already sent its rows to the rejects, so it halts only by the reject tolerance or by what its
contract wrote itself.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from shared.core.messages import (
    BatchEvidence,
    Bypass,
    Finding,
    RuleResult,
    Verdict,
)
from shared.spec.codec import parse_instant
from shared.spec.lake import Limit, Rule, Table


def verdict_of(findings: Iterable[Finding]) -> Verdict:
    """The worst of the findings: critical halts, warning warns, none passes."""
    severities = {finding.severity for finding in findings}
    return "halt" if "critical" in severities else "warn" if severities else "pass"


def judge_batch(table: Table, batch: BatchEvidence, *, at: datetime) -> tuple[Finding, ...]:
    """Findings of one bronze batch. Table rules and freshness speak of new rows: a batch without any is not judged by them.

    A replay is no sample of its source: its rows were rejected before, are of many days, and may hold several states of a key. Each of them
    is in its lane by the row rules; beyond that only relationships are judged, which speak of each row too.
    """
    if batch.replay is not None:
        return _judge_replay(table, batch, at=at)
    judged = batch.counts.read - batch.counts.seen
    findings = [
        *_beyond_tolerance(table, batch.counts.rejected, judged, "rows were rejected"),
        *_beyond_tolerance(table, batch.null_positions, judged + batch.null_positions, "rows have no position (NULL watermark)"),
    ]
    if batch.null_positions and not findings:
        findings.append(Finding(rule=None, severity="warning", message=f"{batch.null_positions} rows of the source have no position: in no window"))
    findings += _of_the_source(table, batch)
    findings += [Finding(rule=None, severity="warning", message=warning) for warning in batch.warnings]
    results = {result.rule: result for result in batch.rules}
    for rule in table.rules:
        if not rejects_rows(table, rule) and (rule.kind == "row" or judged):
            findings += judge_rule(rule, results[rule.id], at=at)
    return tuple(findings)


def _judge_replay(table: Table, batch: BatchEvidence, *, at: datetime) -> tuple[Finding, ...]:
    results = {result.rule: result for result in batch.rules}
    return tuple(finding for rule in table.rules if rule.kind == "relationship" for finding in judge_rule(rule, results[rule.id], at=at))


def rejects_rows(table: Table, rule: Rule) -> bool:
    """Whether a broken rule sends its rows to the rejects and halts by the reject tolerance alone."""
    return table.layer == "bronze" and rule.kind == "row" and rule.severity == "critical" and not rule.tolerance_written


def _of_the_source(table: Table, batch: BatchEvidence) -> list[Finding]:
    """What nobody lost by, and somebody should know."""
    texts = []
    if batch.late_at_edge:
        texts.append(
            f"{batch.late_at_edge:,} of {batch.late:,} late rows lie in the oldest tenth of the lookback: rows later than that are lost. Raise "
            f"watermark.lookback in {table.file} (rows read before a column was added look late once)"
        )
    if batch.unknown_columns:
        texts.append(f"the source has columns that {table.file} does not name, and they are not read: {', '.join(batch.unknown_columns)}")
    return [Finding(rule=None, severity="warning", message=text) for text in texts]


def judge_table(table: Table, results: Sequence[RuleResult], *, at: datetime) -> tuple[Finding, ...]:
    """Findings of a silver or gold table over its whole state."""
    by_rule = {result.rule: result for result in results}
    return tuple(finding for rule in table.rules for finding in judge_rule(rule, by_rule[rule.id], at=at))


def judge_rule(rule: Rule, result: RuleResult, *, at: datetime) -> tuple[Finding, ...]:
    """No finding when the rule holds, one when it is broken. `at` is plan's time, from which freshness is measured."""
    broken = {"row": _broken_share, "unique": _broken_share, "relationship": _broken_share, "history": _broken_share, "table": _broken_value}.get(
        rule.kind
    )
    message = _stale(rule, result, at) if broken is None else broken(rule, result)
    return () if message is None else (Finding(rule=rule.id, severity=rule.severity, message=message),)


def with_bypasses(table: Table, findings: Iterable[Finding], bypasses: Iterable[Bypass], *, at: datetime) -> tuple[Finding, ...]:
    """Turn critical findings of bypassed rules into warnings that say so. Rules on classified columns are never bypassed, nor is a history's
    own invariant: one that does not hold is a fault of the engine, and facts would join the wrong version."""
    granted = {bypass.rule: bypass for bypass in bypasses if bypass.table == table.name and bypass.expires > at}
    return tuple(_bypassed(table, finding, granted.get(finding.rule or "")) for finding in findings)


def _bypassed(table: Table, finding: Finding, bypass: Bypass | None) -> Finding:
    if bypass is None or finding.severity != "critical" or never_bypassed(table, bypass.rule) is not None:
        return finding
    note = f" (bypassed by {bypass.approver}, {bypass.ticket}, until {bypass.expires:%Y-%m-%d %H:%M} UTC: {bypass.reason})"
    return Finding(rule=finding.rule, severity="warning", message=finding.message + note)


def never_bypassed(table: Table, rule_id: str) -> str | None:
    """Why no bypass holds for a rule; None where one may."""
    rule = next((rule for rule in table.rules if rule.id == rule_id), None)
    if rule is not None and rule.kind == "history":
        return "it is a history's own invariant"
    return "it speaks of a classified column" if rule is not None and _speaks_of_classified(table, rule) else None


def _speaks_of_classified(table: Table, rule: Rule) -> bool:
    """By its element, its arguments or its condition."""
    classified = {column.name for column in table.columns if column.classification}
    if not classified:
        return False
    words = rule.kwargs.values()
    named = {
        rule.element,
        *(word for word in words if isinstance(word, str)),
        *(w for word in words if isinstance(word, (list, tuple)) for w in word),
    }
    condition = str(rule.kwargs.get("condition", ""))
    return bool(classified & named) or any(column in condition for column in classified)


def _beyond_tolerance(table: Table, broken: int, of: int, what: str) -> list[Finding]:
    if table.source is None:
        raise ValueError(f"{table.name} is not a source")
    tolerance = table.source.reject_tolerance
    if broken <= tolerance.rows or broken <= tolerance.share * of:
        return []
    text = f"{broken:,} of {of:,} {what} ({broken / of:.1%}); the gate halts above {tolerance.share:.1%} and {tolerance.rows:,} rows"
    return [Finding(rule=None, severity="critical", message=text)]


def _broken_share(rule: Rule, result: RuleResult) -> str | None:
    present = result.elements - result.missing
    text = f"{result.unexpected:,} of {present:,} values break {rule.expectation}"
    if rule.limit is not None:
        share = 100 * result.unexpected / result.elements if result.elements else 0.0
        measured = float(result.unexpected) if rule.limit.unit == "rows" else share
        return None if within(rule.limit, measured) else f"{text} ({measured:g} {rule.limit.unit}; allowed {_limit_text(rule.limit)})"
    if present == 0 or (present - result.unexpected) / present >= rule.mostly:
        return None
    return f"{text} ({result.unexpected / present:.2%}; allowed {1 - rule.mostly:.2%})"


def _broken_value(rule: Rule, result: RuleResult) -> str | None:
    low, high = rule.kwargs.get("min_value"), rule.kwargs.get("max_value")
    allowed = Limit(
        unit="rows",
        low=low,
        high=high,
        low_open=bool(rule.kwargs.get("strict_min")),
        high_open=bool(rule.kwargs.get("strict_max")),
        negated=False,
    )
    limit = rule.limit or allowed
    if isinstance(result.observed, (int, float)) and within(limit, float(result.observed)):
        return None
    return f"{rule.expectation} observed {result.observed}; allowed {_limit_text(limit)}"


def _stale(rule: Rule, result: RuleResult, at: datetime) -> str | None:
    allowed = rule.kwargs["max_age_seconds"]
    if not isinstance(result.observed, str):
        return f"{rule.element} has no value: its freshness cannot be told"
    age = (at - parse_instant(result.observed)).total_seconds()
    return None if age <= allowed else f"newest {rule.element} is {age / 3600:.1f} h old; allowed {allowed / 3600:g} h"


def within(limit: Limit, value: float) -> bool:
    """Whether a number satisfies an ODCS comparison."""
    above = limit.low is None or value > limit.low or (value == limit.low and not limit.low_open)
    below = limit.high is None or value < limit.high or (value == limit.high and not limit.high_open)
    return (above and below) != limit.negated


def _limit_text(limit: Limit) -> str:
    low = "" if limit.low is None else f"{'>' if limit.low_open else '>='} {limit.low:g}"
    high = "" if limit.high is None else f"{'<' if limit.high_open else '<='} {limit.high:g}"
    return ("not " if limit.negated else "") + " and ".join(part for part in (low, high) if part)
