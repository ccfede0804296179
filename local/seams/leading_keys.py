"""The condition key `dynamodb:LeadingKeys`: the partition keys a write names, which MiniStack does not give to the policies that go by it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from local.seams import pinned

_NAME = "dynamodb:LeadingKeys"
_MEMBERS = ("ConditionCheck", "Put", "Update", "Delete", "Get")  # of a transaction's item, in MiniStack's order


class LeadingKeysSeam:
    """Adds the key to a request's context; each item of a transaction is an action of its own, with its own."""

    def __init__(self) -> None:
        self._actions = pinned.functions(
            "core.iam_actions",
            {"dynamodb_service_context": ("body",), "dynamodb_transaction_checks": ("iam_action", "body", "region", "account_id")},
        )
        self._evaluator = pinned.functions(
            "core.iam_evaluator",
            {"enforce": ("access_key_id", "iam_action", "service", "region", "resource_arn", "service_context")},
        )
        self._tables = pinned.mapping(pinned.module("services.dynamodb"), "_tables")

    def install(self) -> None:
        context, checks, enforce = self._actions.dynamodb_service_context, self._actions.dynamodb_transaction_checks, self._evaluator.enforce

        def with_keys(body: bytes) -> dict[str, Any]:
            keys = self._keys(_parsed(body))
            return {**context(body), **({_NAME: keys} if keys else {})}

        def keyed(iam_action: str, body: bytes, region: str, account_id: str) -> list[tuple[str, str]]:
            found = checks(iam_action, body, region, account_id)
            return [(action, _KeyedArn(arn, keys)) for (action, arn), keys in zip(found, self._transaction(body), strict=True)] if found else []

        def told(
            access_key_id: str,
            iam_action: str,
            service: str,
            region: str,
            resource_arn: str = "*",
            service_context: Mapping[str, Any] | None = None,
        ) -> Any:
            own = {_NAME: resource_arn.keys} if isinstance(resource_arn, _KeyedArn) and resource_arn.keys else {}
            return enforce(access_key_id, iam_action, service, region, resource_arn=resource_arn, service_context={**(service_context or {}), **own})

        self._actions.dynamodb_service_context = with_keys
        self._actions.dynamodb_transaction_checks = keyed
        self._evaluator.enforce = told

    def check(self) -> None:
        """Both functions of MiniStack hand the key on."""
        self._tables["seam-check"] = {"KeySchema": [{"AttributeName": "kind", "KeyType": "HASH"}]}
        try:
            put = {"TableName": "seam-check", "Item": {"kind": {"S": "LOCK"}}}
            alone = self._actions.dynamodb_service_context(json.dumps(put).encode()).get(_NAME)
            body = json.dumps({"TransactItems": [{"Put": put}]}).encode()
            together = [arn.keys for _, arn in self._actions.dynamodb_transaction_checks("dynamodb:TransactWriteItems", body, "r", "a")]
        finally:
            del self._tables["seam-check"]
        pinned.expect(f"core.iam_actions and {_NAME}", (alone, together), (["LOCK"], [["LOCK"]]))

    def _transaction(self, body: bytes) -> Sequence[Sequence[str]]:
        """The keys of each member that MiniStack checks: those that name a table."""
        items = [item for item in _parsed(body).get("TransactItems", ()) if isinstance(item, dict)]
        members = [item[member] for item in items for member in _MEMBERS if isinstance(item.get(member), dict)]
        return [self._keys(member) for member in members if isinstance(member.get("TableName"), str) and member["TableName"]]

    def _keys(self, asked: Mapping[str, Any]) -> list[str]:
        """The partition keys of a request, whether it names an item by its key or gives it whole; both count where both are there."""
        table = self._tables.get(str(asked.get("TableName")).rpartition("/")[2])
        if table is None:
            return []
        name = next(part["AttributeName"] for part in table["KeySchema"] if part["KeyType"] == "HASH")
        values = [item.get(name) for item in (asked.get("Key"), asked.get("Item")) if isinstance(item, dict)]
        return [str(text) for value in values if isinstance(value, dict) for text in value.values()]


class _KeyedArn(str):
    """A table's ARN that remembers which partitions an action is about: all that is handed on between MiniStack's two functions."""

    __slots__ = ("keys",)
    keys: Sequence[str]

    def __new__(cls, arn: str, keys: Sequence[str]) -> "_KeyedArn":
        made = super().__new__(cls, arn)
        made.keys = keys
        return made


def _parsed(body: bytes) -> Mapping[str, Any]:
    """A request's JSON; nothing of what is none, which MiniStack refuses by itself."""
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
