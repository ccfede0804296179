"""The CI workflow against the project it deploys: targets, environments, regions and rights that exist."""

import re
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def workflow():
    return YAML(typ="safe").load((ROOT / ".github/workflows/deploy.yml").read_text())


def commands(job):
    return [step["run"] for step in job["steps"] if "run" in step]


def test_it_deploys_environments_that_there_are_where_they_are(workflow):
    """And each under the GitHub environment of its name, whose reviewers approve."""
    environments = tomllib.loads((ROOT / "lake/environments.toml").read_text())["environments"]
    deploying = {name: job for name, job in workflow["jobs"].items() if any("deploy --all" in command for command in commands(job))}

    assert {"dev", "prod"} == set(deploying)
    for name, job in deploying.items():
        (command,) = commands(job)
        assert command.endswith(f'-c env={name}"')
        assert name == job["environment"]
        regions = {step["with"]["aws-region"] for step in job["steps"] if "aws-region" in step.get("with", {})}
        assert {environments[name]["region"]} == regions
    assert set(workflow["jobs"]["diff"]["strategy"]["matrix"]["environment"]) <= set(environments)
    assert "dev" == workflow["jobs"]["prod"]["needs"]


def test_it_keeps_no_keys_and_runs_no_fork_with_credentials(workflow):
    """A role for a while, by OIDC."""
    text = (ROOT / ".github/workflows/deploy.yml").read_text()

    assert "secrets." not in text
    assert {"contents": "read", "id-token": "write"} == workflow["permissions"]
    assert "head.repo.full_name == github.repository" in workflow["jobs"]["diff"]["if"]
    assert "pull_request_target" not in text


def test_it_calls_targets_that_make_has(workflow):
    """A workflow is run for the first time by whoever copies the template."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))

    called = {command.split()[1] for job in workflow["jobs"].values() for command in commands(job)}
    assert called <= targets
