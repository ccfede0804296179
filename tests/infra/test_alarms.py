"""Every alarm, driven from metric to message: the template's alarms and topics in the emulator's CloudWatch and SNS, on a clock that a test sets."""

import dataclasses
import io
import json
import time
from itertools import count
from types import SimpleNamespace

import pytest
from ministack.core import responses
from ministack.services import cloudwatch, sns, sqs
from ministack.services.cloudformation import provisioners

from infra.alarms import AGE_PERIOD, alarms_of
from infra.bundling import ROOT
from local.seams.cloudwatch import CloudWatchSeam, embedded
from shared.core.steps.watch import watch
from shared.spec.environment import OPERATOR
from shared.spec.measures import NAMESPACE, dimensions
from shared.telemetry.log import job_log
from tests.infra.tides import environment, lake
from tests.machine import Machine
from tests.unit.test_measuring import Timer, fresh_lake, trade

PROD = lake().environment("prod")
ALARMS = {alarm.id: alarm for alarm in alarms_of(lake(), PROD)}
OWNERS = {"Coast Guard", "harbour", OPERATOR}
NUMBERS = count(1)


@pytest.fixture
def account(monkeypatch):
    """prod's account in the emulator, with CloudWatch as the laptop has it."""
    seam = CloudWatchSeam(account=PROD.account, region=PROD.region)
    seam.check()
    monkeypatch.setattr(cloudwatch, "_evaluate_alarm", seam.evaluate)
    responses.set_request_account_id(PROD.account)
    responses.set_request_region(PROD.region)
    yield seam
    for store in (cloudwatch._metrics, cloudwatch._alarms, sns._topics, sqs._queues):
        store.clear()
    responses.set_request_account_id("000000000000")
    responses.set_request_region("us-east-1")


class Ringing:
    """One alarm of the template, the topics of all owners with a queue behind each, and a clock."""

    def __init__(self, seam, assembly, alarm, monkeypatch, *, new=False):
        self.seam, self.alarm, self.now = seam, alarm, 1_800_000_000.0
        monkeypatch.setattr(cloudwatch, "time", SimpleNamespace(**{**vars(time), "time": lambda: self.now}))
        topics = assembly.resources("prod", "signals", "AWS::SNS::Topic")
        arns = {id: provisioners._sns_create(id, one["Properties"], "prod")[0] for id, one in topics.items()}
        self.queues = {owner: self._queue(owner) for owner in OWNERS}
        (properties,) = [
            one for one in assembly.properties("prod", "signals", "AWS::CloudWatch::Alarm") if one["AlarmName"] == f"sluice-prod-{alarm.id}"
        ]
        if not new:
            self.tell(0)  # an alarm whose silence is the worst would ring the moment it is made
        provisioners._cw_metric_alarm_create(
            "A", {**properties, "AlarmActions": [arns[action["Ref"]] for action in properties["AlarmActions"]]}, "prod"
        )
        self.state = lambda: cloudwatch._alarms[properties["AlarmName"]]["StateValue"]

    def _queue(self, owner):
        name = f"inbox-{next(NUMBERS)}"
        url = sqs._act_create_queue({"QueueName": name}, "")["QueueUrl"]
        arn = f"arn:aws:sqs:{PROD.region}:{PROD.account}:{name}"
        sns._subscribe({"TopicArn": [PROD.topic_arn(owner)], "Protocol": ["sqs"], "Endpoint": [arn]})
        return sqs._queues[url]

    def tell(self, value, **of):
        """The metric comes: ours as the line that a step logs, AWS's own as AWS says it."""
        found = {**self.alarm.dimensions, **of}
        if self.alarm.namespace == NAMESPACE:
            stream = io.StringIO()
            log = job_log(f"alarm-{next(NUMBERS)}", "r1", environment=found["environment"], stream=stream)
            log.measured("told", {self.alarm.metric: value}, table=found.get("table"))
            assert found == embedded_dimensions(stream.getvalue())
            self.seam.take(stream.getvalue())
        else:
            cloudwatch.record_metric(self.alarm.namespace, self.alarm.metric, value, "Count", found)
            cloudwatch._evaluate_all_alarms()

    def wait(self, seconds):
        self.now += seconds
        cloudwatch._evaluate_all_alarms()

    def messages(self):
        """What arrived since last asked: owner -> messages."""
        found = {owner: [json.loads(json.loads(one["body"])["Message"]) for one in queue["messages"]] for owner, queue in self.queues.items()}
        for queue in self.queues.values():
            queue["messages"].clear()
        return {owner: messages for owner, messages in found.items() if messages}


def embedded_dimensions(text):
    (datum,) = [datum for line in text.splitlines() for datum in embedded(line)]
    return datum[4]


@pytest.fixture
def ringing(account, assembly, monkeypatch):
    return lambda id, **how: Ringing(account, assembly, ALARMS[id], monkeypatch, **how)


def elsewhere(alarm):
    """The same metric of something else."""
    name = next(name for name in ("table", "environment", "StateMachineArn", "QueueName") if name in alarm.dimensions)
    return {name: f"{alarm.dimensions[name]}_else"}


@pytest.mark.parametrize("id", ALARMS)
def test_an_alarm_goes_from_its_metric_to_its_owner(ringing, id):
    """At its limit it is silent, and so it is for what happens elsewhere; beyond, one message arrives, at one team, with what to do."""
    rings, alarm = ringing(id), ALARMS[id]

    rings.tell(alarm.above)
    rings.tell(alarm.above + 1, **elsewhere(alarm))
    before = rings.messages()
    rings.tell(alarm.above + 1)
    rings.wait(1)
    arrived = rings.messages()

    assert {} == before
    assert [alarm.owner] == list(arrived)
    ((message,),) = arrived.values()
    assert ("ALARM", f"sluice-prod-{id}") == (message["NewStateValue"], message["AlarmName"])
    text = message["AlarmDescription"]
    assert text.endswith(f"Owner: {alarm.owner}. Runbook: runbooks/{alarm.runbook}")
    assert alarm.dimensions.get("table", "prod") in text
    assert (ROOT / "runbooks" / alarm.runbook).is_file()


