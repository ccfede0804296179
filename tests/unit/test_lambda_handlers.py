"""The Lambdas, event in and answer out, through the real steps on moto's DynamoDB, S3, Step Functions and Glue; only Spark is a fake."""

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from itertools import count
from unittest.mock import patch

import boto3
import pytest
from moto import mock_aws

from lambdas.commit.handler import handler as commit_handler
from lambdas.fail.handler import handler as fail_handler
from lambdas.gate.handler import handler as gate_handler
from lambdas.plan.handler import handler as plan_handler
from lambdas.report.handler import handler as report_handler
from lambdas.watch.handler import handler as watch_handler
from shared.aws import wiring
from shared.aws.executions import JOBS
from shared.aws.timer import ScheduleTimer
from shared.aws.wiring import LambdaPorts, utc_now
from shared.core.errors import BadState, ContractError, DeployedMidRun, LockHeld, RequestRefused, StaleFence
from shared.core.events import CommitAnswer, FailAnswer, GateAnswer, PlanAnswer, ReportAnswer
from shared.spec.codec import CodecError, from_json, to_json
from shared.spec.environment import Environment, Secrets, Workers
from shared.spec.lake import PinnedLake
from tests.fakes import START
from tests.machine import Machine, small_lake

HANDLERS = {"plan": plan_handler, "gate": gate_handler, "commit": commit_handler, "fail": fail_handler, "report": report_handler}
ANSWERS = {"plan": PlanAnswer, "gate": GateAnswer, "commit": CommitAnswer, "fail": FailAnswer, "report": ReportAnswer}
REGION = "us-east-1"
NUMBERS = count(1)


@dataclass
class Context:
    """What Lambda hands to a handler beside the event."""

    function_name: str = "sluice"
    memory_limit_in_mb: int = 256
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:sluice"
    aws_request_id: str = "request-1"


def call(name, **event):
    """Invoke a function as Step Functions does: JSON in, JSON out, the answer being exactly its type."""
    answer = HANDLERS[name](json.loads(json.dumps(event)), Context())
    return from_json(ANSWERS[name], json.loads(json.dumps(answer)))


