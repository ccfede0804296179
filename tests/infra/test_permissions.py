"""Who may read which table through Lake Formation, worked out from the templates as Lake Formation does, against what contracts say."""

import json
from itertools import chain, combinations

import pytest

from compiler.readers import LAYERS_READ
from infra.permissions import READERS, Published
from shared.spec.lake import LEVELS
from tests.infra.tides import lake, people

OF_LAKE_FORMATION = "AWS::LakeFormation::"
PEOPLE = people("222222222222")


@pytest.fixture(scope="module")
def found(assembly):
    """Resources of prod's catalogue by logical id."""
    return assembly.template("prod", "catalogue")["Resources"]


def of_type(found, kind):
    return {id: one["Properties"] for id, one in found.items() if one["Type"] == f"{OF_LAKE_FORMATION}{kind}"}


def databases(found):
    return {id: one["Properties"]["DatabaseInput"]["Name"] for id, one in found.items() if one["Type"] == "AWS::Glue::Database"}


def tags_of(found):
    """What each column of the catalogue carries, inherited from its table and that from its database: (database, table, column) -> tags."""
    names, columns, given = databases(found), {}, {}
    for one in found.values():
        if one["Type"] == "AWS::Glue::Table":
            table = one["Properties"]["TableInput"]
            database = names[one["Properties"]["DatabaseName"]["Ref"]]
            listed = [*table["StorageDescriptor"]["Columns"], *table.get("PartitionKeys", [])]
            columns[database, table["Name"]] = [column["Name"] for column in listed]
    for association in of_type(found, "TagAssociation").values():
        on = association["Resource"]
        tags = {pair["TagKey"].removeprefix("sluice-prod-"): pair["TagValues"][0] for pair in association["LFTags"]}
        if "Database" in on:
            given.setdefault((names[on["Database"]["Name"]["Ref"]],), {}).update(tags)
        elif "Table" in on:
            given.setdefault((names[on["Table"]["DatabaseName"]["Ref"]], on["Table"]["Name"]), {}).update(tags)
        else:
            place = on["TableWithColumns"]
            for column in place["ColumnNames"]:
                given.setdefault((names[place["DatabaseName"]["Ref"]], place["Name"], column), {}).update(tags)
    return {
        (*table, column): given.get(table[:1], {}) | given.get(table, {}) | given.get((*table, column), {})
        for table, listed in columns.items()
        for column in listed
    }


def readable(found, principal):
    """The columns that a principal's grants of SELECT reach: every tag of an expression must have one of its values."""
    expressions = [
        {tag["TagKey"].removeprefix("sluice-prod-"): set(tag["TagValues"]) for tag in grant["Resource"]["LFTagPolicy"]["Expression"]}
        for grant in of_type(found, "PrincipalPermissions").values()
        if "SELECT" in grant["Permissions"] and grant["Principal"]["DataLakePrincipalIdentifier"] == principal
    ]
    return {
        place
        for place, tags in tags_of(found).items()
        if any(all(tags.get(tag) in values for tag, values in expression.items()) for expression in expressions)
    }


def tables(places):
    return {f"{database.removeprefix('sluice_prod_')}.{table}" for database, table, _ in places}


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("analyst", {"gold.daily_tides"}),
        ("engineer", {"silver.tides"}),
        ("steward", {"silver.tides", "gold.keepers", "rejects.tides"}),
    ],
)
def test_a_role_reads_what_contracts_open_to_it_and_nothing_else(found, role, expected):
    """gold.soundings names nobody, and nobody reads it."""
    for principal in PEOPLE[role]:
        assert expected == tables(readable(found, principal))


def test_a_table_is_granted_whole_or_not_at_all(found):
    """Lake Formation honours no grant on some columns of a Delta table: one that reached some would be refused, or worse, be taken for all."""
    everything = tags_of(found)

    for principal in (one for names in PEOPLE.values() for one in names):
        reached = readable(found, principal)
        for place in everything:
            table = {other for other in everything if other[:2] == place[:2]}
            assert (table & reached) in (set(), table), (principal, place)


