"""A change on its way: checked, approved by somebody else, live, taken back; and what dies on the way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

import engine.channels.golive as golive
import engine.channels.swapping as swapping
from engine.channels.deciding import (
    Checks,
    approve,
    ask,
    channels_reached,
    check,
    checks_of,
    send_back,
)
from engine.channels.definition import load_channels
from engine.channels.drafts import Drafts
from engine.channels.gitting import history
from engine.channels.golive import apply, back, plan, recover
from engine.channels.renewal import announced_project, project_digest
from engine.channels.swapping import pending
from engine.kernel.config import load_config
from engine.kernel.errors import HubError
from engine.security.keys import Keyring
from engine.staff.staff import Staff

MAP = "mappings/hl7v2/segments/PID_Patient.yaml"
CHANNEL = "channels/adt.yaml"

PID = """\
map:  PID_Patient
from: PID
to:   Patient
key:  [identifier(mr)]

rows:
  identifier(mr): PID-3
  gender: {from: PID-8, code: AdministrativeGender}
  birthDate: PID-7

tests:
  - name: a birth date
    in: PID|1||77^^^HOSP^MR||Example^Ann||19700102|F
    out: {birthDate: 1970-01-02}
"""
TABLE = (
    "source_system,source_code,source_display,equivalence,target_system,target_code,target_display,"
    "status,by,on,note\n,F,Female,equivalent,http://hl7.org/fhir/administrative-gender,female,Female,"
    "approved,jlee,2026-01-01,\n"
)
CX = "map:  CX_Identifier\nfrom: CX\nto:   Identifier\n\nrows:\n  value: CX.1\n"


def tiny(root: Path, **config: str) -> Path:
    """Write a project that is checked in no time."""
    more = "".join(f"{k}: {v}\n" for k, v in config.items())
    for path, text in {
        "config.yaml": f"hub: Test\ndata: var\n{more}",
        CHANNEL: "channel: adt\nauthority: demographics\n",
        "channels/other.yaml": "channel: other\n",
        MAP: PID,
        "mappings/hl7v2/datatypes/CX_Identifier.yaml": CX,
        "terminology/maps/AdministrativeGender.csv": TABLE,
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Drafts]]:
    """Make a project's drafts."""
    opened: list[Staff] = []

    def made(**config: str) -> Drafts:
        settings = load_config(tiny(tmp_path, **config))
        settings.data_dir.mkdir(exist_ok=True)
        opened.append(Staff.open(settings.staff_url, Keyring.supplied(b"k" * 32)))
        return Drafts(settings, opened[-1])

    yield made
    for staff in opened:
        staff.close()


def text(drafts: Drafts, path: str = MAP) -> str:
    return (drafts.config.root / path).read_text()


def approved(drafts: Drafts, change: Callable[[str], str], path: str = MAP, title: str = "A change") -> int:
    """Take a draft as far as the approval of another person."""
    number = drafts.begin(title, "ana").number
    drafts.put(number, path, change(text(drafts, path)), "ana")
    assert check(drafts, number, "ana").well
    ask(drafts, number, "ana")
    approve(drafts, number, "ben", drafts.get(number).digest)
    return number


def without(line: str) -> Callable[[str], str]:
    def change(before: str) -> str:
        assert line in before
        return before.replace(line, "")

    return change


GENDER = "  gender: {from: PID-8, code: AdministrativeGender}\n"


def test_the_whole_way_and_back(make: Callable[..., Drafts]) -> None:
    drafts = make()
    number = approved(drafts, without(GENDER))
    before = project_digest(drafts.config.root)
    assert "gender" in text(drafts)
    done = apply(drafts, number, "ben")
    assert "gender" not in text(drafts) and drafts.get(number).state == "live"
    assert announced_project(drafts.config) == project_digest(drafts.config.root) != before
    assert (done.kind, done.who, done.approved_by, done.draft) == ("live", "ben", "ben", number)
    assert done.files[MAP] == (PID, PID.replace(GENDER, ""))
    assert pending(drafts.config) is None
    undone = back(drafts, done.number, "cleo")
    assert text(drafts) == PID and drafts.get(number).state == "rolled back"
    assert project_digest(drafts.config.root) == before == announced_project(drafts.config)
    assert (undone.kind, undone.who) == ("back", "cleo")
    with pytest.raises(HubError, match="taken back already"):
        back(drafts, done.number, "cleo")
    assert [e.what for e in drafts.get(number).events] == [
        *("begin", "put", "checked", "asked", "approved", "live", "rolled back"),
    ]


