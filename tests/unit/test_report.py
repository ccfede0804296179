"""The run's report: what it says of a whole run, of a run that stopped early, and of documents that cannot be believed."""

import json
import re
from dataclasses import replace
from datetime import datetime, timedelta
from html.parser import HTMLParser

import pytest

from shared.core.events import ReportAnswer, ReportRequest
from shared.core.layout import evidence_key, gate_key, plan_key, report_key
from shared.core.messages import (
    Batch,
    BatchCounts,
    BatchEvidence,
    Certified,
    Entry,
    Finding,
    IngestEvidence,
    RunRecord,
    TableEvidence,
    TableVerdict,
    WriteCounts,
)
from shared.core.report import RunReport
from shared.core.report_page import page
from shared.core.run_documents import GateDecision, Plan, PlannedTable
from shared.core.steps.report import report
from shared.spec.codec import from_json, instant_text
from shared.spec.lake import PinnedLake
from tests.fakes import START, FakeDocuments, FakeExecutions, FakeLog, FakeState, World
from tests.machine import small_lake

RUN = "2026-11-23-<night>"
LAKE = PinnedLake(lake=small_lake(), hash="f00dfeedcafe9999")


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def planned(*names):
    tables = tuple(PlannedTable(table=name, stage=LAKE.lake.table(name).stage, group="main", why="asked for") for name in names)
    return Plan(run=RUN, fence=4, lake_hash=LAKE.hash, at=at(0), tables=tables, full_refresh=())


class Past:
    """A run as it lies in state and documents, after as many stages as the test lets it reach."""

    def __init__(self) -> None:
        self.world = World()
        self.state, self.documents, self.log = FakeState(self.world), FakeDocuments(self.world), FakeLog()
        self.executions = FakeExecutions(self.world)

    def report(self):
        answer = report(
            ReportRequest(run=RUN),
            pinned=LAKE,
            state=self.state,
            documents=self.documents,
            executions=self.executions,
            log=self.log,
            clock=lambda: at(60),
        )
        assert ReportAnswer(html=report_key(RUN, "html"), json=report_key(RUN, "json")) == answer
        return self.documents.get(answer.json, RunReport), self.documents._texts[answer.html]

    def started(self, **changes):
        record = RunRecord(run=RUN, fence=4, status="running", started=at(0), ended=None, verdicts={}, counts={}, timings={}, problem=None)
        self.state._runs[RUN] = replace(record, **changes)
        self.documents.put(plan_key(RUN), planned(*[table.name for table in LAKE.lake.tables]))
        return self

    def ingested(self, *batches, problem=None):
        for name in ("bronze.orders", "bronze.products"):
            mine = batches if name == "bronze.orders" else ()
            evidence = IngestEvidence(
                run=RUN, fence=4, table=name, glue_run="jr", contract_hash="c", path=name, batches=mine, problem=problem if mine else None
            )
            self.documents.put(evidence_key(RUN, "ingest", name), evidence)
        return self

    def wrote(self, name, inserted, updated, deleted, problem=None):
        table = LAKE.lake.table(name)
        evidence = TableEvidence(
            run=RUN,
            fence=4,
            stage=table.stage,
            table=name,
            glue_run="jr",
            contract_hash="c",
            definition_hash="d",
            path=name,
            version=3,
            digest="x",
            unchanged=False,
            consumed={},
            counts=WriteCounts(inserted=inserted, updated=updated, deleted=deleted, unchanged=0),
            rules=(),
            change_set=None,
            problem=problem,
        )
        self.documents.put(evidence_key(RUN, table.stage, name), evidence)
        return self

    def judged(self, stage, *verdicts, blocked=None, run=RUN):
        decision = GateDecision(
            run=run, fence=4, stage=stage, verdicts=verdicts, progress={}, entries={}, todo=(), refresh=(), blocked=blocked or {}, change_sets=()
        )
        self.documents.put(gate_key(RUN, stage), decision)
        return self


