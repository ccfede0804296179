"""The gate fails closed: evidence that is missing, foreign, stale or at odds with the Delta log halts its table, whatever it claims."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.machine import Machine, rule, small_lake
from tests.unit.test_protocol import assert_whole, run_until_caught_up, trade

ORDERS = {"ingest": "bronze.orders", "refine": "silver.orders", "stage": "gold.fact_sales"}


def tampered(stage, change, **lake):
    """A second day whose evidence of one stage is changed between the job and the gate."""
    machine = Machine(**lake)
    trade(machine, 1)
    run_until_caught_up(machine)
    trade(machine, 2)
    glue, key = machine._glue, f"_evidence/run-{machine.number + 1}/{stage}/{ORDERS[stage]}.json"

    def glue_then_tamper(run, fence, stage_name, group, target=None):
        glue(run, fence, stage_name, group, target)
        if stage_name == stage:
            document = json.loads(machine.documents._texts[key])
            changed = change(document)
            if changed is None:
                del machine.documents._texts[key]
            else:
                machine.documents._texts[key] = changed if isinstance(changed, str) else json.dumps(changed)

    machine._glue = glue_then_tamper
    before = {name: machine.content(name) for name in ("silver.orders", "gold.fact_sales", "gold.dim_product")}
    status = machine.run()
    machine._glue = glue
    return machine, status, before


def setting(**changes):
    return lambda document: document | changes


def in_batch(**changes):
    return lambda document: document | {"batches": [document["batches"][0] | changes, *document["batches"][1:]]}


def in_counts(**changes):
    return lambda document: in_batch(counts=document["batches"][0]["counts"] | changes)(document)


def in_more(document, rows):
    counts = document["batches"][0]["counts"]
    return in_counts(read=counts["read"] + rows, seen=counts["seen"] + rows)(document)


def in_rules(**changes):
    return lambda document: in_batch(rules=[rule | changes for rule in document["batches"][0]["rules"]])(document)


def in_change_set(**changes):
    return lambda document: document | {"change_set": document["change_set"] | changes}


ANYWHERE = {
    "missing": lambda document: None,
    "not JSON": lambda document: "{",
    "a key too few": lambda document: {key: value for key, value in document.items() if key != "fence"},
    "another run's": setting(run="run-1"),
    "an older fence's": setting(fence=1),
    "another table's": setting(table="bronze.products"),
    "another contract's": setting(contract_hash="other"),
    "of a table elsewhere": setting(path="silver/elsewhere"),
    "with a problem": setting(problem="the source has no column order_id"),
}
WITH_RULES = {
    "without a rule": setting(rules=[]),
    "with a rule twice": lambda document: document | {"rules": document["rules"] * 2},
    "with a renamed rule": lambda document: document | {"rules": [document["rules"][0] | {"rule": "other"}]},
    "with another expectation": lambda document: document | {"rules": [document["rules"][0] | {"expectation": "expect_nothing"}]},
    "counting more broken than there is": lambda document: document | {"rules": [document["rules"][0] | {"unexpected": 10**6}]},
    "from another definition": setting(definition_hash="other"),
    "that consumed something else": setting(consumed={"bronze.other": 1}),
}
BAD = (
    [("ingest", name, change) for name, change in ANYWHERE.items()]
    + [("refine", name, change) for name, change in (ANYWHERE | WITH_RULES).items()]
    + [("stage", name, change) for name, change in (ANYWHERE | WITH_RULES).items()]
    + [
        ("ingest", "of a batch without its rules", in_batch(rules=[])),
        ("ingest", "of a batch under another contract", in_batch(contract_hash="other")),
        ("ingest", "of a window nobody froze", in_batch(hi="2030-01-01T00:00:00.000000Z")),
        ("ingest", "of a batch out of order", in_batch(seq=99)),
        ("ingest", "of a batch nobody froze", in_batch(batch_id="bronze.orders-0000000099")),
        ("ingest", "that does not balance", in_counts(read=99)),
        ("ingest", "with a negative count", in_counts(seen=-1, accepted=99)),
        ("ingest", "that counts more accepted than the log", in_counts(accepted=99, read=103)),
        ("ingest", "of another version", in_batch(version=1)),
        ("ingest", "with another digest", in_batch(digest="other")),
        ("ingest", "that says nothing was written", in_batch(version=None, digest=None)),
        ("ingest", "that counts more read and seen than its commit", lambda document: in_more(document, 7)),
        ("ingest", "that counts other broken rules than its commit", in_rules(unexpected=1)),
        ("ingest", "that counts rows without position", in_batch(null_positions=1)),
        ("ingest", "with other reasons than its commit", in_batch(reasons={"made up": 1})),
        ("ingest", "of a batch of another job", in_batch(glue_run="jr-0")),
        ("ingest", "with an instant that is none", in_batch(hi="yesterday")),
        ("ingest", "with an instant that UTC cannot say", in_batch(hi="0001-01-01T00:00:00+14:00")),
        ("refine", "of another job", setting(glue_run="jr-0")),
        ("refine", "of an older version", setting(version=0)),
        ("refine", "of no version", setting(version=None)),
        ("refine", "with another digest", setting(digest="other")),
        ("refine", "that counts other rows than the log", lambda document: document | {"counts": document["counts"] | {"inserted": 99}}),
        ("refine", "that says unchanged and names a commit", setting(unchanged=True)),
        ("stage", "without its change set", setting(change_set=None)),
        ("stage", "with a change set of another job", in_change_set(path="_staging/run-1/1/jr-1/gold.fact_sales")),
        ("stage", "against another version", in_change_set(base_version=0)),
        ("stage", "that counts other rows than its change set", in_change_set(upserts=99)),
    ]
)


@pytest.mark.parametrize(("stage", "name", "change"), BAD, ids=[f"{stage}: {name}" for stage, name, _ in BAD])
def test_evidence_that_cannot_be_believed_halts_its_table(stage, name, change):
    """What is not as the contract, the run and the log say is not passed; the certified lake stays, and the next run mends it."""
    machine, status, before = tampered(stage, change)

    assert "blocked" == status
    assert "halt" == machine.state._runs[f"run-{machine.number}"].verdicts[stage][ORDERS[stage]]
    assert before["gold.fact_sales"] == machine.latest("gold.fact_sales") == machine.content("gold.fact_sales")
    assert before["gold.dim_product"] == machine.latest("gold.dim_product")
    run_until_caught_up(machine)
    assert_whole(machine)


@pytest.mark.parametrize("observed", ["yesterday", "2026-01-01T00:00:00", 7])
def test_an_age_that_cannot_be_told_is_not_believed(observed):
    """Whatever the rule's severity: evidence that does not parse was not made by our job, and must not take the run down either."""
    freshness = replace(rule("fresh", kind="freshness", severity="warning"), kwargs={"max_age_seconds": 10}, element="at")
    lake = small_lake()
    lake = replace(lake, tables=tuple(replace(t, rules=(*t.rules, freshness)) if t.name == "silver.orders" else t for t in lake.tables))

    def age(document):
        return document | {"rules": [item | {"observed": observed} if item["rule"] == "fresh" else item for item in document["rules"]]}

    machine, status, _ = tampered("refine", age, lake=lake)

    assert "blocked" == status
    assert "halt" == machine.state._runs[f"run-{machine.number}"].verdicts["refine"]["silver.orders"]


