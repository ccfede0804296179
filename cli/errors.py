"""What the command line itself refuses. `main` turns each into its text and the exit code it names."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from shared.core.errors import RequestRefused


class CommandError(Exception):
    """Something asked of `sluice` did not work; the text says what, where and what to do."""

    exit_code: ClassVar[int] = 1


class Misused(CommandError):
    """The command was given something it cannot take."""

    exit_code: ClassVar[int] = 2


@contextmanager
def refusing(command: str) -> Iterator[None]:
    """What core refuses of a command's own arguments is their misuse."""
    try:
        yield
    except RequestRefused as refused:
        raise Misused(f"{command}: {refused}") from refused
