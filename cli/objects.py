"""Listing what lies where tables of files read, over boto3: the same keys and ETags that the ingest job sees. Reads no object."""

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from shared.aws import clients
from shared.core.errors import SourceUnavailable, StateUnavailable
from shared.core.files import FileObject, matching, static_folder
from shared.spec.lake import Files, Table


class S3Objects:
    """The folders of one environment, with the caller's own credentials."""

    def __init__(self, environment: str, client: Any) -> None:
        self._environment, self._client = environment, client

    def objects(self, table: Table) -> tuple[FileObject, ...]:
        """Every object that the pattern of a table of files means, now. Raises SourceUnavailable where they cannot be listed."""
        files, location = self._place(table)
        bucket, _, root = location.removeprefix("s3://").partition("/")
        root = f"{root.rstrip('/')}/" if root else ""
        folder = static_folder(files.pattern)
        try:
            with clients.asking(location):
                found = list(self._listed(bucket, root, f"{folder}/" if folder else ""))
        except (ClientError, StateUnavailable) as refused:
            said = clients.code_of(refused) if isinstance(refused, ClientError) else str(refused)
            raise SourceUnavailable(f"{location} could not be listed from here: {said}") from refused
        wanted = matching(files.pattern, (item.key for item in found))
        return tuple(item for item in found if item.key in wanted)

    def _place(self, table: Table) -> tuple[Files, str]:
        source = table.source
        if source is None or source.files is None:
            raise ValueError(f"{table.name} is not read from files")
        for server in source.servers:
            if server.environment == self._environment and server.location is not None:
                return source.files, server.location
        raise SourceUnavailable(f"{table.file} has no server for environment '{self._environment}': the run would stop here")

    def _listed(self, bucket: str, root: str, folder: str) -> Iterator[FileObject]:
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=root + folder):
            for item in page.get("Contents", []):
                if not item["Key"].endswith("/"):  # a folder that a console made; S3A does not show it either
                    key, etag = item["Key"].removeprefix(root), item["ETag"].strip('"')
                    yield FileObject(key=key, etag=etag, size_bytes=item["Size"], modified=item["LastModified"])
