"""The state table's conditions, against moto: who may write what, who loses a race, and what a lost answer looks like."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from unittest.mock import patch

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from moto import mock_aws

from shared.aws.dynamo import Act
from shared.aws.state import DynamoState
from shared.core.errors import BadState, ClaimRefused, ContractError, LostRace, StaleFence, StateUnavailable
from shared.core.messages import (
    Batch,
    Bypass,
    Certified,
    ChangeSetRef,
    Entry,
    Intent,
    Lock,
    Outcome,
    Progress,
    RunRecord,
)
from shared.spec.codec import to_json

NOW = datetime(2026, 11, 23, 4, 0, 0, 123456, tzinfo=UTC)
REGION = "eu-central-1"
FREE = Lock(run=None, fence=0, since=None, lake_hash=None)
ORDERS = "bronze.orders"
NUMBERS = count(1)


@pytest.fixture(scope="module")
def dynamodb():
    with mock_aws(), patch.dict("os.environ", {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}):
        yield boto3.client("dynamodb", region_name=REGION)


class Meddler:
    """A DynamoDB client whose calls a test can watch or spoil: `before` and `after` run around each write."""

    def __init__(self, client) -> None:
        self.client, self.tokens, self.before, self.after = client, [], lambda: None, lambda: None
        self.page = None

    def transact_write_items(self, **call):
        self.tokens.append(call["ClientRequestToken"])
        self.before()
        # moto does not know tokens: without them a second sending is really a second transaction
        answer = self.client.transact_write_items(TransactItems=call["TransactItems"])
        self.after()
        return answer

    def query(self, **call):
        return self.client.query(**(call if self.page is None else {**call, "Limit": self.page}))

    def __getattr__(self, name):
        return getattr(self.client, name)


@pytest.fixture
def meddler(dynamodb):
    return Meddler(dynamodb)


def new_table(dynamodb):
    name = f"sluice-test-{next(NUMBERS)}"
    keys = [{"AttributeName": "kind", "KeyType": "HASH"}, {"AttributeName": "id", "KeyType": "RANGE"}]
    types = [{"AttributeName": key, "AttributeType": "S"} for key in ("kind", "id")]
    dynamodb.create_table(TableName=name, KeySchema=keys, AttributeDefinitions=types, BillingMode="PAY_PER_REQUEST")
    return name


@pytest.fixture
def state(dynamodb, meddler):
    return DynamoState(new_table(dynamodb), client=meddler)


def everything(state, dynamodb):
    items = dynamodb.scan(TableName=state._table.name)["Items"]
    return sorted(json.dumps(item, sort_keys=True) for item in items)


def held(run="r1", fence=1, since=NOW):
    return Lock(run=run, fence=fence, since=since, lake_hash="abc")


def record(run="r1", fence=1, started=NOW):
    return RunRecord(run=run, fence=fence, status="running", started=started, ended=None, verdicts={}, counts={}, timings={}, problem=None)


def batch(seq=1, run="r1", fence=1, hours=1):
    lo = NOW + timedelta(hours=seq)
    window = {"lo": lo, "hi": lo + timedelta(hours=hours)}
    return Batch(batch_id=f"{ORDERS}-{seq:010d}", seq=seq, ingest_time=NOW, run=run, fence=fence, outcome=None, **window)


def outcome(verdict="pass", fence=1):
    return Outcome(verdict=verdict, fence=fence)


def intent(run="r1", fence=1, sources=1):
    change_set = ChangeSetRef(table="gold.fact_sales", path="_staging/r1/1/jr/gold.fact_sales", digest="d", base_version=None, upserts=3, deletes=0)
    progress = {f"bronze.source_{i}": Progress(position=NOW, seq=4) for i in range(sources)}
    entries = {"gold.fact_sales": Entry(version=-1, definition_hash="h", consumed={"silver.orders": 7})}
    return Intent(run=run, fence=fence, change_sets=(change_set,), entries=entries, progress=progress, blocked={"silver.x": "halted"})


ENTRIES = {"gold.fact_sales": Entry(version=12, definition_hash="h", consumed={"silver.orders": 7})}


def begin(state, run="r1", fence=1):
    state.take_lock(replace(state.lock(), run=None, since=None, lake_hash=None), held(run, fence))
    state.start_run(record(run, fence))


def commit(state, run="r1", fence=1, of=None, at=NOW, release=True):
    state.commit(run=run, fence=fence, intent=of or intent(), entries=ENTRIES, status="passed", at=at, release=release)


# ---- lock


def test_a_lake_that_never_ran_has_fence_zero_and_nothing_else(state):
    """Every read has an answer before the first run."""
    assert FREE == state.lock()
    assert Certified(run=None, tables={}) == state.certified()
    assert Progress(position=None, seq=0) == state.progress(ORDERS)
    assert (None, None, None, (), (), ()) == (
        state.intent(), state.run("r1"), state.claim("r1", "ingest", "a"), state.pending(ORDERS), state.runs(5), state.bypasses()
    )  # fmt: skip


def test_of_two_takers_of_one_lock_the_second_loses(state):
    """Both read it free; one holds it, the other is told who."""
    state.take_lock(FREE, held("r1"))

    with pytest.raises(LostRace, match=r"run r1 \(fence 1\)"):
        state.take_lock(FREE, held("r2"))

    assert held("r1") == state.lock()


@pytest.mark.parametrize(
    "changed", [{"fence": 2}, {"run": "r9"}, {"lake_hash": "other"}, {"since": NOW + timedelta(microseconds=1)}, {"run": None}, {"since": None}]
)
def test_a_lock_is_taken_only_from_exactly_the_item_that_was_read(state, changed):
    """A lock that moved in any field since it was read is another's."""
    state.take_lock(FREE, held("r1"))

    with pytest.raises(LostRace):
        state.take_lock(replace(held("r1"), **changed), held("r2", 3))

    assert held("r1") == state.lock()


