"""Opening a lake: its contracts compiled, one environment chosen, and the ports to it. The laptop differs from AWS by endpoint and key alone."""

import getpass
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import boto3

from cli.errors import Misused
from cli.machine import Machine, StepFunctionsMachine
from cli.objects import S3Objects
from cli.queries import Answer, Query
from shared.aws import clients
from shared.aws.delta_log import S3DeltaLog
from shared.aws.documents import S3Documents
from shared.aws.state import DynamoState
from shared.core.files import FileObject
from shared.core.ports import DeltaLog, Documents, State
from shared.spec.environment import Environment
from shared.spec.lake import Lake, PinnedLake, Table, UnknownTable, lake_text, read_lake

if TYPE_CHECKING:
    from local.laptop import Laptop

LAPTOP = "local"


class Engine(Protocol):
    """What answers `sluice sql`, in its dialect of SQL."""

    @property
    def dialect(self) -> str: ...

    def run(self, query: Query) -> Answer: ...


class Files(Protocol):
    """The lake's bucket."""

    def url(self, key: str) -> str: ...

    def read(self, key: str) -> bytes | None:
        """None when there is no such object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLake:
    """A lake in one environment, ready to be asked."""

    pinned: PinnedLake
    environment: Environment
    state: State
    documents: Documents
    delta_log: DeltaLog
    machine: Machine
    files: Files
    objects: Callable[[Table], tuple[FileObject, ...]]  # that a table of files reads; raises SourceUnavailable
    engine: Engine
    bronze: Engine  # of bronze alone, which Athena does not know
    home: Path | None  # of the laptop; None on AWS
    caller: Callable[[], str]  # who is asking, for what must name a person

    @property
    def lake(self) -> Lake:
        return self.pinned.lake


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What the global options chose. `opener` is what a command opens its lake with."""

    folder: Path
    environment: str
    home: Path
    opener: Callable[["Desk"], OpenLake]

    def open(self) -> OpenLake:
        return self.opener(self)

    def compiled(self) -> PinnedLake:
        """The lake of the folder. Raises Refused with all its problems."""
        from compiler import compile_lake

        return read_lake(lake_text(compile_lake(self.folder)))

    def chosen(self, lake: Lake) -> Environment:
        try:
            return lake.environment(self.environment)
        except UnknownTable as unknown:
            raise Misused(f"{self.folder / 'environments.toml'}: {unknown.args[0]}; name one with --env") from unknown

    def only_on_laptop(self, command: str) -> None:
        """Raises Misused on any other environment."""
        if self.environment != LAPTOP:
            raise Misused(f"`sluice {command}` is about the laptop; leave out --env {self.environment}")


def laptop_of(desk: Desk, tell: Callable[[str], None] = lambda _line: None) -> "Laptop":
    """The laptop that the options speak of, up or not."""
    from local.laptop import Laptop

    return Laptop(desk.home, desk.folder, environment=LAPTOP, tell=tell)


def open_lake(desk: Desk) -> OpenLake:
    """The lake over boto3. Raises Refused, Misused, NotUp; does not yet call AWS."""
    from cli.athena import Athena
    from cli.duck import Duck, own_options, storage_options

    pinned = desk.compiled()
    environment = desk.chosen(pinned.lake)
    laptop = desk.environment == LAPTOP
    emulated = laptop_of(desk).aws.environment() if laptop else None
    client = clients_of(environment, emulated)
    state = DynamoState(environment.state_table, client=client("dynamodb"))
    delta_log = S3DeltaLog(environment.bucket, client=client("s3"))
    bronze = Duck(f"s3://{environment.bucket}", storage_options(emulated) if emulated is not None else lambda: own_options(environment.region))
    engine: Engine = Athena(environment, delta_log) if emulated is None else bronze
    return OpenLake(
        pinned=pinned,
        environment=environment,
        state=state,
        documents=S3Documents(environment.bucket, client=client("s3")),
        delta_log=delta_log,
        machine=StepFunctionsMachine(environment, step_functions=client("stepfunctions"), glue=client("glue")),
        files=S3Files(environment.bucket, client("s3")),
        objects=S3Objects(environment.name, client("s3")).objects,
        engine=engine,
        bronze=bronze,
        home=desk.home if laptop else None,
        caller=_user_here if laptop else lambda: str(client("sts").get_caller_identity()["Arn"]),
    )


class S3Files:
    """Files over boto3."""

    def __init__(self, bucket: str, client: Any) -> None:
        self._bucket, self._client = bucket, client

    def url(self, key: str) -> str:
        return f"s3://{self._bucket}/{key}"

    def read(self, key: str) -> bytes | None:
        try:
            with clients.asking(self.url(key)):
                body: bytes = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
                return body
        except self._client.exceptions.NoSuchKey:
            return None


def _user_here() -> str:
    """The emulator knows no people."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def clients_of(environment: Environment, emulated: Mapping[str, str] | None = None) -> Callable[[str], Any]:
    """boto3 clients by service, in the environment's region: with the caller's own credentials, or the emulator's."""
    if emulated is None:
        session = boto3.session.Session(region_name=environment.region)
        return lambda service: session.client(service, config=clients.CONFIG)  # type: ignore[call-overload]  # the service is chosen at run time
    session = boto3.session.Session(
        aws_access_key_id=emulated["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=emulated["AWS_SECRET_ACCESS_KEY"],
        region_name=emulated["AWS_REGION"],
    )
    endpoint = emulated["AWS_ENDPOINT_URL"]
    return lambda service: session.client(service, endpoint_url=endpoint, config=clients.CONFIG)  # type: ignore[call-overload]  # as above
