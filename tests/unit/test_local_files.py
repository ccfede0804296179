"""What the laptop reads and writes: assemblies, secrets, state, and what set-up says."""

import json
import shutil
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from local import jars, postgres, secret_values
from local.aws import Emulated
from local.deploy import stacks_of
from local.errors import LaptopError
from local.laptop import Laptop, NotUp
from local.postgres import Database
from local.setup import check_java, check_python
from local.spark_conf import class_path, process_environment, write_conf

AWS = Emulated(endpoint="http://127.0.0.1:4566", account="000000000000", region="us-east-1")
DATABASE = Database(host="127.0.0.1", port=5, redshift_port=6, name="shop", owner="o", owner_password="p", reader="r", reader_password="q")


def test_stacks_come_after_those_they_depend_on(tmp_path):
    """CloudFormation refuses an import whose export is not there yet."""

    def stack(name, *needs):
        return {"type": "aws:cloudformation:stack", "dependencies": [*needs, f"{name}.assets"], "properties": {"templateFile": f"{name}.json"}}

    artifacts = {"a": stack("a", "c"), "b": stack("b"), "c": stack("c", "b")}
    artifacts |= {f"{name}.assets": {"type": "cdk:asset-manifest"} for name in "abc"}
    (tmp_path / "manifest.json").write_text(json.dumps({"artifacts": artifacts}))

    assert ["b", "c", "a"] == [found.name for found in stacks_of(tmp_path)]


def test_a_users_own_server_must_be_whole(tmp_path):
    """The message names the file, the table and the field, never a value."""
    own = tmp_path / "secrets.toml"
    own.write_text('[servers.shop]\nusername = "u"\n')

    with pytest.raises(LaptopError, match=r"secrets\.toml: \[servers\.shop\] lacks \['password'\]"):
        secret_values.own_values(own)


def test_a_misspelt_field_is_told(tmp_path):
    """A `passwort` would otherwise connect without one."""
    own = tmp_path / "secrets.toml"
    own.write_text('[servers.shop]\nusername = "u"\npassword = "hush"\nprot = 1\n')

    with pytest.raises(LaptopError, match=r"does not know \['prot'\]") as refused:
        secret_values.own_values(own)

    assert "hush" not in str(refused.value)


def test_secrets_hold_the_reader_and_keep_the_mask_key(tmp_path):
    """The lake never gets the owner's password, and a new mask key would change every masked value."""
    client = put(tmp_path, shop="postgres")
    first = client.held["mask"]
    put(tmp_path, client, shop="postgres")

    assert first == client.held["mask"]
    assert 64 == len(first)
    assert {"username": "r", "password": "q", "host": "127.0.0.1", "port": 5, "database": "shop"} == json.loads(client.held["shop-secret"])


def test_a_server_of_redshift_is_the_shop_behind_the_relay_and_snowflake_has_no_stand_in(tmp_path):
    """Its own driver reads it then; a server that nothing stands in for is told with the file to write."""
    client = put(tmp_path, shop="postgres", warehouse="redshift")

    assert (5, 6) == tuple(json.loads(client.held[f"{name}-secret"])["port"] for name in ("shop", "warehouse"))
    with pytest.raises(
        LaptopError, match=r"none\.toml: no values for server 'cold'; .* postgres and redshift alone, and it is of type snowflake\. Write"
    ):
        put(tmp_path, cold="snowflake")


def put(tmp_path, client=None, **types):
    """Secrets Manager after a lake with servers of these types had its secrets put."""
    client = client or SecretsManager()
    environment = SimpleNamespace(name="local", secrets=SimpleNamespace(mask_key="mask", servers={name: f"{name}-secret" for name in types}))
    servers = [SimpleNamespace(name=name, type=kind, environment="local") for name, kind in types.items()]
    lake = SimpleNamespace(sources=[SimpleNamespace(source=SimpleNamespace(servers=servers))])
    aws = SimpleNamespace(client=lambda _service: client)
    secret_values.put_secrets(lake, environment, database=DATABASE, own=tmp_path / "none.toml", aws=aws)
    return client


def test_a_laptop_that_was_killed_is_not_up(tmp_path):
    """The file says a process; only that very process counts."""
    (tmp_path / "laptop.json").write_text(json.dumps({"pid": 1, "started": "never", "endpoint": "", "account": "", "region": "", "database": {}}))

    with pytest.raises(NotUp, match="it was killed; start it with `sluice local up`|was killed"):
        Laptop(tmp_path).status()


