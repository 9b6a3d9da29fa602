"""`deliver:` of a channel: where its messages go once they are worked, on which condition, as what.

In: the words of one channel's file, and which destinations config.yaml has. Out: rules, or a ConfigError with
file, line and remedy. The core store is always written; naming it says so and changes nothing.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.channels.delivering.when import holds, read_condition
from engine.channels.filewords import FileWords
from engine.destinations.kinds import KINDS
from engine.formats.hl7v2.parse import Message
from engine.kernel.errors import ConfigError, MapError
from engine.kernel.yamlfile import Map, plain
from engine.mapping.conditions import Condition

__all__ = ["BODIES", "NAME", "PLACE_WORDS", "STORE", "Rule", "kind_of", "read_rules"]

STORE = "core store"
"""Where everything goes, whatever `deliver:` says."""
PLACE_WORDS = ("retry", "order", "at_once")
"""Words beside the kind of a destination."""
_RULE_WORDS = ("when", "types", "body", "with", "set")
BODIES = ("original", "fhir", "event")
"""Words of `body:` that are no outbound map."""
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of `deliver:`. `place` is what stands in the channel's file, None for one of config.yaml."""

    to: str  # the destination's name in the whole hub
    kind: str  # its word
    body: str
    types: tuple[str, ...] = ()
    when: Condition | None = None
    given: Mapping[str, str] = field(default_factory=dict)  # what an outbound map is told besides
    content: bool = False  # an event carries the resources, too
    place: Mapping[str, Any] | None = None
    where: str = ""

    @property
    def state(self) -> bool:
        """Whether it carries what the core store says now: a run again sends it again."""
        return self.body == "fhir"

    def wants(self, message_type: str, message: Message | None) -> bool:
        """Say whether a message goes there; `message` is None for what is no HL7 v2."""
        parts = message_type.split("^")
        named = (parts[0], "^".join(parts[:2]), message_type)
        if self.types and not any(fnmatch.fnmatchcase(n, t) for t in self.types for n in named):
            return False
        return self.when is None or (message is not None and holds(self.when, message))


def kind_of(words: Mapping[str, Any], where: str) -> str:
    """Return the one word under a destination that names its kind. Raises ConfigError."""
    kinds = [word for word in words if word in KINDS]
    if len(kinds) != 1:
        raise ConfigError(
            "says no kind of destination"
            if not kinds
            else f"says {' and '.join(kinds)}: a destination is one",
            where=where,
            remedy=f"write one of: {', '.join(sorted(KINDS))}",
        )
    return kinds[0]


def read_rules(f: FileWords, channel: str, shared: Mapping[str, str]) -> tuple[Rule, ...]:
    """Read `deliver:`. `shared`: the destinations of config.yaml and the word of each kind."""
    value = f.m.get("deliver")
    where = f.at("deliver")
    if value is None:
        return ()
    named: dict[str, tuple[Any, str]] = {}
    if isinstance(value, Map):
        named = {str(k): (v, f"{f.file}:{value.key_lines[k]}") for k, v in value.items()}
    else:
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Map):
                named |= {str(k): (v, f"{f.file}:{one.key_lines[k]}") for k, v in one.items()}
            else:
                named[str(one)] = (None, where)
    return tuple(
        _rule(name, words, channel, shared, line) for name, (words, line) in named.items() if name != STORE
    )


def _rule(name: str, value: Any, channel: str, shared: Mapping[str, str], where: str) -> Rule:
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"deliver: {name!r} is no name of a destination",
            where=where,
            remedy="use small letters, digits and _, at most 40",
        )
    words: dict[str, Any] = {} if value is None else plain(value)
    if not isinstance(words, dict):
        raise ConfigError(f"deliver: {name}: takes {{when, body, ...}}", where=where)
    known = {*_RULE_WORDS, *PLACE_WORDS, *KINDS}
    for word in words:
        if word not in known:
            raise ConfigError(
                f"deliver: {name}: does not know {word!r}",
                where=where,
                remedy=f"use {', '.join(sorted(known))}",
            )
    place = {word: words[word] for word in words if word not in _RULE_WORDS}
    if not place and name not in shared:
        raise ConfigError(
            f"deliver: there is no destination {name}",
            where=where,
            remedy=f"define it here or under destinations: in config.yaml, where there are: "
            f"{', '.join(sorted(shared)) or 'none'}",
        )
    if place and name in shared:
        raise ConfigError(
            f"deliver: {name} is a destination of config.yaml already",
            where=where,
            remedy=f"remove {', '.join(place)} here, or give it another name",
        )
    kind = kind_of(place, where) if place else shared[name]
    body = str(words.get("body", KINDS[kind].bodies[0]))
    _takes(kind, body, f"deliver: {name}", where)
    return Rule(
        to=f"{channel}.{name}" if place else name,
        kind=kind,
        body=body,
        types=_types(words.get("types"), name, where),
        when=_when(words.get("when"), name, where),
        given=_given(words.get("set"), name, where),
        content=_content(words.get("with"), body, name, where),
        place=place or None,
        where=where,
    )


def _takes(kind: str, body: str, what: str, where: str) -> None:
    bodies = KINDS[kind].bodies
    if body not in bodies and ("any" not in bodies or not re.fullmatch(r"[A-Za-z0-9]+", body)):
        raise ConfigError(
            f"{what}: {kind} takes no {body}",
            where=where,
            remedy=f"write body: {', '.join(b for b in bodies if b != 'any')}"
            + (", or a map of hub write" if "any" in bodies else ""),
        )


def _types(value: Any, name: str, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    types = value if isinstance(value, list) else [value]
    if not all(isinstance(t, str) and t for t in types):
        raise ConfigError(
            f"deliver: {name}: types: takes message types", where=where, remedy="write types: [ORU, ADT^A0*]"
        )
    return tuple(types)


def _when(value: Any, name: str, where: str) -> Condition | None:
    if value is None:
        return None
    try:
        return read_condition(str(value), where)
    except MapError as e:
        raise ConfigError(f"deliver: {name}: when: {e.what}", where=where, remedy=e.remedy) from None


def _content(value: Any, body: str, name: str, where: str) -> bool:
    if value is None:
        return False
    if value != "content" or body != "event":
        raise ConfigError(
            f"deliver: {name}: with: takes content, and only of an event",
            where=where,
            remedy="write body: event and with: content; that is patient data",
        )
    return True


def _given(value: Any, name: str, where: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(v, str | int) for v in value.values()):
        raise ConfigError(f"deliver: {name}: set: takes {{sender: HUB, ...}}", where=where)
    return {str(k): str(v) for k, v in value.items()}
