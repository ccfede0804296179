"""Who hears of what: a topic per team that owns tables, one for the operator, who hears of the run as a whole, and every alarm to its owner's.

One dashboard shows all of it.
"""

import json

from aws_cdk import Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.alarms import Alarm, alarms_of
from infra.dashboard import dashboard
from infra.limits import refuse_too_large
from infra.names import stack_name
from infra.settings import cdk_environment
from shared.spec.environment import Environment
from shared.spec.lake import Lake

MOST_SHOWN = 100  # alarms that one widget takes: those of the run come first


class SignalsStack(Stack):
    """Topics by owner, who gets their messages, the alarms and the dashboard."""

    def __init__(self, scope: Construct, *, lake: Lake, environment: Environment, key: kms.IKey) -> None:
        super().__init__(scope, stack_name(environment, "signals"), env=cdk_environment(environment), termination_protection=environment.keeps_data)
        by_name: dict[str, sns.Topic] = {}
        for owner in lake.owners:
            name = environment.topic(owner)
            if name not in by_name:
                by_name[name] = self._topic(name, environment, key)
            self._subscribe(by_name[name], owner, environment)
        self.topics = {owner: by_name[environment.topic(owner)] for owner in lake.owners}
        alarms = alarms_of(lake, environment)
        for alarm in alarms:
            self._alarm(alarm, environment)
        arns = [f"arn:aws:cloudwatch:{environment.region}:{environment.account}:alarm:{alarm.name(environment)}" for alarm in alarms[:MOST_SHOWN]]
        body = json.dumps(dashboard(environment, arns))
        cloudwatch.CfnDashboard(self, "Dashboard", dashboard_name=environment.prefix, dashboard_body=body)
        key.add_to_resource_policy(self._from_alarms("AlarmsOfThisLake", ["kms:Decrypt", "kms:GenerateDataKey"], "*", environment))
        refuse_too_large(self, lake)

    def _topic(self, name: str, environment: Environment, key: kms.IKey) -> sns.Topic:
        topic = sns.Topic(self, f"Topic-{name.removeprefix(environment.prefix)}", topic_name=name, master_key=key, enforce_ssl=True)
        topic.add_to_resource_policy(self._from_alarms("FromAlarmsOfThisLake", ["sns:Publish"], topic.topic_arn, environment))
        return topic

    def _subscribe(self, topic: sns.Topic, owner: str, environment: Environment) -> None:
        for address in environment.alarms.get(owner, ()):
            protocol = sns.SubscriptionProtocol.HTTPS if address.startswith("https://") else sns.SubscriptionProtocol.EMAIL
            sns.Subscription(self, f"{owner}-{address}", topic=topic, protocol=protocol, endpoint=address)

    def _alarm(self, alarm: Alarm, environment: Environment) -> None:
        cloudwatch.CfnAlarm(
            self,
            f"Alarm-{alarm.id}",
            alarm_name=alarm.name(environment),
            alarm_description=alarm.description,
            namespace=alarm.namespace,
            metric_name=alarm.metric,
            dimensions=[cloudwatch.CfnAlarm.DimensionProperty(name=name, value=value) for name, value in alarm.dimensions.items()],
            statistic=alarm.statistic,
            comparison_operator="GreaterThanThreshold",
            threshold=alarm.above,
            period=alarm.period_seconds,
            evaluation_periods=1,
            treat_missing_data=alarm.silence,
            actions_enabled=alarm.enabled,
            alarm_actions=[self.topics[alarm.owner].topic_arn],
        )

    def _from_alarms(self, sid: str, actions: list[str], resource: str, environment: Environment) -> iam.PolicyStatement:
        """CloudWatch may, for this lake's alarms alone. A key policy's star is the key itself."""
        alarms = f"arn:{self.partition}:cloudwatch:{self.region}:{self.account}:alarm:{environment.prefix}-*"
        return iam.PolicyStatement(
            sid=sid,
            principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
            actions=actions,
            resources=[resource],
            conditions={"StringEquals": {"aws:SourceAccount": environment.account}, "ArnLike": {"aws:SourceArn": alarms}},
        )
