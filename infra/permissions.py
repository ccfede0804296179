"""Lake Formation: who may read which table of the catalogue, by tags that contracts are the source of (decisions/0020).

Everything stands in one chain of dependencies: Lake Formation refuses what is changed at once, and wants settings before locations, both before
tables, tags before what carries them, and all of it before grants.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from aws_cdk import CfnResource, DefaultStackSynthesizer, RemovalPolicy, Stack
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lakeformation as lakeformation

from infra.acknowledgements import accept_stars
from infra.names import Shelf, Tag, tag_key
from infra.roles import folder_arn
from shared.spec.environment import Environment, Role
from shared.spec.lake import LEVELS, Lake, Table

FOLDERS: Mapping[Shelf, str] = {"silver": "silver", "gold": "gold", "rejects": "_errors"}
NOBODY = "nobody"
# Closed sets, so that no deployment takes a value away that a table still has. An analyst and a steward never share a table: compiler/readers.py.
READERS: Sequence[str] = (NOBODY, "analyst", "engineer", "steward", "engineer+steward")


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A table of the catalogue."""

    shelf: Shelf
    table: Table  # of rejects, the bronze table that rejected
    database: glue.CfnDatabase

    @property
    def name(self) -> str:
        return self.table.name.split(".", 1)[1]

    @property
    def label(self) -> str:
        """Its construct's id."""
        return "".join(part.title() for part in (self.shelf, *self.name.split("_")))

    def tags(self) -> Mapping[Tag, str]:
        """Of the table as a whole. Its classification is the highest of its columns: a grant on a Delta table is honoured whole or not at all."""
        readers = "+".join(self.table.readers) or NOBODY
        return {"layer": self.shelf, "classification": self.table.classification, "domain": self.table.domain.lower(), "readers": readers}


