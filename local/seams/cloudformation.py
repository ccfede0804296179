"""CloudFormation types that MiniStack refuses a whole stack for: they are recorded, so that templates deploy and tests can ask what stands there."""

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
    "AWS::StepFunctions::StateMachineAlias",
    "AWS::StepFunctions::StateMachineVersion",
    "AWS::SecretsManager::RotationSchedule",
)


class CloudFormationSeam:
    """Registers a recorder for every type of `RECORDED` that MiniStack does not know by itself."""

    def __init__(self) -> None:
        self._provisioners = pinned.functions(
            "services.cloudformation.provisioners", {"_provision_resource": ("resource_type", "logical_id", "props", "stack_name")}
        )
        self._handlers = pinned.mapping(self._provisioners, "_RESOURCE_HANDLERS")

    def install(self) -> None:
        for kind in RECORDED:
            self._handlers.setdefault(kind, {"create": _create, "update": _update, "delete": _delete})

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
