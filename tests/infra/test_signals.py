"""Topics, schedule, alarms and dashboard as the templates say them."""

import dataclasses
import json
import re

import pytest

from shared.core.events import WatchRequest
from shared.spec.codec import from_json
from shared.spec.measures import UNITS, dimensions
from tests.infra.conftest import synthesize
from tests.infra.tides import environment, lake


@pytest.fixture
def signals(assembly):
    """Properties of one type in prod's signals."""
    return lambda type: assembly.properties("prod", "signals", type)


# ---- what starts by itself


def test_the_schedule_starts_the_version_that_was_deployed(assembly):
    """Through an alias, whose version is of this very definition; a hand on the console changes nothing that runs by night."""
    ((version_id, version),) = assembly.resources("prod", "workflow", "AWS::StepFunctions::StateMachineVersion").items()
    ((alias_id, alias),) = assembly.resources("prod", "workflow", "AWS::StepFunctions::StateMachineAlias").items()
    targets = {one["Name"]: one["Target"] for one in assembly.properties("prod", "workflow", "AWS::Scheduler::Schedule")}

    (machine,) = assembly.resources("prod", "workflow", "AWS::StepFunctions::StateMachine")
    assert {"Fn::GetAtt": [machine, "StateMachineRevisionId"]} == version["Properties"]["StateMachineRevisionId"]
    assert [{"StateMachineVersionArn": {"Ref": version_id}, "Weight": 100}] == alias["Properties"]["RoutingConfiguration"]
    assert {"Ref": alias_id} == targets["sluice-prod"]["Arn"]


def test_a_strike_is_tried_again_and_then_kept(assembly):
    """For an hour, then in the queue for two weeks; who strikes may do nothing but that, for this account."""
    (one,) = [one for one in assembly.properties("prod", "workflow", "AWS::Scheduler::Schedule") if one["Name"] == "sluice-prod"]
    (queue,) = assembly.properties("prod", "workflow", "AWS::SQS::Queue")
    (policy,) = [one for one in assembly.properties("prod", "workflow", "AWS::IAM::Policy") if one["PolicyName"].startswith("ScheduleRole")]

    assert {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 10} == one["Target"]["RetryPolicy"]
    assert ("sluice-prod-missed-runs", 14 * 24 * 3600) == (queue["QueueName"], queue["MessageRetentionPeriod"])
    assert {"StartRun", "KeepMissed", "UseKey"} == {statement["Sid"] for statement in policy["PolicyDocument"]["Statement"]}


def test_watch_is_called_every_five_minutes_whether_or_not_there_is_a_schedule(assembly):
    """With an input that it takes."""
    (one,) = [one for one in assembly.properties("local", "workflow", "AWS::Scheduler::Schedule") if one["Name"] == "sluice-local-watch"]

    assert ("rate(5 minutes)", "OFF", "{}") == (one["ScheduleExpression"], one["FlexibleTimeWindow"]["Mode"], one["Target"]["Input"])
    assert WatchRequest() == from_json(WatchRequest, json.loads(one["Target"]["Input"]))


def test_a_schedule_that_strikes_before_a_run_may_end_is_warned_of(tmp_path):
    """The second strike would find the lake held. It is said, not refused: a run may be shorter than it may last."""
    hasty = environment()
    hasty = dataclasses.replace(hasty, schedule=dataclasses.replace(hasty.schedule, expression="rate(1 hour)"))

    synthesize(tmp_path, made=lake(hasty))

    artifact = json.loads((tmp_path / "manifest.json").read_text())["artifacts"]["sluice-local-workflow"]
    metadata = artifact.get("metadata") or json.loads((tmp_path / artifact["additionalMetadataFile"]).read_text())
    warnings = [entry["data"] for entries in metadata.values() for entry in entries if entry["type"] == "aws:cdk:warning"]
    assert 1 == len(warnings)
    assert "rate(1 hour) strikes again after 60 minutes, while a run may take 240 (sla.run_minutes)" in warnings[0]


# ---- the dashboard