def test_what_is_wrong_cannot_be_asked_for(make: Callable[..., Drafts]) -> None:
    drafts = make()
    number = drafts.begin("Wrong", "ana").number
    with pytest.raises(HubError, match="changes nothing"):
        ask(drafts, number, "ana")
    drafts.put(number, MAP, PID.replace("birthDate: PID-7", "birthDate: PID-99"), "ana")
    with pytest.raises(HubError, match="checks did not run"):
        ask(drafts, number, "ana")
    found = check(drafts, number, "ana")
    assert not found.well and any(f["rule"] == "M02" for f in found.findings)
    with pytest.raises(HubError, match="cannot be asked"):
        ask(drafts, number, "ana")
    drafts.put(number, MAP, PID.replace("birthDate: PID-7", "birthDate: PID-29"), "ana")
    failed = check(drafts, number, "ana").failed
    assert [t["name"] for t in failed] == ["a birth date"] and drafts.get(number).state == "draft"


def test_what_the_live_project_has_too_stops_nobody(make: Callable[..., Drafts]) -> None:
    drafts = make()
    (drafts.config.root / "mappings/hl7v2/segments/ZZ1.yaml").write_text("nothing: here\n")
    number = drafts.begin("Beside", "ana").number
    drafts.put(number, MAP, PID.replace(GENDER, ""), "ana")
    found = check(drafts, number, "ana")
    assert found.well and {f["before"] for f in found.findings if f["level"] == "error"} == {"yes"}


def test_nobody_approves_what_he_wrote(make: Callable[..., Drafts]) -> None:
    drafts = make()
    number = drafts.begin("Mine", "ana").number
    drafts.put(number, MAP, PID.replace(GENDER, ""), "ana")
    drafts.put(number, CHANNEL, text(drafts, CHANNEL) + "purpose: x\n", "ben")
    drafts.drop(number, CHANNEL, "ben")
    check(drafts, number, "ana")
    digest = ask(drafts, number, "ana").digest
    for author in ("ana", "ben", "cli:ana"):
        with pytest.raises(HubError, match="somebody else"):
            approve(drafts, number, author, digest)
    assert approve(drafts, number, "cleo", digest).state == "approved"


@pytest.mark.parametrize(("profile", "allowed"), [("development", True), ("production", False)])
def test_a_lone_person_only_in_development(make: Callable[..., Drafts], profile: str, allowed: bool) -> None:
    drafts = make(changes="{two_people: false}", profile=profile)
    number = drafts.begin("Alone", "ana").number
    drafts.put(number, MAP, PID.replace(GENDER, ""), "ana")
    check(drafts, number, "ana")
    digest = ask(drafts, number, "ana").digest
    if not allowed:
        with pytest.raises(HubError, match="somebody else"):
            approve(drafts, number, "ana", digest)
        return
    done = approve(drafts, number, "ana", digest)
    assert "by its own author" in done.events[-1].text


def test_an_approval_is_of_one_content(make: Callable[..., Drafts]) -> None:
    drafts = make()
    number = approved(drafts, without(GENDER))
    old = drafts.get(number).digest
    drafts.put(number, MAP, PID.replace("  birthDate: PID-7\n", ""), "ana")
    assert drafts.get(number).state == "draft"
    with pytest.raises(HubError, match="only an approved draft"):
        apply(drafts, number, "ben")
    assert checks_of(drafts, drafts.get(number)) is None
    drafts.put(number, MAP, PID.replace(GENDER, "").replace("PID-7", "PID-7(1)"), "ana")
    assert check(drafts, number, "ana").well
    ask(drafts, number, "ana")
    with pytest.raises(HubError, match="has changed since you looked"):
        approve(drafts, number, "ben", old)
    with pytest.raises(HubError, match="with a reason"):
        send_back(drafts, number, "ben", " ")
    assert send_back(drafts, number, "ben", "why (1)?").state == "draft"


def test_a_live_file_that_changed_stops_it(make: Callable[..., Drafts]) -> None:
    drafts = make()
    number = approved(drafts, without(GENDER))
    (drafts.config.root / MAP).write_text(PID + "# by hand\n")
    assert plan(drafts, number).problems == (f"{MAP} has changed live since the draft began",)
    with pytest.raises(HubError, match="changed live"):
        apply(drafts, number, "ben")
    assert text(drafts) == PID + "# by hand\n" and drafts.get(number).state == "approved"


