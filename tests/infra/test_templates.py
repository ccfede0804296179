"""What the templates say where no emulator enforces it: encryption, recovery, timeouts, concurrency, retention, names."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from infra.access import FUNCTIONS, JOBS
from infra.lakehouse import DataIsKept, chosen_environments, new_app
from infra.names import ANSWERS
from infra.settings import BadEnvironment, deletes_data, kept_after_all, log_retention
from infra.storage import StorageStack
from shared.spec.lake import UnknownTable
from tests.infra.conftest import Assembly, synthesize
from tests.infra.tides import environment, lake

PARTS = ("storage", "signals", "catalogue", "compute", "workflow")
KEY = "sluice-local-storage:ExportsOutputFnGetAttKey"


@pytest.fixture
def local(assembly):
    """Properties of one type in one part of the local environment."""
    return lambda part, type: assembly.properties("local", part, type)


def jobs(assembly, name="local"):
    return {job["Name"].removeprefix(f"sluice-{name}-"): job for job in assembly.properties(name, "compute", "AWS::Glue::Job")}


def job_statements(assembly, stage):
    """What the role of a job may do."""
    (policy,) = [
        one for one in assembly.properties("local", "compute", "AWS::IAM::Policy") if one["PolicyName"].startswith(f"{stage.title()}JobRole")
    ]
    return policy["PolicyDocument"]["Statement"]


def listed(value):
    return value if isinstance(value, list) else [value]


def machine(assembly, name="local"):
    (one,) = assembly.properties(name, "workflow", "AWS::StepFunctions::StateMachine")
    return json.loads(one["DefinitionString"])


def tasks(states):
    """All tasks by name, those inside of a Map among them."""
    found = {}
    for name, state in states.items():
        if state["Type"] == "Task":
            found[name] = state
        if state["Type"] == "Map":
            found |= tasks(state["ItemProcessor"]["States"])
    return found


# ---- storage


def test_the_bucket_is_encrypted_private_and_versioned(local):
    """A deleted or overwritten object can be had back, and nobody outside reads any."""
    bucket = local("storage", "AWS::S3::Bucket")[1]

    (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert ("aws:kms", True) == (encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"], encryption["BucketKeyEnabled"])
    assert {"Status": "Enabled"} == bucket["VersioningConfiguration"]
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert 4 == len(bucket["PublicAccessBlockConfiguration"])


def test_the_buckets_speak_tls_only(local):
    """A request over plain http, or by TLS below 1.2, is denied."""
    for policy in local("storage", "AWS::S3::BucketPolicy"):
        denied = [statement["Condition"] for statement in policy["PolicyDocument"]["Statement"] if statement["Effect"] == "Deny"]
        assert {"Bool": {"aws:SecureTransport": "false"}} in denied
        assert {"NumericLessThan": {"s3:TlsVersion": 1.2}} in denied


def test_only_staged_change_sets_and_answers_of_athena_expire(local):
    """No lifecycle rule may ever touch a live object of a table, its log, evidence or a plan; what was overwritten can be had back a while."""
    bucket = local("storage", "AWS::S3::Bucket")[1]

    rules = {rule["Id"]: rule for rule in bucket["LifecycleConfiguration"]["Rules"]}
    assert {"staging", "answers", "undo", "broken-uploads"} == set(rules)
    assert {"_staging/": 90, f"{ANSWERS}/": 7} == {rule["Prefix"]: rule["ExpirationInDays"] for rule in rules.values() if "ExpirationInDays" in rule}
    assert {"Id", "Status", "NoncurrentVersionExpiration", "ExpiredObjectDeleteMarker"} == set(rules["undo"])
    assert {"NoncurrentDays": 30} == rules["undo"]["NoncurrentVersionExpiration"]
    assert {"Id", "Status", "AbortIncompleteMultipartUpload"} == set(rules["broken-uploads"])


def test_who_read_what_is_logged(local):
    """S3 delivers for this bucket of this account alone, and the logs end when the others do."""
    logs, lake = local("storage", "AWS::S3::Bucket")
    policies = {policy["Bucket"]["Ref"]: policy["PolicyDocument"]["Statement"] for policy in local("storage", "AWS::S3::BucketPolicy")}

    assert {"DestinationBucketName": {"Ref": "AccessLogs8B620ECA"}, "LogFilePrefix": "lake/"} == lake["LoggingConfiguration"]
    (allowed,) = [statement for statement in policies["AccessLogs8B620ECA"] if statement["Effect"] == "Allow"]
    assert {"Service": "logging.s3.amazonaws.com"} == allowed["Principal"]
    assert {"aws:SourceArn": {"Fn::GetAtt": ["Lake5F1B88EA", "Arn"]}} == allowed["Condition"]["ArnLike"]
    assert {"aws:SourceAccount": "000000000000"} == allowed["Condition"]["StringEquals"]
    assert [30] == [rule["ExpirationInDays"] for rule in logs["LifecycleConfiguration"]["Rules"]]
    assert all(logs["PublicAccessBlockConfiguration"].values())


def test_the_state_table_can_be_recovered_to_any_second(local):
    """kind and id are its keys, it is encrypted by the lake's own key, and point-in-time recovery is on."""
    (table,) = local("storage", "AWS::DynamoDB::Table")

    assert [("kind", "HASH"), ("id", "RANGE")] == [(key["AttributeName"], key["KeyType"]) for key in table["KeySchema"]]
    assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
    assert "KMS" == table["SSESpecification"]["SSEType"]
    assert "PAY_PER_REQUEST" == table["BillingMode"]


