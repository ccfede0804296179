"""The condition key `dynamodb:LeadingKeys`: the partition keys a write names, which MiniStack does not give to the policies that go by it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from local.seams import pinned

_MEMBERS = ("ConditionCheck", "Put", "Update", "Delete", "Get")


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
            asked = json.loads(body or b"{}")
            keys = [key for key in (self._key(asked),) if key is not None]
            return {**context(body), **({_NAME: keys} if keys else {})}

        def keyed(iam_action: str, body: bytes, region: str, account_id: str) -> list[tuple[str, str]]:
            found = checks(iam_action, body, region, account_id)
            keys = self._transaction(json.loads(body or b"{}")) if found else ()
            return [(action, _KeyedArn(arn, key)) for (action, arn), key in zip(found, keys, strict=True)]

        def told(
            access_key_id: str,
            iam_action: str,
            service: str,
            region: str,
            resource_arn: str = "*",
            service_context: Mapping[str, Any] | None = None,
        ) -> Any:
            own = {_NAME: [resource_arn.key]} if isinstance(resource_arn, _KeyedArn) and resource_arn.key is not None else {}
            return enforce(access_key_id, iam_action, service, region, resource_arn=resource_arn, service_context={**(service_context or {}), **own})

        self._actions.dynamodb_service_context = with_keys
        self._actions.dynamodb_transaction_checks = keyed
        self._evaluator.enforce = told

    def check(self) -> None:
        """A request that names no table has no such key."""
        pinned.expect("core.iam_actions.dynamodb_service_context", _NAME in self._actions.dynamodb_service_context(b"{}"), False)

    def _transaction(self, asked: Mapping[str, Any]) -> Iterator[str | None]:
        for item in asked.get("TransactItems", ()):
            yield from (self._key(item[member]) for member in _MEMBERS if member in item)

    def _key(self, asked: Mapping[str, Any]) -> str | None:
        """The partition key of the item that is named by its key or given whole."""
        item: Mapping[str, Mapping[str, str]] = asked.get("Key") or asked.get("Item") or {}
        table = self._tables.get(asked.get("TableName"))
        if table is None or not item:
            return None
        schema: Sequence[Mapping[str, str]] = table["KeySchema"]
        name = next(part["AttributeName"] for part in schema if part["KeyType"] == "HASH")
        return next(iter(item[name].values())) if name in item else None


_NAME = "dynamodb:LeadingKeys"


class _KeyedArn(str):
    """A table's ARN that remembers which partition an action is about: all that is handed on between MiniStack's two functions."""

    __slots__ = ("key",)
    key: str | None

    def __new__(cls, arn: str, key: str | None) -> "_KeyedArn":
        made = super().__new__(cls, arn)
        made.key = key
        return made