class Deployment(Machine):
    """The machine of the protocol tests, its Lambdas and its state, documents and executions being the real ones."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.ports = LambdaPorts.from_environment()
        self.lake, self.state, self.documents = self.ports.pinned.lake, self.ports.state, self.ports.documents
        self.s3 = boto3.client("s3", region_name=REGION)
        self.machine_arn = self.ports.environment.machine_arn
        self.mirrored: dict[str, int] = {}

    @property
    def pinned(self) -> PinnedLake:
        return self.ports.pinned

    def _lambda(self, step, request, *ports):
        self.mirror_logs()
        if step.__name__ == "plan":
            return call("plan", **plan_event(request.run, self, tables=request.tables, full_refresh=request.full_refresh))
        return call(step.__name__, **to_json(request))

    def mirror_logs(self) -> None:
        """What Spark would have put into the Delta logs by now."""
        for name, versions in self.tables.tables.items():
            done, self.mirrored[name] = self.mirrored.get(name, 0), len(versions)
            for version in versions[done:]:
                commit = version.commit
                info = {
                    "timestamp": int(commit.timestamp.timestamp() * 1000),
                    "operation": commit.operation,
                    "operationMetrics": {metric: str(value) for metric, value in commit.metrics.items()},
                    "userMetadata": json.dumps(to_json(commit.meta)),
                }
                adds = [{"add": {"partitionValues": {"_lane": lane}, "stats": json.dumps({"numRecords": n})}} for lane, n in commit.rows.items()]
                text = "\n".join(json.dumps(action) for action in [{"commitInfo": info}, *adds])
                key = f"{name.replace('.', '/', 1)}/_delta_log/{commit.version:020d}.json"
                self.s3.put_object(Bucket=self.ports.environment.bucket, Key=key, Body=text.encode())

    def trade(self, day: int) -> None:
        at = START + timedelta(seconds=20 * day)
        self.world.now = at
        self.shop.rows.setdefault("products", []).append((at, {"id": f"p{day}", "title": f"thing {day}", "at": at, "deleted": False}))
        for id, amount in ((f"o{day}", day), (f"bad{day}", -1)):
            self.shop.rows.setdefault("orders", []).append((at, {"id": id, "amount": amount, "product": f"p{day}", "at": at, "deleted": False}))
        self.world.now = at + timedelta(seconds=10)

    def gold(self, name: str) -> dict:
        """Certified rows, by the real pointer."""
        return self.tables.tables[name][self.state.certified().tables[name].version].content


@pytest.fixture(scope="module")
def cloud():
    """One moto, and one client per service: making a client takes longer than a whole gate."""
    with (
        mock_aws(),
        patch.dict("os.environ", {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}),
        patch("boto3.client", cache(boto3.client)),
    ):
        yield


@pytest.fixture
def environment(cloud, monkeypatch):
    environment = Environment(
        name=f"test{next(NUMBERS)}",
        account="123456789012",
        region=REGION,
        keeps_data=False,
        max_windows=3,
        log_retention_days=7,
        workers=Workers(type="G.1X", count=2, timeout_minutes=60),
        schedule=None,
        secrets=Secrets(mask_key="m", servers={}),
    )
    lake = replace(small_lake(), environments={environment.name: environment})
    monkeypatch.setattr(wiring, "shipped_lake", lambda: PinnedLake(lake=lake, hash="hash of lake.json"))
    monkeypatch.setenv("SLUICE_ENVIRONMENT", environment.name)
    deploy(environment)
    yield environment
    wiring._ports_of.cache_clear()


def deploy(environment):
    keys = [{"AttributeName": "kind", "KeyType": "HASH"}, {"AttributeName": "id", "KeyType": "RANGE"}]
    types = [{"AttributeName": key, "AttributeType": "S"} for key in ("kind", "id")]
    dynamodb = boto3.client("dynamodb", region_name=REGION)
    dynamodb.create_table(TableName=environment.state_table, KeySchema=keys, AttributeDefinitions=types, BillingMode="PAY_PER_REQUEST")
    boto3.client("s3", region_name=REGION).create_bucket(Bucket=environment.bucket)
    glue = boto3.client("glue", region_name=REGION)
    for stage in JOBS:
        glue.create_job(Name=environment.job(stage), Role="x", Command={"Name": "glueetl", "ScriptLocation": "s3://x/y.py"}, GlueVersion="6.0")
    definition = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}})
    role = "arn:aws:iam::123456789012:role/x"
    boto3.client("stepfunctions", region_name=REGION).create_state_machine(name=environment.state_machine, definition=definition, roleArn=role)


@pytest.fixture
def deployment(environment):
    return Deployment()


def report_of(deployment, run):
    answer = call("report", run=run)
    bucket = deployment.ports.environment.bucket
    bodies = [deployment.s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode() for key in (answer.json, answer.html)]
    return json.loads(bodies[0]), bodies[1]


def plan_event(run, deployment, **given):
    return {"run": run, "machine": deployment.machine_arn, "input": given}


def test_a_run_goes_from_plan_to_commit_by_its_events_alone(deployment):
    """Through the real Lambdas gold gets what the shop holds, the lock is free again, and the report accounts for every row."""
    statuses = []
    for day in (1, 2):
        deployment.trade(day)
        statuses.append(deployment.run())

    said, page = report_of(deployment, "run-1")
    tables = {table["table"]: table for table in said["tables"]}
    orders = tables["bronze.orders"]
    assert ["passed"] * 2 == statuses
    assert {"o1": 1, "o2": 2} == {key: row["amount"] for key, row in deployment.gold("gold.fact_sales").items()}
    assert (None, 2) == (deployment.state.lock().run, deployment.state.lock().fence)
    assert ["run-2", "run-1"] == [record.run for record in deployment.state.runs(5)]
    assert ("passed", "pass", 2, 1, 1, 0) == (said["status"], *(orders[name] for name in ("outcome", "read", "accepted", "rejected", "seen")))
    assert all(batch["accounted"] for batch in orders["batches"])
    assert deployment.state.certified().tables["gold.fact_sales"].version == tables["gold.fact_sales"]["certified_version"]
    assert ["ingest", "refine", "stage", "publish"] == [stage["stage"] for stage in said["stages"] if stage["seconds"] is not None]
    assert "2 = 1 + 1 + 0" in page


def test_a_limited_run_goes_from_plan_to_commit_and_leaves_the_rest_to_the_next(deployment):
    """Through the real Lambdas: the plan in the bucket is what gates and jobs read."""
    deployment.trade(1)
    statuses = [deployment.run(tables=("silver.products",), full_refresh=("silver.products",))]
    limited = set(deployment.state.certified().tables)
    outcomes = {table["table"]: table["outcome"] for table in report_of(deployment, "run-1")[0]["tables"]}
    statuses.append(deployment.run())

    assert ["passed", "passed"] == statuses
    assert {"bronze.products", "silver.products"} == limited
    assert {"bronze.orders", "silver.orders", "gold.dim_product", "gold.fact_sales"} == {
        name for name, was in outcomes.items() if was == "not planned"
    }
    assert {"o1": 1} == {key: row["amount"] for key, row in deployment.gold("gold.fact_sales").items()}


def test_a_limit_to_a_table_that_is_not_there_is_refused_with_the_nearest(deployment):
    """No lock is taken and no run recorded."""
    with pytest.raises(RequestRefused, match="Did you mean 'silver.orders'?"):
        call("plan", **plan_event("run-1", deployment, tables=["silver.order"]))

    assert (0, None) == (deployment.state.lock().fence, deployment.state.run("run-1"))


@pytest.mark.parametrize(
    "given", [{"table": ["silver.orders"]}, {"tables": "silver.orders"}, "silver.orders", None, {"scheduled": "tonight"}, {"scheduled": "2026-11-23"}]
)
def test_an_input_that_no_run_takes_is_refused_and_never_a_run_of_every_table(deployment, given):
    """Written by hand, perhaps: no lock is taken and no run recorded."""
    with pytest.raises(RequestRefused, match="the execution's input"):
        call("plan", **plan_event("run-1", deployment) | {"input": given})

    assert (0, None) == (deployment.state.lock().fence, deployment.state.run("run-1"))


def test_a_halted_table_blocks_what_reads_it_and_the_report_says_why(deployment):
    """The rest of the run is committed; the answer names the tables for the machine's own Fail state."""
    deployment.trade(1)
    deployment.tables.halting = {"silver.orders"}

    status = deployment.run()

    again = call("commit", run="run-1", fence=1, target="run-1")
    said, page = report_of(deployment, "run-1")
    outcomes = {table["table"]: table["outcome"] for table in said["tables"]}
    assert "blocked" == status == again.status == said["status"]
    assert {"silver.orders": "halt", "gold.fact_sales": "blocked", "gold.dim_product": "blocked"}.items() <= outcomes.items()
    assert {"silver.orders", "gold.fact_sales", "gold.dim_product"} == set(said["blocked"])
    assert "waits for silver.orders" in page


