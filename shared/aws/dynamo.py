"""Conditional writes to the state table: every write is one transaction, retried safely by its token, that says which condition failed.

A transaction is idempotent under its token, so an answer lost on the way is not mistaken for a condition that failed. botocore retries
throttling and silence; two transactions meeting on one item are retried here.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from shared.aws import clients
from shared.aws.items import decode_item, encode, encode_item
from shared.core.errors import StateUnavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ALONE = "-"  # the sort key of a kind that has one item
ATTEMPTS = 8
PAUSE = wait_random_exponential(multiplier=0.02, max=0.5)  # seconds, jittered
PASSING_REASONS = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})
PASSING_CODES = frozenset({"TransactionInProgressException", "TransactionConflictException"})


class Unmet(Exception):
    """Nothing was written: conditions did not hold. `kinds` are those of the items whose condition failed."""

    def __init__(self, kinds: frozenset[str]) -> None:
        super().__init__(", ".join(sorted(kinds)))
        self.kinds = kinds


class _Collision(Exception):
    """Another transaction was busy on the same item, or the table was; the same again may succeed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One part of a transaction. Expressions write attribute names as `#name`, of `names`, and values as `:name`, of `values`."""

    verb: Literal["Put", "Update", "Delete", "ConditionCheck"]
    kind: str
    id: str = ALONE
    item: Mapping[str, Any] = field(default_factory=dict)
    update: str | None = None
    condition: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)

    def render(self, table: str) -> dict[str, Any]:
        key = {"kind": self.kind, "id": self.id}
        target = {"Item": encode_item({**self.item, **key})} if self.verb == "Put" else {"Key": encode_item(key)}
        body = {
            "TableName": table,
            **target,
            "UpdateExpression": self.update,
            "ConditionExpression": self.condition,
            "ExpressionAttributeNames": {f"#{short}": name for short, name in self.names.items()},
            "ExpressionAttributeValues": {f":{short}": encode(value) for short, value in self.values.items()},
        }
        return {self.verb: {name: part for name, part in body.items() if part}}


class StateTable:
    """The one table: partition key `kind`, sort key `id`. Every read is consistent."""

    def __init__(self, name: str, *, region: str | None = None, client: "DynamoDBClient | None" = None) -> None:
        self.name = name
        self._region, self._injected = region, client

    @cached_property
    def _client(self) -> "DynamoDBClient":
        return self._injected or clients.dynamodb(self._region)

    def get(self, kind: str, id: str = ALONE) -> dict[str, Any] | None:
        """The item without its keys, or None."""
        with clients.asking(f"DynamoDB {self.name} {kind} {id}"):
            answer = self._client.get_item(TableName=self.name, Key=encode_item({"kind": kind, "id": id}), ConsistentRead=True)
        return _without_keys(answer["Item"]) if "Item" in answer else None

    def query(self, kind: str, *, prefix: str | None = None, newest_first: bool = False, limit: int | None = None) -> list[dict[str, Any]]:
        """Items of a kind in order of id, without their keys; `prefix` is of the id."""
        wanted: dict[str, Any] = {
            "TableName": self.name,
            "ConsistentRead": True,
            "ScanIndexForward": not newest_first,
            "KeyConditionExpression": "#kind = :kind" + ("" if prefix is None else " AND begins_with(#id, :prefix)"),
            "ExpressionAttributeNames": {"#kind": "kind"} | ({} if prefix is None else {"#id": "id"}),
            "ExpressionAttributeValues": {":kind": encode(kind)} | ({} if prefix is None else {":prefix": encode(prefix)}),
        }
        found: list[dict[str, Any]] = []
        while limit is None or len(found) < limit:
            page = wanted if limit is None else {**wanted, "Limit": limit - len(found)}
            with clients.asking(f"DynamoDB {self.name} {kind}"):
                answer = self._client.query(**page)
            found += [_without_keys(item) for item in answer["Items"]]
            if "LastEvaluatedKey" not in answer:
                break
            wanted["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
        return found

    def write(self, *acts: Act) -> None:
        """All of it or nothing. Raises Unmet, StateUnavailable."""
        token = str(uuid.uuid4())
        try:
            for attempt in Retrying(retry=retry_if_exception_type(_Collision), wait=PAUSE, stop=stop_after_attempt(ATTEMPTS), reraise=True):
                with attempt:
                    self._transact(acts, token)
        except _Collision as busy:
            raise StateUnavailable(f"DynamoDB {self.name}: {busy} {ATTEMPTS} times in a row") from busy

    def _transact(self, acts: Sequence[Act], token: str) -> None:
        parts: Any = [act.render(self.name) for act in acts]
        try:
            with clients.asking(f"DynamoDB {self.name} {acts[-1].kind}"):
                self._client.transact_write_items(TransactItems=parts, ClientRequestToken=token)
        except ClientError as refused:
            raise _meaning(refused, acts) from refused


def _without_keys(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in decode_item(item).items() if name not in ("kind", "id")}


def _meaning(refused: ClientError, acts: Sequence[Act]) -> Exception:
    if clients.code_of(refused) in PASSING_CODES:
        return _Collision(clients.code_of(refused))
    reasons: Any = refused.response.get("CancellationReasons", [])
    codes = [str(reason.get("Code")) for reason in reasons]
    unmet = frozenset(act.kind for act, code in zip(acts, codes, strict=False) if code == "ConditionalCheckFailed")
    if unmet:
        return Unmet(unmet)
    if PASSING_REASONS & set(codes):
        return _Collision(", ".join(sorted(PASSING_REASONS & set(codes))))
    return refused
