"""The page on access tells the roles as they are, and its settings can be used."""

from __future__ import annotations

import re

from docs_pages import DOCS

from engine.security.access import OPEN, PERMISSIONS, ROLES, SELF

PAGE = DOCS / "operators/access.md"
BEGIN, END = "<!-- begin: roles -->", "<!-- end: roles -->"
PROGRAMS = {"fhir.read", "dicomweb.read", "dicomweb.store"}


def roles_table() -> str:
    lines = [f"| may | {' | '.join(ROLES)} |", "|---" * (len(ROLES) + 1) + "|"]
    for permission, words in PERMISSIONS.items():
        if permission in (OPEN, SELF) or permission in PROGRAMS:
            continue
        marks = ("yes" if permission in may else "" for may in ROLES.values())
        lines.append(f"| {words} | {' | '.join(marks)} |")
    return "\n".join(lines)


def test_the_table_of_roles_is_that_of_the_code() -> None:
    text = PAGE.read_text("utf-8")
    shown = text.partition(BEGIN)[2].partition(END)[0].strip()
    assert shown == roles_table(), f"write this between the markers:\n{roles_table()}"


def test_every_scope_named_is_one() -> None:
    from engine.security.scopes import Scopes

    named = set(re.findall(r"`((?:system|user|patient)/\S+?|feed|dicomweb\.\w+)`", PAGE.read_text("utf-8")))
    assert len(named) > 5 and Scopes.unknown(sorted(named)) == []
