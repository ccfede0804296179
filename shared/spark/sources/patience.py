"""Owns telling a database that does not answer from one that answers no, and waiting for the former."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from shared.core.errors import DataRejected, SourceUnavailable, Terminal
from shared.spark.refusals import SPARK_FAILED, without_values
from shared.spec.lake import Table

T = TypeVar("T")

# SQLSTATE classes: connection, resources, operator intervention, and what a serialization failure or a failed-over replica says.
_WAITING_HELPS = ("08", "53", "57", "40", "58")
# Snowflake says 08001 of a wrong password too, and locks a user who repeats it; its own numbers from 390100 on tell log-ins apart.
_LOG_INS = range(390100, 390400)
# data, constraints, what a procedure raises, and what Redshift says of a value it cannot read
_SHOWS_VALUES = ("22", "23", "P0", "XX")
_SIGNS = ("SQLTransientConnectionException", "Connection refused", "The connection attempt failed", "An I/O error occurred", "terminating connection")


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a source is asked, and how long is waited between (doubling)."""

    attempts: int = 4
    first_wait_seconds: float = 2.0
    sleep: Callable[[float], None] = time.sleep

    def ask(self, table: Table, action: Callable[[], T], *, secret: str) -> T:
        """What `action` gives. No text of an error holds `secret`.

        Raises SourceUnavailable when the source did not answer `attempts` times; DataRejected or Terminal when it answers no.
        """
        for attempt in range(1, self.attempts + 1):
            try:
                return action()
            except SPARK_FAILED as failed:
                if not _is_of_the_source(failed):
                    raise
                said = _said(failed, secret)
                if not _waiting_helps(failed):
                    raise _refusal(table, failed, said) from None
                if attempt == self.attempts:
                    raise SourceUnavailable(f"{table.name}: its source did not answer {self.attempts} times; it said: {said}") from None
            self.sleep(self.first_wait_seconds * 2 ** (attempt - 1))
        raise SourceUnavailable(f"{table.name}: its source was never asked: attempts is {self.attempts}")


def _is_of_the_source(failed: BaseException) -> bool:
    return bool(_sql_state(failed)) or any(sign in str(failed) for sign in (*_SIGNS, "java.sql.", "PSQLException"))


def _waiting_helps(failed: BaseException) -> bool:
    state = _sql_state(failed)
    if _refuses_log_in(failed):
        return False
    return state.startswith(_WAITING_HELPS) if state else any(sign in str(failed) for sign in _SIGNS)


def _refusal(table: Table, failed: BaseException, said: str) -> Terminal | DataRejected:
    if _refuses_log_in(failed):
        return Terminal(f"{table.name}: its source refuses the credentials; it said: {said}. Mend the secret that lake/environments.toml names")
    return DataRejected(f"{table.name}: its source refuses the query; it said: {said}. Mend `source` or the columns of {table.file}")


def _refuses_log_in(failed: BaseException) -> bool:
    cause = _sql_exception(failed)
    return _sql_state(failed).startswith("28") or (cause is not None and cause.getErrorCode() in _LOG_INS)


def _sql_state(failed: BaseException) -> str:
    """SQLSTATE of the database's own exception; empty when there is none."""
    cause = _sql_exception(failed)
    return "" if cause is None else str(cause.getSQLState() or "")


def _sql_exception(failed: BaseException) -> Any:
    """The first java.sql.SQLException among the causes; None when there is none."""
    cause = getattr(failed, "java_exception", None) or getattr(failed, "_origin", None)
    while cause is not None:
        if any(name == "java.sql.SQLException" for name in _families(cause)):
            return cause
        cause = cause.getCause()
    return None


def _families(cause: object) -> list[str]:
    found, kind = [], cause.getClass()  # type: ignore[attr-defined]
    while kind is not None:
        found.append(kind.getName())
        kind = kind.getSuperclass()
    return found


def _said(failed: BaseException, secret: str) -> str:
    """The database's own first line; of an error that may show a value, its SQLSTATE alone."""
    state, cause = _sql_state(failed), _sql_exception(failed)
    if state.startswith(_SHOWS_VALUES):
        return f"SQLSTATE {state}"
    if cause is None:
        return without_values(failed)
    line = str(cause.getMessage()).partition("\n")[0]
    return line.replace(secret, "********") if secret else line
