"""Every accepted finding of cdk-nag, one at a time, with its reason. A finding without an entry stops the synthesis."""

from collections.abc import Iterable

from aws_cdk import Acknowledgment, App, CfnResource, Validations
from cdk_nag import AwsSolutionsChecks
from constructs import IConstruct

PACK = "AwsSolutions"
TEMPLATES = "CloudFormation-Validate"


def check_solutions(app: App) -> None:
    """Hold the whole app to AwsSolutions."""
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))


def accept(construct: IConstruct, finding: str, reason: str) -> None:
    """Acknowledge one finding (`AwsSolutions-S1`, `AwsSolutions-IAM5[Resource::*]`) on one construct and what is below it."""
    Validations.of(construct).acknowledge(Acknowledgment(id=f"{PACK}::{finding}", reason=reason))


def accept_written(resource: CfnResource, finding: str, reason: str) -> None:
    """Acknowledge one finding of CDK's own look at a template (`W3010`), on one resource; cfn-lint reads it there."""
    Validations.of(resource).acknowledge(Acknowledgment(id=f"{TEMPLATES}::{finding}", reason=reason))
    resource.add_metadata("cfn-lint", {"config": {"ignore_checks": [finding]}})


def accept_stars(construct: IConstruct, resources: Iterable[str], reason: str) -> None:
    """Acknowledge stars in the resources of a policy, spelled as cdk-nag reports them."""
    for resource in resources:
        accept(construct, f"AwsSolutions-IAM5[Resource::{resource}]", reason)
