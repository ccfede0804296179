"""What the command line itself refuses. `main` turns each into its text and the exit code it names."""

from typing import ClassVar


class CommandError(Exception):
    """Something asked of `sluice` did not work; the text says what, where and what to do."""

    exit_code: ClassVar[int] = 1


class Misused(CommandError):
    """The command was given something it cannot take."""

    exit_code: ClassVar[int] = 2
