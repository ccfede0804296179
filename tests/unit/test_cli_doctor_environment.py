"""`sluice --env … doctor`: each thing that would stop a first deployment is provoked, and told with what to type. AWS is moto, in process."""

import json
import shlex
import shutil
import socket
from collections import namedtuple
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import psycopg
import pytest
from botocore.exceptions import NoCredentialsError
from moto import mock_aws
from typer.testing import CliRunner

import cli.doctor
from cli.doctor import environment_lines
from cli.doctor_found import Account, look
from cli.doctor_quotas import need_of
from cli.doctor_schedule import check_alarms, check_schedule
from cli.main import app
from infra.access import FUNCTIONS, JOBS
from infra.names import Part, Shelf, Tag, log_groups
from shared.spec.environment import Environment, Network, Schedule, Secrets, Workers
from shared.spec.lake import Server
from tests.spark.servers import PASSWORD, dsn, postgres_server
from tests.unit.doctor_cloud import ACCOUNT, DPUS, REGION, RUNS, Cloud, bootstrapped, bucket, create_role

ROOT = Path(__file__).resolve().parents[2]
AT = datetime(2026, 11, 23, tzinfo=UTC)
MASK_KEY = "0123456789abcdef-never-shown-0123456789"
OPERATORS = {"operator": ("a@example.com",), "sales-data": ("s@example.com",), "finance-data": ("f@example.com",), "web-data": ("w@example.com",)}
ENVIRONMENT = Environment(
    name="prod",
    account=ACCOUNT,
    region=REGION,
    keeps_data=True,
    max_windows=3,
    log_retention_days=7,
    workers=Workers(type="G.2X", count=10, timeout_minutes=60),
    schedule=Schedule(expression="cron(0 4 * * ? *)", time_zone="Europe/Berlin", enabled=True),
    secrets=Secrets(mask_key="prod/mask-key", servers={"shop": "prod/shop", "web": "prod/web"}),
    alarms=OPERATORS,
)
HELD = {"username": "reader", "password": PASSWORD}
Place = namedtuple("Place", "postgres redshift")


@pytest.fixture(scope="module")
def places():
    """A PostgreSQL with one table, and something that answers where a Redshift would."""
    with postgres_server() as port, socket.create_server(("127.0.0.1", 0)) as listening:
        with psycopg.connect(dsn(port), autocommit=True) as connection:
            connection.execute("create table sales.orders (id int)")
            connection.execute("grant usage on schema sales to reader")
            connection.execute("grant select on sales.orders to reader")
            connection.execute("grant pg_read_all_stats to reader")
        yield Place(postgres=port, redshift=listening.getsockname()[1])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The shipped lake, compiled once."""
    return compiled(ROOT / "lake", tmp_path_factory.mktemp("home"))


def compiled(folder, home):
    return cli.doctor.Desk(folder=folder, environment="prod", home=home, opener=lambda desk: None).compiled().lake


@pytest.fixture
def lake(whole, places):
    """Three sources of it: one of each way that they are tried."""
    named = {"environment": "prod", "host": "127.0.0.1", "database": "postgres", "schema": None}
    servers = {
        "bronze.orders": Server(name="shop", type="postgres", port=places.postgres, **named),
        "bronze.customer_behavior": Server(name="web", type="redshift", port=places.redshift, **named),
        "bronze.fx_rates": Server(name="treasury", type="s3", location="s3://treasury/rates", **{**named, "host": None, "database": None}, port=None),
    }
    tables = [table for table in whole.tables if table.name in servers]
    found = [replace(table, source=replace(table.source, servers=(servers[table.name],))) for table in tables]
    return replace(whole, tables=tuple(found), environments={"prod": ENVIRONMENT})


@pytest.fixture
def cloud():
    """An account in which nothing stands in the way."""
    with mock_aws():
        cloud = Cloud()
        bootstrapped(cloud)
        put_settings(cloud, {"DataLakeAdmins": [{"DataLakePrincipalIdentifier": f"arn:aws:iam::{ACCOUNT}:role/boss"}]})
        vault = cloud.client("secretsmanager")
        vault.create_secret(Name="prod/mask-key", SecretString=MASK_KEY)
        for name in ("shop", "web"):
            vault.create_secret(Name=f"prod/{name}", SecretString=json.dumps(HELD))
        bucket(cloud, "treasury")
        cloud.client("s3").put_object(Bucket="treasury", Key="rates/2026-11-23.csv", Body=b"x")
        cloud.asked.clear()
        yield cloud


def put_settings(cloud, settings):
    empty = {"CreateDatabaseDefaultPermissions": [], "CreateTableDefaultPermissions": []}
    cloud.client("lakeformation").put_data_lake_settings(DataLakeSettings={**empty, **settings})


def put_secret(cloud, name, value):
    cloud.client("secretsmanager").put_secret_value(SecretId=name, SecretString=value)


def lines(lake, cloud, environment=ENVIRONMENT):
    """By what they are about. No line holds a secret, whatever it says."""
    found = list(environment_lines(lake, environment, cloud.client, AT))
    assert not [line for line in found if PASSWORD in repr(line) or MASK_KEY in repr(line)]
    assert all((line.fix is None) == (line.status == "ok") for line in found)
    assert len(found) == len({line.what for line in found})
    return {line.what: line for line in found}


def bad(found):
    return {what for what, line in found.items() if not line.ok}


def test_an_account_in_order_has_no_line_to_mend(lake, cloud):
    """What cannot be tried from here, a Redshift's login, is a warning and says so."""
    found = lines(lake, cloud)

    assert set() == bad(found)
    assert {"source web"} == {what for what, line in found.items() if line.status == "warning"}
    assert "no driver of redshift: the login was not tried" in found["source web"].found
    assert "logged in" in found["source shop"].found