def test_the_same_lock_taken_again_is_a_lost_answer_and_no_race(state):
    """A run whose first call did arrive goes on."""
    state.take_lock(FREE, held("r1"))

    state.take_lock(FREE, held("r1"))

    assert held("r1") == state.lock()


def test_a_released_lock_keeps_its_fence_and_can_be_taken_from_there(state):
    """Fences only grow."""
    state.take_lock(FREE, held("r1"))
    state.release_lock("r1", 1)
    state.release_lock("r1", 1)
    released = state.lock()

    state.take_lock(released, held("r2", 2))

    assert replace(FREE, fence=1) == released
    assert held("r2", 2) == state.lock()


@pytest.mark.parametrize(("run", "fence"), [("r2", 1), ("r1", 2), ("r1", 0)])
def test_another_runs_lock_is_not_released(state, run, fence):
    """Neither a run that lost its lock nor an old fence of the same run frees it."""
    state.take_lock(FREE, held("r1"))

    state.release_lock(run, fence)

    assert held("r1") == state.lock()


# ---- who may write


WRITES: dict[str, Callable[[DynamoState, str, int], None]] = {
    "RUN new": lambda state, run, fence: state.start_run(record("new", fence) if run == "r1" else record(run, fence)),
    "RUN stage": lambda state, run, fence: state.note_stage(run, fence, "ingest", verdicts={}, counts={}, at=NOW),
    "PENDING first": lambda state, run, fence: state.freeze(run, fence, "bronze.customers", batch(), prune_to=0),
    "PENDING next": lambda state, run, fence: state.freeze(run, fence, ORDERS, batch(2), prune_to=1),
    "PENDING outcome": lambda state, run, fence: state.judge(run, fence, ORDERS, {batch().batch_id: outcome()}),
    "INTENT": lambda state, run, fence: state.put_intent(intent(run, fence)),
    "CERTIFIED": lambda state, run, fence: commit(state, run, fence),
    "CERTIFIED of a recovery": lambda state, run, fence: commit(state, run, fence, release=False),
}


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("lost", ["to another run", "to a higher fence", "released"])
def test_a_writer_that_lost_the_lock_changes_nothing(state, dynamodb, name, lost):
    """A zombie of any kind writes no kind, and is told whose the lock is."""
    begin(state)
    state.freeze("r1", 1, ORDERS, batch(), prune_to=0)
    state.put_intent(intent())
    state.release_lock("r1", 1)
    if lost != "released":
        begin(state, "r2" if lost == "to another run" else "r1", 2)
    before = everything(state, dynamodb)

    with pytest.raises(StaleFence, match="no run" if lost == "released" else "fence 2"):
        WRITES[name](state, "r1", 1)

    assert before == everything(state, dynamodb)


