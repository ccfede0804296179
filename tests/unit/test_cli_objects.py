"""Listing the folders of files, on moto's S3."""

from dataclasses import replace

import boto3
import pytest
from moto import mock_aws

from cli.objects import S3Objects
from shared.core.errors import SourceUnavailable
from shared.spec.lake import Files, Server, Source, Tolerance
from tests.machine import table

SERVER = Server(
    name="exchange",
    type="s3",
    environment="dev",
    host=None,
    port=None,
    database=None,
    schema=None,
    location="s3://exchange/daily",
    format="csv",
)
KEYS = [
    "daily/rates/2026.csv",
    "daily/rates/old/2025.csv",
    "daily/rates/notes.txt",
    "daily/rates/_half.csv",
    "daily/rates/",
    "daily/else.csv",
    "daily2/rates/x.csv",
]


@pytest.fixture
def s3(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="exchange")
        for key in KEYS:
            client.put_object(Bucket="exchange", Key=key, Body=key.encode())
        yield client


def rates(pattern, **server):
    files = Files(pattern=pattern, max_objects=2)
    return table(
        "bronze.rates",
        "append",
        source=Source(
            relation=pattern, watermark=None, reject_tolerance=Tolerance(share=0, rows=0), servers=(replace(SERVER, **server),), files=files
        ),
    )


@pytest.mark.parametrize(
    ("pattern", "location", "keys"),
    [
        ("rates/*.csv", "s3://exchange/daily", {"rates/2026.csv"}),
        ("rates/**", "s3://exchange/daily", {"rates/2026.csv", "rates/old/2025.csv", "rates/notes.txt"}),
        ("**/*.csv", "s3://exchange/daily", {"rates/2026.csv", "rates/old/2025.csv", "else.csv"}),
        ("*/rates/x.csv", "s3://exchange", {"daily2/rates/x.csv"}),
        ("*.csv", "s3://exchange/nothing", set()),
    ],
)
def test_a_folder_shows_what_its_pattern_means_by_keys_from_the_location_on(s3, pattern, location, keys):
    """As ingest sees them, so that an object it knows is not new."""
    found = S3Objects("dev", s3).objects(rates(pattern, location=location))

    assert keys == {item.key for item in found}
    for item in found:
        head = s3.head_object(Bucket="exchange", Key="/".join(filter(None, (location.removeprefix("s3://exchange").strip("/"), item.key))))
        assert (head["ETag"].strip('"'), head["ContentLength"], head["LastModified"]) == (item.etag, item.size_bytes, item.modified)


@pytest.mark.parametrize(
    ("server", "says"),
    [
        ({"location": "s3://nobodys/daily"}, "s3://nobodys/daily could not be listed from here: NoSuchBucket"),
        ({"environment": "prod"}, "has no server for environment 'dev'"),
    ],
)
def test_a_folder_that_cannot_be_listed_says_where_and_why(s3, server, says):
    """It is no empty folder."""
    with pytest.raises(SourceUnavailable, match=says):
        S3Objects("dev", s3).objects(rates("*.csv", **server))