def test_one_dashboard_draws_every_number(signals):
    """Health, freshness, quality, volumes, cost; by searches over the very dimensions that are emitted."""
    (one,) = signals("AWS::CloudWatch::Dashboard")
    widgets = json.loads(one["DashboardBody"])["widgets"]

    headings = [widget["properties"]["markdown"] for widget in widgets if widget["type"] == "text"]
    metrics = [metric for widget in widgets if widget["type"] == "metric" for metric in widget["properties"]["metrics"]]
    searches = [metric[0]["expression"] for metric in metrics if isinstance(metric[0], dict)]
    drawn = {re.search(r'MetricName="(\w+)"', search)[1]: re.search(r"{Sluice,([\w,]+)}", search)[1].split(",") for search in searches}

    assert ["## Health", "## Freshness", "## Quality", "## Volumes", "## Cost"] == headings
    assert set(UNITS) == set(drawn)
    assert all('environment="prod"' in search for search in searches)
    told = {"table": list(dimensions("prod", table="gold.x")), "stage": list(dimensions("prod", stage="ingest"))}
    assert {"latency_seconds"} == {name for name, names in drawn.items() if names == told["stage"]}
    assert {"run_age_seconds", "gate_wait_seconds", "schedule_age_seconds", "run_cost_usd"} == {
        n for n, names in drawn.items() if names == ["environment"]
    }
    assert len(drawn) - 5 == sum(names == told["table"] for names in drawn.values())


def test_its_widgets_stand_side_by_side(signals):
    """None covers another, and none leaves the grid."""
    (one,) = signals("AWS::CloudWatch::Dashboard")
    cells = [
        (x, y)
        for widget in json.loads(one["DashboardBody"])["widgets"]
        for x in range(widget["x"], widget["x"] + widget["width"])
        for y in range(widget["y"], widget["y"] + widget["height"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


# ---- topics


def test_every_owner_and_the_operator_have_a_topic_under_the_lakes_key(signals):
    """Mail about a table goes to the team that its contract names."""
    topics = signals("AWS::SNS::Topic")

    assert {"sluice-prod-team-coast-guard", "sluice-prod-team-harbour", "sluice-prod-team-operator"} == {topic["TopicName"] for topic in topics}
    assert all("KmsMasterKeyId" in topic for topic in topics)


def test_alarms_of_this_lake_alone_may_speak_to_its_topics(assembly, signals):
    """And may use the key they are encrypted with: an alarm that may not is silent, and nobody sees it."""
    alarms = "arn:aws:cloudwatch:eu-west-1:222222222222:alarm:sluice-prod-*"
    (key,) = assembly.properties("prod", "storage", "AWS::KMS::Key")

    said = [statement for policy in signals("AWS::SNS::TopicPolicy") for statement in policy["PolicyDocument"]["Statement"]]
    granted = [statement for statement in (*said, *key["KeyPolicy"]["Statement"]) if "AlarmsOfThisLake" in statement.get("Sid", "")]

    assert 4 == len(granted)
    for statement in granted:
        assert {"Service": "cloudwatch.amazonaws.com"} == statement["Principal"]
        assert {"aws:SourceAccount": "222222222222"} == statement["Condition"]["StringEquals"]
        assert alarms == statement["Condition"]["ArnLike"]["aws:SourceArn"]
    assert 3 == sum(statement["Effect"] == "Deny" and "aws:SecureTransport" in str(statement) for statement in said)


def test_gates_and_fail_alone_may_write_to_them(assembly):
    """By name, each topic of the lake."""
    policies = {policy["PolicyName"].split("Role")[0]: policy for policy in assembly.properties("prod", "compute", "AWS::IAM::Policy")}
    told = {
        name: statement["Resource"]
        for name, policy in policies.items()
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Action"] == "sns:Publish"
    }

    topics = [f"arn:aws:sns:eu-west-1:222222222222:sluice-prod-team-{team}" for team in ("coast-guard", "harbour", "operator")]
    assert {"Gate": topics, "Fail": topics} == told


def test_addresses_of_an_environment_are_subscribed_to_their_teams_topic(tmp_path):
    """By mail or https; a team without one has its topic all the same, for whoever subscribes later."""
    addressed = environment(alarms={"harbour": ("tides@example.com", "https://pager.example.com/hook"), "operator": ("ops@example.com",)})

    made = synthesize(tmp_path, made=lake(addressed))

    topics = {id: one["Properties"]["TopicName"] for id, one in made.resources("local", "signals", "AWS::SNS::Topic").items()}
    found = {
        (topics[one["TopicArn"]["Ref"]], one["Protocol"], one["Endpoint"]) for one in made.properties("local", "signals", "AWS::SNS::Subscription")
    }
    assert {
        ("sluice-local-team-harbour", "email", "tides@example.com"),
        ("sluice-local-team-harbour", "https", "https://pager.example.com/hook"),
        ("sluice-local-team-operator", "email", "ops@example.com"),
    } == found