def test_it_only_looks(lake, cloud):
    """With an administrator's credentials nothing is changed either."""
    lines(lake, cloud)

    assert [] == [name for _, name in cloud.asked if not name.startswith(("Get", "List", "Describe", "Head"))]


# ---- credentials


def test_credentials_of_another_account_end_the_look(lake, cloud):
    """What is free in the wrong account says nothing of the right one."""
    found = lines(lake, cloud, replace(ENVIRONMENT, account="222222222222"))

    assert ["credentials", "all else"] == list(found)
    assert (f"of account {ACCOUNT}" in found["credentials"].found, "222222222222" in found["credentials"].fix) == (True, True)
    assert bad(found) == set(found)


@pytest.mark.parametrize(("answer", "said"), [(NoCredentialsError(), "no AWS credentials here"), ("ExpiredToken", "they have ended")])
def test_without_a_login_it_says_how_to_log_in(lake, cloud, answer, said):
    """The commonest first try."""
    cloud.answers["GetCallerIdentity"] = answer

    found = lines(lake, cloud)["credentials"]

    assert said in found.found
    assert "aws sso login" in found.fix


def test_what_may_not_be_looked_at_is_unknown_and_names_the_permission(lake, cloud):
    """A check that was not made is not passed: every line that asks AWS says so."""
    healthy = lines(lake, cloud)
    cloud.deny_all(but=["GetCallerIdentity"])

    found = lines(lake, cloud)

    by_ourselves = {"credentials", "principals", "schedule", "alarms"}
    assert set(healthy) - by_ourselves == bad(found)
    assert {"unknown"} == {found[what].status for what in bad(found)}
    own = {f"source {name}" for name in ("shop", "web")}
    assert [] == [what for what in bad(found) - own if "allow them " not in found[what].fix]
    actions = {found[what].fix.split()[2].rstrip(",") for what in bad(found) - own}
    assert {
        "ssm:GetParameter",
        "s3:ListBucket",
        "iam:GetRole",
        "lakeformation:GetDataLakeSettings",
        "servicequotas:GetServiceQuota",
        "secretsmanager:GetSecretValue",
        "cloudformation:DescribeStacks",
        "s3:ListAllMyBuckets",
        "dynamodb:DescribeTable",
        "kms:ListAliases",
        "logs:DescribeLogGroups",
        "glue:GetDatabase",
        "lakeformation:GetLFTag",
        "glue:GetJob",
        "glue:GetSecurityConfiguration",
        "lambda:GetFunctionConfiguration",
        "states:DescribeStateMachine",
        "scheduler:GetSchedule",
        "sqs:GetQueueUrl",
        "sns:GetTopicAttributes",
        "cloudwatch:DescribeAlarms",
        "cloudwatch:GetDashboard",
    } == actions