def test_a_failed_job_is_recorded_its_lock_released_and_its_report_shows_how_far_it_came(deployment):
    """The next run finds a free lake."""
    deployment.trade(1)
    answer = call("plan", **plan_event("run-1", deployment))

    failed = call("fail", run="run-1", machine=deployment.machine_arn, error="States.TaskFailed", cause="ExitCode 1: <b>boom</b>")
    said, page = report_of(deployment, "run-1")

    assert (1, ("main",), None, False) == (answer.fence, answer.groups, answer.recover, answer.duplicate)
    assert FailAnswer(status="failed", released=True) == failed
    assert deployment.state.lock().run is None
    assert ("failed", {"not reached"}) == (said["status"], {table["outcome"] for table in said["tables"]})
    assert "&lt;b&gt;boom&lt;/b&gt;" in page
    assert "<b>boom" not in page


def test_a_report_of_a_run_that_never_held_the_lake_says_so(deployment):
    """It is not an empty success."""
    failed = call("fail", run="run-9", machine=deployment.machine_arn, error="LockHeld", cause="by run-8")

    said, page = report_of(deployment, "run-9")

    assert FailAnswer(status="failed", released=False) == failed
    assert ("unknown", None) == (said["status"], said["started"])
    assert "Not recorded" in page


def test_evidence_that_does_not_parse_halts_its_table_and_shows_in_the_report(deployment):
    """A broken document is neither a crash of the report nor an absent one."""
    deployment.trade(1)
    call("plan", **plan_event("run-1", deployment))
    key = "_evidence/run-1/ingest/bronze.orders.json"
    deployment.documents.put_text(key, '{"run": "run-1"}', "application/json")

    answer = call("gate", run="run-1", fence=1, stage="ingest")
    said, page = report_of(deployment, "run-1")

    assert 2 == answer.halted
    assert [key] == list(said["troubles"])
    assert "Documents of this run that cannot be read" in page


def test_an_execution_that_died_after_publishing_is_finished_by_the_next(deployment, monkeypatch):
    """Its intent is committed under its own name, then the new run does its own work."""
    deployment.trade(1)
    with monkeypatch.context() as broken:
        broken.setitem(HANDLERS, "commit", lambda event, context: (_ for _ in ()).throw(StaleFence("killed")))
        first = deployment.run()
    deployment.trade(2)

    second = deployment.run()

    assert ("failed", "passed") == (first, second)
    assert ["passed", "passed"] == [deployment.state.run(run).status for run in ("run-1", "run-2")]
    assert {"o1", "o2"} == set(deployment.gold("gold.fact_sales"))
    said, page = report_of(deployment, "run-1")
    assert "passed" == said["status"]
    assert "A later execution finished" in page


