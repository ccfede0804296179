"""Which column types a stored table takes on by itself: wider ones that hold every value it has. Pure; types are Spark's own spelling."""

import re

_WHOLE = ("tinyint", "smallint", "int", "bigint")
_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)")


def is_widened(old: str, new: str) -> bool:
    """Whether every value of `old` is one of `new`, written the same: row ids and digests are made of texts, and stay as they are.

    A decimal with more digits after the point, or a double for a float, is written otherwise, and is another column.
    """
    if old in _WHOLE and new in _WHOLE:
        return _WHOLE.index(new) > _WHOLE.index(old)
    had, has = _DECIMAL.fullmatch(old), _DECIMAL.fullmatch(new)
    return had is not None and has is not None and int(has[1]) > int(had[1]) and has[2] == had[2]