def test_whose_a_name_is_matters_where_it_is_taken(lake, cloud):
    """Without sight of the stacks a taken name is unknown, a free one free."""
    bucket(cloud, ENVIRONMENT.bucket)
    cloud.answers["DescribeStacks"] = "AccessDenied"

    found = lines(lake, cloud)

    assert {"stacks", "bucket"} == bad(found)
    assert "cloudformation:DescribeStacks" in found["bucket"].fix


def test_a_service_that_does_not_answer_is_unknown_with_its_words():
    """Throttled, broken, not in this region: told, and the other lines go on."""
    with mock_aws():
        cloud = Cloud()
        cloud.answers["GetRole"] = "ServiceFailure"

        line = look("a role", lambda: Account(ENVIRONMENT, cloud.client).ask("iam", "get_role", RoleName="x"))

    assert ("unknown", False) == (line.status, line.ok)
    assert "AWS, GetRole: ServiceFailure, says AWS (ServiceFailure)" in line.found


# ---- bootstrap


def no_parameter(cloud):
    cloud.client("ssm").delete_parameter(Name="/cdk-bootstrap/hnb659fds/version")


def no_asset_bucket(cloud):
    cloud.client("s3").delete_bucket(Bucket=f"cdk-hnb659fds-assets-{ACCOUNT}-{REGION}")


def no_deployer(cloud):
    cloud.client("iam").delete_role(RoleName=f"cdk-hnb659fds-cfn-exec-role-{ACCOUNT}-{REGION}")


def version(number):
    return lambda cloud: cloud.client("ssm").put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value=number, Type="String", Overwrite=True)


@pytest.mark.parametrize(
    ("breaks", "what", "status", "said"),
    [
        (no_parameter, "CDK bootstrap", "wrong", "not bootstrapped in eu-central-1"),
        (version("5"), "CDK bootstrap", "wrong", "version 5; templates ask for 6"),
        (version("20"), "CDK bootstrap", "warning", "another account's bucket"),
        (no_asset_bucket, "CDK asset bucket", "wrong", "is not there"),
        (no_deployer, "CDK roles", "wrong", "cfn-exec-role"),
    ],
)
def test_what_bootstrap_left_out_is_told_with_the_command(lake, cloud, breaks, what, status, said):
    """`cdk deploy` fails on each of these after minutes of bundling."""
    breaks(cloud)

    line = lines(lake, cloud)[what]

    assert status == line.status
    assert said in line.found
    assert f'make cdk ARGS="bootstrap aws://{ACCOUNT}/{REGION}"' in line.fix


# ---- Lake Formation


def test_the_command_for_lake_formation_mends_both_lines_at_once(lake, cloud):
    """Typed as it is told: it keeps what else is set, makes the caller administrator, and clears the defaults."""
    everybody = [{"Principal": {"DataLakePrincipalIdentifier": "IAM_ALLOWED_PRINCIPALS"}, "Permissions": ["ALL"]}]
    defaults = {"CreateDatabaseDefaultPermissions": everybody, "CreateTableDefaultPermissions": everybody}
    put_settings(cloud, {"DataLakeAdmins": [], "TrustedResourceOwners": ["333333333333"], **defaults})
    role = create_role(cloud, "deployers")
    cloud.answers["GetCallerIdentity"] = {"Account": ACCOUNT, "Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/deployers/ann"}
    before = lines(lake, cloud)

    words = shlex.split(before["Lake Formation admin"].fix)
    put_settings(cloud, json.loads(words[words.index("--data-lake-settings") + 1]))

    after = lines(lake, cloud)
    assert {"Lake Formation admin", "default permissions"} == bad(before)
    assert before["default permissions"].fix == before["Lake Formation admin"].fix
    assert ["aws", "lakeformation", "put-data-lake-settings", "--region", REGION] == words[:5]
    assert set() == bad(after)
    assert after["Lake Formation admin"].found.startswith(role)
    assert ["333333333333"] == cloud.client("lakeformation").get_data_lake_settings()["DataLakeSettings"]["TrustedResourceOwners"]


