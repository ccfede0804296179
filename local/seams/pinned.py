"""Holds a seam to the MiniStack it was written for: names it replaces, their parameters, and what moved when one is gone."""

import inspect
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Any

from local.errors import LaptopError

VERSION = "1.5.33"


class SeamMoved(LaptopError):
    """MiniStack is not as a seam knows it."""


def found_version() -> str:
    return version("ministack")


def module(name: str) -> Any:
    """A MiniStack module, as `services.glue`."""
    try:
        return import_module(f"ministack.{name}")
    except ImportError as missing:
        raise moved(name) from missing


def moved(what: str) -> SeamMoved:
    return SeamMoved(f"ministack {found_version()}: {what} has moved; the seams know {VERSION}. Install ministack=={VERSION}, or mend local/seams/")


def functions(name: str, known: Mapping[str, Sequence[str]]) -> Any:
    """A module in which every function of `known` takes exactly these parameters. Raises SeamMoved naming the first that does not."""
    found = module(name)
    for function, parameters in known.items():
        present = getattr(found, function, None)
        if not callable(present):
            raise moved(f"{name}.{function}")
        actual = tuple(inspect.signature(present).parameters)
        if actual != tuple(parameters):
            raise moved(f"{name}.{function}({', '.join(parameters)}), now ({', '.join(actual)}),")
    return found


def mapping(found: Any, name: str) -> Any:
    """A module's dictionary. Raises SeamMoved when it is gone or something else."""
    value = getattr(found, name, None)
    if value is None or not hasattr(value, "__getitem__") or not hasattr(value, "get"):
        raise moved(f"{found.__name__.removeprefix('ministack.')}.{name}")
    return value


def expect(what: str, actual: object, wanted: object) -> None:
    """A behaviour probe: SeamMoved when MiniStack, with the seam in place, does not behave."""
    if actual != wanted:
        raise moved(f"{what} (it answers {actual!r}, not {wanted!r}) and therefore something behind it")
