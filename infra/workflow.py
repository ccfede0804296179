"""What drives a run: the state machine of `step_functions/lake.asl.json`, and the schedule that starts it."""

import json
from collections.abc import Mapping

from aws_cdk import Annotations, CfnOutput, Duration, Stack
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from compiler.strikes import strikes_into_a_run
from infra.access import Function
from infra.acknowledgements import accept
from infra.alarms import WATCH_MINUTES, WINDOW_MINUTES
from infra.bundling import ROOT
from infra.names import log_groups, stack_name
from infra.roles import job_arn
from infra.settings import cdk_environment, job_state_seconds, machine_seconds, removal_policy
from shared.spec.environment import Environment, Schedule
from shared.spec.lake import STAGE_OF, Stage

DEFINITION = ROOT / "step_functions" / "lake.asl.json"
# A run that could not be started is tried again for an hour, then kept in the queue.
RETRY_SECONDS = 3600
RETRIES = 10
ALIAS = "live"
# Functions that no execution calls.
OUTSIDE = ("watch",)


class WorkflowStack(Stack):
    """The state machine, the schedule that starts it where the environment has one, and the clock that calls watch."""

    def __init__(
        self,
        scope: Construct,
        *,
        environment: Environment,
        key: kms.IKey,
        functions: Mapping[Function, lambda_.IFunction],
        jobs: Mapping[Stage, glue.CfnJob],
    ) -> None:
        super().__init__(scope, stack_name(environment, "workflow"), env=cdk_environment(environment), termination_protection=environment.keeps_data)
        self.machine = self._machine(environment, functions, jobs)
        alias = self._alias()
        if environment.schedule is not None:
            self._schedule(environment, environment.schedule, key, alias)
            self._warn_of_overlap(environment, environment.schedule)
        self._watch(environment, functions["watch"])
        CfnOutput(self, "StateMachineArn", value=self.machine.state_machine_arn)

    def _machine(
        self, environment: Environment, functions: Mapping[Function, lambda_.IFunction], jobs: Mapping[Stage, glue.CfnJob]
    ) -> sfn.StateMachine:
        log_group = logs.LogGroup.from_log_group_name(self, "MachineLogs", log_groups(environment)["MachineLogs"])
        steps = {name: function for name, function in functions.items() if name not in OUTSIDE}
        functions_by_name = {f"{name.title()}Function": function.function_arn for name, function in steps.items()}
        jobs_by_name = {f"{stage.title()}Job": job.ref for stage, job in jobs.items()}
        return sfn.StateMachine(
            self,
            "Machine",
            state_machine_name=environment.state_machine,
            state_machine_type=sfn.StateMachineType.STANDARD,
            definition_body=sfn.DefinitionBody.from_string(definition(environment)),
            definition_substitutions={**functions_by_name, **jobs_by_name},
            role=self._machine_role(environment, steps, jobs),
            # what an execution is slow in shows without reading its payloads
            tracing_enabled=True,
            # Every event, and no payloads: an error's cause comes from drivers too and may quote a row, and a log is kept longer, and read by
            # more, than the execution's own history.
            logs=sfn.LogOptions(destination=log_group, level=sfn.LogLevel.ALL, include_execution_data=False),
        )

    def _machine_role(self, environment: Environment, functions: Mapping[Function, lambda_.IFunction], jobs: Mapping[Stage, glue.CfnJob]) -> iam.Role:
        trusted = {"StringEquals": {"aws:SourceAccount": environment.account}, "ArnLike": {"aws:SourceArn": environment.machine_arn}}
        role = iam.Role(self, "MachineRole", assumed_by=iam.ServicePrincipal("states.amazonaws.com", conditions=trusted))
        role.add_to_policy(
            iam.PolicyStatement(
                sid="InvokeSteps", actions=["lambda:InvokeFunction"], resources=[function.function_arn for function in functions.values()]
            )
        )
        # `.sync` polls Glue and stops what it started when the execution is stopped; unlike other integrations it needs no EventBridge rule.
        role.add_to_policy(
            iam.PolicyStatement(
                sid="RunJobs",
                actions=["glue:StartJobRun", "glue:GetJobRun", "glue:GetJobRuns", "glue:BatchStopJobRun"],
                resources=[job_arn(role, environment, stage) for stage in jobs],
            )
        )
        # CDK adds log delivery and tracing, which know no resources.
        accept(
            role,
            "AwsSolutions-IAM5[Resource::*]",
            "Log delivery (logs:*LogDelivery, resource policies) and X-Ray have no resource-level permissions.",
        )
        return role

    def _alias(self) -> sfn.CfnStateMachineAlias:
        """What the schedule starts: a version that stays as it was deployed, whatever is edited by hand."""
        version = sfn.CfnStateMachineVersion(
            self,
            "Version",
            state_machine_arn=self.machine.state_machine_arn,
            state_machine_revision_id=self.machine.state_machine_revision_id,
        )
        route = sfn.CfnStateMachineAlias.RoutingConfigurationVersionProperty(state_machine_version_arn=version.ref, weight=100)
        return sfn.CfnStateMachineAlias(self, "Live", name=ALIAS, routing_configuration=[route])

    def _watch(self, environment: Environment, function: lambda_.IFunction) -> None:
        role = iam.Role(self, "WatchRole", assumed_by=self._scheduler(environment))
        role.add_to_policy(iam.PolicyStatement(sid="CallWatch", actions=["lambda:InvokeFunction"], resources=[function.function_arn]))
        rule = scheduler.CfnSchedule(
            self,
            "Watch",
            name=environment.watcher,
            description=f"Asks how old things are in {environment.prefix}",
            schedule_expression=f"rate({WATCH_MINUTES} minutes)",
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=scheduler.CfnSchedule.TargetProperty(
                arn=function.function_arn,
                role_arn=role.role_arn,
                input="{}",
                # the next call says it all again
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(maximum_event_age_in_seconds=60, maximum_retry_attempts=0),
            ),
        )
        rule.node.add_dependency(role)

    def _schedule(self, environment: Environment, schedule: Schedule, key: kms.IKey, alias: sfn.CfnStateMachineAlias) -> None:
        missed = sqs.Queue(
            self,
            "MissedRuns",
            queue_name=environment.missed_runs,
            encryption=sqs.QueueEncryption.KMS,
            encryption_master_key=key,
            enforce_ssl=True,
            retention_period=Duration.days(14),
            removal_policy=removal_policy(self, environment),
        )
        accept(missed, "AwsSolutions-SQS3", "This is the dead-letter queue.")
        role = iam.Role(self, "ScheduleRole", assumed_by=self._scheduler(environment))
        role.add_to_policy(iam.PolicyStatement(sid="StartRun", actions=["states:StartExecution"], resources=[self.machine.state_machine_arn]))
        role.add_to_policy(iam.PolicyStatement(sid="KeepMissed", actions=["sqs:SendMessage"], resources=[missed.queue_arn]))
        role.add_to_policy(iam.PolicyStatement(sid="UseKey", actions=["kms:Decrypt", "kms:GenerateDataKey"], resources=[key.key_arn]))
        rule = scheduler.CfnSchedule(
            self,
            "Schedule",
            name=environment.scheduler,
            description=f"Starts a run of {environment.prefix}",
            schedule_expression=schedule.expression,
            schedule_expression_timezone=schedule.time_zone,
            state="ENABLED" if schedule.enabled else "DISABLED",
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="FLEXIBLE", maximum_window_in_minutes=WINDOW_MINUTES),
            target=scheduler.CfnSchedule.TargetProperty(
                arn=alias.ref,
                role_arn=role.role_arn,
                # The schedule's own time, not the delivery's: a delivery that comes twice is one run.
                input=json.dumps({"scheduled": "<aws.scheduler.scheduled-time>"}),
                dead_letter_config=scheduler.CfnSchedule.DeadLetterConfigProperty(arn=missed.queue_arn),
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(maximum_event_age_in_seconds=RETRY_SECONDS, maximum_retry_attempts=RETRIES),
            ),
        )
        rule.node.add_dependency(role)

    def _warn_of_overlap(self, environment: Environment, schedule: Schedule) -> None:
        again = strikes_into_a_run(schedule, environment.sla)
        if again is not None:
            Annotations.of(self).add_warning_v2(
                "sluice:overlap",
                f"environments.{environment.name}: {schedule.expression} strikes again after {again} minutes, while a run may take "
                f"{environment.sla.run_minutes} (sla.run_minutes): a strike that finds the lake held is refused. Strike less often, or lower "
                "sla.run_minutes to what a run really takes.",
            )

    def _scheduler(self, environment: Environment) -> iam.IPrincipal:
        """Only this account's schedules may use the role."""
        return iam.ServicePrincipal("scheduler.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": environment.account}})


