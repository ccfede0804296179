"""Who is told what: by the gates, by the one path of every failure, and through SNS to a team's own topic."""

import io
import json
from dataclasses import replace

import boto3
import pytest
from moto import mock_aws

from shared.aws.notify import SnsNotify
from shared.core.alerts import Alert, of_failure, of_gate
from shared.core.messages import Finding, TableVerdict
from shared.telemetry.log import job_log
from tests.machine import Machine, small_lake
from tests.unit.test_measuring import environment, trade

SECRET = "alice@example.com"


def lake(**owners):
    """The small lake, its tables owned as told."""

    made = small_lake()
    return replace(made, tables=tuple(replace(table, owner=owners.get(table.name.replace(".", "_"), "sales")) for table in made.tables))


def halted(name, *rules):
    findings = tuple(Finding(rule=rule, severity="critical", message=f"observed {SECRET}") for rule in rules)
    return {name: TableVerdict(table=name, verdict="halt", findings=findings)}


def test_the_owner_of_a_halted_table_hears_which_rule_broke():
    """And not what a row held: the finding's own text may show a value."""
    (alert,) = of_gate(lake(), "r1", "refine", halted("silver.orders", "currency_known", None), ())

    assert "sales" == alert.owner
    for part in ("silver.orders", "currency_known", "no rule: evidence", "sluice runs show r1", "runbooks/dq-halt.md"):
        assert part in alert.text
    assert SECRET not in alert.text + alert.subject


def test_each_owner_hears_of_their_own_tables_alone():
    """One message per owner and gate, however many tables."""
    alerts = of_gate(lake(gold_fact_sales="finance"), "r1", "refine", halted("silver.orders", "r"), ["gold.dim_product", "gold.fact_sales"])

    told = {alert.owner: alert.text for alert in alerts}
    assert {"sales", "finance"} == set(told)
    assert "silver.orders" not in told["finance"]
    assert "gold.fact_sales waits" in told["finance"]


def test_a_halted_run_tells_every_table_once():
    """At the gate that halted it, or that first held it back; a run that passed tells nobody."""
    machine = Machine()
    trade(machine)
    quiet = Machine()
    trade(quiet)
    machine.tables.halting = {"silver.orders"}

    machine.run()
    quiet.run()

    texts = [line for alert in machine.notify.alerts for line in alert["text"].splitlines()]
    assert 1 == sum("silver.orders is halted" in line for line in texts)
    assert {1} == {sum(line.startswith(f"{name} waits") for line in texts) for name in ("gold.dim_product", "gold.fact_sales")}
    assert [] == quiet.notify.alerts


@pytest.mark.parametrize(
    ("error", "cause", "shown"),
    [
        ("LockHeld", "by run r0", True),
        ("States.TaskFailed", "SourceUnavailable: tower does not answer", True),
        ("States.TaskFailed", f"Py4JJavaError: duplicate key {SECRET}", False),
        ("KeyError", SECRET, False),
        ("States.Timeout", SECRET, False),
    ],
)
def test_an_errors_own_text_is_told_only_when_it_is_ours(error, cause, shown):
    """A driver's message may quote a row; it stays in the report."""
    alerts = of_failure(lake(), "r1", error, cause)

    assert {shown} == {cause in alert.text for alert in alerts}
    assert all(error in alert.text and "runbooks/run-failed.md" in alert.text for alert in alerts)
    assert shown or not any(SECRET in alert.text for alert in alerts)


def test_a_failure_reaches_the_owners_it_names_and_always_the_operator():
    """All owners when it names no table."""
    owned = lake(gold_fact_sales="finance")

    named = of_failure(owned, "r1", "BadState", "gold.fact_sales: something wrote it")
    general = of_failure(owned, "r1", "LockHeld", "by r0")

    assert ["finance", "operator"] == [alert.owner for alert in named]
    assert {"sales", "finance", "operator"} == {alert.owner for alert in general}


# ---- SNS


@pytest.fixture
def aws(monkeypatch):
    with mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "x")
        yield


def sent(alert, service, *, with_topic=True):
    """What a queue behind the owner's topic got, and what was logged."""
    there, stream = environment(), io.StringIO()
    sns, sqs = boto3.client("sns", "us-east-1"), boto3.client("sqs", "us-east-1")
    queue = sqs.create_queue(QueueName="inbox")["QueueUrl"]
    if with_topic:
        topic = sns.create_topic(Name=there.topic(alert.owner))["TopicArn"]
        assert there.topic_arn(alert.owner) == topic
        sns.subscribe(
            TopicArn=topic, Protocol="sqs", Endpoint=sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        )
    SnsNotify(there, job_log(service, "r1", environment="test", stream=stream), client=sns).alert(alert)
    messages = [json.loads(message["Body"]) for message in sqs.receive_message(QueueUrl=queue).get("Messages", ())]
    return messages, [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_alert_arrives_at_its_owners_topic(aws):
    """And stands in the log, whatever became of the message. A subject that SNS would refuse is made to fit."""
    alert = Alert(owner="Sales & Orders", subject="rün " + "x" * 200, text="silver.orders is halted: currency_known")

    ((message,), lines) = sent(alert, "arriving")

    assert ("silver.orders is halted: currency_known", 100) == (message["Message"], len(message["Subject"]))
    assert message["Subject"].startswith("Sluice test: r?n")
    assert [("owner_alert", "Sales & Orders")] == [(line["message"], line["owner"]) for line in lines]


def test_an_alert_that_cannot_be_sent_stops_nothing(aws):
    """A deleted topic must not fail a run whose data is in order."""
    messages, lines = sent(Alert(owner="sales", subject="s", text="t"), "refused", with_topic=False)

    assert ([], ["owner_alert", "alert_not_sent"]) == (messages, [line["message"] for line in lines])