@pytest.mark.parametrize("id", ALARMS)
def test_silence_is_what_it_should_be(ringing, id):
    """Of an age: an alarm, and the end of it when watch speaks again. Of what a run says: neither good nor bad news, until the next one."""
    rings, alarm = ringing(id), ALARMS[id]

    rings.wait(alarm.period_seconds + 1)
    quiet = (rings.state(), list(rings.messages()))
    rings.tell(alarm.above + 1)
    rings.wait(7 * alarm.period_seconds)
    after = rings.state()
    rings.tell(0)

    forgets = id in ("run-failed", "run-timed-out", "run-stopped")
    assert (("ALARM", [alarm.owner]) if rings_by_silence(id) else ("OK", [])) == quiet
    assert ("OK" if forgets else "ALARM") == after
    assert "OK" == rings.state()


@pytest.mark.parametrize("id", ALARMS)
def test_in_a_new_environment_ages_ring_until_watch_speaks(ringing, id):
    """Their alarms stand before watch is called for the first time; missed-run.md tells whoever is woken."""
    rings = ringing(id, new=True)

    rings.wait(1)
    before = rings.state()
    rings.tell(0)

    assert ("ALARM" == before) == rings_by_silence(id)
    assert "OK" == rings.state()


def rings_by_silence(id):
    return id in ("late-gate", "late-run", "missed-run") or id.startswith("stale-")


def test_the_template_holds_these_alarms_and_no_others(assembly):
    """What is not driven here does not exist."""
    made = {one["AlarmName"].removeprefix("sluice-prod-"): one for one in assembly.properties("prod", "signals", "AWS::CloudWatch::Alarm")}

    assert set(ALARMS) == set(made)
    for id, alarm in ALARMS.items():
        assert (alarm.silence, alarm.above, alarm.enabled) == tuple(made[id][name] for name in ("TreatMissingData", "Threshold", "ActionsEnabled"))
        assert len(made[id]["AlarmDescription"]) <= 1024


def test_every_table_has_its_alarms_and_every_promise_of_gold_another():
    """A table that is added is watched, and nobody has to remember it."""
    ids = set(ALARMS)

    for table in lake().tables:
        assert {f"dq-{table.name}", f"blocked-{table.name}"} <= ids
    assert {"stale-gold.daily_tides"} == {id for id in ids if id.startswith("stale-")}
    assert {"late-gate", "late-run", "missed-run", "dead-letters", "run-failed", "run-timed-out", "run-stopped"} <= ids


def test_ages_are_all_told_by_what_the_alarm_listens_to():
    """Names and dimensions of every alarm on our own numbers are those that gates and watch really emit."""
    there = environment("prod", enabled=True)
    machine = Machine(lake=dataclasses.replace(fresh_lake(), environments={"prod": there}))
    stream = io.StringIO()
    machine.log = job_log("emits", "r1", environment="prod", stream=stream)
    trade(machine)
    counting = machine.tables._rules
    machine.tables._rules = lambda table, elements: tuple(
        dataclasses.replace(one, observed="2026-01-01T00:00:20.000000Z") if one.rule == "at.freshness" else one for one in counting(table, elements)
    )

    machine.run()
    watch(lake=machine.lake, environment=there, state=machine.state, timer=Timer(machine.world.now), log=machine.log, clock=machine.world.clock)

    told = {(name, *sorted(of.items())) for line in stream.getvalue().splitlines() for _, name, _, _, of in embedded(line)}
    heard = {(one.metric, *sorted(one.dimensions.items())) for one in alarms_of(machine.lake, there) if one.namespace == NAMESPACE}
    assert set() == heard - told


def test_a_lake_without_a_schedule_cannot_miss_a_run():
    """Nor can one whose schedule is off: watch tells no age of it, which an alarm would take for the worst. Its queue is heard of by nobody."""
    by_hand = {alarm.id for alarm in alarms_of(lake(), environment(schedule=False))}
    off = {alarm.id: alarm.enabled for alarm in alarms_of(lake(), environment(enabled=False))}

    assert not by_hand & {"missed-run", "dead-letters"}
    assert "missed-run" not in off
    assert ["dead-letters"] == [id for id, enabled in off.items() if not enabled]


def test_limits_are_settings():
    """Of the environment; freshness is the contract's."""
    patient = dataclasses.replace(PROD, sla=dataclasses.replace(PROD.sla, gate_minutes=45, run_minutes=90, start_minutes=10))

    above = {alarm.id: alarm.above for alarm in alarms_of(lake(), patient)}

    assert (20 * 60, 45 * 60, 90 * 60) == (ALARMS["late-gate"].above, above["late-gate"], above["late-run"])
    assert ALARMS["missed-run"].above - above["missed-run"] == 20 * 60
    assert 36 * 3600 == above["stale-gold.daily_tides"]
    assert dimensions("prod", table="gold.daily_tides") == ALARMS["stale-gold.daily_tides"].dimensions


def test_an_age_may_miss_a_call_of_watch_and_no_more():
    """One late call is no alarm; three that did not come are."""
    assert {AGE_PERIOD} == {alarm.period_seconds for alarm in ALARMS.values() if alarm.silence == "breaching"}
    assert 3 * 5 * 60 == AGE_PERIOD
