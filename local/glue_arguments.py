"""A Glue job's own arguments, read as Glue reads them: which are Glue's, which the script's, and how one `--conf` holds many."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from local.errors import LaptopError

# Glue takes these for itself; everything else reaches the script. On the laptop shipped jars have nothing to come before: no driver of another
# version is in its class path (local/spark_conf.py).
_GLUES_OWN = ("--conf", "--extra-py-files", "--extra-jars", "--user-jars-first", "--datalake-formats")
# Glue installs packages or reads files that the laptop would silently leave out.
_UNSUPPORTED = ("--additional-python-modules", "--extra-files")


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What `spark-submit` is told of a job."""

    conf: tuple[str, ...]  # key=value
    py_files: tuple[str, ...]  # s3:// addresses, or where their copies lie
    jars: tuple[str, ...]  # s3:// addresses, or where their copies lie
    formats: str

    @property
    def of_the_jvm(self) -> "Submission":
        """Less the Python files: jobs that are equal in this can run in the same JVM."""
        return replace(self, py_files=())


def submission(arguments: Mapping[str, str]) -> Submission:
    """Glue's own part. Raises LaptopError for what the laptop cannot do."""
    refused = [name for name in _UNSUPPORTED if arguments.get(name)]
    if refused:
        raise LaptopError(f"job argument {', '.join(refused)}: the laptop does not do this; ship the code in --extra-py-files")
    return Submission(
        conf=split_conf(arguments.get("--conf", "")),
        py_files=_addresses(arguments.get("--extra-py-files", "")),
        jars=_addresses(arguments.get("--extra-jars", "")),
        formats=arguments.get("--datalake-formats", ""),
    )


def split_conf(value: str) -> tuple[str, ...]:
    """`a=1 --conf b=2` is two settings. Raises LaptopError when a part is no `key=value`."""
    parts = tuple(part.strip() for part in f" {value}".split(" --conf ") if part.strip())
    for part in parts:
        if "=" not in part:
            raise LaptopError(f"job argument --conf: '{part}' is not key=value; further settings are chained as 'a=1 --conf b=2'")
    return parts


def script_arguments(arguments: Mapping[str, str]) -> Sequence[str]:
    """What the script finds in `sys.argv`; an argument without a value stands alone."""
    return [part for name, value in arguments.items() if name not in _GLUES_OWN for part in ((name, value) if value else (name,))]


def _addresses(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())