# ---- what is kept

STATEFUL = {"AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::KMS::Key", "AWS::Logs::LogGroup"}


def test_what_cannot_be_computed_again_stands_in_one_stack(assembly):
    """The others can be deleted and deployed anew."""
    holding = {part for part in PARTS if STATEFUL & {one["Type"] for one in assembly.template("prod", part)["Resources"].values()}}

    assert {"storage"} == holding


def test_nothing_that_holds_data_is_ever_renamed(assembly):
    """CloudFormation makes a resource anew whose logical id changes: a bucket of a new id is an empty lake. This list may grow and nothing else."""
    kept = {id: one["Type"].split("::")[-1] for id, one in assembly.template("prod", "storage")["Resources"].items() if one["Type"] in STATEFUL}

    assert {
        "Key961B73FD": "Key",
        "AccessLogs8B620ECA": "Bucket",
        "Lake5F1B88EA": "Bucket",
        "State1C20CC9A": "Table",
    } == {id: kind for id, kind in kept.items() if kind != "LogGroup"}
    assert len(FUNCTIONS) + 2 * len(JOBS) + 1 == sum(kind == "LogGroup" for kind in kept.values())


@pytest.mark.parametrize("name", ["local", "dev", "prod"])
def test_no_stack_takes_data_along_by_itself(assembly, name):
    """Not even where keeps_data is false: one key of two is a slip. What a failed first deployment made goes, so that it can be repeated."""
    policies = {
        (one["DeletionPolicy"], one["UpdateReplacePolicy"])
        for one in assembly.template(name, "storage")["Resources"].values()
        if one["Type"] in STATEFUL
    }
    (table,) = assembly.properties(name, "storage", "AWS::DynamoDB::Table")
    protected = {artifact["properties"].get("terminationProtection", False) for artifact in assembly.stacks(name)}

    assert {("RetainExceptOnCreate", "Retain")} == policies
    assert {name == "prod"} == protected
    assert (name == "prod") == table["DeletionProtectionEnabled"]


def test_two_keys_delete_data(tmp_path):
    """The environment's own setting, and its name on the command line."""
    app = new_app(str(tmp_path), delete_data="dev")
    StorageStack(app, environment=environment("dev"))
    app.synth()

    template = Assembly(tmp_path).template("dev", "storage")
    assert {"Delete"} == {one["DeletionPolicy"] for one in template["Resources"].values() if one["Type"] in STATEFUL}