def test_no_analyst_reaches_a_classified_column(found):
    """By the table's tag, whatever its contract named: the compiler's refusal is one lock, this is another."""
    classified = {place for place, tags in tags_of(found).items() if tags["classification"] != LEVELS[0]}

    assert {"silver.tides", "gold.keepers"} == tables(classified)
    for principal in PEOPLE["analyst"]:
        assert not readable(found, principal) & classified


def test_every_table_says_what_it_is(found):
    """Layer, classification, domain and readers of each, and the level of each classified column."""
    carried = tags_of(found)

    assert {"layer": "gold", "classification": "restricted", "domain": "sea", "readers": "steward"} == carried["sluice_prod_gold", "keepers", "gauge"]
    assert {"layer": "gold", "classification": "public", "domain": "sea", "readers": "nobody"} == carried["sluice_prod_gold", "soundings", "gauge"]
    assert {"layer": "rejects", "classification": "public", "domain": "sea", "readers": "nobody"} == carried["sluice_prod_rejects", "gauges", "dt"]
    assert {"confidential"} == {tags["classification"] for place, tags in carried.items() if place[:2] == ("sluice_prod_silver", "tides")}
    assert all(set(tags) == {"layer", "classification", "domain", "readers"} for tags in carried.values())


def test_every_value_that_is_attached_or_granted_is_one_of_its_tag(found):
    """Lake Formation refuses an unknown one, in the middle of a deployment."""
    known = {tag["TagKey"]: set(tag["TagValues"]) for tag in of_type(found, "Tag").values()}
    attached = [pair for one in of_type(found, "TagAssociation").values() for pair in one["LFTags"]]
    granted = [tag for one in of_type(found, "PrincipalPermissions").values() for tag in one["Resource"].get("LFTagPolicy", {}).get("Expression", [])]

    assert {"sluice-prod-layer", "sluice-prod-classification", "sluice-prod-domain", "sluice-prod-readers"} == set(known)
    for pair in (*attached, *granted):
        assert set(pair["TagValues"]) <= known[pair["TagKey"]]


@pytest.mark.parametrize("layer", ["bronze", "silver", "gold"])
def test_every_set_of_readers_that_a_contract_can_name_is_a_value(layer):
    """Readers are a closed set: no deployment has to take one away that a table still has."""
    roles = sorted(role for role, layers in LAYERS_READ.items() if layer in layers)
    sets = chain.from_iterable(combinations(roles, size) for size in range(len(roles) + 1))
    possible = {"+".join(one) or "nobody" for one in sets if not {"analyst", "steward"} <= set(one)}

    assert possible <= set(READERS)


def test_everything_of_lake_formation_is_one_chain(found):
    """What is changed at once is refused: each waits for one before it, from the settings to the last grant."""
    chained = {id: one for id, one in found.items() if one["Type"].startswith(OF_LAKE_FORMATION)}
    before = {id: [other for other in listed(one.get("DependsOn", [])) if other in chained] for id, one in chained.items()}

    assert ["LakeFormation"] == [id for id, others in before.items() if not others]
    assert all(len(others) <= 1 for others in before.values())
    assert len(chained) - 1 == len({other for others in before.values() for other in others})
    order = in_order(before)
    kinds = [chained[id]["Type"].removeprefix(OF_LAKE_FORMATION) for id in order]
    assert "DataLakeSettings" == kinds[0]
    assert kinds.index("Tag") > kinds.index("Resource")
    assert max(place for place, kind in enumerate(kinds) if kind == "Tag") < kinds.index("TagAssociation")
    assert max(place for place, kind in enumerate(kinds) if kind == "TagAssociation") < order.index("Analyst0Databases")