def test_another_live_file_that_changed_has_it_checked_again(make: Callable[..., Drafts]) -> None:
    drafts = make()
    other = drafts.config.root / "mappings/hl7v2/datatypes/CX_Other.yaml"
    other.write_text(CX.replace("CX_Identifier", "CX_Other"))
    row = "  identifier(account): {from: PID-18, as: CX_Other}\n"
    number = approved(drafts, lambda t: t.replace(GENDER, GENDER + row))
    other.unlink()
    with pytest.raises(HubError, match="cannot go live"):
        apply(drafts, number, "ben")
    assert text(drafts) == PID


def test_roll_back_after_a_later_change(make: Callable[..., Drafts]) -> None:
    drafts = make()
    first = apply(drafts, approved(drafts, without(GENDER), title="No gender"), "ben")
    apart = approved(drafts, lambda t: t.replace("map:  PID", "# seen\nmap:  PID"), title="A note")
    apply(drafts, apart, "ben")
    back(drafts, first.number, "ben")
    assert text(drafts) == "# seen\n" + PID  # the later change stays
    second = apply(drafts, approved(drafts, without(GENDER), title="Again"), "ben")
    over = approved(drafts, lambda t: t.replace("identifier(mr): PID-3\n", "identifier(mr): PID-3(1)\n"))
    last = apply(drafts, over, "ben")
    with pytest.raises(HubError, match=rf"change {last.number} \(A change\)"):
        back(drafts, second.number, "ben")
    assert drafts.get(second.draft).state == "live"
    back(drafts, last.number, "ben")
    back(drafts, second.number, "ben")
    assert text(drafts) == "# seen\n" + PID


def test_files_come_and_go(make: Callable[..., Drafts]) -> None:
    drafts = make()
    number = drafts.begin("Two files", "ana").number
    path = "mappings/hl7v2/segments/new/PV1_Encounter.yaml"
    rows = "rows:\n  status: {value: =finished, assumed: test}\n"
    drafts.put(number, path, f"map: PV1_Encounter\nfrom: PV1\nto: Encounter\n{rows}", "ana")
    drafts.put(number, "channels/other.yaml", None, "ana")
    check(drafts, number, "ana")
    ask(drafts, number, "ana")
    approve(drafts, number, "ben", drafts.get(number).digest)
    done = apply(drafts, number, "ben")
    root = drafts.config.root
    assert not (root / "channels/other.yaml").exists()
    assert (root / "mappings/hl7v2/segments/new/PV1_Encounter.yaml").is_file()
    back(drafts, done.number, "ben")
    assert (root / "channels/other.yaml").read_text() == "channel: other\n"
    assert not (root / "mappings/hl7v2/segments/new/PV1_Encounter.yaml").exists()


@pytest.mark.parametrize("dies", [1, 2, 3])
def test_killed_between_two_files(make: Callable[..., Drafts], dies: int) -> None:
    """Dies after the note, between two files, and after the decision: the next start puts it right."""
    drafts = make()
    number = drafts.begin("Two files", "ana").number
    drafts.put(number, MAP, PID.replace(GENDER, ""), "ana")
    drafts.put(number, CHANNEL, text(drafts, CHANNEL) + "purpose: x\n", "ana")
    check(drafts, number, "ana")
    ask(drafts, number, "ana")
    approve(drafts, number, "ben", drafts.get(number).digest)
    drafts.staff.close()
    child = os.fork()
    if child == 0:
        staff = Staff.open(drafts.config.staff_url, Keyring.supplied(b"k" * 32))
        puts = 0
        real_put, real_remove = swapping._put, swapping._remove

        def put(path: Path, said: str | None) -> None:
            nonlocal puts
            puts += 1
            if puts == dies:
                os.kill(os.getpid(), signal.SIGKILL)
            real_put(path, said)

        def remove(path: Path) -> None:
            if path.name == "going-live.json":
                os.kill(os.getpid(), signal.SIGKILL)
            real_remove(path)

        swapping._put, swapping._remove = put, remove
        golive.apply(Drafts(drafts.config, staff), number, "ben")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    staff = Staff.open(drafts.config.staff_url, Keyring.supplied(b"k" * 32))
    try:
        after = Drafts(drafts.config, staff)
        assert pending(drafts.config) is not None
        said = recover(drafts.config, staff)
        live = dies == 3
        assert len(said) == 1 and ("finished" in said[0]) == live
        assert ("gender" not in text(drafts), "purpose" in text(drafts, CHANNEL)) == (live, live)
        assert after.get(number).state == ("live" if live else "approved")
        assert pending(drafts.config) is None and recover(drafts.config, staff) == []
        if not live:
            assert apply(after, number, "ben").kind == "live"
    finally:
        staff.close()


