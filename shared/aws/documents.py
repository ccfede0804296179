"""ports.Documents over S3: the JSON documents of runs, strictly decoded."""

import json
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import ClientError

from shared.aws import clients
from shared.core.errors import EvidenceInvalid, EvidenceMissing
from shared.spec.codec import CodecError, from_json, to_json

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")


class S3Documents:
    """Documents under the root of one bucket."""

    def __init__(self, bucket: str, *, region: str | None = None, client: "S3Client | None" = None) -> None:
        self._bucket, self._region, self._injected = bucket, region, client

    @cached_property
    def _client(self) -> "S3Client":
        return self._injected or clients.s3(self._region)

    def put(self, key: str, value: object) -> None:
        self.put_text(key, json.dumps(to_json(value), ensure_ascii=False, sort_keys=True), "application/json")

    def get(self, key: str, kind: type[T]) -> T:
        where = f"s3://{self._bucket}/{key}"
        try:
            return from_json(kind, json.loads(self._read(key, where)))
        except CodecError as odd:
            raise EvidenceInvalid(f"{where}: {odd}") from odd
        except (json.JSONDecodeError, UnicodeDecodeError) as odd:
            raise EvidenceInvalid(f"{where} is not JSON") from odd

    def put_text(self, key: str, text: str, content_type: str) -> None:
        with clients.asking(f"s3://{self._bucket}/{key}"):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=text.encode(), ContentType=content_type)

    def _read(self, key: str, where: str) -> bytes:
        try:
            with clients.asking(where):
                return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except ClientError as refused:
            if clients.code_of(refused) not in ("NoSuchKey", "404"):
                raise
            raise EvidenceMissing(f"{where} does not exist") from refused
