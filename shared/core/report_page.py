"""The report as one HTML page that needs nothing else: no script, no font, no picture. Pure; every text of the run is escaped."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape

from shared.core.report import RunReport, StageReport, TableReport
from shared.core.report_style import STYLE
from shared.core.window import position_text

HEADLINES: Mapping[str, str] = {
    "passed": "Passed: everything this run read is certified",
    "blocked": "Blocked: what passed is certified, some tables wait",
    "failed": "Failed: readers keep what the last committed run certified",
    "running": "Running: this page shows what is known so far",
    "unknown": "Not recorded: the run ended before it held the lake",
}


def page(report: RunReport) -> str:
    """The whole page; the same report gives the same bytes."""
    parts = (
        _head(report),
        _problem(report),
        _blocked(report),
        _tables(report),
        _batches(report),
        _reasons(report),
        _findings(report),
        _stages(report),
        _cost(report),
    )
    body = "\n".join(part for part in (*parts, _whereabouts(report)) if part)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(report.status)}: run {escape(report.run)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _head(report: RunReport) -> str:
    facts = [
        ("Run", report.run),
        ("Started", _instant(report.started)),
        ("Ended", _instant(report.ended)),
        ("Took", "–" if report.started is None or report.ended is None else _duration((report.ended - report.started).total_seconds())),
        ("Rows read", _number(_sum(table.read for table in report.tables))),
        ("Rows rejected", _number(_sum(table.rejected for table in report.tables))),
        ("Cost", "–" if report.cost is None else f"${report.cost.usd:,.2f}"),
    ]
    listed = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    return f'<header class="banner {escape(report.status)}"><h1>{HEADLINES[report.status]}</h1>\n<dl class="facts">{listed}</dl></header>'


def _problem(report: RunReport) -> str:
    if report.status == "unknown":
        return _section("Problem", "<p>No record of this run was written. The execution's own error, in Step Functions, says why.</p>")
    if report.problem is None:
        return ""
    note = "" if report.status == "failed" else "<p>A later execution finished what this run had begun.</p>"
    return _section("Problem", f"<pre>{escape(report.problem)}</pre>{note}")


def _blocked(report: RunReport) -> str:
    if not report.blocked:
        return ""
    rows = [(_code(table), escape(why)) for table, why in sorted(report.blocked.items())]
    return _section("Tables that wait", _grid("Tables this run did not move, and why", ("Table", "Why"), rows))


def _tables(report: RunReport) -> str:
    headings = ("Table", "Outcome", "Read", "Accepted", "Rejected", "Seen before", "Inserted", "Updated", "Deleted", "Certified version")
    rows = [
        (
            f"{_code(table.table)}<br><small>{escape(table.title)} · {escape(table.owner)}</small>",
            _badge(table.outcome),
            *(_number(count) for count in (table.read, table.accepted, table.rejected, table.seen)),
            *(_number(count) for count in (table.inserted, table.updated, table.deleted)),
            _number(table.certified_version),
        )
        for table in report.tables
    ]
    by = "no run yet" if report.certified_by is None else f"run {report.certified_by}"
    return _section("Tables", _grid(f"Every table of the lake; versions as certified by {by}", headings, rows, numbers_from=2))


def _cost(report: RunReport) -> str:
    cost = report.cost
    if cost is None:
        return ""
    rows = [
        (f"Glue, {cost.jobs} runs, {cost.dpu_seconds / 3600:,.2f} DPU-hours", "measured", f"{cost.glue_usd:,.4f}"),
        ("Lambda", "estimate", f"{cost.functions_usd_estimate:,.4f}"),
        ("Step Functions", "estimate", f"{cost.transitions_usd_estimate:,.4f}"),
        ("S3 requests", "estimate", f"{cost.s3_usd_estimate:,.4f}"),
    ]
    title = f"By prices of {cost.prices_region} as of {cost.prices_as_of}; storage, logs, metrics and the source itself are not in it"
    return _section("What it cost", _grid(escape(title), ("What", "How it is known", "US dollars"), rows, numbers_from=2))


def _batches(report: RunReport) -> str:
    rows = [
        (
            _code(batch.batch_id) + ("<br><small>landed by an earlier run</small>" if batch.reused else ""),
            "rejects replayed" if batch.replay else f'<span class="instant">{position_text(batch.lo)} to<br>{position_text(batch.hi)}</span>',
            f"{batch.read:,} = {batch.accepted:,} + {batch.rejected:,} + {batch.seen:,}",
            _badge("pass", "adds up") if batch.accounted else _badge("halt", "does not add up"),
            f"{batch.late:,}",
            f"{batch.null_positions:,}",
            "–" if batch.rejects is None else _code(batch.rejects),
        )
        for table in report.tables
        for batch in table.batches
    ]
    if not rows:
        return _section("Every row accounted for", "<p>No batch was reached.</p>")
    headings = ("Batch", "Window (UTC)", "Read = accepted + rejected + seen", "Check", "Late", "Without position", "Rejected rows lie in")
    return _section("Every row accounted for", _grid("Batches of this run", headings, rows))


def _reasons(report: RunReport) -> str:
    parts = [_bars(f"Rows of {table.table} rejected, by reason (a row may have several)", table.reasons) for table in report.tables if table.reasons]
    return _section("Rejects by reason", "".join(parts)) if parts else ""


def _findings(report: RunReport) -> str:
    rows = [row for table in report.tables for row in _finding_rows(table)]
    return _section("Findings", _grid("What the gates found", ("Table", "Severity", "Rule", "Finding"), rows)) if rows else ""


def _finding_rows(table: TableReport) -> list[tuple[str, ...]]:
    name = _code(table.table)
    found: list[tuple[str, ...]] = [
        (name, _badge("halt" if finding.severity == "critical" else "warn", finding.severity), _rule(finding.rule), escape(finding.message))
        for finding in table.findings
    ]
    told = any(finding.message == table.problem for finding in table.findings)
    return found if table.problem is None or told else [*found, (name, _badge("halt", "problem"), "–", escape(table.problem))]


def _stages(report: RunReport) -> str:
    longest = max((stage.seconds or 0 for stage in report.stages), default=0)
    rows = [_stage_row(stage, longest) for stage in report.stages]
    return _section("Timings", _grid("Each stage, to the end of its gate or commit", ("Stage", "Began (UTC)", "Took", ""), rows))


def _stage_row(stage: StageReport, longest: float) -> tuple[str, ...]:
    if stage.seconds is None:
        return (escape(stage.stage), "–", "not reached", "")
    return (escape(stage.stage), _instant(stage.start), _duration(stage.seconds), _bar(stage.seconds / longest if longest else 0))


def _whereabouts(report: RunReport) -> str:
    troubles = "".join(f"<li>{_code(key)}: {escape(why)}</li>" for key, why in sorted(report.troubles.items()))
    unreadable = f"<p>Documents of this run that cannot be read:</p><ul>{troubles}</ul>" if troubles else ""
    query = f'fields @timestamp, job_name, table, message | filter run_id = "{report.run}" | sort @timestamp'
    text = (
        f"<p>Every line that this run's Lambda functions and Glue jobs logged carries its id. In CloudWatch Logs Insights, over their log groups:</p>"
        f"<pre>{escape(query)}</pre>"
        f"<p>Plan and decisions: {_code(f'_runs/{report.run}/')}. Evidence: {_code(f'_evidence/{report.run}/')}. "
        f"Definition: lake.json {_code((report.lake_hash or 'not pinned')[:12])}. Written {_instant(report.reported)} UTC.</p>"
    )
    return _section("Logs and documents", unreadable + text)


def _section(title: str, inner: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{inner}\n</section>"


def _grid(caption: str, headings: Sequence[str], rows: Iterable[Sequence[str]], *, numbers_from: int | None = None) -> str:
    """A table of cells that are HTML already; its first cell in each row is the row's heading. It scrolls by itself on a narrow screen."""

    def look(i: int) -> str:
        return ' class="number"' if numbers_from is not None and i >= numbers_from else ""

    def cell(i: int, inner: str) -> str:
        return f'<th scope="row">{inner}</th>' if i == 0 else f"<td{look(i)}>{inner}</td>"

    head = "".join(f'<th scope="col"{look(i)}>{escape(heading)}</th>' for i, heading in enumerate(headings))
    body = "".join(f"<tr>{''.join(cell(i, inner) for i, inner in enumerate(row))}</tr>\n" for row in rows)
    label = escape(caption)
    return (
        f'<div class="scrolls" role="region" tabindex="0" aria-label="{label}"><table><caption>{label}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>"
    )


def _bars(caption: str, counts: Mapping[str, int]) -> str:
    most = max(counts.values())
    rows = [(_code(reason), f"{count:,}", _bar(count / most if most else 0)) for reason, count in counts.items()]
    return _grid(caption, ("Reason", "Rows", ""), rows)


def _bar(share: float) -> str:
    return f'<span class="bar" aria-hidden="true" style="width:{share * 12:.2f}rem"></span>'


def _badge(outcome: str, text: str | None = None) -> str:
    return f'<span class="badge {escape(outcome.replace(" ", "-"))}">{escape(text or outcome)}</span>'


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _rule(rule: str | None) -> str:
    return "–" if rule is None else _code(rule)


def _number(count: int | None) -> str:
    return "–" if count is None else f"{count:,}"


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _instant(at: datetime | None) -> str:
    return "–" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(minutes)} min {int(rest)} s"
