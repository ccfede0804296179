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
    assert "dev" == workflow["jobs"]["prod"]["needs"]


def test_nothing_is_deployed_or_merged_that_was_not_checked_and_tested(workflow):
    """A contract that breaks its readers is seen before it is merged; main, which the comparison needs, is fetched."""
    check = workflow["jobs"]["check"]

    assert ["make check", ".venv/bin/sluice contracts diff origin/main", "make test"] == commands(check)
    assert {"fetch-depth": 0} == check["steps"][0]["with"]
    assert "if" not in check
    assert ["github.event_name == 'pull_request'"] == [step["if"] for step in check["steps"] if "if" in step]
    assert {"pull_request", "push"} == set(workflow["on"])
    for name in set(workflow["jobs"]) - {"check"}:
        assert "check" in needed(workflow, name)


def test_a_diff_looks_into_its_own_environments_account(workflow):
    """A role of one account is not trusted by another's bootstrap; and nobody who looks is somebody who deploys."""
    environments = tomllib.loads((ROOT / "lake/environments.toml").read_text())["environments"]
    diff = workflow["jobs"]["diff"]
    looking = {one["environment"]: one["role"] for one in diff["strategy"]["matrix"]["include"]}

    assert {"dev", "prod"} == set(looking) <= set(environments)
    assert {name: f"DIFF_ROLE_{name.upper()}" for name in looking} == looking
    assert ["${{ vars[matrix.role] }}"] == [step["with"]["role-to-assume"] for step in diff["steps"] if "role-to-assume" in step.get("with", {})]
    assert "environment" not in diff


def needed(workflow, name):
    """What must have passed before a job, at whatever distance."""
    direct = workflow["jobs"][name].get("needs", [])
    direct = [direct] if isinstance(direct, str) else direct
    return {*direct, *(further for one in direct for further in needed(workflow, one))}


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

    called = {command.split()[1] for job in workflow["jobs"].values() for command in commands(job) if command.startswith("make ")}
    assert called <= targets
