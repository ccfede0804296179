"""Which exceptions from a rule may be granted: named, reasoned, short, and never on personal data. Pure."""

from datetime import datetime, timedelta

from shared.core.choice import nearest, table_named
from shared.core.errors import RequestRefused
from shared.core.messages import Bypass
from shared.core.verdict import never_bypassed, rejects_rows
from shared.spec.lake import Lake, Rule, Table

LONGEST = timedelta(days=30)


def granted(lake: Lake, wanted: Bypass, *, at: datetime) -> Bypass:
    """`wanted`, if it may be. Raises RequestRefused for an unknown table or rule, for a rule that a bypass does not lift, without a reason or
    ticket, and for an end that is not within 30 days."""
    table = table_named(lake, wanted.table)
    rule = _rule_named(table, wanted.rule)
    _refuse_rule(table, rule)
    for name, text in (("reason", wanted.reason), ("ticket", wanted.ticket)):
        if not text.strip():
            raise RequestRefused(f"a bypass needs a {name}: it stands in every report until it expires")
    if wanted.expires <= at:
        raise RequestRefused(f"{wanted.expires:%Y-%m-%d %H:%M} UTC is past; a bypass ends in the future")
    if wanted.expires > at + LONGEST:
        raise RequestRefused(
            f"{wanted.expires:%Y-%m-%d %H:%M} UTC is too far: a bypass lasts at most {LONGEST.days} days; renew it, or mend the rule"
        )
    return wanted


def _rule_named(table: Table, name: str) -> Rule:
    known = {rule.id: rule for rule in table.rules}
    if name not in known:
        raise RequestRefused(f"{table.name} has no rule '{name}'.{nearest(name, known)}")
    return known[name]


def _refuse_rule(table: Table, rule: Rule) -> None:
    why = never_bypassed(table, rule.id)
    if why is not None:
        raise RequestRefused(f"{table.name}: {rule.id} is never bypassed: {why}; mend the source or {table.file}")
    if rule.severity != "critical":
        raise RequestRefused(f"{table.name}: {rule.id} is a warning already; it halts nothing")
    if rejects_rows(table, rule):
        raise RequestRefused(
            f"{table.name}: {rule.id} halts nothing itself: it rejects rows, and the gate halts by `reject_tolerance` in {table.file}, which is "
            "where to let more through"
        )