@pytest.mark.parametrize(
    ("says", "wrong"),
    [("", "Java is missing"), ('openjdk version "11.0.2"', "Java 11 does not run Spark"), ('openjdk version "1.8.0_402"', "Java 1 does not run")],
)
def test_a_wrong_java_is_one_line_with_the_fix(says, wrong):
    """Spark's own error for it is a page."""
    with pytest.raises(LaptopError, match=wrong) as refused:
        check_java(says)

    assert "openjdk-17" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_java_17_and_python_311_are_enough():
    """What Glue 6.0 has, and the oldest Python that the README names."""
    assert "17" == check_java('openjdk version "17.0.15" 2025-04-15')
    assert "3.11.0" == check_python((3, 11, 0))
    with pytest.raises(LaptopError, match="3.10.9 is too old"):
        check_python((3, 10, 9))


def test_spark_keeps_its_own_libraries_and_delta_comes_only_when_asked_for(built_in):
    """The AWS SDK's older netty in front of Spark's breaks the session; a job without --datalake-formats has no Delta on Glue either."""
    with_delta, without = class_path("delta"), class_path("")

    every = ["org.apache.hadoop_hadoop-aws-3.4.2.jar", "sluice_hadoop-defaults-left-out.jar"]
    assert ["io.delta_delta-spark_2.13-4.2.0.jar", *every] == names(with_delta)
    assert every == names(without)
    with pytest.raises(LaptopError, match="--datalake-formats hudi"):
        class_path("hudi")


def test_the_generated_conf_holds_what_glue_has_built_in(built_in, tmp_path):
    """And nothing of the user's own environment reaches a job but the path."""
    conf = write_conf(tmp_path, formats="delta", aws=AWS, warehouse=tmp_path / "w")
    environment = process_environment(conf=conf, aws=AWS, scratch=tmp_path, archive=None)

    held = dict(line.split(" ", 1) for line in (conf / "spark-defaults.conf").read_text().splitlines())
    assert "http://127.0.0.1:4566" == held["spark.hadoop.fs.s3a.endpoint"]
    assert "org.apache.hadoop.fs.s3a.S3AFileSystem" == held["spark.hadoop.fs.s3.impl"]
    assert not [key for key in held if key.startswith(("spark.sql.extensions", "spark.sql.catalog", "spark.jars"))]
    assert ("UTC", "us-east-1") == tuple(environment[name] for name in ("TZ", "AWS_REGION"))
    assert "AWS_ACCESS_KEY_ID" not in environment  # a job's are its role's
    assert str(conf / "log4j2.properties") in environment["SPARK_SUBMIT_OPTS"]
    assert "AWS_PROFILE" not in environment


def test_jars_of_other_pins_are_not_used(built_in):
    """A changed pin is resolved anew."""
    assert jars.jars_are_ready()
    (built_in / "stamp").write_text("io.delta:delta-spark_2.13:4.1.0\n")

    assert not jars.jars_are_ready()
    with pytest.raises(LaptopError, match=r"run `python -m local\.setup`"):
        jars.jar_files()


def names(path):
    return [entry.rsplit("/", 1)[1] for entry in path.split(":")]


@pytest.fixture
def built_in(tmp_path, monkeypatch):
    folder = tmp_path / "jars"
    folder.mkdir()
    for name in ("io.delta_delta-spark_2.13-4.2.0", "io.netty_netty-common-4.1.112.Final", "org.apache.hadoop_hadoop-aws-3.4.2"):
        (folder / f"{name}.jar").touch()
    jars._leave_defaults_out(folder)
    (folder / "stamp").write_text(jars.stamp())
    monkeypatch.setattr(jars, "JARS", folder)
    monkeypatch.setenv("AWS_PROFILE", "production")
    return folder


class SecretsManager:
    """Enough of it."""

    def __init__(self):
        self.held = {}

    def get_secret_value(self, SecretId):
        from botocore.exceptions import ClientError

        if SecretId not in self.held:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "GetSecretValue")
        return {"SecretString": self.held[SecretId]}

    def create_secret(self, Name, SecretString):
        self.held[Name] = SecretString

    def put_secret_value(self, SecretId, SecretString):
        self.held[SecretId] = SecretString


def test_laptops_that_start_at_once_share_one_copy_of_the_database_server(tmp_path, monkeypatch):
    """The first laptops of a machine start together in a test run; each must find the whole copy, and nothing half made stays."""
    binaries = tmp_path / "site" / "pginstall" / "pg" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "postgres").write_text("#!")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    together = threading.Barrier(4)
    copied = shutil.copytree

    def copytree(*given, **more):
        copied(*given, **more)
        together.wait(10)

    monkeypatch.setattr(shutil, "copytree", copytree)

    with ThreadPoolExecutor(4) as pool:
        places = set(pool.map(lambda _: postgres._copied_aside(binaries), range(4)))

    assert 1 == len(places)
    assert "#!" == (places.pop() / "postgres").read_text()
    assert 1 == len(list(temporary.iterdir()))
