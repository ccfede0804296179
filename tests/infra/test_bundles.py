"""What ships to AWS: complete, pure Python, the same bytes each time."""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from infra.access import FUNCTIONS
from infra.bundling import ROOT, BundleError, bundles_of, installed_wheels
from shared.spec.lake import lake_text
from tests.infra.tides import lake

PROBE = "import sys; sys.modules.update(dict.fromkeys(['pyspark', 'delta', 'compiler', 'aws_cdk'])); "


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """Both bundles, kept: the functions' folder and the jobs' zip."""
    kept = tmp_path_factory.mktemp("shipped")
    with bundles_of(lake()) as bundles:
        shutil.copytree(bundles.functions, kept / "functions")
        shutil.copy(bundles.jobs, kept / "jobs.zip")
    return kept


@pytest.fixture(scope="module")
def in_functions(shipped):
    return {path.relative_to(shipped / "functions").as_posix() for path in (shipped / "functions").rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def in_jobs(shipped):
    with zipfile.ZipFile(shipped / "jobs.zip") as archive:
        return set(archive.namelist())


def python(code, *path):
    """Run code in a Python that finds nothing of this repository but `path`."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }
    return subprocess.run([sys.executable, "-c", code], cwd="/", env=environment, capture_output=True, text=True, check=False)


def test_both_bundles_hold_pure_python_only(shipped, in_functions, in_jobs):
    """The laptop's Python and arm64 Lambdas run the very same files."""
    for name in in_functions | in_jobs:
        assert Path(name).suffix not in (".so", ".pyd", ".dylib", ".pyc"), name
    wheels = list((shipped / "functions").glob("*.dist-info/WHEEL"))
    tags = {line.split(": ")[1] for wheel in wheels for line in wheel.read_text().splitlines() if line.startswith("Tag: ")}
    assert 4 <= len(wheels)
    assert all(tag.endswith("-none-any") for tag in tags)


def test_a_wheel_with_compiled_code_is_refused(tmp_path):
    """pip itself says no: of everything a release offers, only wheels for any platform will do."""
    wheel = tmp_path / "gauge-1.0-cp313-cp313-manylinux_2_17_x86_64.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("gauge-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: gauge\nVersion: 1.0\n")
    hashed = hashlib.sha256(wheel.read_bytes()).hexdigest()
    requirements = tmp_path / "bundle.txt"
    requirements.write_text(f"--no-index\n--find-links {tmp_path}\ngauge==1.0 --hash=sha256:{hashed}\n")

    with pytest.raises(BundleError, match="No matching distribution found for gauge==1.0"):
        installed_wheels(requirements, tmp_path / "cache")

    assert not list((tmp_path / "cache").iterdir())


def test_the_compiled_lake_is_in_both_and_not_in_the_source_tree(shipped):
    """Code and lake are one bundle: a run pins its hash."""
    text = lake_text(lake())

    assert text == (shipped / "functions" / "shared" / "spec" / "lake.json").read_text()
    with zipfile.ZipFile(shipped / "jobs.zip") as archive:
        assert text == archive.read("shared/spec/lake.json").decode()
    assert not (ROOT / "shared" / "spec" / "lake.json").exists()


def test_functions_carry_no_spark_and_nothing_of_development(in_functions):
    """A Lambda that could import pyspark would one day do it."""
    assert not [name for name in in_functions if name.startswith(("shared/spark/", "shared/job.py", "glue_jobs/"))]
    assert not [name for name in in_functions if name.startswith(("tests/", "compiler/", "infra/", "local/", "cli/", "bin/"))]
    assert {f"lambdas/{name}/handler.py" for name in FUNCTIONS} <= in_functions


def test_jobs_carry_spark_and_no_lambda(in_jobs):
    """The scripts find everything but pyspark and boto3, which Glue has, in the zip."""
    assert {"shared/__init__.py", "shared/job.py", "shared/spark/__init__.py", "shared/core/job.py"} <= in_jobs
    assert not [name for name in in_jobs if name.startswith(("lambdas/", "tests/", "compiler/", "infra/", "local/", "cli/", "bin/"))]


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_handler_imports_from_its_bundle_with_pyspark_blocked(shipped, name):
    """The handler's path in the template is where the function is."""
    done = python(PROBE + f"import lambdas.{name}.handler as module; assert callable(module.handler); print(module.__file__)", shipped / "functions")

    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith(str(shipped / "functions"))


def test_the_shipped_lake_is_read_out_of_the_zip(shipped):
    """Glue puts the zip itself on the path."""
    code = "import tenacity, aws_lambda_powertools; from shared.spec.lake import shipped_lake; print(shipped_lake().hash)"

    done = python(code, shipped / "jobs.zip")

    assert hashlib.sha256(lake_text(lake()).encode()).hexdigest() == done.stdout.strip(), done.stderr


def test_the_same_sources_give_the_same_bytes(shipped):
    """Order of files and times of day leave no trace: an unchanged job is not deployed again."""
    with bundles_of(lake()) as again:
        assert (shipped / "jobs.zip").read_bytes() == again.jobs.read_bytes()


def test_wheels_are_installed_once(tmp_path):
    """The second synthesis needs no network."""
    (tmp_path / "bundle.txt").write_text("not a requirement, and never read by pip")
    ready = tmp_path / "cache" / hashlib.sha256((tmp_path / "bundle.txt").read_bytes()).hexdigest()[:16]
    ready.mkdir(parents=True)

    assert ready == installed_wheels(tmp_path / "bundle.txt", tmp_path / "cache")
