"""`profile: production`: what a hub with real patients may not do, all of it said in one message.

In: the settings and the channels. Out: nothing, or one ConfigError that lists every weak setting with its
file, line and remedy. The development profile on this machine asks for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from engine.channels.definition import Channel
from engine.channels.delivering.places import destinations_of
from engine.channels.keeping import AUDIT_LEAST, days_of
from engine.channels.production_access import is_loopback, weak_access
from engine.channels.production_links import weak_links
from engine.kernel.config import Config
from engine.kernel.errors import ConfigError
from engine.listeners.dicom_settings import DicomSettings

__all__ = ["is_loopback", "judge", "weaknesses"]


def judge(config: Config, channels: Iterable[Channel], web_host: str | None = None) -> None:
    """Refuse a production hub its weak settings. `web_host`: where the web side listens, if not as set."""
    weak = list(weaknesses(config, channels, web_host)) if config.profile == "production" else []
    if weak:
        lines = "".join(f"\n  {where}: {what}\n    try: {remedy}" for where, what, remedy in weak)
        raise ConfigError(
            f"the production profile refuses {len(weak)} setting{'s' if len(weak) > 1 else ''}:{lines}",
            where=config.at("profile"),
        )


def weaknesses(
    config: Config, channels: Iterable[Channel], web_host: str | None = None
) -> Iterator[tuple[str, str, str]]:
    """Give (file:line, what is weak, remedy) of every weak setting."""
    yield from _keys(config)
    if config.identity_base == "urn:hub:own":
        yield (
            config.at("identity_base"),
            "identity_base: is the default",
            "set a URL of your own before the first message, e.g. https://hub.mercy.example",
        )
    if not config.changes.two_people:
        yield (
            config.at("changes.two_people"),
            "changes: two_people: false lets one person alone change what messages become",
            "remove the line: somebody else than its authors then approves a change",
        )
    yield from weak_access(config)
    host = web_host or config.console.listen.rpartition(":")[0].strip("[]")
    if not is_loopback(host) and config.console.tls is None and not config.console.proxy:
        yield (
            config.at("console.listen"),
            f"console: listen: {host} is open to the network without TLS",
            "set console: tls:, or listen on 127.0.0.1 behind a proxy with TLS and declare it, "
            "console: proxy: https://...",
        )
    yield from weak_links(config)
    yield from _notices(config)
    audit = days_of(config.keep.audit, config.at("keep.audit"))
    if audit is not None and audit < AUDIT_LEAST:
        yield (
            config.at("keep.audit"),
            f"keep: audit: {config.keep.audit} is less than 6 years",
            "write 6 years or more",
        )
    channels = list(channels)
    for c in channels:
        yield from _way_in(c)
    for place in destinations_of(config, channels).values():
        for what, remedy in getattr(place.settings, "weaknesses", tuple)():
            yield place.where, f"destination {place.name}: {what}", remedy


def _notices(config: Config) -> Iterator[tuple[str, str, str]]:
    """Give what is weak of the ways people are told of alarms."""
    mail = config.alerts.mail
    if mail is not None and mail.security == "none" and not is_loopback(mail.host):
        yield (
            config.at("alerts.mail"),
            f"alerts: mail: notices go to {mail.host} without TLS",
            "write security: starttls, or tls",
        )
    for hook in config.alerts.webhooks:
        address = urlsplit(hook.url)
        if address.scheme == "http" and not is_loopback(address.hostname or ""):
            yield (
                config.at("alerts.webhooks"),
                f"alerts: webhooks: {hook.name} is posted to without TLS",
                "write https://",
            )
        if not hook.secret:
            yield (
                config.at("alerts.webhooks"),
                f"alerts: webhooks: {hook.name} has no secret, so its receiver cannot know who posts",
                "set secret: ${secret:...}",
            )


def _way_in(c: Channel) -> Iterator[tuple[str, str, str]]:
    network = c.network
    if network is not None and not is_loopback(network.host):
        way = "mllp" if c.mllp is not None else "http" if c.http is not None else "dicom"
        if network.tls is None and not c.plain:
            yield (
                c.at("receive"),
                f"channel {c.name} listens on {network.host} without TLS",
                f"give {way}: a tls:, or write plain: accepted because ... at the top of the file",
            )
        if (
            c.http is not None
            and c.http.http.auth is None
            and not (network.tls and network.tls.require_client)
        ):
            yield (
                c.at("receive"),
                f"channel {c.name} takes messages on {network.host} from everybody",
                "give http: an auth:, or a tls: with require_client: true",
            )
    if c.dicom is not None:
        yield from _node(c, c.dicom.dicom)
    if c.folder is not None:
        try:
            mode = c.folder.folder.path.stat().st_mode
        except OSError:
            return  # said when the hub starts
        if mode & 0o007:
            yield (
                c.at("receive"),
                f"channel {c.name} watches a folder that everybody on this machine can look into or write to",
                f"type chmod o= {c.folder.folder.path}",
            )


def _node(c: Channel, node: DicomSettings) -> Iterator[tuple[str, str, str]]:
    """Give what is weak of a DICOM node: an AE title proves nothing, an address or a certificate does."""
    proven = node.tls is not None and node.tls.require_client
    if not is_loopback(node.host) and not proven:
        if node.others and not node.allow:
            yield (
                c.at("receive"),
                f"channel {c.name} lets whoever calls it do {', '.join(node.others)}",
                "name who may call under dicom: peers:, with others: [], or allow: their networks",
            )
        open_peers = [p.ae_title for p in node.peers if not p.allow] if not node.allow else []
        if open_peers:
            yield (
                c.at("receive"),
                f"channel {c.name} believes the AE titles {', '.join(open_peers)} from every address",
                "give each an allow:, or the node one, or a tls: with require_client: true",
            )


def _keys(config: Config) -> Iterator[tuple[str, str, str]]:
    remedy = "set key: ${secret:DATA_KEY}, and secrets: to a place outside the project"
    root = config.root.resolve()
    if not config.key:
        yield config.at("key"), "key: is empty, so a key file lies beside the data it seals", remedy
    elif config.literal_key:
        yield config.at("key"), "key: stands in config.yaml itself", remedy
    if config.secrets.startswith("file:"):
        folder = (root / config.secrets[5:]).resolve()
        if folder.is_relative_to(root):
            yield config.at("secrets"), "secrets: are files in the project folder", "name a folder outside it"
    if config.key and config.key_file.exists() and config.key_file.resolve().is_relative_to(root):
        yield (
            config.at("data"),
            f"a key file lies in the project folder: {config.key_file.name}",
            f"supply its text as the secret, then remove {config.key_file}",
        )
