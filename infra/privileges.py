"""Who may do what, read from synthesized templates: `python -m infra.privileges` writes infra/PRIVILEGES.md from `lake/`, for a person to review.

Names come from the templates as they are deployed; account, region and environment are left open, since environments differ by values alone.
"""

import json
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.bundling import ROOT

PAGE = ROOT / "infra" / "PRIVILEGES.md"
REVIEWED = "prod"  # the environment whose templates are read
_HEAD = """# Who may do what

Written by `python -m infra.privileges` from the templates of `lake/`; a test fails while it differs from them. Every line that a change adds here
is a privilege somebody gains: review it as such.
"""
# Physical names of what a reference can mean: the property that holds the name, and the ARN around it.
_ARNS: Mapping[str, tuple[str, str]] = {
    "AWS::S3::Bucket": ("BucketName", "arn:aws:s3:::{name}"),
    "AWS::DynamoDB::Table": ("TableName", "arn:aws:dynamodb:{place}:table/{name}"),
    "AWS::Lambda::Function": ("FunctionName", "arn:aws:lambda:{place}:function:{name}"),
    "AWS::StepFunctions::StateMachine": ("StateMachineName", "arn:aws:states:{place}:stateMachine:{name}"),
    "AWS::SNS::Topic": ("TopicName", "arn:aws:sns:{place}:{name}"),
    "AWS::SQS::Queue": ("QueueName", "arn:aws:sqs:{place}:{name}"),
    "AWS::KMS::Key": ("KeyId", "arn:aws:kms:{place}:key/{name}"),
}
_REF_IS_ARN = ("AWS::StepFunctions::StateMachine", "AWS::SNS::Topic")
_HASH = re.compile(r"[0-9a-f]{64}")  # of shipped code: new code is no new privilege
_POLICY_OF = {
    "AWS::S3::BucketPolicy": ("Bucket", "PolicyDocument"),
    "AWS::KMS::Key": (None, "KeyPolicy"),
    "AWS::SQS::QueuePolicy": ("Queues", "PolicyDocument"),
    "AWS::SNS::TopicPolicy": ("Topics", "PolicyDocument"),
}


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Privilege:
    """One statement: who may (or must not) do what, on what, and only when."""

    holder: str  # a role's name, or the resource that a policy stands on
    principal: str  # who it is given to: a service that assumes the role, or a policy's principal
    effect: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    condition: str  # JSON; empty where there is none