@pytest.mark.parametrize(
    ("keeps_data", "named", "told"),
    [
        (False, "", r"keeps_data = false alone deletes nothing.*-c delete_data=dev"),
        (False, "prod", r"keeps_data = false alone deletes nothing.*-c delete_data=dev"),
        (True, "dev,prod", r"environments.dev keeps_data = true wins"),
        (True, "", None),
        (False, "prod,dev", None),
    ],
)
def test_one_key_keeps_data_and_says_what_the_other_is(keeps_data, named, told):
    """Whoever wanted it deleted learns how; whoever did not lost nothing."""
    app = new_app(delete_data=named)

    said = kept_after_all(app, environment("dev", keeps_data=keeps_data))

    assert (told is None) == (said is None)
    assert told is None or re.search(told, said)
    assert deletes_data(app, environment("dev", keeps_data=keeps_data)) == (not keeps_data and said is None)


def test_an_environment_that_is_not_there_is_no_key():
    """A slip of the pen must not read as done."""
    with pytest.raises(UnknownTable, match="prood is not an environment of this lake; there are local, dev, prod"):
        chosen_environments(new_app(delete_data="prood"), lake())


def test_the_key_rotates(local):
    """One key per lake."""
    (key,) = local("storage", "AWS::KMS::Key")

    assert key["EnableKeyRotation"]


# ---- logs


def test_every_log_group_is_encrypted_and_ends(local):
    """Logs are kept as long as the environment says, under the lake's key, which CloudWatch may use for these groups alone."""
    groups = local("storage", "AWS::Logs::LogGroup")
    (key,) = local("storage", "AWS::KMS::Key")

    assert len(FUNCTIONS) + 2 * len(JOBS) + 1 == len(groups)
    assert {30} == {group["RetentionInDays"] for group in groups}
    assert {"Fn::GetAtt": ["Key961B73FD", "Arn"]} == groups[0]["KmsKeyId"]
    (logs,) = [statement for statement in key["KeyPolicy"]["Statement"] if statement.get("Sid") == "LogsOfThisLake"]
    allowed = {arn.split(":log-group:")[1] for arn in logs["Condition"]["ArnLike"]["kms:EncryptionContext:aws:logs:arn"]}
    assert {group["LogGroupName"] for group in groups} == allowed


def test_every_function_and_job_logs_to_a_group_of_ours(assembly):
    """A group that AWS makes by itself is unencrypted and never ends."""
    groups = {group["LogGroupName"] for group in assembly.properties("local", "storage", "AWS::Logs::LogGroup")}

    for function in assembly.properties("local", "compute", "AWS::Lambda::Function"):
        assert f"/aws/lambda/{function['FunctionName']}" in groups
        assert "LogGroup" in function["LoggingConfig"]
    for job in jobs(assembly).values():
        prefix = job["DefaultArguments"]["--custom-logGroup-prefix"]
        assert {f"{prefix}/error", f"{prefix}/output"} <= groups


def test_a_retention_that_cloudwatch_lacks_is_refused():
    """The message offers those there are."""
    with pytest.raises(BadEnvironment, match="log_retention_days = 31 .*30, 60"):
        log_retention(dataclasses.replace(environment(), log_retention_days=31))


# ---- compute


def test_every_job_is_glue_6_sized_by_the_environment(assembly):
    """The version is never CloudFormation's default, and a job is never repeated by Glue."""
    for name, worker, count in (("local", "G.1X", 2), ("prod", "G.2X", 10)):
        assert {"ingest", "refine", "stage", "publish"} == set(jobs(assembly, name))
        for stage, job in jobs(assembly, name).items():
            size = ("G.1X", 3, 30) if (name, stage) == ("prod", "publish") else (worker, count, 60)
            assert ("6.0", *size, 0) == tuple(job[key] for key in ("GlueVersion", "WorkerType", "NumberOfWorkers", "Timeout", "MaxRetries"))
            assert {"Ref": "JobSecurity"} == job["SecurityConfiguration"]