def test_a_schedule_delivered_twice_is_one_run(deployment):
    """The second execution is told to end, and holds nothing."""
    call("plan", **plan_event("run-1", deployment, scheduled="2026-11-23T04:00:00Z"))

    answers = [call("plan", **plan_event("run-2", deployment, scheduled=time)) for time in ("2026-11-23T04:00:00Z", "2026-11-23T05:00:00+01:00")]

    assert [PlanAnswer(fence=0, recover=None, duplicate=True, groups=())] * 2 == answers
    assert "run-1" == deployment.state.lock().run


def test_a_lake_held_by_a_running_execution_is_refused_by_name(deployment):
    """Never stolen on time alone."""
    machines = boto3.client("stepfunctions", region_name=REGION)
    machines.start_execution(stateMachineArn=deployment.machine_arn, name="run-1")
    call("plan", **plan_event("run-1", deployment))

    with pytest.raises(LockHeld, match="held by run run-1"):
        call("plan", **plan_event("run-2", deployment))

    machines.stop_execution(executionArn=deployment.machine_arn.replace("stateMachine", "execution") + ":run-1")
    assert 2 == call("plan", **plan_event("run-2", deployment)).fence


def test_code_of_another_lake_refuses_the_run_that_another_began(deployment, monkeypatch):
    """Deployed mid-run; start again."""
    call("plan", **plan_event("run-1", deployment))
    lake = deployment.ports.pinned.lake
    monkeypatch.setattr(wiring, "shipped_lake", lambda: PinnedLake(lake=lake, hash="hash of another"))
    wiring._ports_of.cache_clear()

    with pytest.raises(DeployedMidRun):
        call("gate", run="run-1", fence=1, stage="ingest")


@pytest.mark.parametrize("name", HANDLERS)
@pytest.mark.parametrize("event", [{}, {"run": 7}, {"run": "r1", "fence": "1", "stage": "ingest", "more": 1}])
def test_an_event_of_another_shape_is_refused_before_anything_is_touched(environment, monkeypatch, name, event):
    """A misspelt field is not a default."""
    monkeypatch.delenv("SLUICE_ENVIRONMENT")

    with pytest.raises(CodecError, match="Request"):
        call(name, **event)


def test_a_function_without_its_environment_says_which_variable_is_missing(cloud, monkeypatch):
    """Not the first environment that happens to be there."""
    monkeypatch.delenv("SLUICE_ENVIRONMENT", raising=False)

    with pytest.raises(ContractError, match="SLUICE_ENVIRONMENT is not set"):
        call("report", run="r1")


def test_the_ports_are_built_once_per_container(environment):
    """lake.json is parsed and clients are made once, not per event."""
    assert LambdaPorts.from_environment() is LambdaPorts.from_environment()


def test_a_run_is_started_by_hand_while_the_schedule_has_its_own(deployment):
    """Neither takes the other's time, and watch counts from the schedule's alone."""
    call("plan", **plan_event("run-1", deployment, scheduled="2026-11-23T04:00:00Z"))
    call("fail", run="run-1", machine=deployment.machine_arn, error="RunFailed", cause="boom")

    by_hand = call("plan", **plan_event("run-2", deployment))

    assert (False, 2) == (by_hand.duplicate, by_hand.fence)
    assert "2026-11-23T04:00:00.000000Z" == deployment.state.last_scheduled()


def test_watch_tells_the_ages_of_the_deployed_lake(deployment, capsys):
    """One line each, as CloudWatch takes them; a lake without a schedule has none to be late."""
    deployment.trade(1)
    deployment.run()
    capsys.readouterr()

    assert {} == watch_handler({}, Context())

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    told = {(line.get("table"), metric["Name"]) for line in lines for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
    assert {(None, "run_age_seconds"), (None, "gate_wait_seconds"), ("bronze.orders", "watermark_lag_seconds")} <= told
    assert (None, "schedule_age_seconds") not in told


def test_watch_takes_no_input_but_none(environment):
    """A misspelt one is refused here too."""
    with pytest.raises(CodecError, match="WatchRequest"):
        watch_handler({"tables": []}, Context())


def test_the_timer_knows_when_its_schedule_was_changed(cloud):
    """And says which schedule is gone."""
    client = boto3.client("scheduler", region_name=REGION)
    target = {"Arn": "arn:aws:lambda:us-east-1:123456789012:function:x", "RoleArn": "arn:aws:iam::123456789012:role/x"}
    client.create_schedule(Name="there", ScheduleExpression="rate(1 day)", FlexibleTimeWindow={"Mode": "OFF"}, Target=target)

    changed = ScheduleTimer("there", region=REGION).changed_at()

    assert abs((utc_now() - changed).total_seconds()) < 60
    with pytest.raises(BadState, match="schedule gone does not exist"):
        ScheduleTimer("gone", region=REGION).changed_at()
