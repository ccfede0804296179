"""Secrets Manager, against moto: an absent secret says where it was looked for, and no text of ours ever holds a value."""

import json
from unittest.mock import patch

import boto3
import pytest
from moto import mock_aws

from shared.aws.secrets import Credentials, Secrets
from shared.core.errors import SecretMissing
from shared.spec.environment import Environment, Workers
from shared.spec.environment import Secrets as Names

ENVIRONMENT = Environment(
    name="test",
    account="000000000000",
    region="eu-central-1",
    keeps_data=False,
    max_windows=3,
    log_retention_days=7,
    workers=Workers(type="G.1X", count=2, timeout_minutes=60),
    schedule=None,
    secrets=Names(mask_key="sluice/test/mask-key", servers={"shop": "sluice/test/shop"}),
)
PASSWORD = "hunter2-never-shown"
PLACE = r"lake/environments.toml: \[environments.test\] "


@pytest.fixture(scope="module")
def cloud():
    with mock_aws(), patch.dict("os.environ", {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}):
        yield boto3.client("secretsmanager", region_name="eu-central-1")


@pytest.fixture
def vault(cloud):
    yield cloud
    for name in ("sluice/test/mask-key", "sluice/test/shop"):
        cloud.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)


def test_the_mask_key_is_the_bytes_of_the_secret(vault):
    """Text and binary secrets give the same key for the same bytes, so that masks stay what they were."""
    secret = vault.create_secret(Name="sluice/test/mask-key", SecretString="kä")
    assert "kä".encode() == Secrets(ENVIRONMENT, client=vault).mask_key()

    vault.delete_secret(SecretId=secret["ARN"], ForceDeleteWithoutRecovery=True)
    vault.create_secret(Name="sluice/test/mask-key", SecretBinary="kä".encode())
    assert "kä".encode() == Secrets(ENVIRONMENT, client=vault).mask_key()


def test_a_missing_mask_key_says_where_it_was_looked_for(vault):
    """Secret's name, environment, file and field are all in the message."""
    with pytest.raises(SecretMissing, match=PLACE + r"secrets.mask_key names secret 'sluice/test/mask-key', which does not exist .* eu-central-1"):
        Secrets(ENVIRONMENT, client=vault).mask_key()


def test_an_empty_mask_key_is_a_missing_one(vault):
    """A mask under an empty key hides nothing."""
    vault.create_secret(Name="sluice/test/mask-key", SecretString=" \n")

    with pytest.raises(SecretMissing, match="which is empty"):
        Secrets(ENVIRONMENT, client=vault).mask_key()


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ({}, (None, None, None)),
        ({"host": "h", "port": 5432, "database": "d"}, ("h", 5432, "d")),
        ({"port": "5432", "engine": "x"}, (None, 5432, None)),
    ],
)
def test_credentials_may_say_where_the_server_is(vault, more, place):
    """As text or number, as RDS and people write it."""
    vault.create_secret(Name="sluice/test/shop", SecretString=json.dumps({"username": "sluice", "password": PASSWORD} | more))

    found = Secrets(ENVIRONMENT, client=vault).server("shop")

    host, port, database = place
    assert Credentials(username="sluice", password=PASSWORD, host=host, port=port, database=database) == found


def test_credentials_print_without_their_password(vault):
    """A log line or a traceback with the object in it gives nothing away."""
    held = Credentials(username="sluice", password=PASSWORD)

    assert PASSWORD not in f"{held!r} {held} {[held]}"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"password": PASSWORD}, "field 'username' is missing"),
        ({"username": "sluice"}, "field 'password' is missing"),
        ({"username": "sluice", "password": ""}, "field 'password' is missing"),
        ({"username": "sluice", "password": [PASSWORD]}, "field 'password' is missing or not a text"),
        ({"username": "sluice", "password": PASSWORD, "port": PASSWORD}, "field 'port' is not a number"),
        ([PASSWORD], "not a JSON object"),
        (PASSWORD, "not a JSON object"),
        (None, "not a JSON object"),
    ],
)
def test_a_secret_that_is_not_whole_names_the_field_and_no_value(vault, value, said):
    """The message, and whatever caused it, can be logged."""
    text = f"{{{PASSWORD}" if value is None else json.dumps(value)
    vault.create_secret(Name="sluice/test/shop", SecretString=text)

    with pytest.raises(SecretMissing, match=PLACE + "secrets.servers.shop names secret 'sluice/test/shop'.*" + said) as refused:
        Secrets(ENVIRONMENT, client=vault).server("shop")

    assert PASSWORD not in f"{refused.value!r} {refused.value.__cause__!r}"


def test_a_server_without_a_secret_lists_those_that_have_one(vault):
    """The setting to add is named."""
    with pytest.raises(SecretMissing, match=PLACE + r"secrets.servers.crm is not there \(servers with a secret: shop\)"):
        Secrets(ENVIRONMENT, client=vault).server("crm")


def test_a_secret_marked_for_deletion_is_a_missing_one(vault):
    """It cannot be read any more."""
    vault.create_secret(Name="sluice/test/shop", SecretString="{}")
    vault.delete_secret(SecretId="sluice/test/shop")

    with pytest.raises(SecretMissing, match="does not exist"):
        Secrets(ENVIRONMENT, client=vault).server("shop")
