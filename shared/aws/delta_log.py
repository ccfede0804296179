"""ports.DeltaLog over S3: reads `_delta_log/*.json` as the protocol defines it, without Spark. Never writes.

A commit says what was done (`commitInfo`) and which files it added (`add`, with their row counts in `stats`).
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from shared.aws import clients
from shared.core.errors import BadState
from shared.core.messages import CommitMeta, LogCommit
from shared.spec.codec import CodecError, from_json

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

COMMIT = re.compile(r"(\d{20})\.json")
LANE = "_lane"


class S3DeltaLog:
    """The Delta logs of one bucket."""

    def __init__(self, bucket: str, *, region: str | None = None, client: "S3Client | None" = None) -> None:
        self._bucket, self._region, self._injected = bucket, region, client

    @cached_property
    def _client(self) -> "S3Client":
        return self._injected or clients.s3(self._region)

    def latest(self, path: str) -> int | None:
        """Lists from the last checkpoint on, where there is one: it is a lower bound, never newer than the log."""
        checkpoint = self._checkpoint(path)
        found = [] if checkpoint is None else self._versions(path, checkpoint - 1)
        return max(found or self._versions(path, -1), default=None)

    def commits(self, path: str, after: int) -> tuple[LogCommit, ...]:
        versions = self._versions(path, after)
        expected = list(range(after + 1, after + 1 + len(versions)))
        if versions != expected:
            missing = next(version for version in expected if version not in versions)
            raise BadState(f"s3://{self._bucket}/{path}: version {missing} is missing from the Delta log, which goes on to {versions[-1]}")
        return tuple(self._commit(path, version) for version in versions)

    def _versions(self, path: str, after: int) -> list[int]:
        """Versions > after, ascending."""
        prefix = f"{path}/_delta_log/"
        start = {"StartAfter": f"{prefix}{after:020d}.json"} if after >= 0 else {}
        found = []
        with clients.asking(f"s3://{self._bucket}/{prefix}"):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix, Delimiter="/", **start):  # type: ignore[arg-type]
                names = (item["Key"].removeprefix(prefix) for item in page.get("Contents", []))
                found += [int(match[1]) for match in map(COMMIT.fullmatch, names) if match is not None]
        return sorted(version for version in found if version > after)

    def _checkpoint(self, path: str) -> int | None:
        body = self._read(f"{path}/_delta_log/_last_checkpoint")
        if body is None:
            return None
        try:
            version = json.loads(body)["version"]
        except (ValueError, KeyError, TypeError):
            return None  # a hint only: without it the whole log is listed
        return version if isinstance(version, int) else None

    def _commit(self, path: str, version: int) -> LogCommit:
        key = f"{path}/_delta_log/{version:020d}.json"
        body = self._read(key)
        if body is None:
            raise BadState(f"s3://{self._bucket}/{key} vanished while it was read")
        try:
            return read_commit(version, body.decode())
        except (ValueError, KeyError, TypeError) as odd:
            raise BadState(f"s3://{self._bucket}/{key} is not a Delta commit: {odd}") from odd

    def _read(self, key: str) -> bytes | None:
        try:
            with clients.asking(f"s3://{self._bucket}/{key}"):
                return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except ClientError as refused:
            if clients.code_of(refused) not in ("NoSuchKey", "404"):
                raise
            return None


def read_commit(version: int, text: str) -> LogCommit:
    """One commit file. Raises ValueError when it says nothing of who made it, or adds a file without saying how many rows."""
    actions = [json.loads(line) for line in text.splitlines() if line.strip()]
    info = next((action["commitInfo"] for action in actions if "commitInfo" in action), None)
    if info is None:
        raise ValueError("it has no commitInfo")
    return LogCommit(
        version=version,
        operation=info.get("operation", ""),
        timestamp=datetime.fromtimestamp(info["timestamp"] / 1000, UTC),
        meta=_meta(info.get("userMetadata")),
        metrics=_whole_numbers(info.get("operationMetrics", {})),
        rows=_added_rows(action["add"] for action in actions if "add" in action),
    )


def _meta(text: str | None) -> CommitMeta | None:
    """None for what is not ours: Delta lets anyone write anything there."""
    try:
        return None if text is None else from_json(CommitMeta, json.loads(text))
    except (json.JSONDecodeError, CodecError):
        return None


def _whole_numbers(metrics: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(value) for name, value in metrics.items() if str(value).isdigit()}


def _added_rows(files: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Rows by lane, of files that bring data; a file that was only moved or compacted brings none."""
    rows: Counter[str] = Counter()
    for file in files:
        if file.get("dataChange", True):
            rows[file.get("partitionValues", {}).get(LANE) or ""] += _rows_of(file)
    return dict(rows)


def _rows_of(file: Mapping[str, Any]) -> int:
    count = json.loads(file.get("stats") or "{}").get("numRecords")
    if not isinstance(count, int):
        raise ValueError("it adds a file without numRecords in its stats")
    return count