class Templates:
    """The templates of one environment, with references followed to names."""

    def __init__(self, folder: Path, environment: str) -> None:
        found = {path.name.removesuffix(".template.json"): path for path in sorted(folder.glob(f"sluice-{environment}-*.template.json"))}
        self._templates: Mapping[str, Any] = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in found.items()}

    def of_type(self, *types: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        """Stack, logical id and resource."""
        for stack, template in self._templates.items():
            for logical_id, resource in template["Resources"].items():
                if resource["Type"] in types:
                    yield stack, logical_id, resource

    def resolved(self, value: Any, stack: str) -> Any:
        """A value with Ref, Fn::GetAtt, Fn::Join and Fn::ImportValue replaced by what they will be."""
        if isinstance(value, list):
            return [self.resolved(item, stack) for item in value]
        if not isinstance(value, dict):
            return value
        if "Ref" in value:
            return self._named(stack, value["Ref"], arn=False)
        if "Fn::GetAtt" in value:
            return self._named(stack, value["Fn::GetAtt"][0], arn=True)
        if "Fn::ImportValue" in value:
            return self._imported(value["Fn::ImportValue"])
        if "Fn::Join" in value:
            glue, parts = value["Fn::Join"]
            return str(glue).join(str(self.resolved(part, stack)) for part in parts)
        return {key: self.resolved(item, stack) for key, item in value.items()}

    def _imported(self, name: str) -> Any:
        for stack, template in self._templates.items():
            for output in template.get("Outputs", {}).values():
                if output.get("Export", {}).get("Name") == name:
                    return self.resolved(output["Value"], stack)
        raise KeyError(f"no stack of this environment exports {name}")

    def _named(self, stack: str, logical_id: str, *, arn: bool) -> str:
        resource = self._templates[stack]["Resources"].get(logical_id)
        if resource is None:  # a parameter or a pseudo parameter: AWS::AccountId
            return logical_id
        key, pattern = _ARNS.get(resource["Type"], ("", "{name}"))
        name = resource["Properties"].get(key) or f"{stack}-{logical_id}"
        as_arn = arn or resource["Type"] in _REF_IS_ARN
        return pattern.format(name=name, place="REGION:ACCOUNT") if as_arn else str(name)


def privileges(templates: Templates) -> Sequence[Privilege]:
    """Of every role, of every policy that stands on a resource, of every grant of Lake Formation; each sorted."""
    return (*sorted(_of_roles(templates)), *sorted(_of_resources(templates)), *sorted(_of_lake_formation(templates)))


def page(found: Sequence[Privilege], *, account: str, region: str, environment: str) -> str:
    """The table as Markdown; the same privileges give the same text."""
    lines = [_HEAD, "| who | by | may | on | only when |", "|---|---|---|---|---|"]
    for one in found:
        may = "<br>".join(one.actions) if one.effect == "Allow" else "**must not** " + "<br>".join(one.actions)
        lines.append(f"| {one.holder} | {one.principal} | {may} | {'<br>'.join(one.resources)} | {one.condition} |")
    text = "\n".join(lines) + "\n"
    for written, said in (
        (account, "ACCOUNT"),
        (region, "REGION"),
        (f"sluice-{environment}", "sluice-ENV"),
        (f"sluice/{environment}/", "sluice/ENV/"),
    ):
        text = text.replace(written, said)
    return text


def reviewed_page(folder: Path, lake_folder: Path) -> str:
    """The page of `lake_folder`, synthesized into `folder`."""
    # aws_cdk takes a second to import: who only reads templates does without.
    from compiler import compile_lake
    from infra.bundling import bundles_of
    from infra.lakehouse import add_lakehouse, new_app

    lake = compile_lake(lake_folder)
    environment, app = lake.environment(REVIEWED), new_app(str(folder))
    with bundles_of(lake) as bundles:
        add_lakehouse(app, lake=lake, environment=environment, bundles=bundles)
        app.synth()
    found = privileges(Templates(folder, REVIEWED))
    return page(found, account=environment.account, region=environment.region, environment=REVIEWED)


def _of_roles(templates: Templates) -> Iterator[Privilege]:
    trusted: dict[tuple[str, str], str] = {}
    for stack, logical_id, role in templates.of_type("AWS::IAM::Role"):
        holder = _role_name(stack, logical_id)
        for statement in role["Properties"]["AssumeRolePolicyDocument"]["Statement"]:
            trust = _privilege(templates, stack, holder, {**statement, "Resource": "(itself)"}, _principal(statement))
            trusted[stack, logical_id] = trust.principal
            yield trust
        managed = role["Properties"].get("ManagedPolicyArns", [])
        if managed:
            resolved = tuple(str(templates.resolved(arn, stack)) for arn in managed)
            yield Privilege(holder=holder, principal="managed policies", effect="Allow", actions=resolved, resources=("(theirs)",), condition="")
    for stack, _, policy in templates.of_type("AWS::IAM::Policy"):
        for role in policy["Properties"]["Roles"]:
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
                yield _privilege(templates, stack, _role_name(stack, role["Ref"]), statement, trusted[stack, role["Ref"]])


def _of_resources(templates: Templates) -> Iterator[Privilege]:
    for stack, logical_id, resource in templates.of_type(*_POLICY_OF):
        about, key = _POLICY_OF[resource["Type"]]
        on = logical_id if about is None else templates.resolved(resource["Properties"][about], stack)
        holder = f"{resource['Type'].split('::')[1]}: {', '.join(on) if isinstance(on, list) else on}"
        for statement in resource["Properties"][key]["Statement"]:
            yield _privilege(templates, stack, holder, statement, _principal(statement))


def _of_lake_formation(templates: Templates) -> Iterator[Privilege]:
    for stack, _, grant in templates.of_type("AWS::LakeFormation::PrincipalPermissions"):
        given = templates.resolved(grant["Properties"], stack)
        policy = given["Resource"].get("LFTagPolicy", {})
        words = " and ".join(f"{tag['TagKey']} in {', '.join(tag['TagValues'])}" for tag in policy.get("Expression", ()))
        on = f"{policy['ResourceType']} where {words}" if policy else given["Resource"]["DataLocation"]["ResourceArn"]
        yield Privilege(
            holder="Lake Formation",
            principal=given["Principal"]["DataLakePrincipalIdentifier"],
            effect="Allow",
            actions=tuple(given["Permissions"]),
            resources=(on,),
            condition="",
        )


def _privilege(templates: Templates, stack: str, holder: str, statement: Mapping[str, Any], principal: str) -> Privilege:
    condition = templates.resolved(statement.get("Condition", {}), stack)
    return Privilege(
        holder=holder,
        principal=principal,
        effect=statement["Effect"],
        actions=tuple(sorted(_listed(statement["Action"]))),
        resources=tuple(sorted({_HASH.sub("HASH", str(one)) for one in _listed(templates.resolved(statement["Resource"], stack))})),
        condition=f"`{json.dumps(condition, sort_keys=True)}`" if condition else "",
    )


def _role_name(stack: str, logical_id: str) -> str:
    """The stack's part and the construct's id: the logical id less its hash."""
    return f"{stack.rpartition('-')[2]} {logical_id[:-8]}"


def _principal(statement: Mapping[str, Any]) -> str:
    given = statement["Principal"]
    return given if isinstance(given, str) else ", ".join(str(one) for values in given.values() for one in _listed(values))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="sluice-privileges-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        PAGE.write_text(reviewed_page(Path(folder), ROOT / "lake"), encoding="utf-8")
    sys.stdout.write(f"{PAGE.relative_to(ROOT)} written; `git diff` shows what changed\n")


if __name__ == "__main__":
    main()
