"""Roles that services assume: MiniStack holds every request to its caller's policies, but what it does itself for a service it does as the root."""

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from local.aws import Keys
from local.errors import LaptopError
from local.seams import pinned

_STARTS: Mapping[str, str] = {"states": "states:StartExecution", "lambda": "lambda:InvokeFunction"}
_START_UP_S = 900  # before a run's own timeout counts


class RoleSeam:
    """Answers whether a service may act under a role, by trust, policies and boundary; holds EventBridge Scheduler's targets to it."""

    def __init__(self) -> None:
        self._evaluator = pinned.functions(
            "core.iam_evaluator",
            {
                "evaluate": ("ctx", "policies", "limits"),
                "evaluate_resource_policy": ("doc", "ctx", "service", "named_only", "direct_only"),
                "_gather_role_policies": ("role_name", "account_id"),
                "_permissions_boundary": ("store", "name", "account_id"),
            },
        )
        if not callable(getattr(self._evaluator, "EvalContext", None)):
            raise pinned.moved("core.iam_evaluator.EvalContext")
        self._sts = pinned.functions("services.sts", {"register_session": ("access_key", "session")})
        self._iam = pinned.module("services.iam")
        pinned.mapping(self._iam, "_roles")
        self._events = pinned.functions("services.eventbridge", {"_invoke_target": ("target", "event", "rule", "view")})

    def install(self) -> None:
        invoke = self._events._invoke_target

        def allowed(target: Mapping[str, Any], event: Any, rule: Mapping[str, Any], view: Any = None) -> Any:
            if ":scheduler:" in rule["Arn"]:
                self._hold_schedule(target, rule["Arn"])
            return invoke(target, event, rule, view)

        self._events._invoke_target = allowed

    def check(self) -> None:
        """A trust policy lets the service through that it names, under its conditions, and no other."""
        trust = _trusting("glue.amazonaws.com", {"StringEquals": {"aws:SourceAccount": "000000000000"}})
        asked = [(service, account) for service in ("glue.amazonaws.com", "lambda.amazonaws.com") for account in ("000000000000", "111111111111")]
        found = [self._trusts(trust, service, f"arn:aws:x:us-east-1:{account}:y", account) for service, account in asked]
        pinned.expect("core.iam_evaluator.evaluate_resource_policy of a service", found, [True, False, False, False])

    def session(self, role: str, service: str, *, source: str, lasts_s: float) -> Keys:
        """Credentials of a role for the service. Raises LaptopError when the role is not there or does not trust the service."""
        refusal = self.distrust(role, service, source=source)
        if refusal is not None:
            raise LaptopError(refusal)
        name, account = _named(role)
        keys = Keys(access_key=f"ASIA{secrets.token_hex(8).upper()}", secret_key=secrets.token_hex(20), session_token=secrets.token_hex(32))
        session = {
            "Arn": f"arn:aws:sts::{account}:assumed-role/{name}/{source.rsplit(':', 1)[-1].replace('/', '-')}",
            "UserId": name,
            "AccountId": account,
            "PrincipalType": "AssumedRole",
            "SecretAccessKey": keys.secret_key,
            "SessionToken": keys.session_token,
            "Expiration": time.time() + lasts_s + _START_UP_S,
        }
        self._sts.register_session(keys.access_key, session)
        return keys

    def distrust(self, role: str, service: str, *, source: str) -> str | None:
        """Why the role cannot be assumed by the service for `source`, an ARN; None when it can."""
        name, account = _named(role)
        held = self._iam._roles.get_scoped(account, None, name)
        if held is None:
            return f"{role}: there is no such role"
        if not self._trusts(held["AssumeRolePolicyDocument"], service, source, source.split(":")[4]):
            return f"{role} does not trust {service} to assume it for {source}"
        return None

    def refusal(self, role: str, service: str, actions: Sequence[str], resource: str, *, source: str) -> str | None:
        """Why the service may not do all of this under the role; None when it may."""
        distrust = self.distrust(role, service, source=source)
        if distrust is not None:
            return distrust
        name, account = _named(role)
        policies = self._evaluator._gather_role_policies(name, account)
        limits = self._evaluator._permissions_boundary(self._iam._roles, name, account)
        for action in actions:
            context = self._context(f"arn:aws:sts::{account}:assumed-role/{name}/{service}", account, action, resource, {})
            if self._evaluator.evaluate(context, policies, *limits).decision != "Allow":
                return f"{role} is not authorized to perform {action} on {resource}"
        return None

    def _hold_schedule(self, target: Mapping[str, Any], schedule: str) -> None:
        """Raises LaptopError. A schedule's role knows its group, not itself; an alias of a machine is authorized by the machine's own ARN."""
        arn = target["Arn"]
        service = arn.split(":")[2]
        if service not in _STARTS:
            raise LaptopError(f"{schedule}: its target is of {service}; the laptop's schedules start {', '.join(_STARTS)}")
        resource = ":".join(arn.split(":")[:7]) if service == "states" else arn
        group = schedule.replace(":schedule/", ":schedule-group/").rpartition("/")[0]
        refusal = self.refusal(target["RoleArn"], "scheduler.amazonaws.com", [_STARTS[service]], resource, source=group)
        if refusal is not None:
            raise LaptopError(refusal)

    def _trusts(self, policy: Any, service: str, source: str, account: str) -> bool:
        keys = {"aws:sourceaccount": account, "aws:sourcearn": source}
        context = self._context(f"service:{service}", account, "sts:AssumeRole", "*", keys)
        return bool(self._evaluator.evaluate_resource_policy(policy, context, service=service).decision == "Allow")

    def _context(self, principal: str, account: str, action: str, resource: str, keys: Mapping[str, str]) -> Any:
        return self._evaluator.EvalContext(
            principal_arn=principal,
            principal_type="AssumedRole",
            principal_account=account,
            action=action,
            resource_arn=resource,
            region="",
            service_context=dict(keys),
        )


def _named(role: str) -> tuple[str, str]:
    """A role's name and account. Raises LaptopError for what is no role's ARN."""
    if ":role/" not in role:
        raise LaptopError(f"{role}: a role is given by its ARN here")
    return role.rsplit("/", 1)[-1], role.split(":")[4]


def _trusting(service: str, conditions: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole", "Condition": dict(conditions)}]}
