"""`receive:` of a channel file, with the words that belong to it -> what a way in is started with.

In: one channel's file while it is read. Out: settings of one way in (MLLP, HTTP, DICOM, a watched
folder, SFTP) with the channel's rules, order and duplicates. A channel has one way in; two senders are two
channels.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from engine.channels.alerts import duration_ms
from engine.channels.filewords import FileWords
from engine.formats.hl7v2.profile import Profile, read_profile
from engine.formats.x12.partner_rules import partners_in
from engine.kernel.config import one_line
from engine.kernel.errors import ConfigError
from engine.kernel.yamlfile import Map, plain
from engine.listeners.accepting import read_takes
from engine.listeners.ack_rules import AckSettings
from engine.listeners.dicom_settings import DicomChannel, DicomSettings
from engine.listeners.file_settings import FolderChannel, FolderSettings, SftpChannel, SftpSettings
from engine.listeners.http_settings import HttpChannel, HttpSettings
from engine.listeners.mllp_settings import MllpChannel, MllpSettings
from engine.listeners.receiving import ReceivingChannel
from engine.listeners.senders import BY_PATIENT, BY_SENDER, KnownSender, order_place
from engine.mapping.sites import Sites, authority_of_site

__all__ = ["WAYS", "known_senders", "receiving"]

WAYS: dict[str, tuple[type[BaseModel], type[ReceivingChannel], str]] = {
    "mllp": (MllpSettings, MllpChannel, "{port: 2575}"),
    "http": (HttpSettings, HttpChannel, "{port: 8443}"),
    "folder": (FolderSettings, FolderChannel, "{path: /srv/in}"),
    "dicom": (DicomSettings, DicomChannel, "{port: 11112, ae_title: HUB}"),
    "sftp": (SftpSettings, SftpChannel, "{host: ..., user: ..., key: ..., host_key: ...}"),
}
"""The word under `receive:`, its settings, what they become, and an example."""


def receiving(
    f: FileWords, name: str, site: str, host: str | None, root: Path, sites: Sites
) -> ReceivingChannel | None:
    """Return the one way in of a channel; None where it has none. Raises ConfigError."""
    receive = f.map_of("receive", (*WAYS, "answer"))
    order, duplicates = _order(f), _duplicates(f)
    if receive.get("answer", "after journal") != "after journal":
        raise ConfigError(
            "answer: only `after journal` is safe", where=f.at("receive"), remedy="remove the line"
        )
    named = [way for way in WAYS if way in receive]
    if not named:
        return None
    if len(named) > 1:
        raise ConfigError(
            f"receive: {' and '.join(named)}: a channel has one way in",
            where=f.at("receive"),
            remedy="write a channel for each",
        )
    (way,) = named
    model, channel, example = WAYS[way]
    given = receive[way]
    if not isinstance(given, dict):
        raise ConfigError(f"{way}: takes {example}", where=f.at("receive"))
    if way in ("folder", "sftp") and "pattern" not in given and not _accepted(f, way)["v2"]:
        raise ConfigError(
            f"{way}: which files are taken?",
            where=f.at("receive"),
            why="without a pattern only *.hl7 would be, and the channel accepts no HL7 v2",
            remedy='write e.g. pattern: "*.xml"',
        )
    if host is not None and way in ("mllp", "http", "dicom"):
        given = {**given, "host": host}
    try:
        settings = _below(model(**given), root)
    except ValidationError as e:
        raise one_line(e, f.at("receive")) from None
    if isinstance(settings, DicomSettings):
        _node(f, settings)
    rules = _accepted(f, way)
    for word in ("processing_id", "strict", "profile", "fhir"):
        if f.m.get(word) is not None:
            rules[word] = plain(f.m[word])
    if isinstance(f.m.get("acknowledge"), Map):
        rules |= {k: v for k, v in f.map_of("acknowledge", ("x12", "script")).items() if v is not None}
    elif f.m.get("acknowledge") is not None:
        rules["acknowledge"] = plain(f.m["acknowledge"])
    try:
        made = AckSettings(**rules)
    except ValidationError as e:
        raise one_line(e, f.at(str(e.errors()[0]["loc"][0]))) from None
    _effective(f, made, way)
    made = _in_full(made, settings, root)
    if not made.fhir.base and site:  # ids without a server are of whoever the site says
        base = {"base": authority_of_site(sites, site)}
        made = made.model_copy(update={"fhir": made.fhir.model_copy(update=base)})
    facts: dict[str, Any] = {way: settings, **duplicates}
    return channel(
        channel=name,
        rules=made,
        profile=_profile(f, made.profile, root),
        sender=site,
        senders=known_senders(sites, site),
        order=order,
        **facts,
    )


NOT_OF_DICOM = (
    *("accept", "acknowledge", "duplicates", "fhir", "order", "strict", "profile", "processing_id"),
)
"""Words that say nothing of a DICOM node, which takes objects and knows one by its SOP Instance UID."""


def _node(f: FileWords, settings: DicomSettings) -> None:
    """Refuse words that a node does not follow, and rules that name nobody. Raises ConfigError."""
    for word in NOT_OF_DICOM:
        if f.m.get(word) is not None:
            raise ConfigError(
                f"{word}: says nothing of a DICOM node", where=f.at(word), remedy="remove the line"
            )
    titles = [p.ae_title for p in settings.peers]
    for title in titles:
        if titles.count(title) > 1:
            raise ConfigError(f"dicom: peers: {title} stands there twice", where=f.at("receive"))
    for rule in settings.forward:
        peer = settings.peer(rule.to)
        if peer is None or not peer.host:
            raise ConfigError(
                f"dicom: forward: to {rule.to}: nobody knows where that is",
                where=f.at("receive"),
                remedy=f"write {{ae_title: {rule.to}, host: ..., port: ...}} under peers:",
            )


def _accepted(f: FileWords, way: str) -> dict[str, Any]:
    """Read `accept:`: maps are types of HL7 v2, words such as `x12 837P` other formats."""
    given = [plain(a) for a in f.list_of("accept")]
    words = [a for a in given if isinstance(a, str)]
    types = [a for a in given if not isinstance(a, str)]
    takes = []
    for word in words:
        one = read_takes(word)
        if one is None:
            raise ConfigError(
                f"accept: {word!r} is no format",
                where=f.at("accept"),
                remedy="write x12 837P|837I, cda, cda 34133-9, ncpdp NewRx, xdm, fhir or {type: ORU^R01}",
            )
        takes.append(one)
    others = [t for t in takes if t.format != "hl7v2"]
    if others and way == "mllp":
        raise ConfigError(
            "accept: over MLLP comes HL7 v2 alone",
            where=f.at("accept"),
            remedy="receive documents, X12, SCRIPT and FHIR by http, folder or sftp",
        )
    return {
        "accept": types,
        "others": others,
        "v2": not others or bool(types) or any(t.format == "hl7v2" for t in takes),
    }


def _effective(f: FileWords, rules: AckSettings, way: str) -> None:
    """Refuse words about a format that the channel does not accept: they would do nothing."""
    formats = {t.format for t in rules.others}
    said = f.m.get("acknowledge")
    words = set(said) if isinstance(said, Map) else {"original"} if said is not None else set()
    for word, needs in (("x12", "x12"), ("script", "ncpdp"), ("original", "hl7v2")):
        if word in words and needs not in (formats | ({"hl7v2"} if rules.v2 else set())):
            raise ConfigError(
                f"acknowledge: speaks of {needs}, which the channel does not accept",
                where=f.at("acknowledge"),
                remedy=f"remove it, or accept {needs}",
            )
    if f.m.get("fhir") is not None and "fhir" not in formats:
        raise ConfigError(
            "fhir: speaks of FHIR, which the channel does not accept",
            where=f.at("fhir"),
            remedy="remove it, or write accept: [fhir]",
        )
    if rules.x12.into and way == "http":
        raise ConfigError(
            "acknowledge: into: is for files; over HTTP the answer is the response",
            where=f.at("acknowledge"),
            remedy="remove into:",
        )
    for word in ("strict", "profile"):
        if f.m.get(word) and not rules.v2:
            raise ConfigError(
                f"{word}: speaks of HL7 v2, which the channel does not accept",
                where=f.at(word),
                remedy="remove it, or accept hl7v2",
            )


def _in_full(rules: AckSettings, settings: BaseModel, root: Path) -> AckSettings:
    """Say in full where schemas are, and where answers to files go: for a watched folder, inside it."""
    into = rules.x12.into
    if into:
        into = str(root.resolve() / into)
    elif isinstance(settings, FolderSettings) and any(t.format == "x12" for t in rules.others):
        into = str(settings.path / "answers")
    script = rules.script
    if script.schemas is not None:
        script = script.model_copy(update={"schemas": root.resolve() / script.schemas})
    partners = root.resolve() / rules.x12.partners
    if any(t.format == "x12" for t in rules.others):
        partners_in(partners)  # what is wrong with a rule is told now, not at the first file
    x12 = rules.x12.model_copy(update={"into": into, "partners": partners})
    return rules.model_copy(update={"x12": x12, "script": script})


def known_senders(sites: Sites, site: str) -> tuple[KnownSender, ...]:
    """Return what listeners know of senders: one site's, or of all sites that have a `match`."""
    if site:
        return (KnownSender(authority=authority_of_site(sites, site)),)
    return tuple(
        KnownSender(match=s.match, authority=authority_of_site(sites, s.name))
        for s in sites.values()
        if s.match
    )


