"""The texts of OpenClaw's user messages: what the person wrote, and what OpenClaw wrote around it.

    heard("System: [2026-02-03 10:00:01 UTC] Telegram reaction added: 👍 by Alice (@alice) on msg 42\\n\\n"
          "[Telegram Alice id:7 2026-02-03 10:05 UTC] And the second one?")
    -> Heard(text="And the second one?", channel="telegram", reactions=(Mark("telegram", True, "👍", "Alice", "42"),))

Up to 2026.7 the text of a message holds its envelope, its metadata and the system lines that came with it; later ones
keep the text clean. Shapes: src/shared/chat-envelope.ts, src/auto-reply/reply/strip-inbound-meta.ts and
session-system-events.ts of OpenClaw 2026.9.6, the channels' own reaction handlers, and 2026's earlier releases.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from strop.feedback.importers.spans import cut_spans, skip_blanks

_MARKER = "⟦openclaw:ctx⟧"
_CHANNELS = "WebChat|WhatsApp|Telegram|Signal|Slack|Discord|Google Chat|iMessage|Teams|Matrix|Zalo|Mattermost|Feishu"
_ENVELOPE = re.compile(r"\[([^\]\n]+)\]\s*")
_LOOKS_LIKE_ENVELOPE = re.compile(rf"(?:{_CHANNELS}) |.*\d{{4}}-\d\d-\d\d[ T]\d\d:\d\d")
_SYSTEM_LINE = re.compile(r"System(?: \(untrusted\))?: ?(.*)(?:\n+|\Z)")
_BLOCK = re.compile(
    rf"[A-Z][^\n`]{{0,80}}(?:\(untrusted[^)\n]*\):|{_MARKER})\n(?:```json\n(.{{0,65536}}?)\n```|[^\n]+(?:\n[^\n]+)*)\s*",
    re.DOTALL,
)
_QUOTED = re.compile(r"\[Replying to [^\]\n]*\]\n.{0,65536}?\[/Replying\]\s*", re.DOTALL)
_INTERNAL = re.compile(r"<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>")
_INTERNAL_ENDS = "<<<END_OPENCLAW_INTERNAL_CONTEXT>>>"
# OpenClaw writes some ten pieces around a message; whoever sends thousands wants to be waited for.
_LIMIT_PIECES = 1_000
_HINT = re.compile(r"Delivery: [^\n]*`message` tool[^\n]*(?:\n+|\Z)")
_TRAILING = re.compile(
    rf"(?:\A|\n)[ \t]*(?:Untrusted context \(metadata[^\n]*|Context: {_MARKER})(?:\n.*)?\Z", re.DOTALL
)
_MESSAGE_ID = re.compile(r"^\[message_id: ?([^\]\n]+)\][ \t]*$\n?", re.MULTILINE)
_FROM = re.compile(r"^\[from: ([^\]\n]+)\][ \t]*$\n?", re.MULTILINE)
_CURRENT = "[Current message - respond to this]\n"
_SPEAKER = re.compile(r"([^\n:`/]{1,60}?)(?: \((?:id:)?[^)\n]*\))?: (?=\S)")
_GROUP_SIGNS = re.compile(r"\bid:-\d|\bid:group:|\bgroup:|\bchannel id:|\s#[\w-]+")
_GROUP_FIELDS = ("group_subject", "group_channel", "group_space", "is_group_chat")
# How messages begin that stand as a person's and were written by the program.
_BY_PROGRAM = (
    *("[Inter-session message", "[Subagent ", "[cron:", "[OpenClaw ", "Continue the OpenClaw runtime event"),
    *("Read HEARTBEAT.md", "A scheduled reminder has been triggered", "A new session was started via /new"),
    *("Pre-compaction memory flush", "<<<EXTERNAL_UNTRUSTED_CONTENT"),
)
_COMMAND = re.compile(r"/[a-z][a-z_-]*(?:@\w+)?(?:\s|\Z)")
_ATTACHED = re.compile(r"^\[media attached(?![^\]]*\(audio/)|^<media:(?!audio)", re.MULTILINE)

_REACTION = re.compile(
    r"(?:\[[^\]]*\] )?(?P<channel>[A-Za-z][\w ]{1,24}?) reaction (?P<action>added|removed): (?P<emoji>\S+) "
    r"by (?P<rest>.+)"
)
_REACTED = re.compile(
    r"(?:\[[^\]]*\] )?(?P<user>\S.{0,80}?) (?:reacted with (?P<added>\S+)|removed (?P<removed>\S+) reaction)"
    r"(?: \[\[reply_to:(?P<target>[^\]\s]+)\]\])?"
)
_USER_ENDS = re.compile(r" (?:on|in) | msg ")
_TARGET = re.compile(r"\b(?:msg|post) (\S+)")
_TAPBACK = re.compile(
    r"(?:(?P<added>Liked|Loved|Disliked|Laughed at|Emphasized|Questioned)|"
    r"Removed an? (?P<removed>like|heart|dislike|laugh|exclamation|question mark) from) [“\"](?P<quoted>.+?)…?[”\"]",
    re.DOTALL,
)
_TAPBACKS = {
    **{"Liked": "👍", "Loved": "❤", "Disliked": "👎", "Laughed at": "😂", "Emphasized": "‼", "Questioned": "❓"},
    **{"like": "👍", "heart": "❤", "dislike": "👎", "laugh": "😂", "exclamation": "‼", "question mark": "❓"},
}

_GOOD = (
    "👍❤🧡💛💚💙💜🩷🩵🤍🤎🖤💖💗💓💞💕💘💝❣♥🔥🎉👏💯🙏✅✔☑😍🥰🤩😘🏆⭐🌟👌💪🤗🫡🤝🙌🥳💐🍾🏅🥇",
    "thumbsup +1 thumbs_up like liked love loved heart heart_eyes red_heart fire tada clap 100 pray white_check_mark "
    "heavy_check_mark ok_hand muscle star star-struck star2 raised_hands trophy partying_face hugging_face applause",
)
_BAD = (
    "👎😡🤬💩🤮🤢😠❌✖💔🙄😒🤦🥱😤🖕🙅😾🚫⛔🤡",
    "thumbsdown -1 thumbs_down dislike disliked x no rage angry poop hankey shit broken_heart face_vomiting "
    "nauseated_face face_with_rolling_eyes unamused facepalm face_palm yawning_face no_entry no_good middle_finger",
)
_VALUES = {
    **dict.fromkeys((*_GOOD[0], *_GOOD[1].split()), 1.0),
    **dict.fromkeys((*_BAD[0], *_BAD[1].split()), -1.0),
}
# Skin tones, and the signs that ask for a coloured or a plain picture.
_DRESS = re.compile("[\U0001f3fb-\U0001f3ff\ufe0e\ufe0f]")


@dataclass(frozen=True, slots=True)
class Mark:
    """One reaction line. `target`: the channel's message id; `quoted`: how the answer begins; "" where nobody says."""

    channel: str
    added: bool
    emoji: str
    user: str
    target: str = ""
    quoted: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a user message says. `text` is the person's own, "" where there is none.

    `sender`, `message_id` and `channel` are "" where the text does not say. `by_program`: no person wrote it, or it is
    a command to OpenClaw.
    """

    text: str
    sender: str = ""
    message_id: str = ""
    channel: str = ""
    group: bool = False
    by_program: bool = False
    attached: bool = False
    reactions: tuple[Mark, ...] = ()


def heard(raw: str, *, group: bool = False) -> Heard:
    """Take a user message apart. `group`: the session is known to be that of a group."""
    marks: list[Mark] = []
    facts: dict[str, Any] = {}
    text = raw.replace("\r\n", "\n")
    text = cut_spans(text, _INTERNAL, lambda opening: _INTERNAL_ENDS)[0]
    text = _TRAILING.sub("", text).strip()
    header, at = "", 0
    for _ in range(_LIMIT_PIECES):
        if line := _SYSTEM_LINE.match(text, at):
            marks += _marks(line[1])
        elif line := _BLOCK.match(text, at):
            facts |= _facts(line[1])
        elif (line := _ENVELOPE.match(text, at)) and not header and _LOOKS_LIKE_ENVELOPE.match(line[1]):
            header = line[1]
        elif not (line := _HINT.match(text, at) or _QUOTED.match(text, at)):
            break
        at = skip_blanks(text, line.end())
    text = text[at:].rpartition(_CURRENT)[2]
    ids, senders = _MESSAGE_ID.findall(text), _FROM.findall(text)
    text = _FROM.sub("", _MESSAGE_ID.sub("", text)).strip()
    group = group or _is_group(header, facts)
    sender = _sender(facts) or (senders[-1].partition(" (")[0] if senders else "")
    if group and header and not sender and (spoken := _SPEAKER.match(text)):
        sender, text = spoken[1].strip(), text[spoken.end() :]
    if tapback := _TAPBACK.fullmatch(text):
        emoji = _TAPBACKS[tapback["added"] or tapback["removed"]]
        marks.append(Mark("imessage", bool(tapback["added"]), emoji, sender, quoted=tapback["quoted"]))
        text = ""
    return Heard(
        text=text,
        sender=sender,
        message_id=str(facts.get("message_id") or (ids[-1].split()[0] if ids else "")),
        channel=_channel(header, facts),
        group=group,
        by_program=text.startswith(_BY_PROGRAM) or _COMMAND.match(text) is not None,
        attached=_ATTACHED.search(text) is not None,
        reactions=tuple(marks),
    )


def reactions_in(text: str) -> tuple[Mark, ...]:
    """The reaction lines of a runtime context, whose fragments stand there as they are or as JSON strings."""
    found: list[Mark] = []
    for line in text.splitlines():
        fragment = _json(line) if line.startswith('"') else line
        for part in (fragment if isinstance(fragment, str) else "").split("\n"):
            if system := _SYSTEM_LINE.match(part.strip()):
                found += _marks(system[1])
    return tuple(found)


def emoji_value(emoji: str) -> float:
    """1 for a good reaction, -1 for a bad one, 0 for one that says neither; pictures and names alike, of any skin."""
    name = plain_emoji(emoji)
    return _VALUES.get(name, _VALUES.get(name.partition("\u200d")[0], 0.0))


def plain_emoji(emoji: str) -> str:
    """Without skin tone, colour and colons: `👍🏽` is `👍`, `:+1::skin-tone-2:` is `+1`, `<:no:17>` is `no`."""
    name = re.sub(r":skin-tone-\d:?$", "", emoji.strip("<>")).strip(":").casefold()
    if re.fullmatch(r"[\w+-]+:\d+", name):  # a custom one of Discord's, with its id
        name = name.partition(":")[0]
    return _DRESS.sub("", name)


def _marks(line: str) -> list[Mark]:
    if found := _REACTION.fullmatch(line.strip()):
        rest = found["rest"]
        target = _TARGET.search(rest)
        user = _USER_ENDS.split(rest, maxsplit=1)[0].partition(" (@")[0].strip()
        channel, added = found["channel"].casefold(), found["action"] == "added"
        return [Mark(channel, added, found["emoji"], user, target[1] if target else "")]
    if found := _REACTED.fullmatch(line.strip()):
        emoji = found["added"] or found["removed"]
        return [Mark("", bool(found["added"]), emoji, found["user"], found["target"] or "")]
    return []


def _facts(block: str | None) -> dict[str, Any]:
    """What a metadata block says, its sender under `sender`; nothing for one that is no JSON object."""
    facts = _json(block or "")
    if not isinstance(facts, dict):
        return {}
    if "label" in facts and not {"message_id", "conversation_label"} & facts.keys():
        return {"sender": facts}
    return facts


def _sender(facts: dict[str, Any]) -> str:
    told = facts.get("sender")
    fields = told if isinstance(told, dict) else {"name": told, "id": facts.get("sender_id")}
    names = (fields.get(name) for name in ("username", "name", "label", "e164", "id"))
    return next((name.strip() for name in names if isinstance(name, str) and name.strip()), "")


def _is_group(header: str, facts: dict[str, Any]) -> bool:
    told = any(facts.get(name) for name in _GROUP_FIELDS) or facts.get("chat_type") in ("group", "channel")
    return told or _GROUP_SIGNS.search(header) is not None


def _channel(header: str, facts: dict[str, Any]) -> str:
    told = facts.get("channel") or facts.get("provider")
    named = re.match(_CHANNELS, header)
    channel = told if isinstance(told, str) and told else named[0] if named else ""
    channel = channel.casefold().replace(" ", "")
    return "msteams" if channel == "teams" else channel


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
