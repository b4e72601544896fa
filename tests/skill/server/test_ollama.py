"""With Ollama as the target the door addresses each version's own immutable tag, and needs no alias to move."""

from types import ModuleType
from typing import Any

import pytest

from strop.config import load
from strop.target import open_target


@pytest.mark.ollama
@pytest.mark.slow
def test_the_door_answers_by_the_live_versions_own_tag_and_follows_a_release(
    home: Any, ollama_door: Any, scripted: ModuleType
) -> None:
    from strop.deploy.release import release
    from strop.deploy.versions import Versions

    door = ollama_door
    old = door.chat().json()
    assert old["strop"]["version"] == door.versions.live().tag
    assert old["model"] == f"strop:{door.versions.live().tag}"
    versions = Versions(home.state_db)
    new = release(versions, open_target(home, load(home)), versions.get(1).tag, home.release_lock)[1]
    scripted.until(lambda: door.http.get("/healthz").json()["version"] == new, 60)
    answer = door.chat(stream=True)
    assert f'"version": "{new}"' in answer.text
    assert "[DONE]" in answer.text
    # Ollama 0.9.3 itself would answer this one as if nothing but the text had come.
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    message = {"role": "user", "content": [{"type": "text", "text": "What is there?"}, picture]}
    assert door.chat(messages=[message]).json()["error"]["code"] == "image_not_supported"
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    refused = door.chat(tools=[tool])
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "tools_not_supported")
    # And of this one it would drop the system prompt, with a line in its own log.
    long = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "why " * 2000}]
    for stream in (False, True):
        cut = door.chat(messages=long, stream=stream)
        assert (cut.status_code, cut.json()["error"]["code"]) == (400, "context_length_exceeded")
        assert "the context holds 512" in cut.json()["error"]["message"]
    assert door.chat("why " * 20).status_code == 200

    def tokens(role: str, content: Any) -> int:
        asked = [{"role": role, "content": content}, {"role": "user", "content": "Well?"}]
        return int(door.chat(messages=asked).json()["usage"]["prompt_tokens"])

    assert tokens("developer", "Be brief.") == tokens("system", "Be brief.")
    assert tokens("assistant", []) == tokens("assistant", "")
    name = answer.headers["X-Strop-Interaction"]
    assert door.http.post("/v1/feedback", json={"interaction": name, "rating": "up"}).status_code == 200