def test_every_group_of_a_stage_can_run_at_once(assembly):
    """Bronze has two groups; two more runs fit: a twin, and one that is being stopped."""
    allowed = {stage: job["ExecutionProperty"]["MaxConcurrentRuns"] for stage, job in jobs(assembly).items()}

    assert {"ingest": 4, "refine": 3, "stage": 3, "publish": 3} == allowed


def test_a_job_is_started_with_delta_and_utc(assembly):
    """Static settings come with the job: a session cannot set them any more."""
    for job in jobs(assembly).values():
        given = job["DefaultArguments"]
        conf = dict(part.split("=", 1) for part in given["--conf"].split(" --conf "))

        assert "io.delta.sql.DeltaSparkSessionExtension" == conf["spark.sql.extensions"]
        assert "org.apache.spark.sql.delta.catalog.DeltaCatalog" == conf["spark.sql.catalog.spark_catalog"]
        assert ("UTC", "true") == (conf["spark.sql.session.timeZone"], conf["spark.sql.ansi.enabled"])
        assert {"-Duser.timezone=UTC"} == {conf["spark.driver.extraJavaOptions"], conf["spark.executor.extraJavaOptions"]}
        assert "eu-west-1" == conf["spark.hadoop.fs.s3a.endpoint.region"]
        assert ("local", "delta", "true", "true") == tuple(
            given[name] for name in ("--environment", "--datalake-formats", "--enable-auto-scaling", "--enable-metrics")
        )
        assert given["--extra-py-files"].endswith(".zip")


def test_what_failed_tasks_say_is_not_written_down_where_rows_are_in_clear(assembly):
    """Executors fall silent with their job; and Glue's own analysis, and the event log of Spark's interface, would hold the messages."""
    for stage, job in jobs(assembly).items():
        given = job["DefaultArguments"]

        assert ("false" if stage == "ingest" else "true") == given["--enable-job-insights"]
        assert "--enable-spark-ui" not in given
        assert " --conf spark.executor.syncLogLevel.enabled=true" in given["--conf"]
        assert "spark.eventLog" not in given["--conf"]


def test_partitions_follow_the_largest_run_of_a_stage(assembly):
    """Settings come with the job, and a group's run may be larger than its job: what a small run does not need, Spark coalesces."""
    made = {stage: job["DefaultArguments"]["--conf"] for stage, job in jobs(assembly, "prod").items()}

    found = {stage: conf.split("spark.sql.shuffle.partitions=")[1].split()[0] for stage, conf in made.items()}
    assert {"ingest": "304", "refine": "72", "stage": "72", "publish": "8"} == found


def test_ingest_alone_takes_the_drivers_of_its_sources_along(assembly):
    """What was tested is what runs, before what Glue carries; and the job's role may read the jar."""
    assert {"ingest": "true", "refine": None, "stage": None, "publish": None} == {
        stage: job["DefaultArguments"].get("--user-jars-first") for stage, job in jobs(assembly).items()
    }
    (url,) = {job["DefaultArguments"].get("--extra-jars", "") for stage, job in jobs(assembly).items() if stage == "ingest"}
    others = {job["DefaultArguments"].get("--extra-jars") for stage, job in jobs(assembly).items() if stage != "ingest"}

    assert url.startswith("s3://")
    assert url.endswith(".jar")
    assert {None} == others
    assert url.rpartition("/")[2] in json.dumps(assembly.resources("local", "compute", "AWS::IAM::Policy"))


def test_no_argument_names_a_secret(assembly):
    """Glue may log a job's arguments: the job looks names up in the lake it carries."""
    for job in jobs(assembly).values():
        assert "mask-key" not in json.dumps(job["DefaultArguments"])
        assert "tower" not in json.dumps(job["DefaultArguments"])