def test_what_cannot_be_written_leaves_all_as_it_was(
    make: Callable[..., Drafts], monkeypatch: pytest.MonkeyPatch
) -> None:
    drafts = make()
    number = approved(drafts, without(GENDER))

    def refuses(*_: object) -> int:
        raise HubError("the database is gone")

    monkeypatch.setattr(golive, "_record", refuses)
    with pytest.raises(HubError, match="database is gone"):
        apply(drafts, number, "ben")
    assert text(drafts) == PID and pending(drafts.config) is None and drafts.get(number).state == "approved"


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_changes_are_commits(make: Callable[..., Drafts]) -> None:
    drafts = make()
    root = drafts.config.root

    def git(*words: str) -> str:
        own = ("-c", "user.name=x", "-c", "user.email=x@y")
        return subprocess.run(
            ["git", "-C", str(root), *own, *words], capture_output=True, text=True, check=True
        ).stdout

    git("init", "-q")
    (root / ".gitignore").write_text("var/\n")
    git("add", ".")
    git("commit", "-qm", "begin")
    (root / "config.yaml").write_text((root / "config.yaml").read_text() + "# staged by somebody\n")
    git("add", "config.yaml")
    done = apply(drafts, approved(drafts, without(GENDER), title="No gender; $(rm -rf)"), "ben")
    newest = history(root)[0]
    assert (newest.id, newest.who, newest.subject) == (done.commit, "ben", "No gender; $(rm -rf)")
    assert git("show", "--name-only", "--format=", "HEAD").split() == [MAP]
    assert "config.yaml" in git("diff", "--cached", "--name-only")  # what was staged stays staged
    hook = root / ".git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\necho 'no commits on Fridays' >&2\nexit 1\n")
    hook.chmod(0o755)
    undone = back(drafts, done.number, "ben")
    assert undone.commit == "" and undone.said == (
        "the change is live and was not committed to git: no commits on Fridays",
    )
    assert text(drafts) == PID


@pytest.mark.parametrize(
    ("path", "content", "reached"),
    [
        (CHANNEL, "channel: adt\npurpose: x\n", ["adt"]),
        ("channels/adt.test.yaml", "channel: adt\ntests: []\n", ["adt"]),
        ("channels/brand_new.yaml", "channel: brand_new\n", ["brand_new"]),
        (MAP, "x\n", ["adt", "other"]),
        ("mappings/sites/acme.yaml", "site: acme\n", ["adt", "other"]),
        ("terminology/maps/x.csv", "x\n", ["adt", "other"]),
    ],
)
def test_who_has_a_say(make: Callable[..., Drafts], path: str, content: str, reached: list[str]) -> None:
    drafts = make()
    number = drafts.begin("Say", "ana").number
    draft = drafts.put(number, path, content, "ana")
    assert channels_reached(draft, load_channels(drafts.config.root)) == reached


def test_checks_are_kept_as_json_can_say_them(make: Callable[..., Drafts]) -> None:
    drafts = make()
    number = drafts.begin("Kept", "ana").number
    drafts.put(number, MAP, "nonsense", "ana")
    said = check(drafts, number, "ana")
    kept = checks_of(drafts, drafts.get(number))
    assert isinstance(kept, Checks) and orjson.dumps(kept.findings) == orjson.dumps(said.findings)
    assert kept.trouble or kept.errors


def test_on_postgresql(make: Callable[..., Drafts], postgres_database: str) -> None:
    drafts = make(staff=postgres_database)
    assert drafts.staff.database.postgres
    done = apply(drafts, approved(drafts, without(GENDER)), "ben")
    assert back(drafts, done.number, "cleo").kind == "back" and text(drafts) == PID
    with drafts.staff.database.read() as c:
        assert [x.kind for x in drafts.staff.changes.page(c)] == ["back", "live"]
