"""The difference between wanted and held memberships, as properties over whole histories of plans."""

import json
from datetime import UTC, date, datetime

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lead_intel.activation.plan import (
    AudienceKeys,
    audience_keys,
    difference,
    facts_digest,
    message_id,
)
from lead_intel.contract import ActivationPlan, checked
from lead_intel.policy import Persona, Personas

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
KEYS = AudienceKeys({"p": "li_p", "q": "li_q"}, {})

Pair = tuple[str, str]
World = dict[Pair, str]

pairs = st.tuples(st.sampled_from(["p", "q"]), st.sampled_from([f"lead{n}" for n in range(4)]))
worlds = st.dictionaries(pairs, st.sampled_from(["v1", "v2"]), max_size=6)


def wanted_frame(world: World) -> pd.DataFrame:
    rows = [(persona, lead, version, json.dumps({"v": version})) for (persona, lead), version in world.items()]
    return pd.DataFrame(rows, columns=["persona", "lead_id", "version", "traits"], dtype="str")


def held_frame(world: World, *, unsure: World | None = None, others: World | None = None) -> pd.DataFrame:
    rows = [(*pair, version, True, False) for pair, version in world.items()]
    rows += [(*pair, version, True, True) for pair, version in (unsure or {}).items()]
    rows += [(*pair, version, False, False) for pair, version in (others or {}).items()]
    frame = pd.DataFrame(rows, columns=["persona", "lead_id", "version", "ours", "unsure"])
    return frame.astype({"persona": "str", "lead_id": "str", "version": "str", "ours": "bool", "unsure": "bool"})


def sent_frame(counts: dict[Pair, int]) -> pd.DataFrame:
    rows = [(*pair, count) for pair, count in counts.items()]
    frame = pd.DataFrame(rows, columns=["persona", "lead_id", "sent"])
    return frame.astype({"persona": "str", "lead_id": "str", "sent": "int64"})


def plan(wanted: World, held: pd.DataFrame, sent: dict[Pair, int]) -> pd.DataFrame:
    return difference(wanted_frame(wanted), held, sent_frame(sent), KEYS, AT)


@settings(deadline=None, max_examples=15)
@given(st.lists(worlds, min_size=1, max_size=5))
def test_a_history_of_plans_ends_in_what_is_wanted_and_no_message_is_ever_repeated(history: list[World]) -> None:
    held: World = {}
    sent: dict[Pair, int] = {}
    ids: set[str] = set()
    for wanted in history:
        messages = plan(wanted, held_frame(held), sent)
        assert not ids & set(messages["message_id"])
        ids |= set(messages["message_id"])
        for row in messages.itertuples():
            pair = (row.persona, row.lead_id)
            present = {"add": False, "change": True, "remove": True}[row.action]
            assert (pair in held) == present
            if row.action == "remove":
                del held[pair]
            else:
                assert held.get(pair) != row.version
                held[pair] = row.version
            sent[pair] = sent.get(pair, 0) + 1
        assert held == wanted
        assert plan(wanted, held_frame(held), sent).empty


@settings(deadline=None, max_examples=10)
@given(worlds, worlds)
def test_a_plan_made_again_before_it_was_sent_has_the_same_messages(wanted: World, held: World) -> None:
    first, again = (plan(wanted, held_frame(held), {}) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)


@settings(deadline=None, max_examples=10)
@given(worlds, worlds)
def test_what_another_upload_holds_is_never_removed_by_this_one(wanted: World, others: World) -> None:
    messages = plan(wanted, held_frame({}, others=others), {})
    assert "remove" not in set(messages["action"])
    changed = {(row.persona, row.lead_id) for row in messages.itertuples() if row.action == "change"}
    assert changed == {pair for pair in wanted if pair in others and others[pair] != wanted[pair]}


def test_a_message_that_may_have_arrived_is_sent_again_under_its_id_or_taken_back() -> None:
    pair = ("p", "lead0")
    first = plan({pair: "v1"}, held_frame({}), {})
    again = plan({pair: "v1"}, held_frame({}, unsure={pair: "v1"}), {})
    assert again["message_id"].tolist() == first["message_id"].tolist()
    taken_back = plan({}, held_frame({}, unsure={pair: "v1"}), {})
    assert taken_back["action"].tolist() == ["remove"]


def test_an_identify_call_names_our_lead_and_sets_the_audience() -> None:
    payload = json.loads(plan({("p", "lead0"): "v1"}, held_frame({}), {})["payload"][0])
    assert payload["type"] == "identify"
    assert payload["userId"] == "lead0"
    assert payload["messageId"] == message_id("lead0", "p", "add", "v1", 0)
    assert payload["messageId"].startswith("li-")
    assert len(payload["messageId"]) <= 100
    assert payload["traits"] == {"v": "v1", "li_p": True}
    assert payload["timestamp"] == "2026-11-24T12:00:00.000Z"
    assert "externalIds" not in payload["context"]


@pytest.mark.parametrize("wanted", [{}, {("p", "lead0"): "v1", ("q", "lead1"): "v1"}])
def test_a_plan_keeps_its_contract_also_when_it_is_empty(wanted: World) -> None:
    assert len(checked(plan(wanted, held_frame({}), {}), ActivationPlan)) == len(wanted)


def test_a_removal_sends_no_trait_but_the_audience() -> None:
    payload = json.loads(plan({}, held_frame({("q", "lead0"): "v1"}), {})["payload"][0])
    assert payload["traits"] == {"li_q": False}


def test_a_persona_that_left_the_policy_is_still_taken_out_by_its_key_and_a_former_key_is_cleared() -> None:
    persona = Persona(description="", audience_key="li_new", where="true", score={}, traits=())
    policy = Personas(effective=date(2026, 11, 1), personas={"p": persona})
    keys = audience_keys(policy, [("q", "li_q"), ("p", "li_old"), ("p", "li_new")])
    frame = held_frame({("q", "lead0"): "v1", ("p", "lead1"): "v1"})
    messages = difference(wanted_frame({("p", "lead1"): "v2"}), frame, sent_frame({}), keys, AT)
    traits = {row.lead_id: json.loads(row.payload)["traits"] for row in messages.itertuples()}
    assert traits["lead0"] == {"li_q": False}
    assert traits["lead1"] == {"v": "v2", "li_old": False, "li_new": True}


def test_facts_have_one_digest_in_any_order_and_another_when_anything_changes() -> None:
    facts = pd.DataFrame({"persona": ["p", "q"], "lead_id": ["a", "b"], "fresh": [True, True]})
    digest = facts_digest(facts, "policy")
    assert digest == facts_digest(facts.iloc[::-1], "policy")
    assert digest != facts_digest(facts.assign(fresh=[True, False]), "policy")
    assert digest != facts_digest(facts, "other policy")