def test_jobs_encrypt_what_they_leave_behind(assembly, local):
    """Bookmarks and spilled files of Glue itself, by its own reading of its configuration. Its logs go to groups of ours, which are encrypted: in its
    other mode Glue puts its configuration's and its role's names into those of the groups."""
    (security,) = local("compute", "AWS::Glue::SecurityConfiguration")

    encryption = security["EncryptionConfiguration"]
    assert {"CloudWatchEncryptionMode": "DISABLED"} == encryption["CloudWatchEncryption"]
    assert "CSE-KMS" == encryption["JobBookmarksEncryption"]["JobBookmarksEncryptionMode"]
    assert ["SSE-KMS"] == [one["S3EncryptionMode"] for one in encryption["S3Encryptions"]]
    for stage in JOBS:
        statements = {one.get("Sid"): one for one in job_statements(assembly, stage)}
        assert ("glue:GetSecurityConfiguration", "*") == (statements["ReadSecurity"]["Action"], statements["ReadSecurity"]["Resource"])
        assert "kms:Encrypt" == statements["Encrypt"]["Action"]
        assert statements["Encrypt"]["Resource"]["Fn::ImportValue"].startswith(KEY)


def test_a_job_may_ask_for_its_own_two_log_groups(assembly):
    """Glue asks CloudWatch to make them, whether or not they are there, and may write to no others."""
    for stage in JOBS:
        allowed = [
            one["Resource"] for one in job_statements(assembly, stage) if {"logs:CreateLogGroup", "logs:PutLogEvents"} & {*listed(one["Action"])}
        ]
        text = json.dumps(allowed)

        assert {f"/aws-glue/sluice-local-{stage}/{stream}" for stream in ("error", "output")} == set(re.findall(r"log-group:([^:]+):\*", text))
        for action in ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"):
            held = [one for one in job_statements(assembly, stage) if action in listed(one["Action"])]
            assert 2 == sum(len(listed(one["Resource"])) for one in held), action


def test_every_function_is_python_3_13_and_knows_its_environment(local):
    """All are one bundle and differ by their handler."""
    functions = local("compute", "AWS::Lambda::Function")

    assert {"plan", "gate", "commit", "report", "fail", "watch"} == {function["FunctionName"].removeprefix("sluice-local-") for function in functions}
    for function in functions:
        name = function["FunctionName"].removeprefix("sluice-local-")
        assert ("python3.13", f"lambdas.{name}.handler.handler") == (function["Runtime"], function["Handler"])
        assert "local" == function["Environment"]["Variables"]["SLUICE_ENVIRONMENT"]
    assert 1 == len({json.dumps(function["Code"]) for function in functions})


# ---- network


def test_the_job_that_speaks_to_databases_works_in_their_vpc(assembly):
    """It alone; where no VPC is named there is no network at all."""
    (connection,) = assembly.properties("quay", "network", "AWS::Glue::Connection")

    placed = connection["ConnectionInput"]["PhysicalConnectionRequirements"]
    assert ("subnet-0a1b2c3d", "eu-west-1a") == (placed["SubnetId"], placed["AvailabilityZone"])
    joined = {stage: job.get("Connections", {}).get("Connections") for stage, job in jobs(assembly, "quay").items()}
    assert {"ingest": [connection["ConnectionInput"]["Name"]], "refine": None, "stage": None, "publish": None} == joined
    assert not [path for path in assembly.folder.glob("*-network.template.json") if "quay" not in path.name]


def test_nobody_gets_into_the_vpc_through_the_job(assembly):
    """Its workers reach each other, and nothing else reaches them."""
    (group,) = assembly.properties("quay", "network", "AWS::EC2::SecurityGroup")
    (ingress,) = assembly.properties("quay", "network", "AWS::EC2::SecurityGroupIngress")

    assert "SecurityGroupIngress" not in group
    assert ingress["GroupId"] == ingress["SourceSecurityGroupId"] == {"Fn::GetAtt": ["Workers", "GroupId"]}
    assert "CidrIp" not in ingress


def test_a_subnet_without_a_way_out_has_endpoints_to_what_the_job_calls(assembly):
    """Data and state by gateways; secrets, keys, logs, metrics and its own twins by interfaces that only its workers reach."""
    endpoints = assembly.properties("quay", "network", "AWS::EC2::VPCEndpoint")

    services = {(one["VpcEndpointType"], one["ServiceName"].rpartition(".")[2]) for one in endpoints}
    interfaces = {("Interface", name) for name in ("glue", "kms", "logs", "monitoring", "secretsmanager")}
    assert {("Gateway", "s3"), ("Gateway", "dynamodb")} | interfaces == services
    for one in endpoints:
        inside = one.get("RouteTableIds") == ["rtb-0a1b2c3d"] or one.get("SecurityGroupIds") == [{"Fn::GetAtt": ["Workers", "GroupId"]}]
        assert inside, one["ServiceName"]


