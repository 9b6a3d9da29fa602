"""The destinations of a hub: those of config.yaml and those that channels define, each with its settings.

In: the configuration and the channels. Out: `Destined` records, checked whole; a ConfigError names file, line
and remedy. Secrets (`${secret:NAME}`) are put in here and nowhere earlier.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from engine.channels.alerts import duration_ms
from engine.channels.definition import Channel
from engine.channels.delivering.rules import NAME, PLACE_WORDS, Rule, kind_of
from engine.destinations.kinds import KINDS
from engine.kernel.config import Config, one_line, with_secrets
from engine.kernel.delivery import Around, Destination, DestinationKind
from engine.kernel.errors import ConfigError

__all__ = ["Destined", "Retry", "around", "destinations_of"]

_ORDERS = ("by patient", "as they come", "none")
_THEN = ("hold", "skip", "wait")
_MOST_AT_ONCE = 64
_FOR = 3_600_000  # ms


@dataclass(frozen=True, slots=True)
class Retry:
    """How long what may pass is tried, and what happens then. A destination that is down counts for nothing:
    what waits for it waits."""

    for_ms: int = _FOR
    then: str = "hold"  # hold | skip | wait


@dataclass(frozen=True, slots=True)
class Destined:
    """One destination."""

    name: str
    kind: DestinationKind
    settings: BaseModel
    retry: Retry
    order: str
    at_once: int
    where: str
    rules: Mapping[str, Rule]  # channel -> its rule
    """What each channel sends there, as what."""

    def make(self, around: Around) -> Destination:
        """Make the thing that delivers. Raises ConfigError."""
        made: Destination = self.kind.make(self.settings, self.name, around)
        return made


def around(config: Config) -> Around:
    """Say what a destination may know of its hub."""
    return Around(
        config.root.resolve(),
        config.data_dir,
        config.hub,
        config.identity_base,
        config.profile == "production",
    )


def destinations_of(config: Config, channels: Iterable[Channel]) -> dict[str, Destined]:
    """Return every destination by its name. Raises ConfigError."""
    channels = list(channels)
    rules: dict[str, dict[str, Rule]] = {}
    inline: dict[str, Rule] = {}
    for channel in channels:
        for rule in channel.deliver:
            rules.setdefault(rule.to, {})[channel.name] = rule
            if rule.place is not None:
                inline[rule.to] = rule
    found: dict[str, Destined] = {}
    for name, words in config.destinations.items():
        where = config.at(f"destinations.{name}")
        if not NAME.fullmatch(name):
            raise ConfigError(
                f"destinations: {name!r} is no name",
                where=where,
                remedy="use small letters, digits and _, at most 40",
            )
        found[name] = _destined(name, words, where, rules.get(name, {}))
    for name, rule in inline.items():
        words = with_secrets(dict(rule.place or {}), config.secrets, rule.where)
        found[name] = _destined(name, words, rule.where, rules[name])
    for place in found.values():
        listens = str(getattr(place.settings, "answers_to", ""))
        if listens and listens not in {channel.name for channel in channels}:
            raise ConfigError(
                f"{place.name}: answers_to: there is no channel {listens}",
                where=place.where,
                remedy=f"there are: {', '.join(channel.name for channel in channels)}",
            )
    return found


def _destined(name: str, words: Mapping[str, Any], where: str, rules: Mapping[str, Rule]) -> Destined:
    word = kind_of(words, where)
    for other in words:
        if other != word and other not in PLACE_WORDS:
            raise ConfigError(
                f"{name}: does not know {other!r}",
                where=where,
                remedy=f"use {', '.join(PLACE_WORDS)}, or a kind: {', '.join(sorted(KINDS))}",
            )
    kind = KINDS[word]
    given = words[word]
    try:
        settings = kind.settings.model_validate(given if isinstance(given, dict) else {})
    except ValidationError as e:
        raise one_line(e, f"{where}: {name}: {word}") from None
    order = str(words.get("order", "by patient" if kind.one_by_one else "none"))
    if order not in _ORDERS:
        raise ConfigError(
            f"{name}: order: {order!r} is not known", where=where, remedy=f"write {', '.join(_ORDERS)}"
        )
    said = str(words.get("at_once", kind.at_once))
    at_once = int(said) if said.isascii() and said.isdigit() and len(said) < 4 else 0
    if not 1 <= at_once <= _MOST_AT_ONCE:
        raise ConfigError(f"{name}: at_once: takes 1 to {_MOST_AT_ONCE}", where=where)
    if order == "as they come" and at_once != 1:
        raise ConfigError(
            f"{name}: as they come and at_once: {at_once} contradict each other",
            where=where,
            remedy="write at_once: 1, or order: by patient",
        )
    return Destined(
        name, kind, settings, _retry(words.get("retry"), name, where), order, at_once, where, rules
    )


def _retry(value: Any, name: str, where: str) -> Retry:
    if value is None:
        return Retry()
    if not isinstance(value, dict) or set(value) - {"for", "then"}:
        raise ConfigError(
            f"{name}: retry: takes {{for, then}}",
            where=where,
            remedy="write e.g. retry: {for: 4 hours, then: hold}",
        )
    then = str(value.get("then", "hold"))
    if then not in _THEN:
        raise ConfigError(
            f"{name}: retry: then: {then!r} is not known", where=where, remedy=f"write {', '.join(_THEN)}"
        )
    return Retry(duration_ms(str(value["for"]), where) if "for" in value else _FOR, then)
