"""Who may do what, read from the policies themselves. The emulator evaluates none of them."""

import json
import re

import pytest
from aws_cdk import Stack
from aws_cdk import aws_iam as iam

from infra.access import FUNCTIONS
from infra.lakehouse import new_app
from infra.settings import cdk_environment
from infra.storage import StorageStack
from tests.infra.tides import environment

# The protocol's own table: kind of state -> who writes it. BYPASS is the command line's.
WRITERS = {
    "LOCK": {"plan", "commit", "fail"},
    "CERTIFIED": {"commit"},
    "INTENT": {"gate", "commit"},
    "WATERMARK": {"commit"},
    "PENDING": {"gate", "ingest"},
    "CLAIM": {"ingest", "refine", "stage", "publish"},
    "RUN": {"plan", "gate", "commit", "fail"},
    "SCHEDULED": {"plan"},
}
BUCKET = "arn:aws:s3:::sluice-prod-222222222222-eu-west-1/"
DROP = "arn:aws:s3:::harbour-drop"
# A bare star is allowed for these actions alone: AWS gives them no resources.
WITHOUT_RESOURCES = {
    "cloudwatch:PutMetricData",
    "glue:GetSecurityConfiguration",
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
}


@pytest.fixture(scope="session")
def statements(assembly):
    """All statements of all roles of prod: step -> statements."""
    found = {}
    for part in ("compute", "workflow"):
        for policy in assembly.properties("prod", part, "AWS::IAM::Policy"):
            step = policy["PolicyName"].split("Role")[0].removesuffix("Job").lower()
            found.setdefault(step, []).extend(policy["PolicyDocument"]["Statement"])
    return found


def listed(value):
    return value if isinstance(value, list) else [value]


def doing(statements, step, action):
    """The statements of a step that allow an action."""
    return [one for one in statements[step] if action in listed(one["Action"])]


def folders(statements, step, action):
    """Where in the lake a step may do it."""
    resources = [resource for one in doing(statements, step, action) for resource in listed(one["Resource"])]
    return {resource.removeprefix(BUCKET) for resource in resources if isinstance(resource, str) and resource.startswith(BUCKET)}


def kinds(statements, step, action):
    return {
        kind
        for one in doing(statements, step, action)
        for kind in one.get("Condition", {}).get("ForAllValues:StringEquals", {}).get("dynamodb:LeadingKeys", ["any"])
    }


def test_every_kind_of_state_is_written_by_those_the_protocol_names(statements):
    """Only commit moves the certified pointer."""
    written = {kind: {step for step in statements if kind in kinds(statements, step, "dynamodb:PutItem")} for kind in WRITERS}

    assert WRITERS == written
    for step in statements:
        assert kinds(statements, step, "dynamodb:PutItem") == kinds(statements, step, "dynamodb:UpdateItem")
        assert "any" not in kinds(statements, step, "dynamodb:PutItem")


def test_state_is_dropped_by_commit_alone(statements):
    """And only the intent that it made true."""
    assert {"commit": {"INTENT"}} == {
        step: kinds(statements, step, "dynamodb:DeleteItem") for step in statements if doing(statements, step, "dynamodb:DeleteItem")
    }


def test_a_condition_on_kinds_holds_without_a_key_too(statements):
    """ForAllValues is true of nothing: Null must close it."""
    for step, held in statements.items():
        for one in held:
            if {"dynamodb:PutItem", "dynamodb:DeleteItem"} & set(listed(one["Action"])):
                assert {"dynamodb:LeadingKeys": "false"} == one["Condition"]["Null"], step


def test_gold_is_written_by_publish_alone(statements):
    """Nothing uncertified can get there, whatever a job's code does."""
    writers = {step for step in statements if any(folder.startswith("gold") for folder in folders(statements, step, "s3:PutObject"))}

    assert {"publish"} == writers


@pytest.mark.parametrize(
    ("step", "written"),
    [
        ("plan", {"_runs/*"}),
        ("gate", {"_runs/*"}),
        ("commit", set()),
        ("report", {"_runs/*"}),
        ("fail", set()),
        ("ingest", {"_windows/*", "bronze/*", "_errors/bronze/*", "_evidence/*/ingest/*"}),
        ("refine", {"silver/*", "_evidence/*/refine/*"}),
        ("stage", {"_staging/*", "_evidence/*/stage/*"}),
        ("publish", {"gold/*"}),
    ],
)
def test_a_step_writes_its_own_folders(statements, step, written):
    """A gate reads evidence and can neither write nor mend it."""
    assert written == folders(statements, step, "s3:PutObject")
    assert folders(statements, step, "s3:DeleteObject") in (set(), written)


def test_lambdas_delete_no_object(statements):
    """Only Spark does, where it wrote."""
    assert not [step for step in FUNCTIONS if doing(statements, step, "s3:DeleteObject")]


def test_plan_reads_what_an_unfinished_run_began_with(statements):
    """It names the lake.json to deploy, and reads no evidence and no rows."""
    assert {"_runs/*"} == folders(statements, "plan", "s3:GetObject")


