"""The production profile refuses every weak setting, all of them in one message."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.channels.definition import load_channels
from engine.channels.production import judge
from engine.kernel.config import load_config
from engine.kernel.errors import ConfigError

GOOD = "profile: production\nidentity_base: https://hub.example\nkey: ${secret:DATA_KEY}\n"
GOOD += "console: {sign_in: {second_factor: bodies}}\n"
TOKEN = "ehr nT3vq8Lw0zRk5YbXc2Hs7PdJm4Gf9Uae"
OIDC = "{oidc: {client: hub, issuer: "
ISSUER = "{issuers: [{audience: https://hub.example, issuer: "
TLS = "{port: 2580, host: 0.0.0.0, tls: {certificate: a.pem, key: a.key}}"

Judge = Callable[..., str]


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    """Return what is refused of a project, empty when nothing is."""
    monkeypatch.setenv("HUB_SECRET_DATA_KEY", "s" * 44)

    def run(
        config: str = GOOD,
        mllp: str = "{port: 2580}",
        words: str = "",
        token: str | None = TOKEN,
        key_file: bool = False,
        mode: int = 0o600,
        listen: str | None = None,
    ) -> str:
        (tmp_path / "channels").mkdir(exist_ok=True)
        (tmp_path / "channels/lab.yaml").write_text(f"channel: lab\nreceive: {{mllp: {mllp}}}\n{words}")
        (tmp_path / "config.yaml").write_text(config)
        (tmp_path / "var").mkdir(exist_ok=True)
        if token is not None:
            (tmp_path / "var/token").write_text(token + "\n")
            (tmp_path / "var/token").chmod(mode)
        if key_file:
            (tmp_path / "var/hub.key").write_text("k")
        try:
            judge(load_config(tmp_path), load_channels(tmp_path, listen), listen)
        except ConfigError as e:
            return str(e)
        return ""

    return run


def test_sound_settings_pass(judged: Judge) -> None:
    assert judged() == ""
    assert judged(mllp=TLS) == ""
    smart = "{url: 'https://fhir.example/r4', smart: {client_id: hub}}"
    assert judged(config=GOOD + f"destinations: {{ehr: {{fhir: {smart}}}}}\n") == ""


@pytest.mark.parametrize(
    ("given", "where", "told"),
    [
        ({"config": GOOD.replace("key: ${secret:DATA_KEY}\n", "")}, "config.yaml", "key: is empty"),
        ({"config": GOOD.replace("${secret:DATA_KEY}", "s" * 44)}, "config.yaml:3", "key: stands in config"),
        (
            {"config": GOOD.replace("https://hub.example", "urn:hub:own")},
            "config.yaml:2",
            "identity_base: is",
        ),
        ({"key_file": True}, "config.yaml", "a key file lies in the project folder: hub.key"),
        (
            {"config": GOOD + "health: {workers: '0.0.0.0:9'}\n"},
            "config.yaml:5",
            "health: workers: 0.0.0.0",
        ),
        ({"token": None}, "var/token", "there are no tokens of your own"),
        ({"token": "x" * 43}, "var/token:1", "the default token"),
        ({"mllp": "{port: 2580, host: 0.0.0.0}"}, "channels/lab.yaml:2", "channel lab listens on 0.0.0.0"),
        ({"mllp": "{port: 2580, host: lab.example}"}, "channels/lab.yaml:2", "listens on lab.example"),
        ({"listen": "0.0.0.0"}, "channels/lab.yaml:2", "channel lab listens on 0.0.0.0 without TLS"),
        (
            {"config": GOOD.replace("{sign_in", "{listen: '10.1.1.1:80', sign_in")},
            "config.yaml:4",
            "open to the network",
        ),
        ({"config": GOOD.replace("bodies", "nobody")}, "config.yaml:4", "a password alone"),
        ({"config": GOOD.replace("bodies", "bodies, idle_minutes: 31")}, "config.yaml:4", "lasts 31 minutes"),
        ({"config": GOOD.replace("bodies", "bodies, tries: 0")}, "config.yaml:4", "tried without end"),
        (
            {"config": GOOD.replace("{sign_in", OIDC + "http://sso.example}, sign_in")},
            "config.yaml:4",
            "without TLS",
        ),
        (
            {"config": GOOD.replace("{sign_in", OIDC + "https://sso.example, secret: hunter2}, sign_in")},
            "config.yaml:4",
            "console: oidc: secret: stands in config.yaml",
        ),
        (
            {"config": GOOD.replace("{sign_in", ISSUER + "http://sso.example}], sign_in")},
            "config.yaml:4",
            "keys that come without TLS",
        ),
        (
            {
                "config": GOOD.replace(
                    "{sign_in", ISSUER + "https://sso.example, keys: 'http://x.example/k'}], sign_in"
                )
            },
            "config.yaml:4",
            "keys that come without TLS",
        ),
        ({"token": "ehr " + "x" * 40}, "var/token:1", "the token of ehr can be guessed"),
        (
            {"config": GOOD + "destinations: {ehr: {fhir: {url: 'https://fhir.example/r4'}}}\n"},
            "config.yaml:5",
            "destination ehr: the server is written to without a proof",
        ),
        ({"token": TOKEN[:30]}, "var/token:1", "the token of ehr can be guessed"),
        ({"mode": 0o644}, "var/token", "others on this machine can read the tokens"),
    ],
)
def test_each_weak_setting(judged: Judge, given: dict[str, object], where: str, told: str) -> None:
    text = judged(**given)
    assert told in text and f"{where}: " in text and "try: " in text


def test_secrets_in_the_project_folder(judged: Judge, tmp_path: Path) -> None:
    inside = tmp_path / "secrets"
    inside.mkdir()
    (inside / "DATA_KEY").write_text("s" * 44)
    assert "config.yaml:5: secrets: are files in the project" in judged(GOOD + f"secrets: file:{inside}\n")


def test_all_of_them_in_one_message(judged: Judge) -> None:
    text = judged(
        "profile: production\nconsole: {listen: '0.0.0.0:80'}\n",
        mllp="{port: 2580, host: '::'}",
        token="x" * 43,
    )
    assert text.count("try: ") == 6 and "refuses 6 settings" in text
    assert text.startswith("config.yaml:1: ")


@pytest.mark.parametrize(
    ("way", "told"),
    [
        ("http: {port: 1, host: 0.0.0.0, auth: {token: t}}", ["on 0.0.0.0 without TLS"]),
        ("http: {port: 1, host: 0.0.0.0, tls: {certificate: a, key: b}}", ["from everybody"]),
        ("http: {port: 1, host: 0.0.0.0}", ["without TLS", "from everybody"]),
        ("http: {port: 1}", []),
        (
            "http: {port: 1, host: 0.0.0.0, "
            "tls: {certificate: a, key: b, client_ca: c, require_client: true}}",
            [],
        ),
        ("folder: {path: open}", ["everybody on this machine"]),
        ("folder: {path: closed}", []),
        ("sftp: {host: h, user: u, key: k, host_key: ssh-ed25519 AAAA}", []),
    ],
)
def test_other_ways_in(way: str, told: list[str], judged: Judge, tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "closed").mkdir(mode=0o750)
    text = judged()
    assert text == ""
    (tmp_path / "channels/lab.yaml").unlink()
    (tmp_path / "channels/x.yaml").write_text(f"channel: x\nreceive:\n  {way}\n")
    try:
        judge(load_config(tmp_path), load_channels(tmp_path))
    except ConfigError as e:
        text = str(e)
    assert text.count("try: ") == len(told) and all(t in text for t in told)


def test_what_is_accepted_knowingly(judged: Judge) -> None:
    plain = "plain: accepted because the line is a VPN to one laboratory\n"
    assert judged(mllp="{port: 2580, host: 0.0.0.0}", words=plain) == ""
    proxied = GOOD.replace("{sign_in", "{listen: '0.0.0.0:80', proxy: https://hub.example, sign_in")
    assert judged(proxied) == ""
    tls = "{listen: '0.0.0.0:443', tls: {certificate: a, key: b}, sign_in"
    assert judged(GOOD.replace("{sign_in", tls)) == ""
    assert "console.proxy" in judged(GOOD.replace("{sign_in", "{proxy: http://hub.example, sign_in"))


def test_development_asks_for_nothing(judged: Judge) -> None:
    assert judged("", token=None) == ""
    assert judged("hub: X\n", mllp="{port: 2580, host: 0.0.0.0}", token="x" * 43) == ""


@pytest.mark.parametrize(
    ("alerts", "told"),
    [
        ("mail: {host: smtp.mercy.example, sender: a@b.example, security: none}", "without TLS"),
        ("mail: {host: 127.0.0.1, sender: a@b.example, security: none}", ""),
        ("mail: {host: smtp.mercy.example, sender: a@b.example}", ""),
        (
            "webhooks: [{name: pager, url: 'http://pager.example/', secret: '${secret:DATA_KEY}'}]",
            "without TLS",
        ),
        ("webhooks: [{name: pager, url: 'http://127.0.0.1:9/', secret: '${secret:DATA_KEY}'}]", ""),
        ("webhooks: [{name: pager, url: 'https://pager.example/'}]", "no secret"),
    ],
)
def test_notices_leave_this_machine_sealed_and_signed(judged: Judge, alerts: str, told: str) -> None:
    said = judged(config=f"{GOOD}alerts:\n  {alerts}\n")
    assert told in said if told else said == ""


@pytest.mark.parametrize(("keep", "refused"), [("5 years", True), ("6 years", False), ("forever", False)])
def test_an_audit_of_less_than_six_years(judged: Judge, keep: str, refused: bool) -> None:
    said = judged(config=f"{GOOD}keep: {{audit: {keep}}}\n")
    assert ("less than 6 years" in said) is refused and ("config.yaml:5" in said) is refused