def _below(settings: BaseModel, root: Path) -> BaseModel:
    """Make the names of files full."""
    if isinstance(settings, MllpSettings):
        tls = settings.tls
        return settings if tls is None else settings.model_copy(update={"tls": tls.below(root)})
    if isinstance(settings, HttpSettings | FolderSettings | SftpSettings | DicomSettings):
        return settings.below(root)
    return settings


def _order(f: FileWords) -> str:
    text = " ".join(f.text("order", f"by {BY_PATIENT}").split())
    order = BY_PATIENT if text == "by patient" else text.removeprefix("by ")
    if text == order or (order not in (BY_PATIENT, BY_SENDER) and order_place(order) is None):
        raise ConfigError(
            f"order: {text!r} is not known",
            where=f.at("order"),
            remedy="write by patient, by sender, or by a place of the message such as by PV1-19",
        )
    return order


def _profile(f: FileWords, name: str, root: Path) -> Profile | None:
    """Read the conformance profile that a channel names. Raises ConfigError."""
    if not name:
        return None
    shown = f"mappings/profiles/{name}.yaml"
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name) or not (root / shown).is_file():
        raise ConfigError(
            f"profile: there is no profile {name}", where=f.at("profile"), remedy=f"write {shown}"
        )
    return read_profile(root / shown, shown)


def _duplicates(f: FileWords) -> dict[str, Any]:
    given = f.map_of("duplicates", ("same", "within", "then"))
    if given.get("same", "number and bytes") not in ("number and bytes", "MSH-10 and bytes"):
        raise ConfigError(
            f"duplicates: same: {given['same']!r} is not known",
            where=f.at("duplicates"),
            remedy="write same: number and bytes; same number with other bytes is never a duplicate",
        )
    if given.get("then", "skip") not in ("skip", "flag"):
        raise ConfigError(
            f"duplicates: then: {given['then']!r} is not known",
            where=f.at("duplicates"),
            remedy="write skip or flag",
        )
    out: dict[str, Any] = {"duplicates": given.get("then", "skip")}
    if given.get("within", "ever") != "ever":
        out["duplicate_window_ms"] = duration_ms(str(given["within"]), f.at("duplicates"))
    return out
