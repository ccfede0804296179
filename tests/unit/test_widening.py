"""Which source type is wider than a contract's: told by the values each can hold, not by a list of pairs."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.core.widening import is_wider

WHOLE = {"tinyint": 2**7 - 1, "smallint": 2**15 - 1, "int": 2**31 - 1, "bigint": 2**63 - 1}
DECIMALS = st.integers(1, 38).flatmap(lambda precision: st.tuples(st.just(precision), st.integers(0, precision)))
EXACT = st.sampled_from(sorted(WHOLE)) | DECIMALS.map(lambda size: f"decimal({size[0]},{size[1]})")


def largest_and_scale(kind):
    """The greatest whole part a type holds, and its digits after the point."""
    if kind in WHOLE:
        return WHOLE[kind], 0
    precision, scale = map(int, kind.removeprefix("decimal(").removesuffix(")").split(","))
    return 10 ** (precision - scale) - 1, scale


@given(source=EXACT, contract=EXACT)
@example(source="decimal(10,0)", contract="int")  # as many digits, and more than 2,147,483,647
@example(source="decimal(9,0)", contract="int")
@example(source="int", contract="decimal(10,0)")
def test_an_exact_number_is_wider_exactly_when_it_can_give_what_does_not_fit(source, contract):
    """A greater whole part or more digits after the point; nothing else halts a table, and nothing of that passes."""
    (most, scale), (room, held) = largest_and_scale(source), largest_and_scale(contract)

    assert (most > room or scale > held) is is_wider(source, contract)


@pytest.mark.parametrize(
    ("source", "contract", "wider"),
    [
        ("double", "float", True),
        ("float", "double", False),
        ("timestamp", "date", True),
        ("timestamp_ntz", "date", True),
        ("date", "timestamp", False),
        ("timestamp_ntz", "timestamp", False),
        ("timestamp", "timestamp_ntz", False),
    ],
)
def test_floats_and_times_have_an_order_of_their_own(source, contract, wider):
    """A zone makes no time wider: without one it is taken for UTC."""
    assert wider is is_wider(source, contract)


@pytest.mark.parametrize("other", ["string", "boolean", "binary", "array<int>"])
@pytest.mark.parametrize("kind", ["int", "decimal(12,2)", "double", "date", "timestamp", "string"])
def test_what_has_no_order_never_halts(kind, other):
    """The shop's quantity is text and its contract says int: each value is conformed by itself, as ever."""
    assert not is_wider(other, kind)
    assert not is_wider(kind, other)


@pytest.mark.parametrize(("source", "contract"), [("double", "decimal(12,2)"), ("decimal(38,10)", "double"), ("bigint", "float")])
def test_exact_and_floating_numbers_are_not_compared(source, contract):
    """Neither holds all the other's values."""
    assert not is_wider(source, contract)