def test_gates_read_logs_and_never_rows(statements):
    """Evidence is judged without a scan."""
    read = folders(statements, "gate", "s3:GetObject")

    assert {"_runs/*", "_evidence/*"} | {f"{layer}/*/_delta_log/*" for layer in ("bronze", "silver", "gold")} == read


def test_secrets_are_read_by_ingest_alone(statements):
    """And only those that the environment names: six characters is what Secrets Manager adds."""
    readers = {step for step in statements if doing(statements, step, "secretsmanager:GetSecretValue")}
    (reading,) = doing(statements, "ingest", "secretsmanager:GetSecretValue")

    assert {"ingest"} == readers
    assert [f"arn:aws:secretsmanager:eu-west-1:222222222222:secret:sluice/prod/{name}-??????" for name in ("mask-key", "tower")] == reading[
        "Resource"
    ]


def test_files_are_read_by_ingest_alone_and_only_where_a_contract_says(statements):
    """Another environment's folder in the same bucket stays closed."""
    readers = {step: [one for one in held if any(DROP in str(resource) for resource in listed(one["Resource"]))] for step, held in statements.items()}

    listing, reading = readers.pop("ingest")
    assert (["s3:ListBucket"], [DROP]) == (listed(listing["Action"]), listed(listing["Resource"]))
    assert {"StringLike": {"s3:prefix": ["prod/gauges/*", "prod/gauges"]}} == listing["Condition"]
    assert (["s3:GetObject"], [f"{DROP}/prod/gauges/*"]) == (listed(reading["Action"]), listed(reading["Resource"]))
    assert not any(readers.values())


def test_runs_are_stopped_by_fail_and_the_machine_alone(statements):
    """plan may look, and must not touch another run's jobs."""
    assert {"fail", "machine"} == {step for step in statements if doing(statements, step, "glue:BatchStopJobRun")}
    assert {"plan", "fail", "machine"} == {step for step in statements if doing(statements, step, "glue:GetJobRuns")}


def test_the_machine_is_no_confused_deputy(assembly):
    """Step Functions uses its role for this very machine of this account, the schedule for this account."""
    trusts = {
        statement["Principal"]["Service"]: statement.get("Condition")
        for role in assembly.properties("prod", "workflow", "AWS::IAM::Role")
        for statement in role["AssumeRolePolicyDocument"]["Statement"]
    }

    of_account = {"StringEquals": {"aws:SourceAccount": "222222222222"}}
    machine = {"ArnLike": {"aws:SourceArn": "arn:aws:states:eu-west-1:222222222222:stateMachine:sluice-prod"}}
    assert {"states.amazonaws.com": of_account | machine, "scheduler.amazonaws.com": of_account} == trusts


def test_only_the_job_that_joins_a_vpc_may_make_interfaces(assembly):
    """In the environment's subnet, and it takes away nothing of another."""
    policies = {policy["PolicyName"]: policy["PolicyDocument"]["Statement"] for policy in assembly.properties("quay", "compute", "AWS::IAM::Policy")}
    joining = {name: [one for one in held if "ec2" in json.dumps(one["Action"])] for name, held in policies.items()}
    (held,) = [held for held in joining.values() if held]
    by_sid = {one["Sid"]: one for one in held}

    subnet = "arn:aws:ec2:eu-west-1:333333333333:subnet/subnet-0a1b2c3d"
    assert {"LookAround", "Join", "Leave", "Mark"} == set(by_sid)
    assert subnet in by_sid["Join"]["Resource"]
    assert {"ArnEquals": {"ec2:Subnet": subnet}} == by_sid["Leave"]["Condition"]
    assert ["ingest"] == [name.split("JobRole")[0].lower() for name, found in joining.items() if found]


def test_no_action_holds_a_star(statements):
    """Actions are listed, one by one."""
    assert not [(step, action) for step, held in statements.items() for one in held for action in listed(one["Action"]) if "*" in action]


def test_a_bare_star_stands_only_where_aws_knows_no_resource(statements):
    """Every other star ends a folder of the lake's bucket or of a source, the name of an execution, or a log group of the role's own."""
    for step, held in statements.items():
        for one in held:
            for resource in listed(one["Resource"]):
                if resource == "*":
                    assert set(listed(one["Action"])) <= WITHOUT_RESOURCES, step
                elif isinstance(resource, str) and "*" in resource:
                    own = rf"arn:aws:logs:eu-west-1:222222222222:log-group:/aws(/lambda|-glue)/sluice-prod-{step}(/error|/output)?:\*"
                    executions = "arn:aws:states:eu-west-1:222222222222:execution:sluice-prod:"
                    assert resource.startswith((BUCKET, f"{DROP}/prod/gauges/*", executions)) or re.fullmatch(own, resource), step


def test_a_star_without_a_reason_stops_the_synthesis(tmp_path):
    """cdk-nag is not a report that nobody reads."""
    app = new_app(str(tmp_path))
    StorageStack(app, environment=environment())
    stack = Stack(app, "careless", env=cdk_environment(environment()))
    role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("glue.amazonaws.com"))
    role.add_to_policy(iam.PolicyStatement(actions=["s3:GetObject"], resources=["*"]))

    with pytest.raises(RuntimeError, match=r"AwsSolutions-IAM5\[Resource::\*\]"):
        app.synth()
