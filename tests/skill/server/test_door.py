"""What agents get through the front door: answers, ids, feedback, and the official client on it."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from strop.feedback import FeedbackCollector
from strop.server import running


@pytest.fixture
def client(door: Any) -> Iterator[openai.OpenAI]:
    """The official client, pointed at the door."""
    with openai.OpenAI(base_url=f"{door.url}/v1", api_key=running.token(door.home), max_retries=0) as made:
        yield made


def ask(client: openai.OpenAI, **fields: Any) -> Any:
    message = {"role": "user", "content": "What is a strop?"}
    body = {"model": "strop", "messages": [message], "max_tokens": 8, "temperature": 0, **fields}
    return client.chat.completions.create(**body)


def stored(door: Any, name: str) -> Any:
    """The interaction that the ledger holds under the name that a response gave."""
    with FeedbackCollector(door.home.ledger_db) as ledger:
        session, _, turn = name.partition(".")
        return ledger.ledger.interaction(ledger.find(session=session, turn=int(turn or 0)))


def test_an_answer_says_its_version_and_its_interaction_and_takes_feedback_by_it(door: Any) -> None:
    answer = door.chat("What is a strop?")
    assert answer.status_code == 200
    data = answer.json()
    live = door.versions.live().tag
    assert (data["model"], answer.headers["X-Strop-Version"]) == (live, live)
    assert data["strop"] == {"interaction": answer.headers["X-Strop-Interaction"], "version": live}
    given = {"interaction": data["strop"]["interaction"], "rating": "down", "note": "too odd", "correction": "Leather."}
    said = door.http.post("/v1/feedback", json=given)
    assert said.status_code == 200
    assert set(said.json()["signals"]) == {"rating", "correction"}
    found = stored(door, data["strop"]["interaction"])
    assert (found.prompt, found.version) == ("What is a strop?", live)
    assert found.answer == data["choices"][0]["message"]["content"]
    with FeedbackCollector(door.home.ledger_db) as ledger:
        assert {one.kind for one in ledger.ledger.signals(found.id)} == {"thumb", "correction"}


def test_the_official_client_gets_answers_whole_and_streamed(client: openai.OpenAI, door: Any) -> None:
    whole = ask(client)
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert len(pieces) > 3
    # Cut by its limit within a character, the whole answer ends with a sign for the half that came; a stream does not.
    assert "".join(pieces) == whole.choices[0].message.content.rstrip("\ufffd")
    assert {chunk.model for chunk in chunks} == {whole.model} == {door.versions.live().tag}
    assert chunks[-1].usage.completion_tokens == 8
    said = [chunk.model_extra["strop"] for chunk in chunks if chunk.model_extra and "strop" in chunk.model_extra]
    assert [one["version"] for one in said] == [whole.model]
    given = {"interaction": said[0]["interaction"], "rating": 5}
    assert door.http.post("/v1/feedback", json=given).status_code == 200
    assert stored(door, said[0]["interaction"]).answer == "".join(pieces)
    assert [model.id for model in client.models.list()] == [whole.model]


def test_a_clients_session_stays_one_and_each_of_its_answers_can_be_rated(door: Any) -> None:
    door.http.headers["X-Strop-Session"] = "chat-42"
    names = [door.chat("Once more?").json()["strop"]["interaction"] for _ in range(2)]
    assert len(set(names)) == 2
    for name in names:
        assert door.http.post("/v1/feedback", json={"interaction": name, "rating": "up"}).status_code == 200
        assert stored(door, name).session == "chat-42"
    door.http.headers["X-Strop-Session"] = "../../etc"
    assert door.chat().status_code == 400


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"interaction": "0" * 32, "rating": "up"}, 404),
        ({"interaction": "../x", "rating": "up"}, 400),
        ({"rating": "up"}, 400),
        ({"interaction": "0" * 32}, 400),
        ({"interaction": "0" * 32, "rating": "up", "raiting": 1}, 400),
        ({"interaction": "0" * 32, "correction": 7}, 400),
    ],
)
def test_feedback_that_names_no_answer_is_refused_in_words(given: dict[str, Any], status: int, door: Any) -> None:
    refused = door.http.post("/v1/feedback", json=given)
    assert refused.status_code == status
    assert refused.json()["error"]["message"]


def test_the_same_event_sent_twice_is_one_reaction(door: Any) -> None:
    name = door.chat().json()["strop"]["interaction"]
    given = {"interaction": name, "rating": "up", "key": "message-7"}
    first, second = (door.http.post("/v1/feedback", json=given).json() for _ in range(2))
    assert first["signals"] == second["signals"]


def rated(door: Any, name: str) -> list[tuple[str, float, str | None]]:
    """What the ledger holds of an answer: kind, value and text of each reaction, in order."""
    with FeedbackCollector(door.home.ledger_db) as ledger:
        return [(one.kind, one.value, one.text) for one in ledger.ledger.signals(stored(door, name).id)]


def test_a_retry_without_a_key_is_one_reaction_and_one_thumb(door: Any) -> None:
    name = door.chat().json()["strop"]["interaction"]
    note, correction = "ask jane.doe@example.com", "Write to jane.doe@example.com."
    given = {"interaction": name, "rating": "down", "note": note, "correction": correction}
    answers = [door.http.post("/v1/feedback", json=given).json() for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert rated(door, name) == [("thumb", -1.0, "ask <EMAIL_1>"), ("correction", -1.0, "Write to <EMAIL_1>.")]
    said = [door.http.post("/v1/feedback", json={"interaction": name, "note": "too odd"}).json() for _ in range(2)]
    assert said[0] == said[1]
    assert len(rated(door, name)) == 3
    text = door.http.get("/metrics").text
    for kind in ("rating", "correction", "note"):
        assert f'strop_feedback_total{{kind="{kind}"}} 1' in text


def test_a_change_of_mind_is_kept_and_the_last_word_counts(door: Any) -> None:
    name = door.chat().json()["strop"]["interaction"]
    for rating in ("up", "down", "down", "up", "up", 5, 5):
        assert door.http.post("/v1/feedback", json={"interaction": name, "rating": rating}).status_code == 200
    ups_and_downs = [(kind, value) for kind, value, _ in rated(door, name)]
    assert ups_and_downs == [("thumb", 1.0), ("thumb", -1.0), ("thumb", 1.0), ("stars", 1.0)]


def test_the_same_words_of_another_person_or_with_another_note_are_reactions_of_their_own(door: Any) -> None:
    name = door.chat().json()["strop"]["interaction"]
    for more in ({}, {"user": "ann"}, {"note": "so odd"}, {"user": "ann"}, {"key": "m1"}, {"key": "m1"}):
        given = {"interaction": name, "rating": "down", **more}
        assert door.http.post("/v1/feedback", json=given).status_code == 200
    assert [text for _, _, text in rated(door, name)] == [None, None, "so odd", None]


def test_what_the_models_server_refuses_goes_back_to_the_client_and_is_no_error_of_the_version(door: Any) -> None:
    refused = door.chat("why " * 2000)
    assert refused.status_code == 400
    assert "context" in refused.json()["error"]["message"]
    assert door.chat().status_code == 200
    text = door.http.get("/metrics").text
    tag = door.versions.live().tag
    assert f'strop_requests_total{{outcome="ok",version="{tag}"}} 1' in text
    assert f'strop_requests_total{{outcome="context_length_exceeded",version="{tag}"}} 1' in text
    assert f'strop_answer_seconds_count{{version="{tag}"}} 1' in text


def test_secrets_are_scrubbed_before_anything_is_written_down(door: Any) -> None:
    name = door.chat("My address is jane.doe@example.com, what is a strop?").json()["strop"]["interaction"]
    spooled = (door.home.path / "serve" / "spool.jsonl").read_text()
    assert name in spooled
    assert "jane.doe" not in spooled
    given = {"interaction": name, "correction": "Write to jane.doe@example.com."}
    assert door.http.post("/v1/feedback", json=given).status_code == 200
    with FeedbackCollector(door.home.ledger_db) as ledger:
        found = stored(door, name)
        [signal] = ledger.ledger.signals(found.id)
    assert found.prompt == "My address is <EMAIL_1>, what is a strop?"
    assert signal.text == "Write to <EMAIL_1>."  # the same address, by the print that went through the spool


def test_healthz_needs_no_token_and_says_what_is_live(door: Any) -> None:
    answer = door.http.get("/healthz", headers={"Authorization": ""})
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "version": door.versions.live().tag})
    assert json.loads(door.http.get("/v1/models").text)["data"][0]["owned_by"] == "strop"