def test_root_is_told_that_it_cannot_administer(lake, cloud):
    """Lake Formation takes roles and users alone."""
    put_settings(cloud, {"DataLakeAdmins": []})
    cloud.answers["GetCallerIdentity"] = {"Account": ACCOUNT, "Arn": f"arn:aws:iam::{ACCOUNT}:root"}

    assert "which root is not" in lines(lake, cloud)["Lake Formation admin"].fix


def test_a_reader_who_is_not_in_iam_is_named(lake, cloud):
    """A grant to nobody takes the whole stack down; of another account's principals it cannot be known."""
    there, gone, elsewhere = create_role(cloud, "analysts"), f"arn:aws:iam::{ACCOUNT}:role/team/gone", "arn:aws:iam::444444444444:user/ann"
    wrong = lines(lake, cloud, replace(ENVIRONMENT, roles={"analyst": (there, gone)}))["principals"]
    warned = lines(lake, cloud, replace(ENVIRONMENT, roles={"analyst": (there,)}, admins=(elsewhere,)))["principals"]

    assert ("wrong", f"not in IAM: {gone}") == (wrong.status, wrong.found)
    assert ("warning", True) == (warned.status, elsewhere in warned.found)


# ---- quotas


def test_a_run_needs_what_the_groups_of_its_largest_stage_need(whole):
    """Groups run at once, stages after each other; a group may have workers of its own."""
    slow = replace(ENVIRONMENT, groups={"stage": Workers(type="G.1X", count=2, timeout_minutes=60)})
    tables = tuple(replace(table, group="slow") if table.name == "bronze.orders" else table for table in whole.tables)

    assert (1, 20) == (need_of(whole, slow).runs, need_of(whole, slow).dpus)
    assert (2, 40) == (need_of(replace(whole, tables=tables), slow).runs, need_of(replace(whole, tables=tables), slow).dpus)


@pytest.mark.parametrize(("code", "what", "allowed"), [(DPUS, "Glue DPUs", 10.0), (RUNS, "Glue job runs", 0.0)])
def test_a_quota_below_a_run_is_told_with_the_request(lake, cloud, code, what, allowed):
    """Else the run fails in the night, when all workers are asked for."""
    cloud.quotas[code] = allowed

    line = lines(lake, cloud)[what]

    assert "wrong" == line.status
    assert f"request-service-quota-increase --region {REGION} --service-code glue --quota-code {code} --desired-value" in line.fix


def test_environments_that_share_an_account_share_its_quota(lake, cloud):
    """Each alone fits: both at once do not."""
    cloud.quotas[DPUS] = 30.0
    shared = replace(lake, environments={"prod": ENVIRONMENT, "dev": replace(ENVIRONMENT, name="dev")})

    line = lines(shared, cloud)["Glue DPUs"]

    assert ("warning", True, True) == (line.status, "with dev" in line.found, "--desired-value 40;" in line.fix)


def test_a_quota_that_was_never_changed_is_awss_default(lake, cloud):
    """Service Quotas then has no value of the account's own."""
    cloud.answers |= {"GetServiceQuota": "NoSuchResourceException", "GetAWSDefaultServiceQuota": {"Quota": {"Value": 5.0}}}

    assert {"Glue DPUs": "wrong", "Glue job runs": "ok"} == {
        what: line.status for what, line in lines(lake, cloud).items() if what.startswith("Glue")
    }


# ---- secrets and sources


