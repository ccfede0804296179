"""Where the lake, its state and its logs live, under one key. Nothing here is deleted with the stack but by two keys (settings.py)."""

from aws_cdk import CfnOutput, Duration, RemovalPolicy, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.names import ANSWERS, log_groups, stack_name
from infra.settings import cdk_environment, log_retention, removal_policy
from shared.spec.environment import Environment

ANSWERS_DAYS = 7  # of `sluice sql` in Athena, which its caller has read by then
# An intent refers to its change sets until a later run finished it. A lake that nobody recovers for this long must be rebuilt from bronze.
STAGING_DAYS = 90


class StorageStack(Stack):
    """The bucket with its access logs, the state table, the log groups and the key that encrypts them: all that a lake cannot compute again.

    Other stacks name a log group instead of importing it: they can be deleted and deployed anew under logs that stayed.
    """

    def __init__(self, scope: Construct, *, environment: Environment) -> None:
        super().__init__(scope, stack_name(environment, "storage"), env=cdk_environment(environment), termination_protection=environment.keeps_data)
        removal = removal_policy(self, environment)
        self.key = self._key(environment, removal)
        self.bucket = self._bucket(environment, removal, self._access_logs(environment, removal))
        self.state = self._state(environment, removal)
        for label, name in log_groups(environment).items():
            logs.LogGroup(
                self,
                label,
                log_group_name=name,
                retention=log_retention(environment),
                encryption_key=self.key,
                removal_policy=removal,
            )
        CfnOutput(self, "BucketName", value=self.bucket.bucket_name)
        CfnOutput(self, "StateTableName", value=self.state.table_name)

    def _key(self, environment: Environment, removal: RemovalPolicy) -> kms.Key:
        key = kms.Key(
            self,
            "Key",
            alias=f"alias/{environment.prefix}",
            description=f"Everything that {environment.prefix} stores",
            enable_key_rotation=True,
            removal_policy=removal,
        )
        # The star is the key itself (a key policy speaks of its own key only); the condition holds it to this lake's log groups.
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="LogsOfThisLake",
                principals=[iam.ServicePrincipal(f"logs.{environment.region}.amazonaws.com")],
                actions=["kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey", "kms:DescribeKey"],
                resources=["*"],
                conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": [self._log_arn(name) for name in log_groups(environment).values()]}},
            )
        )
        return key

    def _log_arn(self, name: str) -> str:
        return f"arn:{self.partition}:logs:{self.region}:{self.account}:log-group:{name}"

    def _access_logs(self, environment: Environment, removal: RemovalPolicy) -> s3.Bucket:
        """Who read which object. S3 delivers into buckets under its own key alone."""
        return s3.Bucket(
            self,
            "AccessLogs",
            bucket_name=environment.log_bucket,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            removal_policy=removal,
            lifecycle_rules=[s3.LifecycleRule(id="retention", expiration=Duration.days(environment.log_retention_days))],
        )

    def _bucket(self, environment: Environment, removal: RemovalPolicy, access_logs: s3.IBucket) -> s3.Bucket:
        return s3.Bucket(
            self,
            "Lake",
            bucket_name=environment.bucket,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self.key,
            bucket_key_enabled=True,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            server_access_logs_bucket=access_logs,
            server_access_logs_prefix="lake/",
            versioned=True,
            removal_policy=removal,
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="staging",
                    prefix="_staging/",
                    expiration=Duration.days(STAGING_DAYS),
                    noncurrent_version_expiration=Duration.days(1),
                ),
                s3.LifecycleRule(
                    id="answers",
                    prefix=f"{ANSWERS}/",
                    expiration=Duration.days(ANSWERS_DAYS),
                    noncurrent_version_expiration=Duration.days(1),
                ),
                # Of a live object this touches nothing: what VACUUM or a rewrite took away can be had back for so long.
                s3.LifecycleRule(id="undo", noncurrent_version_expiration=Duration.days(environment.undo_days), expired_object_delete_marker=True),
                # A killed Spark leaves parts that nobody sees and everybody pays for.
                s3.LifecycleRule(id="broken-uploads", abort_incomplete_multipart_upload_after=Duration.days(7)),
            ],
        )

    def _state(self, environment: Environment, removal: RemovalPolicy) -> dynamodb.Table:
        return dynamodb.Table(
            self,
            "State",
            table_name=environment.state_table,
            partition_key=dynamodb.Attribute(name="kind", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=self.key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(point_in_time_recovery_enabled=True),
            deletion_protection=environment.keeps_data,
            removal_policy=removal,
        )
