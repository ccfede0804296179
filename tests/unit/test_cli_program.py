"""The program itself: help with examples everywhere, exit codes, and never a traceback for what we refuse ourselves."""

import re
import runpy
import sys
from pathlib import Path

import pytest
import typer.main
from botocore.exceptions import ClientError, NoCredentialsError
from typer.testing import CliRunner

from cli.main import app, aws_words
from local.errors import LaptopError
from shared.core.errors import LockHeld, StateUnavailable
from tests.unit.cli_desk import FakeDesk


def commands(group=None, path=()):
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


EVERY = dict(commands())


def test_the_program_runs_as_a_module_too(monkeypatch, capsys):
    """`python -m cli.main` is what there is where nothing was installed."""
    monkeypatch.setattr(sys, "argv", ["sluice", "--help"])
    monkeypatch.delitem(sys.modules, "cli.main")

    with pytest.raises(SystemExit) as ended:
        runpy.run_module("cli.main", run_name="__main__")

    assert 0 == ended.value.code
    assert "Usage" in capsys.readouterr().out


def test_every_command_that_was_promised_is_there():
    """What README and runbooks name."""
    promised = ["compile", "add", "plan", "run", "status", "sql", "doctor", "demo"]
    grouped = [
        ("runs", "list"),
        ("runs", "show"),
        *(("rejects", word) for word in ("list", "show", "replay")),
        ("local", "up"),
        ("local", "down"),
        ("local", "status"),
        ("shop", "trade"),
        ("contracts", "diff"),
        *(("bypass", word) for word in ("add", "list", "remove")),
    ]

    assert {*((name,) for name in promised), *grouped} == set(EVERY)


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_help_ends_with_examples_of_the_very_command(path):
    """Nobody has to guess how it is typed."""
    told = CliRunner().invoke(app, [*path, "--help"])

    assert 0 == told.exit_code
    assert re.search(rf"Examples:.*sluice .*{' '.join(path)}", re.sub(r"\s+", " ", told.stdout))


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_examples_are_commands_that_parse(path):
    """An example that is refused is worse than none."""
    for line in (EVERY[path].epilog or "").split("\n\n")[1:]:
        typed = line.split("#")[0].split(" > ")[0].strip()
        if not typed.startswith("sluice"):
            continue
        arguments = [part.strip('"') for part in re.findall(r'"[^"]*"|\S+', typed)][1:]
        options = {option for word in arguments if word.startswith("--") for option in [word]}
        known = {name for parameter in EVERY[path].params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--lake", "--env", "--home"}
        assert options <= known, line


def test_every_listing_has_json():
    """A program reads what a person reads."""
    without = {("demo",), ("local", "up"), ("local", "down")}

    assert set(EVERY) - without == {path for path, command in EVERY.items() if any("--json" in parameter.opts for parameter in command.params)}


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (LockHeld("the lake is held by run nightly"), 1, "LockHeld: the lake is held by run nightly"),
        (StateUnavailable("DynamoDB: no answer"), 1, "StateUnavailable: DynamoDB: no answer"),
        (LaptopError("the laptop is not up"), 1, "the laptop is not up"),
        (NoCredentialsError(), 1, "AWS_PROFILE"),
        (ClientError({"Error": {"Code": "AccessDenied", "Message": "not you"}}, "GetItem"), 1, "not you (AccessDenied)"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_what_we_refuse_is_words_and_an_exit_code(tmp_path, error, code, words):
    """A traceback is for our own bugs."""
    desk = FakeDesk(tmp_path)

    def broken(_desk):
        raise error

    desk.open = broken
    ended = desk.sluice("status")

    assert code == ended.exit_code
    assert words in ended.stderr
    assert "Traceback" not in ended.output


def test_a_missing_deployment_is_asked_about():
    """The commonest mistake on AWS: another account or region."""
    absent = ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "Requested resource not found"}}, "GetItem")

    assert "is the environment deployed" in aws_words(absent)


def test_an_unknown_environment_is_wrong_use(tmp_path):
    """With those there are."""
    ended = CliRunner().invoke(app, ["--lake", str(Path("lake")), "--env", "prd", "--home", str(tmp_path), "status"])

    assert 2 == ended.exit_code
    assert "environments.toml" in ended.stderr
    assert "prod" in ended.stderr


def test_a_laptop_that_is_down_is_told_with_the_command_that_starts_it(tmp_path):
    """The commonest mistake here."""
    ended = CliRunner().invoke(app, ["--home", str(tmp_path), "status"])

    assert 1 == ended.exit_code
    assert "sluice local up" in ended.stderr


@pytest.mark.parametrize("path", ["local up", "local down", "local status", "shop trade", "demo"])
def test_what_is_about_the_laptop_refuses_another_environment(tmp_path, path):
    """`--env prod shop trade` must not do anything, anywhere."""
    ended = CliRunner().invoke(app, ["--env", "prod", "--home", str(tmp_path), *path.split()])

    assert 2 == ended.exit_code
    assert "leave out --env prod" in ended.stderr


def test_a_laptop_that_is_down_says_so_in_json_too(tmp_path):
    """And exits 1, for scripts."""
    ended = CliRunner().invoke(app, ["--home", str(tmp_path), "local", "status", "--json"])

    assert 1 == ended.exit_code
    assert '"up": false' in ended.stdout
