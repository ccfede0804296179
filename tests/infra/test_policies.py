"""A policy linter reads every role of every environment; what it is wrong about is named here with the reason."""

import json
import subprocess
from pathlib import Path

import pytest

from infra.bundling import ROOT
from infra.privileges import Templates

LINTER = ROOT / ".cache" / "parliament" / "bin" / "python"
SCRIPT = Path(__file__).with_name("lint_policies.py")
PLACES = {"REGION:ACCOUNT": "us-east-1:000000000000", "AWS::AccountId": "000000000000", "AWS::Region": "us-east-1", "AWS::Partition": "aws"}
# By issue and what its detail holds.
WRONG = {("RESOURCE_MISMATCH", "states:DescribeExecution"): "It knows express executions only; ours are standard ones (execution:<machine>:<name>)."}


def policies(folder, environment):
    """Of all roles, as they will be. Policies of buckets, queues and keys are beyond this linter: it takes each for a role's."""
    templates = Templates(folder, environment)
    elsewhere = {"Policies", "ManagedPolicyArns"}
    assert not [one for _, _, one in templates.of_type("AWS::IAM::Role", "AWS::IAM::ManagedPolicy") if elsewhere & {*one["Properties"]}]
    held = templates.of_type("AWS::IAM::Policy")
    found = {f"{stack} {logical_id}": templates.resolved(one["Properties"]["PolicyDocument"], stack) for stack, logical_id, one in held}
    text = json.dumps(found)
    for place, stands_for in PLACES.items():
        text = text.replace(place, stands_for)
    return json.loads(text)


def findings(documents):
    done = subprocess.run([str(LINTER), "-I", str(SCRIPT)], input=json.dumps(documents), capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    return json.loads(done.stdout)


def wrong(finding):
    return next((known for known in WRONG if known[0] == finding["issue"] and known[1] in finding["detail"]), None)


def test_the_policy_linter_finds_nothing_but_what_it_is_wrong_about(assembly):
    """Every action exists, takes the resources and conditions it is given, and no statement is empty or malformed."""
    documents = {}
    for environment in ("local", "dev", "prod"):
        documents |= policies(assembly.folder, environment)

    found = findings(documents)

    assert len(documents) > 3 * 12
    assert not [finding for finding in found if wrong(finding) is None]
    assert {*WRONG} == {wrong(finding) for finding in found}


@pytest.mark.parametrize(
    ("statement", "issue"),
    [
        ({"Action": "glue:StartJobRuns", "Resource": "*"}, "UNKNOWN_ACTION"),
        ({"Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket"}, "RESOURCE_MISMATCH"),
        ({"Action": "s3:GetObject", "Resource": "*", "Condition": {"StringEquals": {"s3:prefix": "x"}}}, "UNKNOWN_CONDITION_FOR_ACTION"),
    ],
)
def test_the_policy_linter_sees_what_is_wrong(statement, issue):
    """It reads what we give it: a word, a resource, a condition that AWS does not know."""
    found = findings({"bad": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]}})

    assert issue in {finding["issue"] for finding in found}
