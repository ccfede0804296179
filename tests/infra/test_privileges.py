"""What roles may do is a page that people review, and what was accepted of findings is still there to be accepted."""

import json

import pytest

from infra.bundling import ROOT
from infra.privileges import PAGE, Templates, page, privileges, reviewed_page


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return reviewed_page(tmp_path_factory.mktemp("reviewed"), ROOT / "lake")


def test_no_role_gains_anything_unreviewed(written):
    """A change of a policy is a change of this page, in the same commit: python -m infra.privileges."""
    assert PAGE.read_text(encoding="utf-8").splitlines() == written.splitlines()


def test_a_privilege_more_is_a_line_more(assembly, tmp_path):
    """The page misses nothing: a statement, an action, a resource, a condition less, a service that may assume, a managed policy."""
    before = privileges(_edited(assembly, tmp_path / "same", lambda resources: None))
    changes = {
        "action": lambda policy, role: policy["Statement"][-1].update(Action=["s3:*"]),
        "resource": lambda policy, role: policy["Statement"][-1].update(Resource="*"),
        "statement": lambda policy, role: policy["Statement"].append({"Effect": "Allow", "Action": "iam:PassRole", "Resource": "*"}),
        "condition": lambda policy, role: [statement.pop("Condition", None) for statement in policy["Statement"]],
        "trust": lambda policy, role: role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"].update(AWS="*"),
        "managed": lambda policy, role: role.update(ManagedPolicyArns=["arn:aws:iam::aws:policy/AdministratorAccess"]),
    }
    for name, change in changes.items():

        def spoil(resources, change=change):
            (policy,) = [one for id, one in resources.items() if id.startswith("GateRoleDefaultPolicy")]
            (role,) = [one for id, one in resources.items() if id.startswith("GateRole") and one["Type"] == "AWS::IAM::Role"]
            change(policy["Properties"]["PolicyDocument"], role["Properties"])

        after = privileges(_edited(assembly, tmp_path / name, spoil))

        assert set(before) != set(after), name
        assert _text(before) != _text(after), name


@pytest.mark.parametrize("name", ["prod", "quay"])
def test_every_reference_is_followed_to_a_name(assembly, name):
    """A reviewer reads no CloudFormation functions."""
    text = _text(privileges(Templates(assembly.folder, name)))

    assert "Fn::" not in text
    assert "'Ref'" not in text
    assert "ExportsOutput" not in text


def test_every_accepted_finding_is_still_found(assembly):
    """A reason for something that is gone would cover the next thing that comes in its place."""
    (report,) = [one for one in _reports(assembly) if one["pluginName"] == "AwsSolutions"]
    suppressed = [one for given in _reports(assembly) for one in given["suppressedViolations"]]
    used = {(one["acknowledgedAt"], one["acknowledgedId"]) for one in suppressed}

    given = dict(_acknowledged(assembly))
    assert [] == report["violations"]
    assert [] == sorted(set(given) - used)
    assert all(len(reason) > 20 for reason in given.values())


def _reports(assembly):
    return json.loads((assembly.folder / "validation-report.json").read_text())["pluginReports"]


def _acknowledged(assembly):
    for path in assembly.folder.glob("*.metadata.json"):
        for construct, entries in json.loads(path.read_text()).items():
            for entry in entries:
                if entry["type"] == "aws:cdk:acknowledged-rules":
                    yield from (((construct.lstrip("/"), id), reason) for id, reason in entry["data"].items())


def _text(found):
    return page(found, account="222222222222", region="eu-west-1", environment="prod")


def _edited(assembly, folder, change):
    folder.mkdir()
    for path in assembly.folder.glob("sluice-prod-*.template.json"):
        template = json.loads(path.read_text())
        if path.name == "sluice-prod-compute.template.json":
            change(template["Resources"])
        (folder / path.name).write_text(json.dumps(template))
    return Templates(folder, "prod")