@pytest.mark.parametrize(
    ("name", "value", "what", "status", "said"),
    [
        ("prod/mask-key", None, "mask key", "wrong", "does not exist"),
        ("prod/mask-key", "short", "mask key", "warning", "fewer than 32 bytes"),
        ("prod/shop", None, "secret shop", "wrong", "does not exist"),
        ("prod/shop", "not json", "secret shop", "wrong", "not a JSON object"),
        ("prod/shop", json.dumps({"username": "reader"}), "secret shop", "wrong", "field 'password' is missing"),
    ],
)
def test_a_secret_that_is_not_whole_is_told_with_what_makes_it(lake, cloud, name, value, what, status, said):
    """And no value of it is shown: `lines` looks."""
    if value is None:
        cloud.client("secretsmanager").delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    else:
        put_secret(cloud, name, value)

    found = lines(lake, cloud)

    assert (status, True) == (found[what].status, said in found[what].found)
    assert (
        f"{'create-secret' if value is None else 'put-secret-value'} --region {REGION} {'--name' if value is None else '--secret-id'} {name} "
        in found[what].fix
    )
    assert (found["source shop"].status == "unknown") == (what == "secret shop")


def test_a_secret_that_waits_for_its_deletion_is_called_back(lake, cloud):
    """Another one of its name would be refused until then."""
    cloud.client("secretsmanager").delete_secret(SecretId="prod/mask-key")

    assert f"aws secretsmanager restore-secret --region {REGION} --secret-id prod/mask-key" == lines(lake, cloud)["mask key"].fix


@pytest.mark.parametrize(("key", "elsewhere"), [("arn:aws:kms:x:y:key/z", True), (f"arn:aws:kms:x:{ACCOUNT}:key/z", False), ("alias/ours", False)])
def test_a_secret_under_a_key_of_its_owner_is_a_warning(lake, cloud, key, elsewhere):
    """Ingest may read the secret, and not use the key."""
    cloud.answers["DescribeSecret"] = lambda asked: {"KmsKeyId": key} if asked["SecretId"] == "prod/web" else {}

    line = lines(lake, cloud)["secret web"]

    assert ("warning", True) == (line.status, "kms:Decrypt to the role of job sluice-prod-ingest" in line.fix)
    assert elsewhere == ("that role's own policy" in line.fix)


@pytest.mark.parametrize(
    ("held", "status", "said"),
    [
        ({"password": "another"}, "wrong", "refuses reader"),
        ({"database": "nowhere"}, "wrong", 'database "nowhere" does not exist'),
        ({"host": "nowhere.invalid"}, "wrong", "nowhere.invalid does not resolve"),
        ({"port": 1}, "wrong", "127.0.0.1:1 does not answer"),
    ],
)
def test_a_source_that_cannot_be_logged_into_says_why(lake, cloud, held, status, said):
    """The secret wins over the contract, as in the job."""
    put_secret(cloud, "prod/shop", json.dumps(HELD | held))

    line = lines(lake, cloud)["source shop"]

    assert (status, True) == (line.status, said in line.found), line


def test_a_relation_that_cannot_be_read_is_named(lake, cloud):
    """A login alone reads nothing."""
    orders = lake.table("bronze.orders")
    other = replace(orders, name="bronze.other", source=replace(orders.source, relation="sales.absent"))

    line = lines(replace(lake, tables=(*lake.tables, other)), cloud)["source shop"]

    assert ("wrong", True) == (line.status, 'sales.absent: relation "sales.absent" does not exist' in line.found)
    assert "sales.orders" not in line.found


def test_a_role_that_cannot_see_open_transactions_is_a_warning(lake, cloud, places):
    """Windows then end a safety lag early (ingest still runs)."""
    with psycopg.connect(dsn(places.postgres), autocommit=True) as connection:
        connection.execute("revoke pg_read_all_stats from reader")
        line = lines(lake, cloud)["source shop"]
        connection.execute("grant pg_read_all_stats to reader")

    assert ("warning", "grant pg_read_all_stats to reader") == (line.status, line.fix)


def test_from_a_vpc_the_view_is_another(lake, cloud):
    """What does not answer here may answer there: said, and not held against it."""
    put_secret(cloud, "prod/shop", json.dumps(HELD | {"port": 1}))
    cloud.answers |= subnets()

    found = lines(lake, cloud, replace(ENVIRONMENT, network=NETWORK))

    assert ("warning", True) == (found["source shop"].status, "from here; ingest asks from subnet-11111111" in found["source shop"].found)
    assert set() == bad(found)


