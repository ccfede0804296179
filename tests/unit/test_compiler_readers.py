"""Whom contracts open their tables to, and what they cannot open."""

import pytest

from compiler import compile_lake
from tests.unit.compiler_refusals import CHANGES, DIM, FACT, ORDERS, Wrong, assert_refused, copied, edit

DOMAIN = "domain: sales\n"


def opened(*roles: str) -> str:
    return f"roles: [{', '.join('{role: ' + role + '}' for role in roles)}]\ndomain: sales\n"


WRONG = [
    Wrong("unknown role", FACT, DOMAIN, opened("analist"), "analist", "unknown role 'analist'", "Did you mean 'analyst'?"),
    Wrong("layer", FACT, DOMAIN, opened("engineer"), "engineer", "role 'engineer' does not read gold", "analyst, steward"),
    Wrong("bronze", ORDERS, DOMAIN, opened("analyst"), "analyst", "role 'analyst' does not read bronze", "steward"),
    Wrong("classified", DIM, DOMAIN, opened("analyst"), "role: analyst", "'email' is classified, and an analyst reads a table whole", "steward"),
    Wrong("steward of nothing", FACT, DOMAIN, opened("steward"), "steward", "reads what is classified, and nothing here is", "Leave the role out"),
    Wrong("writing", FACT, DOMAIN, "roles: [{role: analyst, access: write}]\ndomain: sales\n", "write", "'write' is not an access", "access: read"),
    Wrong("domain", FACT, "domain: sales", "domain: sales & more", "domain:", "domain 'sales & more' cannot be the value of a tag", "letters"),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: f"{wrong.file}: {wrong.name}")
def test_it_is_refused_with_its_place_and_its_fix(wrong, tmp_path):
    """A grant that Lake Formation would not honour is a sentence in a contract that is not true."""
    assert_refused(wrong, tmp_path)


def test_a_contract_says_who_reads_its_table(tmp_path):
    """Nobody else does; and no batch is read again because somebody may read its table now."""
    lake = copied(tmp_path)
    before = compile_lake(lake)
    for file, roles in ((FACT, ["analyst"]), (DIM, ["steward"]), (CHANGES, ["steward", "engineer"]), (ORDERS, ["steward"])):
        edit(lake / file, DOMAIN, opened(*roles))

    after = compile_lake(lake)

    assert {
        "gold.fact_sales": ("analyst",),
        "gold.dim_customer": ("steward",),
        "silver.customer_changes": ("engineer", "steward"),
        "bronze.orders": ("steward",),
    } == {table.name: table.readers for table in after.tables if table.readers}
    assert [table.contract_hash for table in before.tables] == [table.contract_hash for table in after.tables]
    assert ("sales", "finance") == (after.table("gold.fact_sales").domain, after.table("bronze.fx_rates").domain)
    assert ("restricted", "public") == (after.table("gold.dim_customer").classification, after.table("gold.fact_sales").classification)
