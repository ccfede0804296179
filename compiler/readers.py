"""Whom a contract opens its table to: the roles it names, against its layer and what is classified in it."""

import re
from collections.abc import Mapping
from typing import get_args

from compiler.draft import Draft
from compiler.node import Node
from shared.spec.environment import Role
from shared.spec.lake import Layer

ROLES: tuple[Role, ...] = get_args(Role)
LAYERS_READ: Mapping[Role, tuple[Layer, ...]] = {"analyst": ("gold",), "engineer": ("silver",), "steward": ("bronze", "silver", "gold")}
_TAG = re.compile(r"[\w .:/=+@-]{1,128}")  # of Lake Formation


def read_readers(draft: Draft) -> None:
    """Fill domain and readers. Without `roles` nobody but administrators reads the table."""
    draft.domain = draft.root["domain"].optional_text() or draft.owner
    if draft.domain and not _TAG.fullmatch(draft.domain):
        draft.root["domain"].refuse(
            f"domain '{draft.domain}' cannot be the value of a tag", "Use letters, digits, spaces and _ . : / = + - @, at most 128."
        )
    named = {role: node for node in draft.root["roles"].items() if (role := _read_role(node)) is not None}
    for role, node in named.items():
        _check_reach(draft, role, node)
    draft.readers = tuple(sorted(named))


def _read_role(node: Node) -> Role | None:
    found = node["role"].word(ROLES, f"Name one of the roles: {', '.join(ROLES)}.")
    access = node["access"].optional_text()
    if access not in (None, "read"):
        node["access"].refuse(f"'{access}' is not an access that a role can have", "Write access: read, or leave it out: only Sluice writes tables.")
    return next((role for role in ROLES if role == found), None)


def _check_reach(draft: Draft, role: Role, node: Node) -> None:
    if draft.layer not in LAYERS_READ[role]:
        fitting = [other for other in ROLES if draft.layer in LAYERS_READ[other]]
        node["role"].refuse(f"role '{role}' does not read {draft.layer}", f"Of {draft.layer} there is {', '.join(fitting)}.")
        return
    classified = [column.name for column in draft.columns or () if column.level]
    if role == "analyst" and classified:
        # Lake Formation honours grants on whole Delta tables only: decisions/0020.
        node["role"].refuse(
            f"'{classified[0]}' is classified, and an analyst reads a table whole or not at all",
            "Name the role steward here, or move the classified columns to a gold table of their own.",
        )
    if role == "steward" and draft.layer != "bronze" and draft.columns and not classified:
        node["role"].refuse("role 'steward' reads what is classified, and nothing here is", "Leave the role out.")