# ---- workflow


@pytest.mark.parametrize("name", ["local", "prod"])
def test_a_state_outlasts_what_it_waits_for(assembly, name):
    """The job's or function's own timeout strikes first and says more; the machine outlasts all stages and a recovery."""
    text = machine(assembly, name)
    functions = {one["FunctionName"]: one["Timeout"] for one in assembly.properties(name, "compute", "AWS::Lambda::Function")}
    found = tasks(text["States"])

    waits = [state["TimeoutSeconds"] for state in found.values() if "glue" in state["Resource"]]
    for state in found.values():
        if "lambda" in state["Resource"]:
            step = state["Arguments"]["FunctionName"].removeprefix("${").removesuffix("Function}").lower()
            assert state["TimeoutSeconds"] > functions[f"sluice-{name}-{step}"]
    assert 5 == len(waits)
    assert min(waits) > {"local": 60, "prod": 240}[name] * 60
    assert text["TimeoutSeconds"] > sum(state["TimeoutSeconds"] for state in found.values())


def test_the_machine_logs_every_event_and_no_payload_and_is_traced(local):
    """STANDARD, so that an execution is known for 90 days. An error's cause may quote a row: it stays out of the log."""
    (one,) = local("workflow", "AWS::StepFunctions::StateMachine")

    assert not one["LoggingConfiguration"]["IncludeExecutionData"]

    assert ("STANDARD", "ALL", True) == (one["StateMachineType"], one["LoggingConfiguration"]["Level"], one["TracingConfiguration"]["Enabled"])


def test_the_definition_holds_names_and_cloudformation_fills_them_in(local):
    """Every placeholder is substituted, and nothing is substituted that is not there."""
    (one,) = local("workflow", "AWS::StepFunctions::StateMachine")

    placeholders = {part.split("}")[0] for part in one["DefinitionString"].split("${")[1:]}
    assert placeholders == set(one["DefinitionSubstitutions"])
    assert "arn:aws:lambda" not in one["DefinitionString"]


def test_a_schedule_hands_over_its_own_time(assembly):
    """A delivery that comes twice carries the same time, and one that cannot be made ends in an encrypted queue."""
    for name, state in (("local", "DISABLED"), ("prod", "ENABLED")):
        (schedule,) = [one for one in assembly.properties(name, "workflow", "AWS::Scheduler::Schedule") if one["Name"] == f"sluice-{name}"]
        (queue,) = assembly.properties(name, "workflow", "AWS::SQS::Queue")

        target = schedule["Target"]
        assert (state, "Europe/Berlin", "FLEXIBLE") == (
            schedule["State"],
            schedule["ScheduleExpressionTimezone"],
            schedule["FlexibleTimeWindow"]["Mode"],
        )
        assert {"scheduled": "<aws.scheduler.scheduled-time>"} == json.loads(target["Input"])
        assert "Arn" in target["DeadLetterConfig"]
        assert "KmsMasterKeyId" in queue


# ---- catalogue


def test_gold_and_silver_are_registered_as_delta_with_the_contracts_columns(assembly):
    """Athena takes partitions from the log: listing them here would make it read nothing."""
    registered = assembly.properties("local", "catalogue", "AWS::Glue::Table")
    tables = {table["TableInput"]["Name"]: table["TableInput"] for table in registered if table["DatabaseName"] != {"Ref": "Rejects"}}

    assert {"tides", "daily_tides", "keepers", "soundings"} == set(tables)
    columns = {name: [(column["Name"], column["Type"]) for column in one["StorageDescriptor"]["Columns"]] for name, one in tables.items()}
    contract = [("gauge", "string"), ("height_m", "decimal(6,3)"), ("measured_at", "timestamp"), ("measured_on", "date")]
    assert dict.fromkeys(("daily_tides", "keepers", "soundings"), contract) | {"tides": [("_deleted", "boolean"), *contract]} == columns
    for one in tables.values():
        assert ("DELTA", "delta") == (one["Parameters"]["table_type"], one["Parameters"]["spark.sql.sources.provider"])
        assert "PartitionKeys" not in one


