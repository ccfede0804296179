"""What `sluice doctor` asks an account about, held against the templates that would be deployed there."""

import json
import re

import pytest
from botocore.exceptions import ClientError

from cli.doctor_found import Account
from cli.doctor_names import asked_names, asked_stacks, name_lines
from cli.doctor_quotas import need_of
from cli.doctor_sources import source_lines
from infra.compute import SPARE_RUNS
from shared.spec.environment import Workers
from tests.infra.tides import lake

ENVIRONMENTS = ("local", "dev", "prod", "quay")

# Named things that no deployment stumbles over.
NOT_ASKED = {
    ("AWS::StepFunctions::StateMachineAlias", "Name"): "it is within its state machine",
    ("AWS::Glue::Table", "TableInput.Name"): "it is within its database",
    ("AWS::IAM::Policy", "PolicyName"): "it is within a role that the stack makes, under a name that CloudFormation gives",
}
# What ends in Name and is another's.
NOT_ITS_OWN = {("AWS::CloudWatch::Alarm", "MetricName"), ("AWS::EC2::VPCEndpoint", "ServiceName")}


@pytest.fixture(params=ENVIRONMENTS)
def environment(request):
    return lake().environment(request.param)


def templates(assembly, environment):
    return [json.loads((assembly.folder / stack["properties"]["templateFile"]).read_text()) for stack in assembly.stacks(environment.name)]


def fixed_names(assembly, environment):
    """CloudFormation type, property and name of everything that templates name: literal texts, not references to what is named elsewhere."""
    for template in templates(assembly, environment):
        for resource in template["Resources"].values():
            properties = resource.get("Properties", {})
            inner = {f"{key}.": value for key, value in properties.items() if key.endswith("Input") and isinstance(value, dict)}
            for prefix, held in {"": properties, **inner}.items():
                for key, value in held.items():
                    if (key.endswith("Name") or key == "TagKey") and isinstance(value, str) and (resource["Type"], key) not in NOT_ITS_OWN:
                        yield resource["Type"], f"{prefix}{key}", value


def test_every_name_that_a_template_gives_is_asked_about(assembly, environment):
    """A name that is taken breaks a deployment half-way: whoever adds a named thing adds the question, or says why there is none."""
    given = set(fixed_names(assembly, environment))

    assert {(kind, name) for kind, key, name in given if (kind, key) not in NOT_ASKED} == asked_names(lake(), environment) - unscheduled(environment)


def test_every_exception_is_one(assembly):
    """What no template names any more needs no reason."""
    given = {(kind, key) for name in ENVIRONMENTS for kind, key, _ in fixed_names(assembly, lake().environment(name))}

    assert set(NOT_ASKED) <= given


def test_every_stack_is_asked_about(assembly, environment):
    """An account may hold any of them; only one with a VPC gets them all."""
    deployed = {stack["properties"]["templateFile"].removesuffix(".template.json") for stack in assembly.stacks(environment.name)}
    without = set() if environment.network else {f"{environment.prefix}-network"}

    assert deployed | without == set(asked_stacks(environment))


def test_names_that_are_taken_are_told(environment):
    """Asked about is asked: in an account that has everything, every name is in the way."""
    told = " ".join(line.found for line in name_lines(lake(), Account(environment, Everything(lake(), environment).client)) if not line.ok)

    assert set() == {name for _, name in asked_names(lake(), environment) if not re.search(rf"(?<![\w./-]){re.escape(name)}(?![\w/-])", told)}


def test_quotas_are_compared_with_what_the_templates_ask_for(assembly, environment):
    """Of the stage that asks for most: a run for each group, each with all the workers that its state gives it."""
    made, need = lake(), need_of(lake(), environment)
    (jobs,) = [of_type(template, "AWS::Glue::Job") for template in templates(assembly, environment) if of_type(template, "AWS::Glue::Job")]
    stages = {job["Name"].rpartition("-")[2]: job for job in jobs}

    runs = {stage: job["ExecutionProperty"]["MaxConcurrentRuns"] - SPARE_RUNS for stage, job in stages.items()}
    dpus = {stage: sum(size.dpus for size in given_workers(assembly, environment, stage, job, made)) for stage, job in stages.items()}

    assert max(runs.values()) == need.runs
    assert max(dpus.values()) == need.dpus


def test_the_secrets_that_are_asked_about_are_those_that_roles_may_read(assembly, environment):
    """One that ingest may not read fails the first run, however whole it is."""
    asked = Everything(lake(), environment)
    list(source_lines(lake(), Account(environment, asked.client)))

    policies = [policy for template in templates(assembly, environment) for policy in of_type(template, "AWS::IAM::Policy")]
    statements = [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]
    readable = [one for one in statements if "secretsmanager:GetSecretValue" in one["Action"]]
    arns = [json.dumps(arn) for one in readable for arn in (one["Resource"] if isinstance(one["Resource"], list) else [one["Resource"]])]
    assert {re.search(r":secret:(.+)-\?{6}", arn)[1] for arn in arns} == asked.secrets


def unscheduled(environment):
    """Asked about though this environment makes none: without a schedule, what an earlier deployment with one left is still in the way."""
    return set() if environment.schedule else {("AWS::SQS::Queue", environment.missed_runs), ("AWS::Scheduler::Schedule", environment.scheduler)}


def of_type(template, kind):
    return [resource["Properties"] for resource in template["Resources"].values() if resource["Type"] == kind]


def given_workers(assembly, environment, stage, job, made):
    """Of every run that the stage starts at once, as the state machine's text gives them; publish has those of its job."""
    usual = Workers(type=job["WorkerType"], count=job["NumberOfWorkers"], timeout_minutes=job["Timeout"])
    groups = {table.group for table in made.of_stage(stage)} if stage != "publish" else {None}
    (text,) = [
        json.dumps(machine["DefinitionString"])
        for template in templates(assembly, environment)
        for machine in of_type(template, "AWS::StepFunctions::StateMachine")
    ]
    for group in groups:
        own = environment.groups.get(f"{stage}.{group}")
        if own is None:
            yield usual
        else:
            assert re.search(rf"'{group}'\W+{own.count}\b", text.replace("\\", "")), f"{stage}.{group} is not in the machine"
            yield own


class Everything:
    """An account in which whatever is asked for is there, and no stack is; but for secrets, which it only remembers."""

    def __init__(self, made, environment):
        self.names, self.secrets = [name for _, name in asked_names(made, environment)], set()

    def client(self, service):
        return Answering(self, service)


class Answering:
    def __init__(self, account, service):
        self._account, self._service = account, service

    def __getattr__(self, operation):
        return lambda **asked: self._answer(operation, asked)

    def get_paginator(self, operation):
        return self

    def paginate(self, **asked):
        every = {"Buckets": "Name", "Aliases": "AliasName", "logGroups": "logGroupName", "MetricAlarms": "AlarmName"}
        return [{key: [{name: one} for one in self._account.names] for key, name in every.items()}]

    def _answer(self, operation, asked):
        if "SecretId" in asked:
            self._account.secrets.add(asked["SecretId"])
        absent = {"describe_stacks": "ValidationError", "get_secret_value": "ResourceNotFoundException", "list_objects_v2": "NoSuchBucket"}
        if operation in absent or "SecretId" in asked:
            raise ClientError({"Error": {"Code": absent.get(operation, "ResourceNotFoundException")}}, operation)
        return {}
