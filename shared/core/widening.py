"""Whether a source's type holds more than the contract's: values that used to fit may then no longer. Pure; types are Spark's own spelling.

Only types that can be ordered are compared (decisions/0014):

whole numbers and decimals   one family: wider with more digits before the point, or more after it
float, double                one family: double is wider than float
date, timestamps             one family: a time is wider than a date

Every other pair, text on either side above all, is not comparable: it is conformed value by value, as ever.
"""

import re

_WHOLE_DIGITS = {"tinyint": 3, "smallint": 5, "int": 10, "bigint": 19}
_ORDER = {"float": ("floating", 1), "double": ("floating", 2), "date": ("time", 1), "timestamp": ("time", 2), "timestamp_ntz": ("time", 2)}
_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)")


def is_wider(source: str, contract: str) -> bool:
    """Whether `source` can give values that `contract` cannot hold. False for types that are not comparable."""
    given, held = _digits(source), _digits(contract)
    if given is not None and held is not None:
        return _more_digits(source, given, contract, held)
    if source in _ORDER and contract in _ORDER:
        (family, rank), (other, most) = _ORDER[source], _ORDER[contract]
        return family == other and rank > most
    return False


def _more_digits(source: str, given: tuple[int, int], contract: str, held: tuple[int, int]) -> bool:
    """A whole-number type does not hold all numbers of its most digits: a decimal with as many may exceed it."""
    if contract in _WHOLE_DIGITS and source not in _WHOLE_DIGITS:
        return given[1] > 0 or given[0] >= held[0]
    return given[0] > held[0] or given[1] > held[1]


def _digits(kind: str) -> tuple[int, int] | None:
    """Digits before and after the point; None for what is no exact number."""
    if kind in _WHOLE_DIGITS:
        return _WHOLE_DIGITS[kind], 0
    found = _DECIMAL.fullmatch(kind)
    return None if found is None else (int(found[1]) - int(found[2]), int(found[2]))