def test_a_folder_of_files_is_looked_into(lake, cloud):
    """No bucket, and no file yet, are two things."""
    cloud.client("s3").delete_object(Bucket="treasury", Key="rates/2026-11-23.csv")
    empty = lines(lake, cloud)["files treasury"]
    cloud.client("s3").delete_bucket(Bucket="treasury")
    gone = lines(lake, cloud)["files treasury"]

    assert ("warning", "s3://treasury/rates is empty") == (empty.status, empty.found)
    assert ("wrong", "there is no bucket treasury") == (gone.status, gone.found)


# ---- names


def test_a_bucket_that_an_earlier_deployment_kept_is_taken_back(lake, cloud):
    """Data outlives its stack by design: deploying beside it fails until it is imported."""
    bucket(cloud, ENVIRONMENT.bucket)

    found = lines(lake, cloud)

    assert {"bucket"} == bad(found)
    assert "kept when its stack was deleted" in found["bucket"].found
    assert 'make cdk ARGS="import sluice-prod-storage -c env=prod"' in found["bucket"].fix


@pytest.mark.parametrize("code", ["403", "301"])
def test_a_bucket_of_somebody_else_is_given_another_name(lake, cloud, code):
    """Bucket names are one in the whole world."""
    cloud.answers["HeadBucket"] = lambda asked: code if asked["Bucket"] == ENVIRONMENT.bucket else None

    line = lines(lake, cloud)["bucket"]

    assert ("wrong", True, True) == (line.status, "another account's" in line.found, 'bucket = "…"' in line.fix)


def every_name(lake):
    """Line -> the operation that finds its things, and what they are."""
    return {
        "state table": ("DescribeTable", {"Table": {}}, "AWS::DynamoDB::Table", [ENVIRONMENT.state_table]),
        "key alias": ("ListAliases", {"Aliases": [{"AliasName": "alias/sluice-prod"}]}, "AWS::KMS::Alias", ["alias/sluice-prod"]),
        "log groups": (
            "DescribeLogGroups",
            {"logGroups": [{"logGroupName": name} for name in log_groups(ENVIRONMENT).values()]},
            "AWS::Logs::LogGroup",
            list(log_groups(ENVIRONMENT).values()),
        ),
        "databases": ("GetDatabase", {"Database": {}}, "AWS::Glue::Database", [f"sluice_prod_{shelf}" for shelf in get_args(Shelf)]),
        "tags": ("GetLFTag", {"TagKey": "x"}, "AWS::LakeFormation::Tag", [f"sluice-prod-{tag}" for tag in get_args(Tag)]),
        "jobs": ("GetJob", {"Job": {}}, "AWS::Glue::Job", [f"sluice-prod-{stage}" for stage in JOBS]),
        "job security": ("GetSecurityConfiguration", {"SecurityConfiguration": {}}, "AWS::Glue::SecurityConfiguration", ["sluice-prod"]),
        "functions": ("GetFunctionConfiguration", {}, "AWS::Lambda::Function", [f"sluice-prod-{name}" for name in FUNCTIONS]),
        "state machine": ("DescribeStateMachine", {}, "AWS::StepFunctions::StateMachine", [ENVIRONMENT.machine_arn]),
        "schedules": ("GetSchedule", {}, "AWS::Scheduler::Schedule", ["sluice-prod", "default|sluice-prod-watch"]),
        "missed runs": ("GetQueueUrl", {}, "AWS::SQS::Queue", [f"https://sqs.eu-central-1.amazonaws.com/{ACCOUNT}/sluice-prod-missed-runs"]),
        "topics": ("GetTopicAttributes", {}, "AWS::SNS::Topic", [ENVIRONMENT.topic_arn(owner) for owner in lake.owners]),
        "alarm names": (
            "DescribeAlarms",
            {"MetricAlarms": [{"AlarmName": "sluice-prod-run-failed"}]},
            "AWS::CloudWatch::Alarm",
            ["sluice-prod-run-failed"],
        ),
        "dashboard": ("GetDashboard", {}, "AWS::CloudWatch::Dashboard", ["sluice-prod"]),
    }


