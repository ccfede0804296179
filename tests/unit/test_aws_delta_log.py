"""Delta logs read from S3, against moto: the commits as Spark writes them, and what must not be guessed."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from unittest.mock import patch

import boto3
import pytest
from moto import mock_aws

from shared.aws.delta_log import S3DeltaLog, read_commit
from shared.core.errors import BadState
from shared.core.messages import CommitMeta
from shared.spec.codec import to_json

PATH = "bronze/orders"
META = CommitMeta(kind="batch", run="r1", fence=3, glue_run="jr", table="bronze.orders", digest="abc", phase=None, restored_to=None, batch=None)


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


def info(meta=META, operation="WRITE", **more):
    said = {} if meta is None else {"userMetadata": meta if isinstance(meta, str) else json.dumps(to_json(meta))}
    return {"commitInfo": {"timestamp": 1795406400123, "operation": operation, **said, **more}}


def add(rows, lane=None, **more):
    stats = {} if rows is None else {"stats": json.dumps({"numRecords": rows})}
    return {
        "add": {
            "path": "x.parquet",
            "partitionValues": {} if lane is None else {"_lane": lane, "_run_date": "2026-11-23"},
            "dataChange": True,
            **stats,
            **more,
        }
    }


def text(*actions):
    return "\n".join(json.dumps(action) for action in actions) + "\n"


def put(s3, version, *actions, name="{:020d}.json"):
    s3.put_object(Bucket="lake", Key=f"{PATH}/_delta_log/{name.format(version)}", Body=text(*(actions or (info(),))).encode())


def test_a_commit_says_who_made_it_and_how_many_rows_went_into_each_lane():
    """One atomic fact: accepted and rejected of one batch."""
    files = [add(5, "accepted"), add(7, "accepted"), add(2, "rejected"), {"remove": {"path": "y"}}, {"cdc": {"path": "z"}}]

    commit = read_commit(4, text(info(operationMetrics={"numFiles": "3", "numOutputRows": "14", "note": "x"}), *files))

    assert (4, "WRITE", META, {"accepted": 12, "rejected": 2}) == (commit.version, commit.operation, commit.meta, commit.rows)
    assert {"numFiles": 3, "numOutputRows": 14} == commit.metrics
    assert datetime(2026, 11, 23, 8, 0, 0, 123000, tzinfo=UTC).replace(hour=commit.timestamp.hour) == commit.timestamp


def test_rows_of_a_table_without_lanes_are_counted_under_no_name():
    """Silver and gold."""
    assert {"": 9} == read_commit(0, text(info(), add(4), add(5))).rows


def test_files_that_only_moved_bring_no_rows():
    """OPTIMIZE rewrites a table and adds nothing to it."""
    assert {} == read_commit(0, text(info(operation="OPTIMIZE"), add(4, dataChange=False))).rows


@pytest.mark.parametrize("meta", [None, "", "not json", "[]", '{"kind": "batch"}', json.dumps(to_json(META) | {"more": 1})])
def test_a_commit_that_is_not_ours_has_no_meta(meta):
    """Anyone may write anything there; it is then nobody's batch."""
    assert read_commit(0, text(info(meta))).meta is None


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (add(None, "accepted"), "without numRecords"),
        (add(None, stats="{}"), "without numRecords"),
        (add(1.5), "without numRecords"),
        (add(None, stats="{"), ""),
    ],
)
def test_a_file_without_a_row_count_is_an_error(s3, broken, said):
    """Unknown is not zero: the gate would compare with a guess."""
    put(s3, 0, info(), broken)

    with pytest.raises(BadState, match=f"00000000000000000000.json is not a Delta commit: .*{said}"):
        S3DeltaLog("lake", client=s3).commits(PATH, -1)


def test_a_commit_file_without_commit_info_is_an_error(s3):
    """Half a file is not a commit without an author."""
    put(s3, 0, add(1))

    with pytest.raises(BadState, match="commitInfo"):
        S3DeltaLog("lake", client=s3).commits(PATH, -1)


def test_commits_are_those_after_a_version_in_order(s3):
    """Neighbouring tables, checkpoints, checksums and compacted logs are not commits."""
    for version in (2, 0, 1, 3, 10):
        put(s3, version if version < 10 else 4, info(replace(META, fence=version)))
    for odd in ("{:020d}.checkpoint.parquet", "{:020d}.crc", "{:020d}.{:020d}.compacted.json", "_sidecars/{:020d}.json", "{:020d}.json.tmp"):
        s3.put_object(Bucket="lake", Key=f"{PATH}/_delta_log/{odd.format(3, 4)}", Body=b"x")
    s3.put_object(Bucket="lake", Key=f"{PATH}_old/_delta_log/{9:020d}.json", Body=b"x")
    log = S3DeltaLog("lake", client=s3)

    assert [(2, 2), (3, 3), (4, 10)] == [(commit.version, commit.meta.fence) for commit in log.commits(PATH, 1)]
    assert [0, 1, 2, 3, 4] == [commit.version for commit in log.commits(PATH, -1)]
    assert () == log.commits(PATH, 4) == log.commits("bronze/none", -1)


@pytest.mark.parametrize(("there", "after", "missing"), [((0, 1, 3), -1, 2), ((2, 3), -1, 0), ((0, 2), 0, 1)])
def test_a_gap_in_the_log_is_an_error_that_names_the_version(s3, there, after, missing):
    """What a cleaned log no longer says must not read as "nothing happened"."""
    for version in there:
        put(s3, version)

    with pytest.raises(BadState, match=f"version {missing} is missing"):
        S3DeltaLog("lake", client=s3).commits(PATH, after)


def test_the_latest_version_is_the_highest_commit(s3):
    """More of them than one listing page holds, and none for a table that is not there."""
    for version in range(1, 4):
        put(s3, version)
    log = S3DeltaLog("lake", client=Paged(s3, 2))

    assert (3, None) == (log.latest(PATH), log.latest("bronze/none"))
    assert [1, 2, 3] == [commit.version for commit in log.commits(PATH, 0)]


class Paged:
    """An S3 client whose listings hold `size` keys a page; remembers where they began."""

    def __init__(self, client, size):
        self.client, self.size, self.starts = client, size, []

    def get_paginator(self, name):
        paginator = self.client.get_paginator(name)
        outer = self

        class Paginator:
            def paginate(self, **call):
                outer.starts.append(call.get("StartAfter"))
                return paginator.paginate(**call, PaginationConfig={"PageSize": outer.size})

        return Paginator()

    def __getattr__(self, name):
        return getattr(self.client, name)


@pytest.mark.parametrize(
    ("hint", "listings"),
    [(b'{"version": 6}', 1), (b'{"version": 99}', 2), (b"{", 1), (b'{"version": "6"}', 1), (b"[]", 1)],
    ids=["good", "ahead of the log", "not json", "not a number", "not an object"],
)
def test_a_checkpoint_shortens_the_listing_and_never_decides(s3, hint, listings):
    """A hint that is old, wrong or broken gives the same answer."""
    for version in range(9):
        put(s3, version)
    s3.put_object(Bucket="lake", Key=f"{PATH}/_delta_log/_last_checkpoint", Body=hint)
    paged = Paged(s3, 1000)

    assert 8 == S3DeltaLog("lake", client=paged).latest(PATH)
    assert listings == len(paged.starts)
    assert (f"{PATH}/_delta_log/{5:020d}.json" in paged.starts) == (hint == b'{"version": 6}')
