"""Synthesizes the app and deploys the local environment's stacks through CloudFormation with boto3: assets, then stacks in the order they depend."""

import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from local.aws import Emulated
from local.errors import LaptopError
from local.places import ROOT, node_binary

_BOOTSTRAP_VERSION = "30"
_POLL_S = 0.1
_STACK_TIMEOUT_S = 300
_CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")
_REASON_LENGTH = 1000
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class StackFiles:
    """One stack of a synthesized assembly."""

    name: str
    template: Path
    template_url: str | None  # s3:// address, once its asset is published
    assets: Path | None
    tags: Mapping[str, str]


def synthesize(lake: Path, environment: str, folder: Path, *, app: Path = ROOT / "app.py") -> Sequence[StackFiles]:
    """Run the app for one environment into `folder`; its stacks, dependencies first. Raises LaptopError with all the app said."""
    done = subprocess.run(
        [sys.executable, str(app)],
        cwd=app.parent,
        env={
            **os.environ,
            "CDK_OUTDIR": str(folder),
            "CDK_CONTEXT_JSON": json.dumps({"env": environment}),
            "SLUICE_LAKE": str(lake),
            "JSII_NODE": str(node_binary()),
            "CDK_VALIDATION": "false",  # half the time it takes, and said by `cdk synth` before every deployment
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LaptopError(f"{app.name} did not synthesize (exit {done.returncode}):\n{(done.stdout + done.stderr).strip()}")
    return stacks_of(folder)


def stacks_of(assembly: Path) -> Sequence[StackFiles]:
    """The stacks of a cloud assembly, each after those it depends on."""
    artifacts: Mapping[str, Any] = json.loads((assembly / "manifest.json").read_text(encoding="utf-8"))["artifacts"]
    ordered: dict[str, StackFiles] = {}

    def add(artifact: str) -> None:
        held = artifacts[artifact]
        if artifact in ordered or held["type"] != "aws:cloudformation:stack":
            return
        for needed in held.get("dependencies", ()):
            add(needed)
        properties = held["properties"]
        assets = assembly / f"{artifact}.assets.json"
        ordered[artifact] = StackFiles(
            name=properties.get("stackName", artifact),
            template=assembly / properties["templateFile"],
            template_url=properties.get("stackTemplateAssetObjectUrl"),
            assets=assets if assets.is_file() else None,
            tags=properties.get("tags", {}),
        )

    for artifact in sorted(artifacts):
        add(artifact)
    return list(ordered.values())


def deploy(stacks: Sequence[StackFiles], aws: Emulated, tell: Callable[[str], None]) -> None:
    """Publish what the stacks need and bring each to its template. Repeating it with the same assembly changes nothing."""
    aws.client("ssm").put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value=_BOOTSTRAP_VERSION, Type="String", Overwrite=True)
    s3, cloudformation = aws.client("s3"), aws.client("cloudformation")
    for stack in stacks:
        if stack.assets is not None:
            _publish(stack.assets, aws, s3)
    for stack in stacks:
        started = time.monotonic()
        did = _bring(stack, aws, cloudformation)
        tell(f"stack {stack.name}: {did} ({time.monotonic() - started:.1f} s)")


def _publish(assets: Path, aws: Emulated, s3: Any) -> None:
    held = json.loads(assets.read_text(encoding="utf-8"))
    for file in held.get("files", {}).values():
        for destination in file["destinations"].values():
            bucket, key = _filled(destination["bucketName"], aws), _filled(destination["objectKey"], aws)
            if _missing(s3, bucket, key):
                s3.create_bucket(Bucket=bucket)
                source = assets.parent / file["source"]["path"]
                s3.put_object(Bucket=bucket, Key=key, Body=_zipped(source) if file["source"]["packaging"] == "zip" else source.read_bytes())


def _missing(s3: Any, bucket: str, key: str) -> bool:
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError:
        return True
    return False


def _filled(text: str, aws: Emulated) -> str:
    for name, value in (("AccountId", aws.account), ("Region", aws.region), ("Partition", "aws")):
        text = text.replace(f"${{AWS::{name}}}", value)
    return text


def _zipped(folder: Path) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                archive.writestr(zipfile.ZipInfo(path.relative_to(folder).as_posix(), _EPOCH), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return body.getvalue()


def _bring(stack: StackFiles, aws: Emulated, cloudformation: Any) -> str:
    """Create or update; what was done. Raises LaptopError naming every resource that failed."""
    request = {
        "StackName": stack.name,
        **_template(stack, aws),
        "Capabilities": list(_CAPABILITIES),
        "Tags": [{"Key": key, "Value": value} for key, value in stack.tags.items()],
    }
    status = _status(stack.name, cloudformation)
    if status in ("ROLLBACK_COMPLETE", "CREATE_FAILED", "ROLLBACK_FAILED", "DELETE_FAILED"):
        cloudformation.delete_stack(StackName=stack.name)
        status = _settled(stack.name, cloudformation)
    try:
        (cloudformation.create_stack if status is None else cloudformation.update_stack)(**request)
    except ClientError as refused:
        reason = refused.response["Error"]["Message"][:_REASON_LENGTH]
        if "No updates are to be performed" in reason:
            return "unchanged"
        raise LaptopError(f"stack {stack.name} was refused: {reason} (template: {stack.template})") from refused
    ended = _settled(stack.name, cloudformation)
    if ended not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise LaptopError(f"stack {stack.name} ended {ended} (template: {stack.template}):\n{_failures(stack.name, cloudformation)}")
    return "created" if status is None else "updated"


def _template(stack: StackFiles, aws: Emulated) -> Mapping[str, str]:
    """By its published asset, since a body may be 51,200 characters at most; without one, the body."""
    if stack.template_url is None:
        return {"TemplateBody": stack.template.read_text(encoding="utf-8")}
    return {"TemplateURL": _filled(stack.template_url, aws).replace("s3://", f"{aws.endpoint}/", 1)}


def _status(name: str, cloudformation: Any) -> str | None:
    try:
        found: str = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
    except ClientError:
        return None
    return None if found == "DELETE_COMPLETE" else found


def _settled(name: str, cloudformation: Any) -> str | None:
    deadline = time.monotonic() + _STACK_TIMEOUT_S
    while (status := _status(name, cloudformation)) is not None and status.endswith("_IN_PROGRESS"):
        if time.monotonic() > deadline:
            raise LaptopError(f"stack {name} is still {status} after {_STACK_TIMEOUT_S} s; logs/laptop.log says what the emulator does")
        time.sleep(_POLL_S)
    return status


def _failures(name: str, cloudformation: Any) -> str:
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    failed = [event for event in reversed(events) if event["ResourceStatus"].endswith("FAILED")]
    return "\n".join(
        f"  {event['LogicalResourceId']} ({event['ResourceType']}): {event.get('ResourceStatusReason', 'no reason')}" for event in failed
    )