def test_what_is_there_under_our_names_and_in_no_stack_is_in_the_way(lake, cloud):
    """What a stack keeps is taken back, the rest of an earlier lake deleted."""
    cloud.answers |= {operation: answer for operation, answer, _, _ in every_name(lake).values()}

    found = lines(lake, cloud)

    assert set(every_name(lake)) == bad(found)
    assert {"state table", "key alias", "log groups"} == {what for what in bad(found) if "import sluice-prod-storage" in found[what].fix}
    assert "sluice-prod-ingest, sluice-prod-refine, sluice-prod-stage, sluice-prod-publish" in found["jobs"].found


def test_what_our_own_stacks_hold_is_not_in_the_way(lake, cloud):
    """The second deployment is an update."""
    cloud.answers |= {operation: answer for operation, answer, _, _ in every_name(lake).values()}
    held = {kind: names for _, _, kind, names in every_name(lake).values()} | {"AWS::S3::Bucket": [ENVIRONMENT.bucket, ENVIRONMENT.log_bucket]}
    cloud.stacks = {f"sluice-prod-{name}": ("UPDATE_COMPLETE", held if name == "storage" else {}) for name in get_args(Part)}

    found = lines(lake, cloud)

    assert set() == bad(found)
    assert "6 of them deployed" == found["stacks"].found


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("ROLLBACK_COMPLETE", "update-termination-protection --no-enable-termination-protection --stack-name sluice-prod-compute"),
        ("DELETE_FAILED", "aws cloudformation delete-stack --stack-name sluice-prod-compute --region eu-central-1"),
        ("UPDATE_ROLLBACK_FAILED", "aws cloudformation continue-update-rollback --stack-name sluice-prod-compute"),
        ("UPDATE_IN_PROGRESS", "wait until it is done"),
    ],
)
def test_a_stack_that_cannot_be_deployed_onto_is_told_with_the_way_on(lake, cloud, status, told):
    """CloudFormation's own message says the status and no more."""
    cloud.stacks = {"sluice-prod-compute": (status, {})}

    line = lines(lake, cloud)["stacks"]

    assert ("wrong", f"sluice-prod-compute is {status}") == (line.status, line.found)
    assert told in line.fix


# ---- schedule, alarms, VPC


@pytest.mark.parametrize(
    ("schedule", "status", "said"),
    [
        (None, "ok", "by hand"),
        (Schedule(expression="cron(0 4 * * ? *)", time_zone="UTC", enabled=False), "warning", "switched off"),
        (Schedule(expression="rate(1 hour)", time_zone="UTC", enabled=True), "warning", "strikes again after 60 minutes, while a run may take 240"),
        (Schedule(expression="at(2026-11-23T00:30:00)", time_zone="Europe/Berlin", enabled=True), "warning", "is over"),
        (Schedule(expression="at(2026-11-23T00:30:00)", time_zone="UTC", enabled=True), "ok", "at("),
    ],
)
def test_a_schedule_is_told_for_what_it_will_come_to(schedule, status, said):
    """In its own time zone; none of it stops a deployment."""
    found = check_schedule(replace(ENVIRONMENT, schedule=schedule), AT)

    assert (status, True) == (found.status, said in found.found)


def test_an_owner_without_an_address_is_a_warning(lake):
    """Its alarms would ring for nobody."""
    found = check_alarms(lake, replace(ENVIRONMENT, alarms={"operator": ("a@example.com",)}))

    assert ("warning", True) == (found.status, "sales-data" in found.found and "operator" not in found.found)
    assert "ok" == check_alarms(lake, ENVIRONMENT).status


NETWORK = Network(vpc="vpc-11111111", subnet="subnet-11111111", zone="eu-central-1a", route_table="rtb-11111111")


def subnets(vpc="vpc-11111111", zone="eu-central-1a", table="vpc-11111111", endpoints=()):
    return {
        "DescribeSubnets": {"Subnets": [{"VpcId": vpc, "AvailabilityZone": zone}]},
        "DescribeRouteTables": {"RouteTables": [{"VpcId": table}]},
        "DescribeVpcEndpoints": {"VpcEndpoints": list(endpoints)},
    }


