"""What ships: one folder for all Lambdas and one zip for all Glue jobs, byte for byte the same for the same sources. No Docker.

Both hold `shared/`, the compiled lake as `shared/spec/lake.json`, and the wheels of `requirements/bundle.txt`: pure Python only, so that the
laptop's Python runs what AWS runs. The wheels are installed once per content of that file and kept in `.cache/bundle/`.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shared.spec.lake import Lake, lake_text

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements" / "bundle.txt"
CACHE = ROOT / ".cache" / "bundle"
LAKE_JSON = "shared/spec/lake.json"
# Spark code and the wiring of its jobs: no Lambda can import pyspark.
SPARK_ONLY = ("shared/spark/", "shared/job.py")
# The files that pip writes beside a wheel's own and that name this machine.
OF_PIP = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
EPOCH = (1980, 1, 1, 0, 0, 0)


class BundleError(RuntimeError):
    """The wheels could not be installed; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundles:
    """Paths that live as long as the context that made them."""

    functions: Path
    jobs: Path


@contextmanager
def bundles_of(lake: Lake, *, root: Path = ROOT) -> Iterator[Bundles]:
    """Both bundles in a temporary folder; CDK copies them into its own when a stack takes them."""
    wheels = _files_below(installed_wheels(), "**/*")
    compiled = {LAKE_JSON: lake_text(lake).encode()}
    shared = _files_below(root, "shared/**/*.py")
    lambdas = _files_below(root, "lambdas/**/*.py")
    without_spark = {name: body for name, body in shared.items() if not name.startswith(SPARK_ONLY)}
    with tempfile.TemporaryDirectory(prefix="sluice-bundle-") as folder:
        bundles = Bundles(functions=Path(folder) / "functions", jobs=Path(folder) / "jobs.zip")
        _write_folder(bundles.functions, {**wheels, **without_spark, **lambdas, **compiled})
        _write_zip(bundles.jobs, {**wheels, **shared, **compiled})
        yield bundles


def installed_wheels(requirements: Path = REQUIREMENTS, cache: Path = CACHE) -> Path:
    """The folder with the wheels of `requirements`; installs them if this very text was not installed before. Raises BundleError."""
    folder = cache / hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        target = Path(scratch) / "wheels"
        _install(requirements, target)
        _strip(target)
        if not folder.is_dir():
            target.rename(folder)
    return folder


def _install(requirements: Path, target: Path) -> None:
    # abi `none` and platform `any`: pip itself refuses a wheel with compiled code.
    wanted = ["--platform", "any", "--abi", "none", "--implementation", "py", "--python-version", "3.13", "--only-binary=:all:"]
    quiet = ["--no-compile", "--no-deps", "--disable-pip-version-check", "--no-input", "--quiet"]
    command: Sequence[str] = [sys.executable, "-m", "pip", "install", *wanted, *quiet, "--require-hashes", "-r", str(requirements), "-t", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BundleError(
            f"{requirements.name}: pip could not install the bundle's wheels (only pure-Python wheels are allowed, pip must be in this environment, "
            f"and the first time needs the package registry):\n{done.stderr.strip()}"
        )


def _strip(target: Path) -> None:
    """Leave what runs: no scripts (their first line names this machine's Python), no records of the installation."""
    shutil.rmtree(target / "bin", ignore_errors=True)
    for record in target.glob("*.dist-info/*"):
        if record.name in OF_PIP:
            record.unlink()


def _files_below(root: Path, pattern: str) -> dict[str, bytes]:
    found = {path.relative_to(root).as_posix(): path for path in root.glob(pattern) if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if "__pycache__" not in path.parts}


def _write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, body in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)


def _write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, date_time=EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name])