# ---- claims


def test_a_group_is_claimed_once(state):
    """Of twins started by one retried call the second is refused, by name; the first may ask again."""
    state.put_claim("r1", "ingest", "a", read=None, glue_run="jr_1")
    state.put_claim("r1", "ingest", "a", read=None, glue_run="jr_1")

    with pytest.raises(ClaimRefused, match="jr_1 claimed it before jr_2"):
        state.put_claim("r1", "ingest", "a", read=None, glue_run="jr_2")

    assert "jr_1" == state.claim("r1", "ingest", "a")
    assert state.claim("r1", "ingest", "b") is state.claim("r1", "recover", "a") is None


def test_a_claim_is_taken_over_only_from_the_claimant_that_was_read(state):
    """Two that both found jr_1 dead cannot both follow it."""
    state.put_claim("r1", "ingest", "a", read=None, glue_run="jr_1")
    state.put_claim("r1", "ingest", "a", read="jr_1", glue_run="jr_2")
    state.put_claim("r1", "ingest", "a", read="jr_1", glue_run="jr_2")

    with pytest.raises(ClaimRefused):
        state.put_claim("r1", "ingest", "a", read="jr_1", glue_run="jr_3")

    assert "jr_2" == state.claim("r1", "ingest", "a")


# ---- pending batches


def test_batches_come_back_as_they_were_frozen_in_order_of_seq(state):
    """Instants keep their microseconds, numbers are whole numbers."""
    begin(state)
    frozen = [batch(seq) for seq in (1, 2, 10)]

    for one in reversed(frozen):
        state.freeze("r1", 1, ORDERS, one, prune_to=0)

    assert tuple(frozen) == state.pending(ORDERS)
    assert {int} == {type(value) for one in state.pending(ORDERS) for value in (one.seq, one.fence)}


def test_a_seq_is_frozen_once(state):
    """Another window under the same seq is a lost race; the very same batch is a lost answer."""
    begin(state)
    state.freeze("r1", 1, ORDERS, batch(1), prune_to=0)
    state.freeze("r1", 1, ORDERS, batch(2), prune_to=0)

    for seq in (1, 2):
        state.freeze("r1", 1, ORDERS, batch(seq), prune_to=0)
        with pytest.raises(LostRace):
            state.freeze("r1", 1, ORDERS, batch(seq, hours=2), prune_to=0)
    with pytest.raises(LostRace, match="under another batch id"):
        state.freeze("r1", 1, ORDERS, replace(batch(2), batch_id="odd"), prune_to=0)

    assert (batch(1), batch(2)) == state.pending(ORDERS)


def test_a_first_batch_never_replaces_one_that_came_between_read_and_write(state, meddler):
    """Two writers that both saw no PENDING item: the second is told, the first one's batch stays."""
    begin(state)
    other = batch(1, hours=5)

    def interfere():
        meddler.before = lambda: None
        state.freeze("r1", 1, ORDERS, other, prune_to=0)

    meddler.before = interfere
    with pytest.raises(LostRace):
        state.freeze("r1", 1, ORDERS, batch(1), prune_to=0)

    assert (other,) == state.pending(ORDERS)


def test_freezing_drops_committed_batches_and_leaves_the_others_as_they_are(state):
    """Pruning follows the committed seq; a later batch keeps the outcome its gate gave."""
    begin(state)
    for seq in (1, 2, 3):
        state.freeze("r1", 1, ORDERS, batch(seq), prune_to=0)
    state.judge("r1", 1, ORDERS, {batch(3).batch_id: outcome("halt")})

    state.freeze("r1", 1, ORDERS, batch(4), prune_to=2)

    assert (replace(batch(3), outcome=outcome("halt")), batch(4)) == state.pending(ORDERS)