def endpoint(service, environment=None):
    tags = [] if environment is None else [{"Key": "environment", "Value": environment}]
    return {"ServiceName": f"com.amazonaws.eu-central-1.{service}", "PrivateDnsEnabled": True, "Tags": tags}


@pytest.mark.parametrize(
    ("answers", "what", "said"),
    [
        ({"DescribeSubnets": "InvalidSubnetID.NotFound"}, "VPC", "InvalidSubnetID.NotFound"),
        (subnets(zone="eu-central-1b"), "VPC", "in eu-central-1b, not of vpc-11111111 in eu-central-1a"),
        (subnets(table="vpc-22222222"), "VPC", "rtb-11111111 is of vpc-22222222"),
        (subnets(endpoints=[endpoint("glue")]), "VPC endpoints", "com.amazonaws.eu-central-1.glue"),
    ],
)
def test_a_vpc_that_is_not_as_written_is_told(lake, cloud, answers, what, said):
    """The network stack would be rolled back."""
    cloud.answers |= {**subnets(), **answers}

    found = lines(lake, cloud, replace(ENVIRONMENT, network=NETWORK))

    assert {what} == bad(found)
    assert said in found[what].found


def test_our_own_endpoints_and_others_services_are_not_in_the_way(lake, cloud):
    """The second deployment finds the first one's."""
    cloud.answers |= subnets(endpoints=[endpoint("glue", "prod"), endpoint("athena")])

    assert set() == bad(lines(lake, cloud, replace(ENVIRONMENT, network=NETWORK)))


# ---- the command


@pytest.fixture
def folder(tmp_path):
    """The shipped lake with moto's account for prod."""
    shutil.copytree(ROOT / "lake", tmp_path / "lake")
    written = tmp_path / "lake" / "environments.toml"
    written.write_text(written.read_text().replace("222222222222", ACCOUNT))
    return tmp_path / "lake"


def test_the_command_prints_a_line_each_and_exits_by_them(folder, cloud, monkeypatch):
    """As lines that can be copied, and as JSON; both say the same."""
    monkeypatch.setattr(cli.doctor, "clients_of", lambda environment: cloud.client)
    monkeypatch.setattr(cli.doctor_sources, "_silence", lambda host, port: f"{host} does not resolve")
    run = ["--lake", str(folder), "--env", "prod", "doctor"]

    text, told = CliRunner().invoke(app, run), CliRunner().invoke(app, [*run, "--json"])

    found = json.loads(told.stdout)
    assert (1, 1) == (text.exit_code, told.exit_code)
    assert all((line["status"] in ("ok", "warning")) == line["ok"] for line in found)
    assert {"mask key", "secret shop", "secret web"} <= {line["what"] for line in found if not line["ok"]}
    assert [line["what"] for line in found] == [line[9:31].strip() for line in text.stdout.splitlines()[:-1] if line[9:11] != "->"]
    assert all(line["fix"] in text.stdout for line in found if line["fix"])
    assert f"{sum(not line['ok'] for line in found)} of {len(found)} to mend" in text.stdout


def test_the_command_exits_0_when_nothing_stands_in_the_way(folder, cloud, monkeypatch, lake):
    """Warnings among it."""
    monkeypatch.setattr(cli.doctor, "clients_of", lambda environment: cloud.client)
    monkeypatch.setattr(cli.doctor, "environment_lines", lambda _lake, _environment, client, at: environment_lines(lake, ENVIRONMENT, client, at))

    ended = CliRunner().invoke(app, ["--lake", str(folder), "--env", "prod", "doctor"])

    assert 0 == ended.exit_code, ended.stdout
    assert "nothing stands in the way" in ended.stdout


def test_an_environment_that_is_not_there_is_refused():
    """With those there are."""
    ended = CliRunner().invoke(app, ["--lake", str(ROOT / "lake"), "--env", "prd", "doctor"])

    assert (2, True) == (ended.exit_code, "dev" in ended.stderr and "name one with --env" in ended.stderr)