def batch(seq=1, *, read=100, accepted=90, rejected=6, seen=4, reasons=None, fence=4, null_positions=0):
    return BatchEvidence(
        batch_id=f"bronze.orders-{seq:010d}",
        seq=seq,
        lo=at(-60),
        hi=at(-1),
        contract_hash="c",
        fence=fence,
        glue_run="jr",
        version=5,
        digest="d",
        counts=BatchCounts(read=read, accepted=accepted, rejected=rejected, seen=seen),
        null_positions=null_positions,
        reasons=reasons or {},
        rules=(),
    )


def verdict(table, said="pass", *findings):
    return TableVerdict(table=table, verdict=said, findings=findings)


def finding(message="312 of 10,400 values break it", rule="currency_known", severity="critical"):
    return Finding(rule=rule, severity=severity, message=message)


def outcomes(said):
    return {table.table: table.outcome for table in said.tables}


def of(said, name):
    return next(table for table in said.tables if table.table == name)


def whole_run() -> Past:
    timings = {
        stage: {"start": instant_text(at(start)), "end": instant_text(at(end))}
        for stage, start, end in (("ingest", 0, 4), ("refine", 4, 5.5), ("stage", 5.5, 6), ("publish", 6, 6.25))
    }
    past = Past().started(status="blocked", ended=at(6.25), timings=timings)
    past.ingested(
        batch(1, reasons={"currency_known": 5, "amount_positive": 2}),
        batch(2, read=20, accepted=19, rejected=1, seen=0, reasons={"currency_known": 1}),
    )
    past.judged(
        "ingest", verdict("bronze.orders", "warn", finding("3 rows of the source have no position", None, "warning")), verdict("bronze.products")
    )
    past.wrote("silver.orders", 80, 29, 0).wrote("silver.products", 1, 0, 0)
    past.judged("refine", verdict("silver.orders"), verdict("silver.products"), blocked={})
    past.wrote("gold.dim_product", 1, 0, 0).wrote("gold.fact_sales", 70, 9, 2)
    stop = {"gold.fact_sales": "312 of 10,400 values break it", "gold.dim_product": "tied to gold.fact_sales by a relationship"}
    past.judged("stage", verdict("gold.dim_product"), verdict("gold.fact_sales", "halt", finding()), blocked=stop)
    past.state._certified = Certified(run=RUN, tables={"silver.orders": Entry(version=12, definition_hash="d", consumed={})})
    frozen = Batch(batch_id="bronze.orders-0000000001", seq=1, lo=at(-60), hi=at(-1), ingest_time=at(1), run=RUN, fence=4, outcome=None)
    past.state._pending["bronze.orders"] = {frozen.batch_id: frozen}
    return past


def test_a_whole_run_is_told_table_by_table():
    """Counts, verdicts, versions, reasons and times, each from the document that holds it."""
    said, _ = whole_run().report()

    orders = of(said, "bronze.orders")
    assert ("blocked", at(0), at(6.25), at(60), LAKE.hash) == (said.status, said.started, said.ended, said.reported, said.lake_hash)
    assert (120, 109, 7, 4) == (orders.read, orders.accepted, orders.rejected, orders.seen)
    assert {"currency_known": 6, "amount_positive": 2} == orders.reasons
    assert (70, 9, 2, None) == tuple(getattr(of(said, "gold.fact_sales"), name) for name in ("inserted", "updated", "deleted", "read"))
    assert (12, None, RUN) == (of(said, "silver.orders").certified_version, orders.certified_version, said.certified_by)
    assert [240.0, 90.0, 30.0, 15.0] == [stage.seconds for stage in said.stages]


def test_a_table_that_passed_and_was_held_back_is_blocked():
    """Its change did not become visible, whatever its own verdict."""
    said, _ = whole_run().report()

    assert {
        "bronze.orders": "warn",
        "bronze.products": "pass",
        "silver.orders": "pass",
        "silver.products": "pass",
        "gold.dim_product": "blocked",
        "gold.fact_sales": "halt",
    } == outcomes(said)
    assert "tied to gold.fact_sales by a relationship" == of(said, "gold.dim_product").why


