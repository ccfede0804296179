"""ports.Notify: tells a table's owner by the log."""

from shared.core.ports import Log


class LogNotify:
    """One warning per alert, with the owner as a field, so that a log subscription or alarm can carry it on."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def alert(self, *, owner: str, subject: str, text: str) -> None:
        self._log.warning("owner_alert", owner=owner, subject=subject, text=text)
