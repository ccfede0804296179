"""How much CloudFormation takes in one stack, said before anything is deployed."""

from aws_cdk import CfnResource, Stack

from shared.spec.lake import Lake

RESOURCES = 500


class LakeTooLarge(ValueError):
    """A stack that grows with the lake's tables takes no more of them."""


def refuse_too_large(stack: Stack, lake: Lake) -> None:
    """Raise LakeTooLarge when `stack`, which has everything by now, holds more than CloudFormation takes."""
    resources = sum(CfnResource.is_cfn_resource(one) for one in stack.node.find_all())
    if resources > RESOURCES:
        each = resources / len(lake.tables)
        raise LakeTooLarge(
            f"{stack.stack_name}: {len(lake.tables)} tables make {resources:,} resources, and CloudFormation takes {RESOURCES} in a stack (about "
            f"{int(RESOURCES / each)} such tables). Move the tables of a domain into a lake of their own: a folder beside this one"
        )
