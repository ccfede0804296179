"""Which exceptions may be granted."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.core.bypass import granted
from shared.core.errors import RequestRefused
from shared.core.messages import Bypass
from shared.spec.lake import Lake
from tests.fakes import START
from tests.machine import column, rule, table

WANTED = Bypass(
    table="silver.orders", rule="amount_positive", approver="ann@desk", ticket="OPS-7", reason="refunds", expires=START + timedelta(days=30)
)
ON_EMAIL = replace(rule("email_is_one"), kwargs={"condition": "email LIKE '%@%'"})
LAKE = Lake(
    tables=(
        table("bronze.orders", "append", rules=(rule("rejects"), replace(rule("shares"), tolerance_written=True), rule("whole", kind="table"))),
        table(
            "silver.orders",
            "merge",
            inputs=("bronze.orders",),
            columns=(column("id", key=1), replace(column("email"), classification="restricted")),
            rules=(rule("amount_positive"), rule("fresh", severity="warning"), ON_EMAIL),
        ),
    ),
    environments={},
)


@pytest.mark.parametrize(
    ("name", "known"), [("silver.orders", "amount_positive"), ("bronze.orders", "shares"), ("bronze.orders", "whole")], ids=" ".join
)
def test_an_exception_from_a_rule_that_halts_is_granted_for_up_to_30_days(name, known):
    """The very last moment included."""
    wanted = replace(WANTED, table=name, rule=known)

    assert wanted == granted(LAKE, wanted, at=START)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"table": "silver.order"}, "Did you mean 'silver.orders'?"),
        ({"rule": "amount_positiv"}, "Did you mean 'amount_positive'?"),
        ({"rule": "zzz"}, "There are amount_positive, email_is_one, fresh."),
        ({"rule": "email_is_one"}, "never bypassed"),
        ({"rule": "fresh"}, "a warning already"),
        ({"table": "bronze.orders", "rule": "rejects"}, "`reject_tolerance` in lake/bronze.orders.yaml"),
        ({"reason": "  "}, "needs a reason"),
        ({"ticket": ""}, "needs a ticket"),
        ({"expires": START}, "is past"),
        ({"expires": START + timedelta(days=30, seconds=1)}, "at most 30 days"),
    ],
)
def test_what_may_not_be_bypassed_is_refused_with_why(changes, says):
    """An exception that would change nothing, or too much, is not written down."""
    with pytest.raises(RequestRefused) as refused:
        granted(LAKE, replace(WANTED, **changes), at=START)

    assert says in str(refused.value)