def test_a_commit_that_nobody_recorded_halts_the_silver_table():
    """Something else wrote the table after the job: the evidence no longer speaks of what readers would see."""
    machine = Machine()
    trade(machine, 1)
    run_until_caught_up(machine)
    trade(machine, 2)
    glue = machine._glue

    def glue_then_write(run, fence, stage_name, group, target=None):
        glue(run, fence, stage_name, group, target)
        if stage_name == "refine":
            versions = machine.tables.tables["silver.orders"]
            versions.append(versions[-1])

    machine._glue = glue_then_write

    assert "blocked" == machine.run()
    assert "halt" == machine.state._runs[f"run-{machine.number}"].verdicts["refine"]["silver.orders"]


def test_a_gate_without_its_plan_stops_the_run():
    """Absence is an error, of the plan too."""
    machine = Machine()
    trade(machine, 1)
    glue = machine._glue

    def glue_then_lose_plan(run, fence, stage_name, group, target=None):
        glue(run, fence, stage_name, group, target)
        machine.documents._texts.pop(f"_runs/{run}/plan.json", None)

    machine._glue = glue_then_lose_plan

    assert "failed" == machine.run()
    assert "plan.json" in machine.notify.alerts[-1]["text"]
    machine._glue = glue
    machine.world.now += timedelta(seconds=1)
    assert "passed" == machine.run()