def test_an_outcome_touches_its_own_batch_and_only_its_outcome(state):
    """A gate's answer is per batch, never the item put back."""
    begin(state)
    for seq in (1, 2):
        state.freeze("r1", 1, ORDERS, batch(seq), prune_to=0)

    state.judge("r1", 1, ORDERS, {batch(1).batch_id: outcome("warn")})

    assert (replace(batch(1), outcome=outcome("warn")), batch(2)) == state.pending(ORDERS)


def test_more_outcomes_than_one_expression_holds_are_all_written(state):
    """A table that caught up over 120 windows is judged whole."""
    begin(state)
    frozen = {batch(seq).batch_id: to_json(batch(seq)) for seq in range(1, 121)}
    state._table.write(Act(verb="Put", kind="PENDING", id=ORDERS, item={"batches": frozen}))

    state.judge("r1", 1, ORDERS, {batch_id: outcome() for batch_id in frozen})

    assert [outcome()] * 120 == [one.outcome for one in state.pending(ORDERS)]


@pytest.mark.parametrize("known", [False, True])
def test_a_batch_that_is_not_pending_cannot_be_judged(state, dynamodb, known):
    """An outcome never brings a pruned batch back as half an item."""
    begin(state)
    if known:
        state.freeze("r1", 1, ORDERS, batch(1), prune_to=0)
    before = everything(state, dynamodb)

    with pytest.raises(LostRace, match="pending"):
        state.judge("r1", 1, ORDERS, {batch(1).batch_id: outcome(), batch(7).batch_id: outcome()})

    assert before == everything(state, dynamodb)


# ---- runs


def test_starting_a_run_twice_keeps_the_first_record(state):
    """plan asked again by the same run resets nothing."""
    begin(state)
    state.note_stage("r1", 1, "ingest", verdicts={ORDERS: "pass"}, counts={}, at=NOW)

    state.start_run(record(started=NOW + timedelta(hours=1)))

    assert ({"ingest": {ORDERS: "pass"}}, NOW) == (state.run("r1").verdicts, state.run("r1").started)
    assert 1 == len(state.runs(10))


def test_a_stage_is_noted_beside_the_others_with_when_it_ran(state):
    """A stage starts where the one before it ended; noting it again replaces its own entry alone."""
    begin(state)
    later = [NOW + timedelta(minutes=minutes) for minutes in (0, 5, 7, 8)]
    state.note_stage("r1", 1, "ingest", verdicts={ORDERS: "warn"}, counts={ORDERS: {"read": 3}}, at=later[1])
    state.note_stage("r1", 1, "refine", verdicts={"silver.orders": "pass"}, counts={}, at=later[2])
    state.note_stage("r1", 1, "refine", verdicts={"silver.orders": "halt"}, counts={}, at=later[3])

    noted = state.run("r1")

    assert {"ingest": {ORDERS: "warn"}, "refine": {"silver.orders": "halt"}} == noted.verdicts
    assert {"ingest": {ORDERS: {"read": 3}}, "refine": {}} == noted.counts
    assert [("04:00", "04:05"), ("04:05", "04:08")] == [
        (noted.timings[s]["start"][11:16], noted.timings[s]["end"][11:16]) for s in ("ingest", "refine")
    ]


def test_the_newest_runs_come_first_whatever_their_names(state):
    """Execution names are arbitrary; only as many records are read as were asked for."""
    for fence, run in enumerate(("zebra", "aardvark", "m-1", "b"), start=1):
        begin(state, run, fence)
        state.fail_run(run, problem="x", at=NOW)
        state.release_lock(run, fence)
    started = {"zebra": 2, "aardvark": 9, "m-1": 5, "b": 3}
    assert {"zebra", "aardvark", "m-1", "b"} == {one.run for one in state.runs(10)}

    for fence, (run, hour) in enumerate(started.items(), start=5):
        state.take_lock(state.lock(), held(f"{run}-again", fence))
        state.start_run(record(f"{run}-again", fence, NOW + timedelta(hours=hour)))
        state.release_lock(f"{run}-again", fence)

    assert ["aardvark-again", "m-1-again", "b-again"] == [one.run for one in state.runs(3)]


