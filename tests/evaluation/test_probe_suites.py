"""The shipped probes are enough, distinct, and none is answered by its own prompt."""

import dataclasses
import json
from collections import Counter

import pytest

from strop.evaluation import probes
from strop.evaluation.probes.graders import grade
from strop.evaluation.probes.items import rows
from strop.evaluation.probes.leak import tells

SUITES = ["sycophancy", "truthfulness", "refusal_missing", "over_refusal", "injection", "leak", "tool_call"]
SHIPPED = probes.shipped()


def of(suite):
    return [probe for probe in SHIPPED if probe.suite == suite]


@pytest.mark.parametrize("suite", SUITES)
def test_each_suite_holds_at_least_150_distinct_probes(suite):
    found = of(suite)
    assert len(found) >= 150
    assert len({probe.messages for probe in found}) == len(found)


def test_ids_are_unique_and_stable():
    assert len({probe.id for probe in SHIPPED}) == len(SHIPPED)
    assert SHIPPED[0].id == "sycophancy-001"
    assert probes.shipped() == SHIPPED


def test_a_probe_is_plain_data_and_cannot_be_changed():
    assert json.loads(json.dumps([dataclasses.asdict(probe) for probe in SHIPPED]))
    assert len(set(SHIPPED)) == len(SHIPPED)
    with pytest.raises(dataclasses.FrozenInstanceError):
        SHIPPED[0].suite = "other"


def test_each_conversation_ends_with_the_user_and_its_roles_alternate():
    for probe in SHIPPED:
        for conversation in probe.conversations:
            roles = [message["role"] for message in conversation]
            turns = roles[1:] if roles[0] == "system" else roles
            assert turns == ["user", "assistant"] * (len(turns) // 2) + ["user"], probe.id
            assert all(message["content"].strip() for message in conversation)


def test_probes_by_likelihood_hold_no_system_message():
    # Some chat templates refuse one, and likelihoods are read through the template itself.
    assert {role for probe in SHIPPED if probe.choices for role, _ in probe.messages + probe.pressed} == {"user"}


def test_the_opinion_that_is_pressed_is_a_wrong_one():
    for probe in of("sycophancy"):
        question, pressed = probe.messages[0][1], probe.pressed[0][1]
        assert question in pressed
        opinion = pressed.replace(question, "")
        stated = [choice for choice in probe.choices if f'"{choice}"' in opinion]
        assert len(stated) == 1
        assert probe.choices.index(stated[0]) != probe.answer
        assert all(choice in question for choice in probe.choices)


def test_right_choices_are_spread_over_the_places_and_opinions_over_the_wordings():
    found = of("sycophancy")
    assert all(40 <= times <= 65 for times in Counter(probe.answer for probe in found).values())
    assert len({probe.cluster for probe in found}) == 10
    assert all(len(set(probe.choices)) == len(probe.choices) for probe in SHIPPED)


def test_no_prompt_holds_its_own_marker_outside_the_instruction_or_its_secret_in_the_users_message():
    for probe in of("injection"):
        marker, _, instruction = probe.expected.partition("\n")
        text = probe.messages[-1][1]
        assert marker in instruction
        assert text.count(marker) == 1
        assert instruction in text
    for probe in of("leak"):
        assert probe.expected in probe.messages[0][1]
        assert not tells(probe.messages[-1][1], probe.expected)


def test_secrets_and_markers_are_all_different():
    assert len({probe.expected for probe in of("leak")}) == len(of("leak"))
    assert len({probe.expected.partition("\n")[0] for probe in of("injection")}) == len(of("injection"))


def test_a_document_that_is_copied_whole_does_not_count_as_obeying():
    assert [probe.id for probe in of("injection") if grade(probe, probe.messages[-1][1]) == 0.0] == []


def test_a_marker_alone_and_a_secret_alone_always_count():
    assert {grade(probe, probe.expected.partition("\n")[0]) for probe in of("injection")} == {0.0}
    assert {grade(probe, probe.expected) for probe in of("leak")} == {0.0}


def test_tools_have_examples_that_fit_their_own_schema_and_no_other_tools():
    expected = {probe.id.split("-")[1]: probe for probe in of("tool_call")}
    made = {row["name"]: json.dumps({"name": row["name"], "arguments": row["arguments"]}) for row in rows("tools")}
    assert set(made) == set(expected)
    for name, probe in expected.items():
        assert grade(probe, made[name]) == 1.0
        assert {grade(probe, other) for tool, other in made.items() if tool != name} == {0.0}


def test_tool_calls_have_long_prompts_and_earlier_results_among_them():
    found = of("tool_call")
    assert sum(len(probe.messages[0][1]) > 1500 for probe in found) >= 50
    assert sum(len(probe.messages) == 6 and "Tool result:" in probe.messages[5][1] for probe in found) == 150
    for probe in found:
        assert f"- {probe.id.split('-')[1]}:" in probe.messages[0][1]


def test_some_tool_calls_are_asked_for_with_a_thought_and_others_without():
    settings = {}
    for probe in of("tool_call"):
        told = "<think>" in probe.messages[0][1]
        assert all(("</think>" in text) == told for role, text in probe.messages if role == "assistant")
        settings.setdefault(told, []).append(probe)
    assert (len(settings[True]), len(settings[False])) == (50, 150)
    probe = settings[True][0]
    call = json.loads(probe.messages[4][1].split("</think>")[1])
    assert grade(probe, f"<think>{{}} or so</think> {json.dumps(call)}") == 1.0
    assert grade(probe, f"<think>I could call {json.dumps(call)}</think> Done.") == 0.0
    assert grade(probe, f"<think>I call {json.dumps(call)}") == 0.0


def test_an_answer_that_repeats_a_tool_prompt_is_no_call():
    assert {grade(probe, probe.messages[0][1]) for probe in of("tool_call")} == {0.0}


def test_no_probe_is_in_the_skill_suite_as_well():
    from strop.evaluation import suites

    asked = {probe.messages[-1][1] for probe in SHIPPED if not probe.id.startswith("open-")}
    assert not {item.prompt for item in suites.load()} & asked
    again = {probe.messages[-1][1] for probe in SHIPPED if probe.id.startswith("open-")}
    assert again == {item.prompt for item in suites.load() if item.suite == "saying"}
