"""What a runbook tells a tired person to type exists."""

import re
from pathlib import Path

import boto3
import pytest
import typer.main

from cli.main import app

RUNBOOKS = sorted((Path(__file__).parents[2] / "runbooks").glob("*.md"))
OF_THE_LAKES_FOLDER = {"compile", "contracts"}  # the same for every environment
OF_THE_COMMAND_LINE_ALONE = {("logs", "tail"), ("s3", "rm")}


@pytest.mark.parametrize("runbook", RUNBOOKS, ids=lambda path: path.name)
def test_every_sluice_command_of_a_runbook_exists(runbook):
    """By its own name and that of its group."""
    text = runbook.read_text()
    commands = typer.main.get_command(app).commands

    for words in re.findall(r"`sluice (?:--env \S+ )?([a-z]+(?: [a-z]+)?)", text):
        first, _, second = words.partition(" ")
        assert first in commands, words
        inner = getattr(commands[first], "commands", None)
        assert inner is None or second in inner, words


@pytest.mark.parametrize("runbook", RUNBOOKS, ids=lambda path: path.name)
def test_every_sluice_command_of_a_runbook_names_the_environment(runbook):
    """Without one it asks the laptop's lake, and says that all is well there."""
    words = re.findall(r"`sluice\s+(--env \S+|[^\s`]+)", runbook.read_text())

    assert not [word for word in words if not word.startswith("--env ") and word not in OF_THE_LAKES_FOLDER]


@pytest.mark.parametrize("runbook", RUNBOOKS, ids=lambda path: path.name)
def test_every_aws_command_of_a_runbook_exists(runbook):
    """As a call of that service."""
    for service, action in re.findall(r"aws ([a-z0-9]+|stepfunctions) ([a-z-]+)", runbook.read_text()):
        known = hasattr(boto3.client(service, region_name="us-east-1"), action.replace("-", "_"))
        assert known or (service, action) in OF_THE_COMMAND_LINE_ALONE, f"aws {service} {action}"


@pytest.mark.parametrize("runbook", RUNBOOKS, ids=lambda path: path.name)
def test_every_runbook_that_another_names_is_there(runbook):
    """And every runbook says what happened before what to do."""
    text = runbook.read_text()

    assert set() == {name for name in re.findall(r"`runbooks/([a-z-]+\.md)`", text) if not (runbook.parent / name).is_file()}
    assert "**What happened.**" in text
    assert re.search(r"^1\. ", text, re.M)
