"""The stacks of one environment, wired by objects, and the app they stand in."""

import warnings
from collections.abc import Sequence

from aws_cdk import App, Tags

from infra.acknowledgements import check_solutions
from infra.bundling import Bundles
from infra.catalogue import CatalogueStack
from infra.compute import ComputeStack
from infra.network import NetworkStack
from infra.roles import Holdings
from infra.settings import kept_after_all, named_for_deletion
from infra.signals import SignalsStack
from infra.storage import StorageStack
from infra.workflow import WorkflowStack
from shared.spec.environment import Environment
from shared.spec.lake import Lake

# Said here, not in cdk.json: `python app.py` and `cdk synth` must give the same templates.
FLAGS = {
    "@aws-cdk/core:enablePartitionLiterals": True,
    # A stack cannot be deleted under another that still uses what it made.
    "@aws-cdk/core:defaultCrossStackReferences": "strong",
    # Access logs are delivered by permission of the bucket's policy, to this account and bucket alone, not by an ACL.
    "@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy": True,
}


class DataIsKept(UserWarning):
    """Data will outlive its stacks. Not a warning of a template: `cdk synth --strict` would refuse the template for it."""


def new_app(outdir: str | None = None, **context: str) -> App:
    """An app whose stacks are held to AwsSolutions. Without `outdir`, CDK_OUTDIR says where its assembly goes."""
    app = App(outdir=outdir, analytics_reporting=False, context={**FLAGS, **context})
    check_solutions(app)
    return app


def chosen_environments(app: App, lake: Lake) -> Sequence[Environment]:
    """All of them, or the one that `-c env=…` names. Raises UnknownTable naming those there are."""
    for named in named_for_deletion(app):
        lake.environment(named)
    name = app.node.try_get_context("env")
    return list(lake.environments.values()) if name is None else [lake.environment(name)]


def add_lakehouse(app: App, *, lake: Lake, environment: Environment, bundles: Bundles) -> None:
    """The stacks of one environment. Warns (DataIsKept) when one of the two keys that delete data is turned."""
    if (told := kept_after_all(app, environment)) is not None:
        warnings.warn(told, DataIsKept, stacklevel=2)
    storage = StorageStack(app, environment=environment)
    holdings = Holdings(
        environment=environment,
        bucket=storage.bucket,
        state=storage.state,
        key=storage.key,
        locations=_file_locations(lake, environment),
        topics=tuple(environment.topic_arn(owner) for owner in lake.owners),
    )
    signals = SignalsStack(app, lake=lake, environment=environment, key=storage.key)
    catalogue = CatalogueStack(app, environment=environment, lake=lake, bucket=storage.bucket, key=storage.key)
    network = NetworkStack(app, environment=environment, network=environment.network) if environment.network is not None else None
    compute = ComputeStack(app, lake=lake, holdings=holdings, bundles=bundles, network=network)
    workflow = WorkflowStack(app, environment=environment, key=storage.key, functions=compute.functions, jobs=compute.jobs)
    for stack in (storage, signals, catalogue, compute, workflow, *([network] if network is not None else ())):
        Tags.of(stack).add("application", "sluice")
        Tags.of(stack).add("environment", environment.name)


def _file_locations(lake: Lake, environment: Environment) -> tuple[str, ...]:
    servers = [server for table in lake.sources if table.source is not None for server in table.source.servers]
    return tuple(sorted({server.location for server in servers if server.environment == environment.name and server.location is not None}))
