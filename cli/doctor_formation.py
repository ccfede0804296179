"""Lake Formation as the account has it: administrators, default permissions, and whom the environment names (decisions/0020)."""

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from cli.doctor_account import deployer_arn
from cli.doctor_found import Account, Found, Line, NotAllowed, look, ok, warning, wrong

DEFAULTS = ("CreateDatabaseDefaultPermissions", "CreateTableDefaultPermissions")
_ROOT = ":root"


def formation_lines(account: Account) -> Iterator[Line]:
    yield look("Lake Formation admin", lambda: _admin(account))
    yield look("default permissions", lambda: _defaults(account))
    yield look("principals", lambda: _principals(account))


def _admin(account: Account) -> Found:
    settings = _settings(account)
    admins = _admins(settings)
    if not admins:
        return wrong("the account has no administrator: nobody could mend a grant", _mending(account, settings))
    adds = "" if deployer_arn(account) in admins else f"; the deployment adds {deployer_arn(account)}"
    return ok(f"{', '.join(admins)}{adds}")


def _defaults(account: Account) -> Found:
    """What they hold is given to everybody with IAM rights on each new table, and then no grant of ours works."""
    settings = _settings(account)
    held = [name for name in DEFAULTS if settings.get(name)]
    return wrong(f"not empty: {', '.join(held)}", _mending(account, settings)) if held else ok("empty")


def _principals(account: Account) -> Found:
    """Lake Formation refuses a grant to somebody who is not there, and with it the stack."""
    environment = account.environment
    named = sorted({*environment.admins, *(principal for principals in environment.roles.values() for principal in principals)})
    absent = [arn for arn in named if _account_of(arn) == environment.account and not _is_there(account, arn)]
    elsewhere = [arn for arn in named if _account_of(arn) != environment.account]
    if absent:
        fix = f"create them, or mend admins and roles of environments.{environment.name}"
        return wrong(f"not in IAM: {', '.join(absent)}", fix)
    if elsewhere:
        return warning(
            f"of other accounts, where it cannot be looked: {', '.join(elsewhere)}", "make sure that they are there: a grant to nobody is refused"
        )
    return ok(f"{len(named)} named, and there" if named else "none named")


def _settings(account: Account) -> Mapping[str, Any]:
    settings: Mapping[str, Any] = account.ask("lakeformation", "get_data_lake_settings")["DataLakeSettings"]
    return settings


def _admins(settings: Mapping[str, Any]) -> list[str]:
    return [admin["DataLakePrincipalIdentifier"] for admin in settings.get("DataLakeAdmins", ())]


def _mending(account: Account, settings: Mapping[str, Any]) -> str:
    """One command for both lines: it puts all settings, so two commands would undo each other."""
    admins = _admins(settings) or [_caller(account)]
    if admins[0].endswith(_ROOT):
        return "log in as an IAM role or user, which root is not, then ask again"
    mended = {**settings, "DataLakeAdmins": [{"DataLakePrincipalIdentifier": admin} for admin in admins], **{name: [] for name in DEFAULTS}}
    return f"aws lakeformation put-data-lake-settings --region {account.environment.region} --data-lake-settings {shlex.quote(json.dumps(mended))}"


def _caller(account: Account) -> str:
    """The role or user who asks, as IAM names it: of a role, a session's ARN has neither service nor path."""
    arn = str(account.ask("sts", "get_caller_identity")["Arn"])
    if ":assumed-role/" not in arn:
        return arn
    role = arn.split("/")[1]
    try:
        return str(account.ask("iam", "get_role", RoleName=role)["Role"]["Arn"])
    except NotAllowed:
        return f"arn:aws:iam::{account.environment.account}:role/{role}"


def _is_there(account: Account, arn: str) -> bool:
    kind, _, name = arn.split(":", 5)[5].partition("/")
    last = name.rpartition("/")[2]
    if kind == "role":
        return account.there(("NoSuchEntity",), "iam", "get_role", RoleName=last)
    return account.there(("NoSuchEntity",), "iam", "get_user", UserName=last)


def _account_of(arn: str) -> str:
    return arn.split(":")[4]
