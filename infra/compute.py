"""What computes: six Lambdas and four Glue jobs, each under a role of its own."""

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import Duration, Stack
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from infra.access import FUNCTIONS, JOBS, Access, Function
from infra.acknowledgements import accept, accept_stars
from infra.bundling import ROOT, Bundles
from infra.drivers import driver_jars
from infra.glue_arguments import default_arguments
from infra.names import job_logs, log_groups, stack_name
from infra.network import NetworkStack
from infra.roles import Holdings, grant, job_arn
from infra.settings import cdk_environment
from shared.spec.lake import Lake, Stage

# Spark 4.1.1, Python 3.13, Delta 4.2.0. Explicit: CloudFormation's own default is years old.
GLUE_VERSION = "6.0"
# Beyond one run per group: a twin of a retried start, and a run of an execution that is being stopped.
SPARE_RUNS = 2
STARS = (
    "cloudwatch:PutMetricData takes no resource; the condition holds it to Glue's own namespace. glue:GetSecurityConfiguration takes none either; "
    "it tells which keys are used."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSize:
    memory_mb: int
    timeout_seconds: int


SIZES: Mapping[Function, FunctionSize] = {
    "plan": FunctionSize(memory_mb=512, timeout_seconds=120),
    "gate": FunctionSize(memory_mb=1024, timeout_seconds=300),  # reads evidence and Delta logs of every table
    "commit": FunctionSize(memory_mb=512, timeout_seconds=120),
    "report": FunctionSize(memory_mb=512, timeout_seconds=120),
    "fail": FunctionSize(memory_mb=512, timeout_seconds=120),
    "watch": FunctionSize(memory_mb=512, timeout_seconds=60),
}


class ComputeStack(Stack):
    """Lambdas and Glue jobs, by the names of their steps."""

    def __init__(self, scope: Construct, *, lake: Lake, holdings: Holdings, bundles: Bundles, network: NetworkStack | None = None) -> None:
        environment = holdings.environment
        super().__init__(scope, stack_name(environment, "compute"), env=cdk_environment(environment), termination_protection=environment.keeps_data)
        self._holdings = holdings
        self._network = network
        code = lambda_.Code.from_asset(str(bundles.functions))
        self.functions = {name: self._function(name, access, code) for name, access in FUNCTIONS.items()}
        security = self._security()
        library = assets.Asset(self, "JobLibrary", path=str(bundles.jobs))
        self.jobs = {stage: self._job(stage, access, lake, library, security) for stage, access in JOBS.items()}

    def _function(self, name: Function, access: Access, code: lambda_.Code) -> lambda_.Function:
        environment, size, label = self._holdings.environment, SIZES[name], name.title()
        role = iam.Role(self, f"{label}Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group = self._log_group(f"{label}Logs", role)
        grant(role, access, self._holdings)
        function = lambda_.Function(
            self,
            label,
            function_name=environment.function(name),
            description=f"Step {name} of {environment.prefix}",
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,  # pure Python runs anywhere; this is the cheaper one
            handler=f"lambdas.{name}.handler.handler",
            code=code,
            role=role,
            memory_size=size.memory_mb,
            timeout=Duration.seconds(size.timeout_seconds),
            log_group=log_group,
            environment={"SLUICE_ENVIRONMENT": environment.name, "POWERTOOLS_SERVICE_NAME": environment.function(name)},
        )
        accept(function, "AwsSolutions-L1", "Python 3.13 is what Glue 6.0 runs: one bundle, one language version, tested as one.")
        return function

    def _security(self) -> glue.CfnSecurityConfiguration:
        """How Glue encrypts what it leaves behind, but for its logs: their groups are encrypted already, and Glue would write to others."""
        key = self._holdings.key.key_arn
        encryption = glue.CfnSecurityConfiguration.EncryptionConfigurationProperty(
            cloud_watch_encryption=glue.CfnSecurityConfiguration.CloudWatchEncryptionProperty(cloud_watch_encryption_mode="DISABLED"),
            job_bookmarks_encryption=glue.CfnSecurityConfiguration.JobBookmarksEncryptionProperty(
                job_bookmarks_encryption_mode="CSE-KMS", kms_key_arn=key
            ),
            s3_encryptions=[glue.CfnSecurityConfiguration.S3EncryptionProperty(s3_encryption_mode="SSE-KMS", kms_key_arn=key)],
        )
        return glue.CfnSecurityConfiguration(self, "JobSecurity", name=self._holdings.environment.prefix, encryption_configuration=encryption)

    def _job(self, stage: Stage, access: Access, lake: Lake, library: assets.Asset, security: glue.CfnSecurityConfiguration) -> glue.CfnJob:
        environment, label = self._holdings.environment, stage.title()
        workers = environment.workers_of(stage)
        script = assets.Asset(self, f"{label}Script", path=str(ROOT / "glue_jobs" / f"{stage}.py"))
        drivers = self._drivers(lake) if stage == "ingest" else ()
        role = self._job_role(stage, access, (script, library, *drivers))
        placed = self._placed(stage, role)
        job = glue.CfnJob(
            self,
            f"{label}Job",
            name=environment.job(stage),
            description=f"Stage {stage} of {environment.prefix}",
            role=role.role_arn,
            glue_version=GLUE_VERSION,
            command=glue.CfnJob.JobCommandProperty(name="glueetl", python_version="3", script_location=script.s3_object_url),
            default_arguments=default_arguments(
                environment,
                stage,
                extra_py_files=library.s3_object_url,
                log_prefix=job_logs(environment, stage),
                extra_jars=[driver.s3_object_url for driver in drivers],
            ),
            worker_type=workers.type,
            number_of_workers=workers.count,
            timeout=workers.timeout_minutes,
            # Only Step Functions repeats, and only what waiting helps.
            max_retries=0,
            execution_property=glue.CfnJob.ExecutionPropertyProperty(max_concurrent_runs=len(groups(lake, stage)) + SPARE_RUNS),
            security_configuration=security.ref,
            connections=placed,
        )
        job.node.add_dependency(role)
        accept(
            job,
            "AwsSolutions-GL1",
            "The storage stack encrypts the job's log groups under the lake's key; Glue's own mode writes to groups of other names.",
        )
        return job

    def _placed(self, stage: Stage, role: iam.Role) -> glue.CfnJob.ConnectionsListProperty | None:
        """The place in a VPC of the one job that speaks to databases."""
        if self._network is None or stage != "ingest":
            return None
        self._network.let_in(role)
        return glue.CfnJob.ConnectionsListProperty(connections=[self._network.connection_name])

    def _drivers(self, lake: Lake) -> tuple[assets.Asset, ...]:
        jars = driver_jars(lake, self._holdings.environment.name)
        return tuple(assets.Asset(self, f"Driver{position}", path=str(jar)) for position, jar in enumerate(jars))

    def _job_role(self, stage: Stage, access: Access, code: tuple[assets.Asset, ...]) -> iam.Role:
        label = stage.title()
        role = iam.Role(self, f"{label}JobRole", assumed_by=iam.ServicePrincipal("glue.amazonaws.com"))
        for stream in ("error", "output"):
            self._log_group(f"{label}{stream.title()}Logs", role).grant(role, "logs:CreateLogGroup")  # which Glue asks for, there or not
        grant(role, access, self._holdings)
        own = job_arn(role, self._holdings.environment, stage)
        role.add_to_policy(iam.PolicyStatement(sid="AskForTwins", actions=["glue:GetJobRun"], resources=[own]))
        sources = [asset.bucket.arn_for_objects(asset.s3_object_key) for asset in code]
        role.add_to_policy(iam.PolicyStatement(sid="ReadCode", actions=["s3:GetObject"], resources=sources))
        # Of the security configuration: Glue reads it, and encrypts by it, in the job's name. It knows no resources for the first.
        role.add_to_policy(iam.PolicyStatement(sid="ReadSecurity", actions=["glue:GetSecurityConfiguration"], resources=["*"]))
        role.add_to_policy(iam.PolicyStatement(sid="Encrypt", actions=["kms:Encrypt"], resources=[self._holdings.key.key_arn]))
        # CloudWatch knows no resources for metrics; the namespace takes their place.
        metrics = iam.PolicyStatement(sid="PutMetrics", actions=["cloudwatch:PutMetricData"], resources=["*"])
        metrics.add_condition("StringEquals", {"cloudwatch:namespace": "Glue"})
        role.add_to_policy(metrics)
        accept(role, "AwsSolutions-IAM5[Resource::*]", STARS)
        return role

    def _log_group(self, label: str, role: iam.Role) -> logs.ILogGroup:
        """One of the storage stack's, which the role may write."""
        group = logs.LogGroup.from_log_group_name(self, label, log_groups(self._holdings.environment)[label])
        group.grant_write(role)
        accept_stars(role, [group.log_group_arn], "The star ends a log group: its streams come and go.")
        return group


def groups(lake: Lake, stage: Stage) -> frozenset[str]:
    """The Glue runs that one stage may start at once. Publish is one."""
    return frozenset(table.group for table in lake.of_stage(stage)) if stage != "publish" else frozenset({"all"})
