"""Settings in force: each with its place, none with its secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.channels.inforce import in_force
from engine.kernel.config import load_config

CONFIG = """\
hub: Mercy
journal: postgresql://hub:dbsecret@db/hub
key: ${secret:DATA_KEY}
keep: {messages: 7 years}
terminology: {token: "${secret:TERMS}"}
alerts:
  mail: {host: smtp.mercy.example, sender: hub@mercy.example, user: hub, password: "${secret:MAIL}"}
  webhooks:
    - {name: pager, url: "https://pager.mercy.example/", secret: "${secret:PAGER}"}
"""


def test_every_setting_with_its_place_and_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {"DATA_KEY": "k" * 44, "TERMS": "termsecret", "MAIL": "mailsecret", "PAGER": "pagersecret"}
    for name, value in secrets.items():
        monkeypatch.setenv(f"HUB_SECRET_{name}", value)
    (tmp_path / "config.yaml").write_text(CONFIG)
    found = {s.name: s for s in in_force(load_config(tmp_path))}
    assert (found["hub"].value, found["hub"].origin) == ("Mercy", "config.yaml:1")
    assert (found["keep.messages"].value, found["keep.messages"].origin) == ("7 years", "config.yaml:4")
    assert (found["keep.at"].value, found["keep.at"].origin) == ("02:00", "default")
    assert found["journal"].value.startswith("postgresql://hub:***@db")
    assert (found["key"].value, found["terminology.token"].value) == ("supplied", "set")
    assert found["alerts.mail.password"].value == "set"
    assert found["alerts.webhooks"].value.endswith(
        "secret: set, ca: , escalation: false, timeout_seconds: 10}"
    )
    assert all(one.description for one in found.values())
    text = str(found)
    assert not [secret for secret in (*secrets.values(), "dbsecret") if secret in text]
