"""Owns how classes of the JVM are reached: each is looked up by name once, for every look-up is questions of their own."""

from typing import Any

from pyspark.sql import SparkSession


def java_class(spark: SparkSession, name: str) -> Any:
    """A class of the JVM, by its full name or one that PySpark imports. It and its static members are looked up once: one look-up costs more
    than most calls."""
    jvm = spark._jvm
    if name not in vars(jvm):
        setattr(jvm, name, _LookedUp(getattr(jvm, name)))  # PySpark too finds it there, without asking
    return getattr(jvm, name)


class _LookedUp:
    """A class of the JVM and those of its members that were asked for."""

    def __init__(self, found: Any) -> None:
        self._found = found

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._found, name)
        setattr(self, name, member)
        return member

    def __call__(self, *given: Any) -> Any:
        return self._found(*given)