def test_a_failure_is_recorded_without_the_lock(state):
    """The run may have lost it: that is often why it failed."""
    begin(state)
    state.release_lock("r1", 1)

    failed = state.fail_run("r1", problem="StaleFence: lost", at=NOW)

    assert ("failed", "StaleFence: lost", NOW) == (failed.status, failed.problem, failed.ended)
    assert failed == state.run("r1")


@pytest.mark.parametrize("status", ["passed", "blocked"])
def test_a_committed_run_is_never_overwritten(state, dynamodb, status):
    """fail, a late gate and a late intent all find it closed, even if the run holds the lock again."""
    begin(state)
    state.put_intent(intent())
    state.commit(run="r1", fence=1, intent=intent(), entries=ENTRIES, status=status, at=NOW, release=False)
    before = everything(state, dynamodb)

    answered = state.fail_run("r1", problem="late", at=NOW + timedelta(hours=1))
    with pytest.raises(StaleFence, match="RUN is committed"):
        state.put_intent(intent())
    with pytest.raises(StaleFence, match="RUN is committed"):
        state.note_stage("r1", 1, "ingest", verdicts={}, counts={}, at=NOW)

    assert (status, None) == (answered.status, answered.problem)
    assert before == everything(state, dynamodb)


def test_a_run_that_was_never_recorded_can_neither_fail_nor_intend(state, dynamodb):
    """No half record springs up from a late write."""
    state.take_lock(FREE, held())
    before = everything(state, dynamodb)

    with pytest.raises(StaleFence, match="never started"):
        state.put_intent(intent())

    assert state.fail_run("r1", problem="x", at=NOW) is None
    assert before == everything(state, dynamodb)


# ---- intent and commit


def test_an_intent_comes_back_as_it_was_written_and_may_be_written_again(state):
    """A gate called twice decides once."""
    begin(state)
    state.put_intent(intent())
    state.put_intent(intent())

    assert intent() == state.intent()


def test_another_runs_intent_is_never_overwritten(state):
    """Its gold may be half published; losing it would leave that uncertified for ever."""
    begin(state)
    state.put_intent(intent())
    state.release_lock("r1", 1)
    begin(state, "r2", 2)

    with pytest.raises(BadState, match="another run's is not committed"):
        state.put_intent(intent("r2", 2))

    assert intent() == state.intent()


def test_commit_moves_everything_at_once(state):
    """Pointer, watermark, record, intent and lock in one transaction."""
    begin(state)
    state.put_intent(intent())

    commit(state)

    assert Certified(run="r1", tables=ENTRIES) == state.certified()
    assert Progress(position=NOW, seq=4) == state.progress("bronze.source_0")
    assert ("passed", NOW, None) == (state.run("r1").status, state.run("r1").ended, state.intent())
    assert replace(FREE, fence=1) == state.lock()
    assert {int} == {type(state.certified().tables["gold.fact_sales"].version), type(state.progress("bronze.source_0").seq), type(state.lock().fence)}


def test_a_recovery_commits_the_other_runs_intent_and_keeps_its_own_lock(state):
    """CERTIFIED and RUN are the intent's run; the recovering run goes on under its lock."""
    begin(state)
    state.put_intent(intent())
    state.fail_run("r1", problem="killed", at=NOW)
    state.release_lock("r1", 1)
    begin(state, "r2", 2)

    commit(state, "r2", 2, release=False)

    assert ("r1", "passed", "running") == (state.certified().run, state.run("r1").status, state.run("r2").status)
    assert ("r2", None) == (state.lock().run, state.intent())