def definition(environment: Environment) -> str:
    """The state machine's text with this environment's timeouts and workers, which CloudFormation's own substitution cannot give to a JSON file."""
    text = DEFINITION.read_text(encoding="utf-8")
    seconds = {"${JobStateSeconds}": job_state_seconds(environment), "${MachineSeconds}": machine_seconds(environment)}
    for name, value in seconds.items():
        text = text.replace(f'"{name}"', str(value))
    for name, expression in _workers(environment).items():
        text = text.replace(f"${{{name}}}", expression)
    return text


def _workers(environment: Environment) -> Mapping[str, str]:
    """JSONata over a group's name: a run is given its group's workers, since a job has only those of its stage."""
    found: dict[str, str] = {}
    for stage in STAGE_OF.values():
        sizes = {key.partition(".")[2]: size for key, size in environment.groups.items() if key.startswith(f"{stage}.")}
        usual, label = environment.workers_of(stage), stage.title()
        found[f"{label}WorkerType"] = _by_group({group: f"'{size.type}'" for group, size in sizes.items()}, f"'{usual.type}'")
        found[f"{label}WorkerCount"] = _by_group({group: str(size.count) for group, size in sizes.items()}, str(usual.count))
        found[f"{label}Minutes"] = _by_group({group: str(size.timeout_minutes) for group, size in sizes.items()}, str(usual.timeout_minutes))
    return found


def _by_group(values: Mapping[str, str], otherwise: str) -> str:
    return "".join(f"$states.input = '{group}' ? {value} : " for group, value in values.items()) + otherwise
