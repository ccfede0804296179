"""Which types a stored column takes on by itself, against arithmetic: every value must be there, and be written as before."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.spec.stored_types import is_widened

BITS = {"tinyint": 7, "smallint": 15, "int": 31, "bigint": 63}
DECIMALS = st.tuples(st.integers(1, 38), st.integers(0, 38)).filter(lambda size: size[1] <= size[0]).map(lambda size: f"decimal({size[0]},{size[1]})")
TYPES = st.one_of(st.sampled_from([*BITS, "string", "float", "double", "date", "timestamp", "boolean", "binary"]), DECIMALS)


def greatest(kind):
    """The greatest value of an exact type, as it is written; None for other types."""
    if kind in BITS:
        return str(2 ** BITS[kind] - 1)
    if not kind.startswith("decimal"):
        return None
    digits, places = map(int, kind[8:-1].split(","))
    return f"{'9' * (digits - places)}{'.' if places else ''}{'9' * places}"


@settings(deadline=None)
@given(old=TYPES, new=TYPES)
def test_a_wider_type_of_the_same_kind_holds_the_greatest_value_as_it_is_written(old, new):
    """Neither the number nor its text may change: row ids are digests of texts."""
    was, now = greatest(old), greatest(new)
    same_kind = was is not None and now is not None and (old in BITS) == (new in BITS)
    as_written = same_kind and len(was.partition(".")[2]) == len(now.partition(".")[2]) and Decimal(now) > Decimal(was)

    assert as_written == is_widened(old, new)