def test_of_bronze_the_rejects_alone_are_in_the_catalogue(assembly):
    """Accepted rows are read in silver; a reject is found by its day, with its reasons and what the source gave, masked."""
    databases = {database["DatabaseInput"]["Name"] for database in assembly.properties("local", "catalogue", "AWS::Glue::Database")}
    registered = assembly.properties("local", "catalogue", "AWS::Glue::Table")
    rejects = {one["TableInput"]["Name"]: one["TableInput"] for one in registered if one["DatabaseName"] == {"Ref": "Rejects"}}

    assert {"sluice_local_silver", "sluice_local_gold", "sluice_local_rejects"} == databases
    assert {"tides", "gauges"} == set(rejects)
    parameters = rejects["tides"]["Parameters"]
    assert parameters["storage.location.template"]["Fn::Join"][1][-1] == "/_errors/bronze/tides/dt=${dt}/"
    assert ("true", "date") == (parameters["projection.enabled"], parameters["projection.dt.type"])
    assert [{"Name": "dt", "Type": "date"}] == rejects["tides"]["PartitionKeys"]
    columns = {column["Name"]: column["Type"] for column in rejects["tides"]["StorageDescriptor"]["Columns"]}
    assert {"reasons": "array<string>", "original": "map<string,string>", "table": "string"}.items() <= columns.items()


# ---- the whole


@pytest.mark.parametrize("part", PARTS)
def test_environments_differ_by_values_only(assembly, part):
    """What runs in prod ran in dev: the same resources with the same properties."""
    assert _shape(assembly.template("dev", part)["Resources"]) == _shape(assembly.template("prod", part)["Resources"])


def test_an_environment_without_schedule_has_none(tmp_path):
    """It is started by hand; no role, queue or rule is left over."""
    by_hand = dataclasses.replace(lake(), environments={"local": environment(schedule=False)})

    with pytest.warns(DataIsKept, match="-c delete_data=local"):
        template = synthesize(tmp_path, made=by_hand).template("local", "workflow")

    types = {one["Type"] for one in template["Resources"].values()}
    assert "AWS::SQS::Queue" not in types
    assert ["sluice-local-watch"] == [
        one["Properties"]["Name"] for one in template["Resources"].values() if one["Type"] == "AWS::Scheduler::Schedule"
    ]


def test_the_same_sources_give_the_same_assembly(assembly, tmp_path):
    """Nothing is deployed that did not change."""
    again = synthesize(tmp_path, only="local")

    for name in sorted(path.name for path in again.folder.glob("sluice-*.json")):
        assert (again.folder / name).read_bytes() == (assembly.folder / name).read_bytes(), name


def test_cfn_lint_finds_nothing(assembly):
    """Nor in policies: their actions exist, and (I3510, which is not on by itself) know the resources they are allowed on.

    W3005 alone is left out: CDK names dependencies that are clear already. dev is prod with other values.
    """
    named = ("sluice-local-*.template.json", "sluice-prod-*.template.json", "sluice-quay-network.template.json")
    templates = sorted(path for pattern in named for path in assembly.folder.glob(pattern))
    linter = [
        str(Path(sys.executable).parent / "cfn-lint"),
        "--include-checks",
        "I3510",
        "--ignore-checks",
        "W3005",
        "--",
        *map(str, templates),
    ]

    done = subprocess.run(linter, capture_output=True, text=True, check=False)

    assert (0, "") == (done.returncode, done.stdout)
    assert 11 == len(templates)


def _shape(value):
    """Names of resources and properties, without their values; lists of values as one."""
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in sorted(value.items())}
    if isinstance(value, list):
        return [_shape(item) for item in value]
    return type(value).__name__