def test_tables_wait_for_the_leave_to_make_them(found):
    """In a registered folder whoever makes a table needs the location's permission, administrator or not: first deployments end there."""
    deployer = "arn:aws:iam::222222222222:role/cdk-hnb659fds-cfn-exec-role-222222222222-eu-west-1"
    leaves = {id: one for id, one in of_type(found, "PrincipalPermissions").items() if one["Permissions"] == ["DATA_LOCATION_ACCESS"]}

    assert {deployer} == {one["Principal"]["DataLakePrincipalIdentifier"] for one in leaves.values()}
    locations = {one["ResourceArn"] for one in of_type(found, "Resource").values()}
    assert locations == {one["Resource"]["DataLocation"]["ResourceArn"] for one in leaves.values()}
    for id, one in found.items():
        if one["Type"] == "AWS::Glue::Database":
            assert "ReadersTag" in listed(one["DependsOn"]), id
        if one["Type"] == "AWS::Glue::Table":
            assert "Ref" in one["Properties"]["DatabaseName"], id


def test_lake_formation_hands_out_three_folders_by_a_role_that_reads(found):
    """Bronze, evidence and change sets are not its to give, and jobs go on by their own roles: hybrid access."""
    locations = of_type(found, "Resource").values()

    bucket = "arn:aws:s3:::sluice-prod-222222222222-eu-west-1"
    assert {f"{bucket}/{folder}" for folder in ("silver", "gold", "_errors")} == {one["ResourceArn"] for one in locations}
    assert {(True, False)} == {(one["HybridAccessEnabled"], one["UseServiceLinkedRole"]) for one in locations}
    (policy,) = [one["Properties"] for one in found.values() if one["Type"] == "AWS::IAM::Policy"]
    actions = {action for one in policy["PolicyDocument"]["Statement"] for action in listed(one["Action"])}
    assert {"s3:GetObject", "s3:ListBucket", "kms:Decrypt", "kms:DescribeKey"} == actions
    assert "bronze" not in json.dumps(policy)


def test_administrators_are_added_to_those_there_are(found):
    """REPLACE would lock out whoever administers the account's other lakes."""
    (settings,) = of_type(found, "DataLakeSettings").values()

    assert "APPEND" == settings["MutationType"]
    assert [] == settings["CreateDatabaseDefaultPermissions"] == settings["CreateTableDefaultPermissions"]
    admins = [one["DataLakePrincipalIdentifier"].split("/")[1] for one in settings["Admins"]]
    assert ["cdk-hnb659fds-cfn-exec-role-222222222222-eu-west-1", "harbour-master"] == admins


def test_settings_outlive_their_stack(found):
    """Two environments may share an account and a region, and so their deployer: one that goes must not take its rights from the other."""
    (settings,) = [one for one in found.values() if one["Type"] == f"{OF_LAKE_FORMATION}DataLakeSettings"]

    assert ("Retain", "Retain") == (settings["DeletionPolicy"], settings["UpdateReplacePolicy"])


def test_an_environment_without_people_grants_to_nobody(assembly):
    """Its tags stand there; only the deployer's leave to make tables is given."""
    given = assembly.properties("local", "catalogue", "AWS::LakeFormation::PrincipalPermissions")

    assert 3 == len(given)
    assert {"DATA_LOCATION_ACCESS"} == {one for grant in given for one in grant["Permissions"]}


def test_a_tables_classification_is_that_of_its_most_classified_column():
    """One restricted column closes the table."""
    made = {table.name: table for table in lake().tables}

    assert "restricted" == Published(shelf="gold", table=made["gold.keepers"], database=None).tags()["classification"]
    assert "public" == Published(shelf="gold", table=made["gold.daily_tides"], database=None).tags()["classification"]


def listed(value):
    return value if isinstance(value, list) else [value]


def in_order(before):
    after = {others[0]: id for id, others in before.items() if others}
    order = [next(id for id, others in before.items() if not others)]
    while order[-1] in after:
        order.append(after[order[-1]])
    return order