@pytest.mark.parametrize(
    ("counts", "accounted"),
    [({"read": 100, "accepted": 90, "rejected": 6, "seen": 4}, True), ({"read": 100, "accepted": 90, "rejected": 6, "seen": 3}, False)],
)
def test_each_batch_shows_whether_its_rows_add_up(counts, accounted):
    """read = accepted + rejected + seen, as the evidence has it: the report does not mend it."""
    said, html = Past().started().ingested(batch(**counts)).report()

    assert accounted == of(said, "bronze.orders").batches[0].accounted
    assert f"100 = 90 + 6 + {counts['seen']}" in html
    assert ("does not add up" in html) != accounted


def test_rejected_rows_can_be_found():
    """The folder is the one that the run that froze the window wrote to; without its window it is not guessed."""
    said, html = whole_run().report()

    first, second = of(said, "bronze.orders").batches
    assert (f"_errors/bronze/orders/dt=2026-01-01/run_id={RUN}", None) == (first.rejects, second.rejects)
    assert "_errors/bronze/orders/dt=2026-01-01/run_id=2026-11-23-&lt;night&gt;" in html


def test_a_batch_of_an_earlier_run_is_shown_as_such():
    """Its source was not read in this run."""
    said, html = Past().started().ingested(batch(fence=2)).report()

    assert of(said, "bronze.orders").batches[0].reused
    assert "landed by an earlier run" in html


@pytest.mark.parametrize("reached", ["nothing", "plan", "ingest", "gate"])
def test_a_run_that_failed_early_says_what_it_did_not_reach(reached):
    """Never a zero for what is not known, never a crash."""
    past = Past()
    if reached != "nothing":
        past.started(status="failed", problem="StaleFence: lost", ended=at(1))
    if reached in ("ingest", "gate"):
        past.ingested(batch())
    if reached == "gate":
        past.judged("ingest", verdict("bronze.orders", "halt", finding()), blocked={"bronze.orders": "x", "silver.orders": "waits for bronze.orders"})

    said, html = past.report()

    assert ("unknown" if reached == "nothing" else "failed") == said.status
    expected = {"bronze.orders": "halt", "silver.orders": "blocked", "bronze.products": "nothing to do"} if reached == "gate" else {}
    assert dict.fromkeys(outcomes(said), "not reached") | expected == outcomes(said)
    assert (100 if reached in ("ingest", "gate") else None) == of(said, "bronze.orders").read
    assert {None} == {stage.seconds for stage in said.stages}
    assert "not reached" in html


def test_a_table_that_a_limited_run_left_out_is_not_planned():
    """It is neither late nor blocked: nobody asked for it."""
    past = Past().started().ingested().judged("ingest", verdict("bronze.products")).judged("refine")
    past.documents.put(plan_key(RUN), planned("bronze.products", "silver.products"))

    said, html = past.report()

    assert ("pass", "nothing to do", "not planned") == tuple(outcomes(said)[name] for name in ("bronze.products", "silver.products", "silver.orders"))
    assert "not planned" in html


def test_a_table_without_news_had_nothing_to_do():
    """Its gate spoke and did not speak of it."""
    said, _ = Past().started().ingested().judged("ingest", verdict("bronze.orders")).judged("refine").report()

    assert ("nothing to do", "not reached") == (outcomes(said)["silver.orders"], outcomes(said)["gold.fact_sales"])


@pytest.mark.parametrize(
    "broken", [plan_key(RUN), gate_key(RUN, "refine"), evidence_key(RUN, "ingest", "bronze.orders"), evidence_key(RUN, "stage", "gold.fact_sales")]
)
def test_a_document_that_cannot_be_believed_is_named_and_not_used(broken):
    """Odd is not absent."""
    past = whole_run()
    past.documents.put_text(broken, "{", "application/json")

    said, html = past.report()

    assert [broken] == list(said.troubles)
    assert "cannot be read" in html


def test_a_document_of_another_run_is_not_this_runs():
    """A copied folder does not certify anything."""
    said, _ = Past().started().ingested(batch()).judged("ingest", verdict("bronze.orders"), run="other").report()

    assert {gate_key(RUN, "ingest"): "it belongs to run other"} == said.troubles
    assert "not reached" == outcomes(said)["bronze.orders"]


