"""ports.Notify over SNS: one topic per team, and the log, whatever becomes of the message."""

from functools import cached_property
from typing import Any

from botocore.exceptions import ClientError

from shared.aws import clients
from shared.core.alerts import Alert
from shared.core.errors import StateUnavailable
from shared.core.ports import Log
from shared.spec.environment import Environment

SUBJECT_LENGTH = 100  # SNS takes no longer one


class SnsNotify:
    """An alert that cannot be sent is logged and stops nothing: the lake is in order or not, whoever hears of it. Its alarms ring on their own."""

    def __init__(self, environment: Environment, log: Log, *, client: Any = None) -> None:
        self._environment, self._log, self._injected = environment, log, client

    @cached_property
    def _client(self) -> Any:
        return self._injected or clients.sns(self._environment.region)

    def alert(self, alert: Alert) -> None:
        topic = self._environment.topic_arn(alert.owner)
        subject = f"Sluice {self._environment.name}: {alert.subject}".encode("ascii", "replace").decode()[:SUBJECT_LENGTH]
        self._log.warning("owner_alert", owner=alert.owner, subject=subject, text=alert.text)
        try:
            with clients.asking(f"SNS topic {topic}"):
                self._client.publish(TopicArn=topic, Subject=subject, Message=alert.text)
        except (ClientError, StateUnavailable) as refused:
            self._log.warning("alert_not_sent", owner=alert.owner, topic=topic, problem=str(refused))