@pytest.mark.parametrize("there", ["none", "another run's", "another fence's"])
def test_commit_writes_nothing_without_its_own_intent(state, dynamodb, there):
    """All or nothing: not even a watermark moves."""
    begin(state)
    if there != "none":
        state.put_intent(intent())
    wanted = {"none": intent(), "another run's": intent("r0"), "another fence's": intent("r1", 0)}[there]
    before = everything(state, dynamodb)

    with pytest.raises(StaleFence):
        commit(state, of=wanted)

    assert before == everything(state, dynamodb)


def test_committing_twice_is_refused(state, dynamodb):
    """The second finds the lock gone; the step reads RUN first and never gets here."""
    begin(state)
    state.put_intent(intent())
    commit(state)
    before = everything(state, dynamodb)

    with pytest.raises(StaleFence):
        commit(state, at=NOW + timedelta(seconds=1))

    assert before == everything(state, dynamodb)


def test_ninety_sources_commit_and_more_than_a_transaction_holds_are_refused_in_words(state):
    """The compiler's limit fits; beyond it the error says what to do."""
    begin(state)
    state.put_intent(intent(sources=90))
    with pytest.raises(ContractError, match="100 items"):
        commit(state, of=intent(sources=97))

    commit(state, of=intent(sources=90))

    assert 4 == state.progress("bronze.source_89").seq


def test_a_source_without_a_position_commits_as_such(state):
    """Nothing was read of it yet; that is not the year one."""
    begin(state)
    empty = replace(intent(), progress={ORDERS: Progress(position=None, seq=0)})
    state.put_intent(empty)

    commit(state, of=empty)

    assert Progress(position=None, seq=0) == state.progress(ORDERS)


# ---- schedules and bypasses


def test_a_schedule_delivered_twice_belongs_to_the_first_run(state):
    """The second is told whose it is, and the first may ask again."""
    assert ["r1", "r1", "r1"] == [state.take_schedule("2026-11-23T04:00:00Z", run) for run in ("r1", "r2", "r1")]
    assert "r3" == state.take_schedule("2026-11-24T04:00:00Z", "r3")


def test_bypasses_come_back_over_all_pages(state, meddler):
    """An approval on the second page counts as one on the first."""
    granted = [Bypass(table=ORDERS, rule=f"rule_{i}", approver="eve", ticket="T-1", reason="r", expires=NOW) for i in range(5)]
    for one in granted:
        state.put_bypass(one)
    meddler.page = 2

    assert tuple(granted) == state.bypasses()


def test_a_bypass_is_renewed_in_place_and_removed_for_good(state):
    """One rule of one table has one exception; taking back what is not there changes nothing."""
    one = Bypass(table=ORDERS, rule="amount", approver="eve", ticket="T-1", reason="r", expires=NOW)
    other = replace(one, rule="currency")
    renewed = replace(one, approver="ann", expires=NOW + timedelta(days=3))
    for put in (one, other, renewed):
        state.put_bypass(put)

    assert (renewed, other) == state.bypasses()
    for _ in range(2):
        state.remove_bypass(ORDERS, "amount")
    assert (other,) == state.bypasses()


def test_an_item_of_another_shape_is_an_error_that_names_it(state, dynamodb):
    """Absence is an error: a LOCK without a fence is not a free lock."""
    dynamodb.put_item(TableName=state._table.name, Item={"kind": {"S": "LOCK"}, "id": {"S": "-"}, "run": {"S": "r1"}})

    with pytest.raises(BadState, match=r"LOCK.*fence"):
        state.lock()


# ---- lost answers, collisions, silence


def refusal(code, reasons=()):
    return ClientError({"Error": {"Code": code}, "CancellationReasons": [{"Code": reason} for reason in reasons]}, "TransactWriteItems")


def once(error):
    """Raise `error` the first time, then nothing."""
    errors = iter([error])

    def act():
        for waiting in errors:
            raise waiting

    return act