def test_only_the_most_frequent_reasons_are_listed():
    """The first ten, by rows, then by name."""
    reasons = {f"rule_{i:02d}": i % 6 + 1 for i in range(20)}

    said, _ = Past().started().ingested(batch(reasons=reasons)).report()

    listed = of(said, "bronze.orders").reasons
    assert sorted(reasons.items(), key=lambda one: (-one[1], one[0]))[:10] == sorted(listed.items(), key=lambda one: (-one[1], one[0]))


def test_what_stopped_a_table_in_its_job_is_shown_once():
    """A problem that the gate already repeats as a finding is not a second one."""
    problem = "bronze.orders: the source has no column 'currency'"
    past = Past().started().ingested(batch(), problem=problem)

    _, before = past.report()
    _, after = past.judged("ingest", verdict("bronze.orders", "halt", finding(problem, None))).report()

    shown = problem.replace("'", "&#x27;")
    assert (1, 1) == (before.count(shown), after.count(shown))


def test_a_run_finished_by_a_later_one_says_so():
    """Passed, with the problem it had at first."""
    _, html = Past().started(status="passed", problem="ExecutionTimedOut: killed", ended=at(9)).report()

    assert "A later execution finished what this run had begun" in html


def test_the_json_is_the_documented_type():
    """What a machine reads decodes strictly, under the keys of RunReport."""
    past = whole_run()
    said, _ = past.report()

    assert isinstance(said, RunReport)
    assert said == from_json(RunReport, json.loads(past.documents._texts[report_key(RUN, "json")]))


class Outline(HTMLParser):
    """What a browser would build: open tags must close, in order."""

    VOID = ("meta", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open, self.seen, self.ids, self.rows = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append(0)
        if tag in ("th", "td"):
            self.rows[-1] += 1
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert tag == self.open.pop()


def outline(html):
    parser = Outline()
    parser.feed(html)
    parser.close()
    assert [] == parser.open
    return parser


EVIL = "<script>alert(1)</script><img src=x onerror='x'>\"&"


def test_no_text_of_the_run_becomes_markup():
    """Names, problems, reasons and findings come from sources and people."""
    past = Past().started(status="failed", problem=EVIL, ended=at(1)).ingested(batch(reasons={EVIL: 2}), problem=EVIL + "2")
    past.judged("ingest", verdict("bronze.orders", "halt", finding(EVIL, EVIL)), blocked={EVIL: EVIL})
    past.documents.put_text(gate_key(RUN, "stage"), "[", "application/json")

    _, html = past.report()

    tags = {tag for tag, _ in outline(html).seen}
    assert not {"script", "img", "night"} & tags
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 6


def test_the_page_needs_nothing_but_itself_and_can_be_read_aloud():
    """No request leaves the page; tables have captions and headings, the page a language and one first heading."""
    _, html = whole_run().report()

    seen = outline(html).seen
    tags = [tag for tag, _ in seen]
    assert not re.search(r"(src|href)=|url\(|@import|https?://", html)
    assert {"lang": "en"} == dict(seen)["html"]
    assert (1, tags.count("table")) == (tags.count("h1"), tags.count("caption"))
    assert all(attrs.get("scope") in ("row", "col") for tag, attrs in seen if tag == "th")
    assert "default-src 'none'" in html


def test_every_row_of_every_table_is_as_wide_as_its_head():
    """A shifted column would put a count under another name."""
    _, html = whole_run().report()

    for table in re.findall(r"<table>.*?</table>", html, re.S):
        assert 1 == len(set(outline(table).rows)), table


@pytest.mark.parametrize("status", ["passed", "blocked", "failed", "running", "unknown"])
def test_every_status_has_its_banner(status):
    """In words, not by colour alone."""
    said, _ = Past().report()

    html = page(replace(said, status=status))

    assert re.search(rf'class="banner {status}"><h1>\w+', html)


def test_reporting_again_tells_the_same():
    """The same run, the same bytes."""
    past = whole_run()

    assert past.report() == past.report()
