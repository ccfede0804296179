"""What an action takes that costs the same for one row as for a thousand."""

from unittest.mock import patch

from py4j.clientserver import ClientServerConnection
from py4j.protocol import MEMORY_COMMAND_NAME


def cost_of(spark, action):
    """What an action takes: Spark jobs, Delta's own among them, and questions to the JVM."""
    scheduler = spark._jsc.sc().dagScheduler()
    before = scheduler.numTotalJobs()
    with patch.object(ClientServerConnection, "send_command", autospec=True, side_effect=ClientServerConnection.send_command) as sent:
        action()
    return scheduler.numTotalJobs() - before, sum(not call.args[1].startswith(MEMORY_COMMAND_NAME) for call in sent.call_args_list)
