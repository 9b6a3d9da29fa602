"""Drafts: what they may change, what they remember, how they stand to live files that changed meanwhile."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.channels.definition import load_channels
from engine.channels.draftpaths import text_digest
from engine.channels.drafts import Drafts
from engine.kernel.config import load_config
from engine.kernel.errors import HubError
from engine.mapping.project import Maps
from engine.security.keys import Keyring
from engine.staff.drafttables import EVENTS, FILES
from engine.staff.staff import Staff

MAP = "mappings/hl7v2/datatypes/XX.yaml"


@pytest.fixture
def drafts(tmp_path: Path) -> Iterator[Drafts]:
    """A small project with one file of each kind."""
    for path, text in {
        "config.yaml": "hub: Test\ndata: var\n",
        "channels/one.yaml": "channel: one\npurpose: first\n",
        MAP: "a\nb\nc\nd\ne\n",
        "terminology/maps/t.csv": "x,y\r\n1,2\r\n",
        "sample_messages/a.hl7": "MSH|",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(text.encode())
    config = load_config(tmp_path)
    config.data_dir.mkdir()
    staff = Staff.open(config.staff_url, Keyring.supplied(b"k" * 32))
    yield Drafts(config, staff)
    staff.close()


def live(drafts: Drafts, path: str, text: str) -> None:
    (drafts.config.root / path).write_bytes(text.encode())


@pytest.mark.parametrize(
    "path",
    [
        "config.yaml",
        "var/hub.key",
        "../elsewhere/channels/one.yaml",
        "channels/../config.yaml",
        "channels/../../x.yaml",
        "/etc/passwd",
        "channels//one.yaml",
        "channels/./one.yaml",
        "channels",
        "channels/",
        "channels/.hidden.yaml",
        "channels/one.sh",
        "channels/o\nne.yaml",
        "channels\\one.yaml",
        "mappings/hl7v2/\x00.yaml",
        "sample_messages/a.hl7",
        "",
    ],
)
def test_nothing_outside_the_three_folders_is_changed(drafts: Drafts, path: str) -> None:
    number = drafts.begin("Try", "ana").number
    with pytest.raises(HubError, match="cannot change"):
        drafts.put(number, path, "x", "ana")
    assert not drafts.get(number).files


def test_a_link_is_not_followed(drafts: Drafts, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (drafts.config.root / "mappings/elsewhere").symlink_to(outside)
    (drafts.config.root / "channels/linked.yaml").symlink_to(outside / "x.yaml")
    number = drafts.begin("Try", "ana").number
    for path in ("mappings/elsewhere/x.yaml", "channels/linked.yaml"):
        with pytest.raises(HubError, match="link"):
            drafts.put(number, path, "x", "ana")


def test_put_drop_and_the_digest(drafts: Drafts) -> None:
    empty = drafts.begin("  Potassium   as a quantity ", "ana")
    assert (empty.title, empty.state, empty.number) == ("Potassium as a quantity", "draft", 1)
    one = drafts.put(1, MAP, "a\nB\nc\nd\ne\n", "ana")
    two = drafts.put(1, "channels/new.yaml", "channel: new\n", "ben")
    gone = drafts.put(1, "channels/one.yaml", None, "ben")
    assert len({empty.digest, one.digest, two.digest, gone.digest}) == 4
    assert gone.files[MAP].base == "a\nb\nc\nd\ne\n" and gone.files["channels/new.yaml"].base is None
    assert gone.texts["channels/one.yaml"] is None
    assert gone.authors == {"ana", "ben"}
    assert drafts.put(1, MAP, "a\nb\nc\nd\ne\n", "ana").files.keys() == gone.files.keys() - {MAP}
    assert drafts.drop(1, "channels/one.yaml", "ana").files.keys() == {"channels/new.yaml"}
    assert drafts.drop(1, "channels/new.yaml", "ana").digest == empty.digest
    with pytest.raises(HubError, match="does not change"):
        drafts.drop(1, MAP, "ana")
    with pytest.raises(HubError, match="no draft 7"):
        drafts.get(7)


def test_line_ends_stay_what_they_were(drafts: Drafts) -> None:
    number = drafts.begin("Browser", "ana").number
    done = drafts.put(number, MAP, "a\r\nB\r\nc\r\nd\r\ne\r\n", "ana")
    done = drafts.put(number, "terminology/maps/t.csv", "x,y\n1,3\n", "ana")
    assert done.files[MAP].text == "a\nB\nc\nd\ne\n"
    assert done.files["terminology/maps/t.csv"].text == "x,y\r\n1,3\r\n"


def test_two_editors_do_not_write_over_each_other(drafts: Drafts) -> None:
    number = drafts.begin("Two", "ana").number
    seen = text_digest("a\nb\nc\nd\ne\n")
    drafts.put(number, MAP, "A\nb\nc\nd\ne\n", "ana", seen)
    with pytest.raises(HubError, match="meanwhile"):
        drafts.put(number, MAP, "a\nb\nc\nd\nE\n", "ben", seen)
    assert drafts.get(number).files[MAP].text == "A\nb\nc\nd\ne\n"


def test_typing_is_one_event_and_nothing_is_readable_on_disk(drafts: Drafts) -> None:
    number = drafts.begin("Typing", "ana").number
    for n in range(5):
        drafts.put(number, MAP, f"secret{n}\n", "ana")
    draft = drafts.comment(number, "secret words", "ben")
    assert [(e.what, e.who) for e in draft.events] == [("begin", "ana"), ("put", "ana"), ("comment", "ben")]
    assert draft.events[1].digest == draft.digest and [c.text for c in draft.comments] == ["secret words"]
    with drafts.staff.database.read() as c:
        rows = [*c.execute(FILES.select()), *c.execute(EVENTS.select())]
    assert rows and b"secret" not in repr(rows).encode()


def test_a_change_voids_what_was_decided(drafts: Drafts) -> None:
    number = drafts.begin("Void", "ana").number
    draft = drafts.put(number, MAP, "B\n", "ana")
    with drafts.staff.database.write() as c:
        drafts.move(c, draft, "approved", "cleo")
    after = drafts.put(number, MAP, "C\n", "ana")
    assert after.state == "draft"
    assert [e.what for e in after.events][-3:] == ["approved", "void", "put"]


def test_an_ended_draft_does_not_change(drafts: Drafts) -> None:
    number = drafts.begin("End", "ana").number
    drafts.put(number, MAP, "B\n", "ana")
    root = drafts.root(number)
    drafts.throw_away(number, "ana")
    assert not root.exists()
    for change in (
        lambda: drafts.put(number, MAP, "C\n", "ana"),
        lambda: drafts.drop(number, MAP, "ana"),
        lambda: drafts.rebase(number, "ana"),
        lambda: drafts.throw_away(number, "ana"),
    ):
        with pytest.raises(HubError, match="thrown away"):
            change()


def test_list_is_by_number_and_state(drafts: Drafts) -> None:
    for n in range(5):
        drafts.begin(f"Draft {n}", "ana")
    drafts.throw_away(4, "ana")
    assert [d.number for d in drafts.all()] == [5, 4, 3, 2, 1]
    assert [d.number for d in drafts.all(before=4, limit=2)] == [3, 2]
    assert [d.number for d in drafts.all(states=["thrown away"])] == [4]


def test_the_folder_of_a_draft(drafts: Drafts) -> None:
    number = drafts.begin("Folder", "ana").number
    drafts.put(number, MAP, "B\n", "ana")
    drafts.put(number, "channels/one.yaml", None, "ana")
    drafts.put(number, "mappings/hl7v2/segments/ZZZ.yaml", "new\n", "ana")
    root = drafts.root(number)
    assert root.stat().st_mode & 0o777 == 0o700 and root.is_relative_to(drafts.config.data_dir)
    assert (root / MAP).read_text() == "B\n" and not (root / "channels/one.yaml").exists()
    assert (root / "mappings/hl7v2/segments/ZZZ.yaml").read_text() == "new\n"
    assert (root / "terminology/maps/t.csv").read_bytes() == b"x,y\r\n1,2\r\n"
    assert (root / "sample_messages/a.hl7").read_text() == "MSH|"
    assert (root / "config.yaml").is_file() and not (root / "var").exists()
    assert drafts.root(number) == root  # the same content is the same folder
    live(drafts, "channels/two.yaml", "channel: two\n")
    other = drafts.root(number)
    assert other != root and (other / "channels/two.yaml").is_file()


def test_the_real_project_opens_in_a_draft(drafts: Drafts, tmp_path: Path) -> None:
    real = Path(__file__).resolve().parents[2]
    config = load_config(real, data=tmp_path / "var")
    own = Drafts(config, drafts.staff)
    number = own.begin("Real", "ana").number
    path = "mappings/hl7v2/datatypes/XTN_ContactPoint.yaml"
    text = own.text(number, path)
    assert text is not None
    own.put(number, path, text + "note: tried\n" if "\nnote:" not in text else text + "# tried\n", "ana")
    root = own.root(number)
    maps = Maps.open(root, config.identity_base)
    here = Maps.open(real, config.identity_base)
    assert maps.maps.keys() == here.maps.keys() and maps.messages.keys() == here.messages.keys()
    assert maps.of("cda").maps.keys() == here.of("cda").maps.keys()
    assert maps.terminology.digest == here.terminology.digest
    assert [c.name for c in load_channels(root)] == [c.name for c in load_channels(real)]


@pytest.mark.parametrize(
    ("mine", "now", "state", "merged"),
    [
        ("A\nb\nc\nd\ne\n", "a\nb\nc\nd\ne\n", "same", "A\nb\nc\nd\ne\n"),
        ("A\nb\nc\nd\ne\n", "a\nb\nc\nd\nE\n", "moved", "A\nb\nc\nd\nE\n"),
        ("A\nb\nc\nd\ne\n", "X\nb\nc\nd\ne\n", "clash", None),
        ("A\nb\nc\nd\ne\n", "A\nb\nc\nd\ne\n", "there", "A\nb\nc\nd\ne\n"),
        (None, "X\nb\nc\nd\ne\n", "clash", None),
        ("A\nb\nc\nd\ne\n", None, "clash", None),
        (None, None, "there", None),
    ],
)
def test_a_live_file_that_changed_meanwhile(
    drafts: Drafts, mine: str | None, now: str | None, state: str, merged: str | None
) -> None:
    number = drafts.begin("Meanwhile", "ana").number
    drafts.put(number, MAP, mine, "ana")
    if now is None:
        (drafts.config.root / MAP).unlink()
    else:
        live(drafts, MAP, now)
    (found,) = drafts.standing(number)
    assert (found.state, found.merged) == (state, merged)
    assert (found.base, found.live, found.mine) == ("a\nb\nc\nd\ne\n", now, mine)
    before = drafts.get(number)
    if state == "clash":
        with pytest.raises(HubError, match="same lines"):
            drafts.rebase(number, "ben")
        assert drafts.get(number).digest == before.digest
        resolved = drafts.resolve(number, MAP, "Z\n", "ben")
        assert (resolved.files[MAP].base, resolved.files[MAP].text) == (now, "Z\n")
        return
    after = drafts.rebase(number, "ben")
    if state == "there":
        assert not after.files
    else:
        assert after.files[MAP].text == merged and after.files[MAP].base == now
        assert (after.digest == before.digest) == (state == "same")
        assert [s.state for s in drafts.standing(number)] == ["same"]
