"""What owners are told, and whom a matter concerns. Pure. Messages leave the account: they name tables, rules, run and runbook, and never a value."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shared.core import errors
from shared.core.errors import SluiceError
from shared.core.messages import TableVerdict
from shared.spec.environment import OPERATOR
from shared.spec.lake import Lake, Stage

# Their texts are ours and hold no row's values; another's may.
OURS = frozenset(name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, SluiceError))


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """To one owner. The subject is one line of ASCII."""

    owner: str
    subject: str
    text: str


def of_failure(lake: Lake, run: str, error: str, cause: str) -> tuple[Alert, ...]:
    """To the operator, and to the owners of the tables that the cause names; to all owners when it names none."""
    named = [table.owner for table in lake.tables if table.name in cause]
    text = _lines(_told(error, cause), f"What happened, and how far it came: sluice runs show {run}", "Runbook: runbooks/run-failed.md")
    owners = dict.fromkeys([*(named or [table.owner for table in lake.tables]), OPERATOR])
    return tuple(Alert(owner=owner, subject=f"run {run} failed", text=text) for owner in owners)


def of_gate(lake: Lake, run: str, stage: Stage, verdicts: Mapping[str, TableVerdict], left: Iterable[str]) -> tuple[Alert, ...]:
    """One to each owner of tables that this gate halted, or that, without a halt of their own, are `left` as they were."""
    lines: dict[str, list[str]] = {}
    for name, verdict in verdicts.items():
        if verdict.verdict == "halt":
            rules = sorted({finding.rule or "no rule: evidence, rejects or source" for finding in verdict.findings if finding.severity == "critical"})
            lines.setdefault(lake.table(name).owner, []).append(f"{name} is halted: {', '.join(rules)}")
    for name in left:
        lines.setdefault(lake.table(name).owner, []).append(f"{name} waits for a halted table and stays as it was")
    closing = (f"Findings with their counts: sluice runs show {run}", "Runbook: runbooks/dq-halt.md")
    return tuple(
        Alert(owner=owner, subject=f"run {run}: tables halted or waiting after {stage}", text=_lines(*told, *closing))
        for owner, told in lines.items()
    )


def _told(error: str, cause: str) -> str:
    ours = error in OURS or cause.partition(":")[0] in OURS
    return f"{error}: {cause}" if ours else f"{error} (the text of this error is not ours and may hold data: it is in the report alone)"


def _lines(*lines: str) -> str:
    return "\n".join(lines)
