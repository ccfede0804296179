"""Documents of runs in S3, against moto: what is absent, what is odd, what is unavailable."""

from unittest.mock import Mock, patch

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError
from moto import mock_aws

from shared.aws.documents import S3Documents
from shared.core.errors import EvidenceInvalid, EvidenceMissing, StateUnavailable
from shared.core.messages import BatchCounts

KEY = "_evidence/r1/ingest/bronze.orders.json"
COUNTS = BatchCounts(read=3, accepted=1, rejected=1, seen=1)


@pytest.fixture(scope="module")
def cloud():
    with mock_aws(), patch.dict("os.environ", {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}):
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="lake")
        yield client


@pytest.fixture
def s3(cloud):
    yield cloud
    for found in cloud.list_objects_v2(Bucket="lake").get("Contents", []):
        cloud.delete_object(Bucket="lake", Key=found["Key"])


def test_a_document_comes_back_as_it_was_written_and_the_last_write_wins(s3):
    """A job that repeats its evidence replaces it."""
    documents = S3Documents("lake", client=s3)

    documents.put(KEY, BatchCounts(read=9, accepted=9, rejected=0, seen=0))
    documents.put(KEY, COUNTS)

    assert COUNTS == documents.get(KEY, BatchCounts)


def test_a_document_that_is_not_there_says_where_it_was_looked_for(s3):
    """Absence is an error with a place."""
    with pytest.raises(EvidenceMissing, match=f"s3://lake/{KEY} does not exist"):
        S3Documents("lake", client=s3).get(KEY, BatchCounts)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b"null", b"[]", b'{"read": 3, "accepted": 1, "rejected": 1}', b'{"read": "3", "accepted": 1, "rejected": 1, "seen": 1}'],
)
def test_a_document_of_another_shape_is_invalid_and_its_content_not_repeated(s3, body):
    """Half a document, or one of another version, is never taken for one."""
    s3.put_object(Bucket="lake", Key=KEY, Body=body)

    with pytest.raises(EvidenceInvalid, match=KEY):
        S3Documents("lake", client=s3).get(KEY, BatchCounts)


def test_a_text_keeps_its_content_type(s3):
    """A browser shows the report as a page."""
    S3Documents("lake", client=s3).put_text("_runs/r1/report.html", "<p>ä</p>", "text/html; charset=utf-8")

    found = s3.get_object(Bucket="lake", Key="_runs/r1/report.html")
    assert ("text/html; charset=utf-8", "<p>ä</p>") == (found["ContentType"], found["Body"].read().decode())


@pytest.mark.parametrize(
    "error",
    [
        ConnectTimeoutError(endpoint_url="https://s3"),
        ClientError({"Error": {"Code": "SlowDown"}}, "GetObject"),
        ClientError({"ResponseMetadata": {"HTTPStatusCode": 503}}, "x"),
    ],
)
def test_a_bucket_that_does_not_answer_is_worth_waiting_for(error):
    """It is neither missing evidence nor a bug."""
    client = Mock(get_object=Mock(side_effect=error))

    with pytest.raises(StateUnavailable, match="s3://lake"):
        S3Documents("lake", client=client).get(KEY, BatchCounts)


def test_a_refused_read_is_not_a_missing_document():
    """A role without permission must not read as "no evidence yet"."""
    client = Mock(get_object=Mock(side_effect=ClientError({"Error": {"Code": "AccessDenied"}}, "GetObject")))

    with pytest.raises(ClientError, match="AccessDenied"):
        S3Documents("lake", client=client).get(KEY, BatchCounts)
