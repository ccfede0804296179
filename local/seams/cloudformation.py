"""CloudFormation types that MiniStack refuses a whole stack for: they are recorded, so that templates deploy and tests can ask what stands there.

Versions and aliases of state machines are made by its own Step Functions, so that what a template starts by alias does start.
"""

import json
from collections.abc import Callable
from typing import Any

from local.seams import pinned

RECORDED = (
    "AWS::Glue::SecurityConfiguration",
    "AWS::LakeFormation::DataCellsFilter",
    "AWS::LakeFormation::DataLakeSettings",
    "AWS::LakeFormation::Permissions",
    "AWS::LakeFormation::PrincipalPermissions",
    "AWS::LakeFormation::Resource",
    "AWS::LakeFormation::Tag",
    "AWS::LakeFormation::TagAssociation",
    "AWS::CloudWatch::CompositeAlarm",
    "AWS::SecretsManager::RotationSchedule",
)


_OF_MACHINES = (
    "_publish_state_machine_version",
    "_create_state_machine_alias",
    "_update_state_machine_alias",
    "_delete_state_machine_alias",
)


class CloudFormationSeam:
    """Registers a recorder for every type of `RECORDED` that MiniStack does not know by itself."""

    def __init__(self) -> None:
        self._provisioners = pinned.functions(
            "services.cloudformation.provisioners", {"_provision_resource": ("resource_type", "logical_id", "props", "stack_name")}
        )
        self._handlers = pinned.mapping(self._provisioners, "_RESOURCE_HANDLERS")
        self._machines = pinned.functions("services.stepfunctions", dict.fromkeys(_OF_MACHINES, ("data",)))

    def install(self) -> None:
        for kind in RECORDED:
            self._handlers.setdefault(kind, {"create": _create, "update": _update, "delete": _delete})
        self._handlers["AWS::StepFunctions::StateMachineVersion"] = {
            "create": self._publish,
            "update": lambda _id, _old, new, stack: self._publish("", new, stack),
            "delete": _delete,  # the alias may still be on its way to the next one
        }
        self._handlers["AWS::StepFunctions::StateMachineAlias"] = {
            "create": self._name,
            "update": self._point,
            "delete": lambda id, _props: _asked(self._machines._delete_state_machine_alias, {"stateMachineAliasArn": id}),
        }

    def _publish(self, _logical_id: str, props: dict[str, Any], _stack_name: str) -> tuple[str, dict[str, str]]:
        made = _asked(self._machines._publish_state_machine_version, {"stateMachineArn": props["StateMachineArn"]})["stateMachineVersionArn"]
        return made, {"Arn": made}

    def _name(self, _logical_id: str, props: dict[str, Any], _stack_name: str) -> tuple[str, dict[str, str]]:
        data = {"name": props["Name"], "routingConfiguration": _routing(props)}
        made = _asked(self._machines._create_state_machine_alias, data)["stateMachineAliasArn"]
        return made, {"Arn": made}

    def _point(self, physical_id: str, _old: dict[str, Any], new: dict[str, Any], _stack_name: str) -> tuple[str, dict[str, str]]:
        _asked(self._machines._update_state_machine_alias, {"stateMachineAliasArn": physical_id, "routingConfiguration": _routing(new)})
        return physical_id, {"Arn": physical_id}

    def check(self) -> None:
        made = self._provisioners._provision_resource("AWS::LakeFormation::Resource", "Check", {"Name": "lake"}, "seam-check")
        pinned.expect("services.cloudformation.provisioners._provision_resource", made, ("lake", {"Id": "lake", "Arn": "lake"}))


def _create(logical_id: str, props: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
    name = str(props.get("Name") or f"{stack_name}-{logical_id}")
    return name, {"Id": name, "Arn": name}


def _update(physical_id: str, _old: dict[str, Any], new: dict[str, Any], _stack_name: str) -> tuple[str, dict[str, str]]:
    name = str(new.get("Name") or physical_id)
    return name, {"Id": name, "Arn": name}


def _delete(_physical_id: str, _props: dict[str, Any]) -> None:
    return None


def _asked(action: Callable[[dict[str, Any]], Any], data: dict[str, Any]) -> Any:
    """The answer of one of MiniStack's own actions. Raises ValueError, which fails the resource, when it refuses."""
    status, _, body = action(data)
    if status >= 400:
        raise ValueError(body.decode() if isinstance(body, bytes) else body)
    return json.loads(body)


def _routing(props: dict[str, Any]) -> list[dict[str, Any]]:
    routes = props["RoutingConfiguration"]
    return [{"stateMachineVersionArn": route["StateMachineVersionArn"], "weight": int(route["Weight"])} for route in routes]