LOST = {
    "take_lock": lambda state: state.take_lock(state.lock(), held("r2", 2)),
    "release_lock": lambda state: state.release_lock("r1", 1),
    "put_claim": lambda state: state.put_claim("r1", "ingest", "a", read=None, glue_run="jr_1"),
    "freeze first": lambda state: state.freeze("r1", 1, "bronze.customers", batch(), prune_to=0),
    "freeze next": lambda state: state.freeze("r1", 1, ORDERS, batch(2), prune_to=1),
    "judge": lambda state: state.judge("r1", 1, ORDERS, {batch().batch_id: outcome()}),
    "start_run": lambda state: state.start_run(record()),
    "note_stage": lambda state: state.note_stage("r1", 1, "ingest", verdicts={}, counts={}, at=NOW),
    "put_intent": lambda state: state.put_intent(intent()),
    "fail_run": lambda state: state.fail_run("r1", problem="x", at=NOW),
    "commit": lambda state: commit(state),
    "take_schedule": lambda state: state.take_schedule("2026-11-23T04:00:00Z", "r1"),
}


@pytest.mark.parametrize("name", LOST)
def test_a_write_whose_answer_was_lost_reads_as_success(state, meddler, dynamodb, name):
    """It is sent again, finds its own work, and answers and leaves the table as one write would."""
    state.take_lock(FREE, held())
    if name != "start_run":
        state.start_run(record())
        state.freeze("r1", 1, ORDERS, batch(), prune_to=0)
        state.put_intent(intent())
    other = DynamoState(copy_of(state, dynamodb), client=dynamodb)
    meddler.tokens.clear()
    meddler.after = once(refusal("TransactionInProgressException"))

    answered = LOST[name](state)

    assert LOST[name](other) == answered
    assert everything(other, dynamodb) == everything(state, dynamodb)
    assert (2, 1) == (len(meddler.tokens), len(set(meddler.tokens)))


def copy_of(state, dynamodb):
    name = new_table(dynamodb)
    for item in dynamodb.scan(TableName=state._table.name)["Items"]:
        dynamodb.put_item(TableName=name, Item=item)
    return name


def test_every_write_has_its_own_token_and_a_repeated_one_keeps_it(state, meddler):
    """DynamoDB itself then tells a repetition from a second write."""
    state.take_lock(FREE, held())
    meddler.before = once(refusal("TransactionCanceledException", ("TransactionConflict", "None")))

    state.start_run(record())

    first, second, third = meddler.tokens
    assert first != second == third


def test_transactions_that_meet_on_one_item_are_tried_again(state, meddler):
    """Two groups writing outcomes of one table at once both get through."""
    meddler.before = once(refusal("TransactionCanceledException", ("None", "TransactionConflict")))

    state.take_lock(FREE, held())

    assert held() == state.lock()


def test_a_condition_that_failed_beside_a_collision_is_not_tried_again(state, meddler):
    """The answer is known: waiting would not help."""
    begin(state)
    meddler.before = once(refusal("TransactionCanceledException", ("ConditionalCheckFailed", "TransactionConflict")))
    meddler.tokens.clear()

    with pytest.raises(StaleFence):
        state.note_stage("r1", 1, "ingest", verdicts={}, counts={}, at=NOW)

    assert 1 == len(meddler.tokens)


def always(error):
    def act():
        raise error

    return act


@pytest.mark.parametrize(
    "error",
    [
        refusal("TransactionCanceledException", ("TransactionConflict",)),
        refusal("ThrottlingException"),
        refusal("InternalServerError"),
        ReadTimeoutError(endpoint_url="https://dynamodb"),
    ],
    ids=["collides for ever", "throttled", "broken", "silent"],
)
def test_a_table_that_does_not_answer_is_worth_waiting_for(state, meddler, error):
    """StateUnavailable is what the state machine retries; nothing else is made of it."""
    meddler.before = always(error)
    with patch("shared.aws.dynamo.PAUSE", lambda _: 0), pytest.raises(StateUnavailable, match="DynamoDB sluice-test"):
        state.take_lock(FREE, held())


def test_a_refusal_that_waiting_cannot_mend_stays_what_it_is(state, meddler):
    """A missing permission is not unavailability."""
    meddler.before = always(refusal("AccessDeniedException"))

    with pytest.raises(ClientError, match="AccessDenied"):
        state.take_lock(FREE, held())
