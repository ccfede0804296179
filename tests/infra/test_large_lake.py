"""How large a lake may be: sixty tables fit with room to spare, and one that does not fit is refused before anything is deployed."""

import json

import pytest

import infra.limits
from infra.bundling import ROOT
from infra.catalogue import CatalogueStack
from infra.lakehouse import new_app
from infra.limits import LakeTooLarge
from infra.signals import SignalsStack
from infra.storage import StorageStack
from shared.core.events import PlanAnswer
from shared.spec.codec import to_json
from shared.spec.lake import Lake
from tests.infra.conftest import synthesize
from tests.infra.tides import environment, people, source, table

STACK_RESOURCES, TEMPLATE_BYTES, DEFINITION_BYTES, INLINE_POLICY, PAYLOAD_BYTES = 500, 1_000_000, 1_000_000, 10_240, 256 * 1024


def generated(each):
    """`each` tables of every layer, each in a group of its own, all of them opened to somebody, half of silver and gold classified."""
    made = []
    for number in range(each):
        name = f"tides_of_a_harbour_with_a_long_name_{number:03d}"
        classified = "restricted" if number % 2 else None
        reader = "steward" if classified else "analyst"
        made.append(table(f"bronze.{name}", load="append", source=source(), group=f"group_{number}", readers=("steward",)))
        made.append(
            table(f"silver.{name}", load="merge", inputs=(f"bronze.{name}",), group=f"group_{number}", readers=("engineer",), classified=classified)
        )
        made.append(
            table(f"gold.{name}", load="derive", inputs=(f"silver.{name}",), group=f"group_{number}", readers=(reader,), classified=classified)
        )
    prod = environment("prod", account="222222222222", roles=people("222222222222"))
    return Lake(tables=tuple(sorted(made, key=lambda one: ("bronze", "silver", "gold").index(one.layer))), environments={"prod": prod})


@pytest.fixture(scope="module")
def sixty(tmp_path_factory):
    return synthesize(tmp_path_factory.mktemp("sixty"), made=generated(20))


def test_sixty_tables_fit_into_stacks(sixty):
    """Of resources, of bytes of a template and of a definition, of a role's policies."""
    for path in sixty.folder.glob("sluice-prod-*.template.json"):
        template = json.loads(path.read_text())
        assert len(template["Resources"]) <= STACK_RESOURCES / 2, path.name
        assert path.stat().st_size <= TEMPLATE_BYTES, path.name
        for policy in (one["Properties"] for one in template["Resources"].values() if one["Type"] == "AWS::IAM::Policy"):
            assert len(json.dumps(policy["PolicyDocument"], separators=(",", ":"))) <= INLINE_POLICY, policy["PolicyName"]
    (machine,) = sixty.properties("prod", "workflow", "AWS::StepFunctions::StateMachine")
    assert len(machine["DefinitionString"]) <= DEFINITION_BYTES


def test_sixty_groups_fit_into_a_payload():
    """States hand on names and nothing else."""
    groups = tuple(f"group_{number}" for number in range(60))

    assert len(json.dumps(to_json(PlanAnswer(fence=10**12, recover=None, duplicate=False, groups=groups)))) <= PAYLOAD_BYTES / 100


@pytest.mark.parametrize("part", ["catalogue", "signals"])
def test_a_lake_that_no_stack_takes_is_refused_with_what_to_do(sixty, tmp_path, monkeypatch, part):
    """Before anything is deployed, with the number that would fit. Sixty tables and a limit below them stand in for the hundreds of a real one."""
    resources = len(sixty.template("prod", part)["Resources"])
    monkeypatch.setattr(infra.limits, "RESOURCES", resources - 1)
    made = generated(20)
    app, environment = new_app(str(tmp_path)), made.environments["prod"]
    storage = StorageStack(app, environment=environment)

    made_of = {
        "catalogue": lambda: CatalogueStack(app, environment=environment, lake=made, bucket=storage.bucket, key=storage.key),
        "signals": lambda: SignalsStack(app, lake=made, environment=environment, key=storage.key),
    }

    with pytest.raises(
        LakeTooLarge,
        match=rf"sluice-prod-{part}: 60 tables make {resources} resources, .* {resources - 1} in a stack \(about 59 such.*a lake of their own",
    ):
        made_of[part]()


def test_the_page_says_how_many_tables_fit(sixty):
    """What a table takes of the two stacks that grow with it, and what is beside tables; a promise of freshness takes an alarm more."""
    catalogue, signals = (len(sixty.template("prod", part)["Resources"]) for part in ("catalogue", "signals"))
    classified, gold, tables = 20, 20, 60
    beside, hearing = catalogue - 2 * tables - classified, signals - 2 * tables
    told = " ".join((ROOT / "README.md").read_text().split())

    of_all_kinds = int(min((STACK_RESOURCES - beside) / (2 + classified / tables), (STACK_RESOURCES - hearing) / (2 + gold / tables)))
    plain = int(min((STACK_RESOURCES - beside) / 2, (STACK_RESOURCES - hearing) / 2))
    promised = int((STACK_RESOURCES - hearing) / (2 + gold / tables))
    assert f"about {of_all_kinds // 10 * 10} tables" in told
    assert f"{promised} without classified columns, {plain} if no gold table promises its freshness either" in told