class Permissions:
    """Settings, locations, tags and grants in `stack`, each waiting for the one before."""

    def __init__(self, stack: Stack, *, environment: Environment, lake: Lake, key: kms.IKey) -> None:
        self._stack, self._environment = stack, environment
        self._last: CfnResource | None = None
        deployer = f"cdk-{stack.synthesizer.bootstrap_qualifier or DefaultStackSynthesizer.DEFAULT_QUALIFIER}-cfn-exec-role"
        self._deployer = f"arn:{stack.partition}:iam::{environment.account}:role/{deployer}-{environment.account}-{environment.region}"
        self._settings()
        self._locations(key)
        self._tags(lake)

    def before(self, databases: Iterable[glue.CfnDatabase]) -> None:
        """Let databases, and with them their tables, wait for the settings that say who may make them."""
        for database in databases:
            database.add_resource_dependency(self._tail)

    def on(self, databases: Mapping[Shelf, glue.CfnDatabase], tables: Sequence[Published]) -> None:
        """Tag databases, tables and classified columns, then grant."""
        for shelf, database in databases.items():
            self._attach(
                f"{shelf.title()}Tags",
                {"layer": shelf},
                database=lakeformation.CfnTagAssociation.DatabaseResourceProperty(catalog_id=self._stack.account, name=database.ref),
            )
        for one in tables:
            self._tag_table(one)
        for role in get_args(Role):
            for number, principal in enumerate(self._environment.roles.get(role, ())):
                self._grant(role, f"{role.title()}{number}", principal, tables)

    @property
    def _tail(self) -> CfnResource:
        if self._last is None:
            raise AssertionError("the chain begins with the settings")
        return self._last

    def _link(self, resource: CfnResource) -> None:
        if self._last is not None:
            resource.add_resource_dependency(self._last)
        self._last = resource

    def _settings(self) -> None:
        """Administrators are added to those there are. CloudFormation is known not to bring empty defaults about (decisions/0020)."""
        admins = [
            lakeformation.CfnDataLakeSettings.DataLakePrincipalProperty(data_lake_principal_identifier=principal)
            for principal in (self._deployer, *self._environment.admins)
        ]
        settings = lakeformation.CfnDataLakeSettings(
            self._stack,
            "LakeFormation",
            admins=admins,
            mutation_type="APPEND",
            create_database_default_permissions=[],
            create_table_default_permissions=[],
        )
        # They are the account's and region's: another environment there has the same deployer, and would lose it with this one's stack.
        settings.apply_removal_policy(RemovalPolicy.RETAIN)
        self._link(settings)

    def _locations(self, key: kms.IKey) -> None:
        """Lake Formation hands out the data of three folders; bronze, evidence and change sets are not its to give. Jobs go on by their own roles."""
        role = self._location_role(key)
        for shelf, folder in FOLDERS.items():
            arn = folder_arn(role, self._environment, folder)
            location = lakeformation.CfnResource(
                self._stack,
                f"{shelf.title()}Location",
                resource_arn=arn,
                role_arn=role.role_arn,
                use_service_linked_role=False,
                hybrid_access_enabled=True,
            )
            location.node.add_dependency(role)
            self._link(location)
            # Who makes a table that points into a registered folder needs this, administrator or not.
            self._link(
                lakeformation.CfnPrincipalPermissions(
                    self._stack,
                    f"{shelf.title()}Deployer",
                    principal=_principal(self._deployer),
                    resource=lakeformation.CfnPrincipalPermissions.ResourceProperty(
                        data_location=lakeformation.CfnPrincipalPermissions.DataLocationResourceProperty(
                            catalog_id=self._stack.account, resource_arn=arn
                        )
                    ),
                    permissions=["DATA_LOCATION_ACCESS"],
                    permissions_with_grant_option=[],
                )
            )

    def _location_role(self, key: kms.IKey) -> iam.Role:
        """It reads, and nothing else: only jobs write."""
        role = iam.Role(self._stack, "LocationRole", assumed_by=iam.ServicePrincipal("lakeformation.amazonaws.com"))
        bucket = self._stack.format_arn(service="s3", region="", account="", resource=self._environment.bucket)
        folders = [f"{folder}/*" for folder in FOLDERS.values()]
        objects = [folder_arn(role, self._environment, folder) for folder in folders]
        listing = iam.PolicyStatement(sid="ListFolders", actions=["s3:ListBucket"], resources=[bucket])
        listing.add_condition("StringLike", {"s3:prefix": [*FOLDERS.values(), *folders]})
        role.add_to_policy(listing)
        role.add_to_policy(iam.PolicyStatement(sid="ReadFolders", actions=["s3:GetObject"], resources=objects))
        role.add_to_policy(iam.PolicyStatement(sid="UseKey", actions=["kms:Decrypt", "kms:DescribeKey"], resources=[key.key_arn]))
        accept_stars(role, objects, "The star ends a folder that Lake Formation hands out: the objects in it come and go.")
        return role

    def _tags(self, lake: Lake) -> None:
        domains = {table.domain.lower() for table in lake.tables} | {domain.lower() for domain in self._environment.former_domains}
        values: Mapping[Tag, Sequence[str]] = {
            "layer": get_args(Shelf),
            "classification": LEVELS,
            "domain": sorted(domains),
            "readers": READERS,
        }
        for tag, known in values.items():
            self._link(lakeformation.CfnTag(self._stack, f"{tag.title()}Tag", tag_key=tag_key(self._environment, tag), tag_values=list(known)))

    def _tag_table(self, one: Published) -> None:
        self._attach(
            f"{one.label}Tags",
            one.tags(),
            table=lakeformation.CfnTagAssociation.TableResourceProperty(
                catalog_id=self._stack.account, database_name=one.database.ref, name=one.name
            ),
        )
        levels = {} if one.shelf == "rejects" else _classified(one.table)
        for level, columns in levels.items():
            self._attach(
                f"{one.label}{level.title()}Tags",
                {"classification": level},
                table_with_columns=lakeformation.CfnTagAssociation.TableWithColumnsResourceProperty(
                    catalog_id=self._stack.account, database_name=one.database.ref, name=one.name, column_names=list(columns)
                ),
            )

    def _attach(
        self,
        label: str,
        tags: Mapping[Tag, str],
        *,
        database: lakeformation.CfnTagAssociation.DatabaseResourceProperty | None = None,
        table: lakeformation.CfnTagAssociation.TableResourceProperty | None = None,
        table_with_columns: lakeformation.CfnTagAssociation.TableWithColumnsResourceProperty | None = None,
    ) -> None:
        pairs = [
            lakeformation.CfnTagAssociation.LFTagPairProperty(
                catalog_id=self._stack.account, tag_key=tag_key(self._environment, tag), tag_values=[value]
            )
            for tag, value in tags.items()
        ]
        on = lakeformation.CfnTagAssociation.ResourceProperty(database=database, table=table, table_with_columns=table_with_columns)
        association = lakeformation.CfnTagAssociation(self._stack, label, lf_tags=pairs, resource=on)
        made = self._stack.node.try_find_child(label.removesuffix("Tags"))
        if isinstance(made, CfnResource):
            association.add_resource_dependency(made)
        self._link(association)

    def _grant(self, role: Role, label: str, principal: str, tables: Sequence[Published]) -> None:
        """SELECT on the tables whose contracts name the role, and sight of the databases they stand in; nothing where none does."""
        named = [one for one in tables if role in one.table.readers]
        if not named:
            return
        shelves = sorted({one.shelf for one in named})
        expression: dict[Tag, Sequence[str]] = {"layer": shelves, "readers": [value for value in READERS if role in value.split("+")]}
        if role == "analyst":
            expression["classification"] = [LEVELS[0]]  # as the compiler has it; a second lock
        self._permit(f"{label}Databases", principal, "DATABASE", {"layer": shelves}, ["DESCRIBE"])
        self._permit(f"{label}Tables", principal, "TABLE", expression, ["DESCRIBE", "SELECT"])

    def _permit(self, label: str, principal: str, kind: str, expression: Mapping[Tag, Sequence[str]], permissions: list[str]) -> None:
        policy = lakeformation.CfnPrincipalPermissions.LFTagPolicyResourceProperty(
            catalog_id=self._stack.account,
            resource_type=kind,
            expression=[
                lakeformation.CfnPrincipalPermissions.LFTagProperty(tag_key=tag_key(self._environment, tag), tag_values=list(values))
                for tag, values in expression.items()
            ],
        )
        self._link(
            lakeformation.CfnPrincipalPermissions(
                self._stack,
                label,
                principal=_principal(principal),
                resource=lakeformation.CfnPrincipalPermissions.ResourceProperty(lf_tag_policy=policy),
                permissions=permissions,
                permissions_with_grant_option=[],
            )
        )


def _principal(arn: str) -> lakeformation.CfnPrincipalPermissions.DataLakePrincipalProperty:
    return lakeformation.CfnPrincipalPermissions.DataLakePrincipalProperty(data_lake_principal_identifier=arn)


def _classified(table: Table) -> Mapping[str, Sequence[str]]:
    """Classified columns by their level."""
    levels = {column.classification for column in table.columns if column.classification is not None}
    return {level: [column.name for column in table.columns if column.classification == level] for level in sorted(levels)}
