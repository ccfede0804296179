"""What is wrong with a lake: where, what, and what to write instead. Problems are gathered; nothing stops at the first."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from shared.core.errors import ContractError

_LISTED = 60  # more words than this are no help


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One refusal. `line` counts from 1; a problem of a whole file stands at its line 1."""

    file: str
    line: int
    message: str
    fix: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}. {self.fix}"


class Refused(ContractError):
    """The lake does not compile. `problems` holds every reason, by file and line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Problems:
    """Gathers problems. One said `in_doubt` is dropped where another stands on the same line: it would only repeat it in other words."""

    def __init__(self) -> None:
        self._certain: set[Problem] = set()
        self._in_doubt: set[Problem] = set()

    def add(self, file: str, line: int, message: str, fix: str, *, in_doubt: bool = False) -> None:
        """Write one down; the same one twice is one."""
        (self._in_doubt if in_doubt else self._certain).add(Problem(file, line, message.rstrip("."), fix))

    @property
    def all(self) -> tuple[Problem, ...]:
        """Every problem, by file and line."""
        said = {(problem.file, problem.line) for problem in self._certain}
        return tuple(sorted(self._certain | {problem for problem in self._in_doubt if (problem.file, problem.line) not in said}))

    def concern(self, file: str) -> bool:
        """Whether one of the problems stands in this file."""
        return any(problem.file == file for problem in self._certain | self._in_doubt)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The nearest known word, or all of them when none is near."""
    words = sorted(set(known))
    near = difflib.get_close_matches(word.lower(), words, n=1, cutoff=0.6)
    if near:
        return f"Did you mean '{near[0]}'?"
    if not words or len(words) > _LISTED:
        return "Nothing here has a name like it."
    return f"There is {', '.join(words)}."
