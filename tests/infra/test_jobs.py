"""What stands between Glue and a step: arguments, connections, and the line by which a failed job is known."""

import ast
import json
from types import SimpleNamespace

import pytest

import shared.job
from infra.bundling import ROOT
from shared.aws.secrets import Credentials
from shared.core.errors import LockHeld, SecretMissing
from tests.infra.tides import environment, source, table

STAGES = ("ingest", "refine", "stage", "publish")
GLUES_OWN = ["--job-language", "python", "--enable-metrics", "true", "--custom-logGroup-prefix", "/aws-glue/sluice-local-ingest", "--JOB_ID", "j_1"]


def test_a_job_takes_its_arguments_among_glues_own():
    """Glue hands over everything it was started with; nothing is taken for an abbreviation."""
    argv = [*GLUES_OWN, "--environment", "local", "--run", "run-1", "--fence", "7", "--group", "slow", "--JOB_RUN_ID", "jr_1", "--targ", "x"]

    taken, _ = shared.job._parser().parse_known_args(argv)

    assert ("local", "run-1", 7, "slow", "jr_1", None) == (
        taken.environment,
        taken.run,
        taken.fence,
        taken.group,
        taken.JOB_RUN_ID,
        taken.target,
    )


def test_a_job_without_its_run_does_not_start(capsys):
    """Absence is an error."""
    with pytest.raises(SystemExit):
        shared.job._parser().parse_known_args(["--environment", "local", "--fence", "7", "--group", "slow", "--JOB_RUN_ID", "jr_1"])

    assert "--run" in capsys.readouterr().err


def test_an_error_of_ours_ends_the_job_with_one_line(monkeypatch):
    """The last line of standard error is what Glue, Step Functions and the alert show."""
    monkeypatch.setattr(shared.job, "job_context", lambda stage, argv: None)

    def refuse(ctx):
        raise LockHeld("the lake is held by run run-0\n  since 04:00")

    with pytest.raises(SystemExit) as ended:
        shared.job.run_job("ingest", refuse)

    assert "LockHeld: the lake is held by run run-0 since 04:00" == ended.value.code


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch):
    """Only the family of known errors is shortened."""
    monkeypatch.setattr(shared.job, "job_context", lambda stage, argv: None)

    with pytest.raises(ZeroDivisionError):
        shared.job.run_job("ingest", lambda ctx: 1 / 0)


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        (Credentials(username="u", password="p"), ("127.0.0.1", 5432, "harbour")),
        (Credentials(username="u", password="p", host="db.example", port=6432), ("db.example", 6432, "harbour")),
    ],
)
def test_a_secrets_place_wins_over_the_contracts(secret, expected):
    """The laptop's port is known only when it is up; production's host may be nobody's to read."""
    tides = table("bronze.tides", load="append", source=source())

    made = shared.job.connection(tides, tides.source.servers[0], SimpleNamespace(server=lambda name: secret), environment())

    assert expected == (made.host, made.port, made.database)
    assert "p'" not in repr(made)


def test_a_place_that_nobody_names_is_an_error():
    """The message says where to write it."""
    tides = table("bronze.tides", load="append", source=source())
    nowhere = SimpleNamespace(name="tower", host=None, port=5432, database=None)

    with pytest.raises(SecretMissing, match=r"server 'tower' of local has no host, database; .*secrets\.servers\.tower"):
        shared.job.connection(tides, nowhere, SimpleNamespace(server=lambda name: Credentials(username="u", password="p")), environment())


@pytest.mark.parametrize("stage", STAGES)
def test_a_script_does_its_own_step_and_nothing_else(stage):
    """Glue uploads one file per job: all it knows must come from the zip."""
    text = (ROOT / "glue_jobs" / f"{stage}.py").read_text()

    modules = [node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
    assert [f"shared.core.steps.{stage}", "shared.job"] == modules
    assert f'run_job("{stage}", {stage})' in text
    assert len(text.splitlines()) <= 60


def test_the_template_starts_each_script_with_arguments_it_takes(assembly):
    """Default arguments of the job and those of the state machine are, together, all that the script requires."""
    text = json.loads((ROOT / "step_functions" / "lake.asl.json").read_text())
    given = text["States"]["Ingest"]["ItemProcessor"]["States"]["IngestGroup"]["Arguments"]["Arguments"]
    (job,) = [job for job in assembly.properties("local", "compute", "AWS::Glue::Job") if job["Name"] == "sluice-local-ingest"]
    values = {**job["DefaultArguments"], **given, "--fence": "7", "--JOB_RUN_ID": "jr_1"}

    taken, _ = shared.job._parser().parse_known_args([part for item in values.items() for part in item])

    assert "local" == taken.environment
