"""Every word of a channel's file works or is refused, with the file, the line and what to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.channels.definition import WORDS, Channel, agree, load_channels
from engine.channels.pipeline import Pipeline
from engine.formats.hl7v2.header import peek
from engine.kernel.errors import ConfigError
from engine.kernel.message import Entry
from engine.listeners.senders import Senders
from engine.mapping.project import Maps

ROOT = Path(__file__).parents[2]
HEAD = "channel: lab\nreceive:\n  mllp: {port: 2580}\n"
ORU = (
    b"MSH|^~\\&|LAKELIS|LAKE|HUB|MERCY|20260504101500||ORU^R01^ORU_R01|1|P|2.5.1\r"
    b"PID|1||55012||RIVERA^SAM\rPV1|1|I|||||||||||||||||V77^^^LAKE\r"
    b"OBR|1||F1^LAKELIS|718-7^Hgb^LN\rOBX|1|NM|718-7^Hgb^LN||13.2|g/dL|||||F\r"
)


def channel(tmp_path: Path, text: str, site: str = "") -> Channel:
    """Read one channel; `text` stands below its head."""
    (tmp_path / "channels").mkdir(exist_ok=True)
    (tmp_path / "channels/lab.yaml").write_text(HEAD + text)
    if site:
        (tmp_path / "mappings/sites").mkdir(parents=True, exist_ok=True)
        (tmp_path / "mappings/sites/lake.yaml").write_text(site)
    (found,) = load_channels(tmp_path)
    return found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("order: by moon", "order: 'by moon' is not known"),
        ("order: PID-3", "order: 'PID-3' is not known"),
        ("order: by MSH-3", "order: 'by MSH-3' is not known"),
        ("deliver: ehr", "deliver: there is no destination ehr"),
        ("deliver: [core store, ehr]", "deliver: there is no destination ehr"),
        ("alert: {when: held > 1}", "alert: takes a list"),
        ("alert: [{when: held}]", "alert: when: 'held' is not known"),
        ("alert: [{when: silent for long}]", "'long' is not a time"),
        ("alert: [{when: held > 1, then: x}]", "alert: does not know then"),
        ("alert: [{when: held > 1, at_most: rarely}]", "'rarely' is not a time"),
        ("duplicates: {same: MSH-10, then: skip}", "duplicates: same: 'MSH-10' is not known"),
        ("duplicates: {then: drop}", "duplicates: then: 'drop' is not known"),
        ("duplicates: {ever: yes}", "duplicates: does not know 'ever'"),
        ("duplicates: {within: a while}", "'a while' is not a time"),
        ("duplicates: none", "duplicates: takes {same, within, then}"),
        ("steps: [{send: x}]", "step send is not known"),
        ("steps: [decode]", "'decode' is no step"),
        ("steps: [{decode: x12}]", "decode: x12 is not known"),
        ("steps: [{check: {on_error: ignore}}]", "on_error: 'ignore' is not known"),
        ("steps: [{check: {strictly: yes}}]", "check: takes {on_error: hold}"),
        ("authority: everything", "authority: 'everything' is not known"),
        ("park: all", "park: 'all' is not known"),
        ("plain: accepted because", "gives no reason"),
        ("plain: true", "plain: takes a text"),
        ("strict: sometimes", "strict:"),
        ("processing_id: P", "processing_id"),
        ("acknowledge: never", "acknowledge:"),
        ("pupose: x", "does not know the word 'pupose'"),
        ("search: PID-3", "search: takes a list"),
        ("search: [PID]", "search: takes places of HL7 messages"),
        ("search: [PID-0]", "search: PID-0 is no place in a message"),
        ("search: [QQQ-1]", "search: HL7 has no segment QQQ"),
        (f"search: [{', '.join(f'ZZZ-{n}' for n in range(1, 15))}]", "12 are the most"),
    ],
)
def test_what_does_nothing_is_refused_with_its_line(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as found:
        channel(tmp_path, text)
    assert told in str(found.value)
    assert found.value.where == "channels/lab.yaml:4"


def test_every_word_is_read(tmp_path: Path) -> None:
    """The words that `WORDS` lets in are those the reader asks for."""
    source = (ROOT / "engine/channels/definition.py").read_text().partition("DECODED = ")[2]
    source += (ROOT / "engine/channels/receiving.py").read_text()
    source += (ROOT / "engine/channels/delivering/rules.py").read_text()
    source += (ROOT / "engine/channels/downsampling.py").read_text()
    for word in WORDS - {"owner", "note"}:  # for people
        assert f'"{word}"' in source, word


def test_places_to_search_by_are_written_one_way(tmp_path: Path) -> None:
    assert channel(tmp_path, "search: [OBR-20, 'OBX(3.1 = K)-5', ZPD-3.1, OBR-20]").search == (
        *("OBR-20", "OBX(3.1=K)-5", "ZPD-3.1"),
    )


def test_an_empty_file_of_words_has_safe_defaults(tmp_path: Path) -> None:
    c = channel(tmp_path, "")
    assert c.mllp is not None
    assert (c.mllp.order, c.mllp.duplicates, c.mllp.duplicate_window_ms) == ("PID-3", "skip", None)
    assert (c.map, c.on_error, c.park_key, c.demographics, c.alerts, c.plain) == (
        ("", "hold", False, False, (), "")
    )


def test_words_that_work(tmp_path: Path) -> None:
    c = channel(
        tmp_path,
        "order: by PV1-19\nduplicates: {same: MSH-10 and bytes, within: 2 days, then: flag}\n"
        "deliver: [core store]\nplain: accepted because it is a cable of two metres\n"
        "alert: [{when: silent for 2 hours, say: call the lab, at_most: daily}]\n"
        "steps: [{decode: hl7v2}, {map: ORU_R01}, {check: {on_error: flag}}]\npark: key\n",
    )
    assert c.mllp is not None
    assert (c.mllp.order, c.mllp.duplicates, c.mllp.duplicate_window_ms) == ("PV1-19", "flag", 172_800_000)
    assert (c.map, c.on_error, c.park_key, c.plain) == (
        "ORU_R01",
        "flag",
        True,
        "it is a cable of two metres",
    )
    (alert,) = c.alerts
    assert (alert.kind, alert.limit, alert.say, alert.at_most_ms) == (
        ("silent", 7_200_000, "call the lab", 86_400_000)
    )


def keys(c: Channel, body: bytes = ORU) -> tuple[str, ...]:
    assert c.mllp is not None
    port = c.mllp
    return Senders(port.channel, port.sender, port.senders, port.order).keys(peek(body), body)


def test_order_by_a_place_or_the_sender_comes_beside_the_patient(tmp_path: Path) -> None:
    patient = ("private:LAKELIS|LAKE|55012",)
    assert keys(channel(tmp_path, "")) == patient
    assert keys(channel(tmp_path, "order: by PID-3")) == patient
    assert keys(channel(tmp_path, "order: by PV1-19")) == (*patient, "PV1-19.1|V77")
    assert keys(channel(tmp_path, "order: by PV1-19.4")) == (*patient, "PV1-19.4|LAKE")
    assert keys(channel(tmp_path, "order: by ZZZ-1")) == patient
    by_sender = keys(channel(tmp_path, "order: by sender"))
    assert by_sender[:1] == patient and len(by_sender) == 2
    other = ORU.replace(b"55012", b"99")
    assert keys(channel(tmp_path, "order: by sender"), other)[1] == by_sender[1]


def test_the_authority_of_the_site_file_orders_and_identifies(tmp_path: Path) -> None:
    site = "site: lake\nover: standard\nmatch: {MSH-3: LAKELIS}\nauthority: LSP\n"
    for sender in ("", "sender: lake\n"):
        c = channel(tmp_path, sender, site)
        assert keys(c) == ("LSP|55012",)
        if not sender:
            assert keys(c, ORU.replace(b"LAKELIS|LAKE", b"OTHER|LAKE")) == ("private:OTHER|LAKE|55012",)
    below = site.replace("site: lake", "site: east").replace("over: standard", "over: lake")
    (tmp_path / "mappings/sites/lake.yaml").write_text(site.replace("match: {MSH-3: LAKELIS}\n", ""))
    (tmp_path / "mappings/sites/east.yaml").write_text(below.replace("authority: LSP\n", ""))
    (c,) = load_channels(tmp_path)
    assert keys(c) == ("LSP|55012",)


def test_tls_files_are_named_from_the_projects_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "channels").mkdir()
    (tmp_path / "channels/lab.yaml").write_text(
        "channel: lab\nreceive:\n  mllp: {port: 1, tls: {certificate: tls/a.pem, key: /k/b, client_ca: ca}}\n"
    )
    monkeypatch.chdir("/")
    (c,) = load_channels(tmp_path)
    assert c.mllp is not None and c.mllp.mllp.tls is not None
    tls = c.mllp.mllp.tls
    assert tls.certificate == tmp_path.resolve() / "tls/a.pem"
    assert tls.client_ca == tmp_path.resolve() / "ca"
    assert tls.key == Path("/k/b")


@pytest.fixture(scope="module")
def maps() -> Maps:
    return Maps.open(ROOT)


def test_a_named_map_must_exist(tmp_path: Path, maps: Maps) -> None:
    agree([channel(tmp_path, "steps: [{map: ORU_R01}]")], maps)
    with pytest.raises(ConfigError, match=r"lab.yaml:4: map: there is no message map ORU_R99"):
        agree([channel(tmp_path, "steps: [{map: ORU_R99}]")], maps)
    with pytest.raises(ConfigError, match=r"lab.yaml:4: sender: there is no site nowhere"):
        agree([channel(tmp_path, "sender: nowhere")], maps)


def entry(body: bytes, kind: str = "message", conflicts: int | None = None) -> Entry:
    return Entry(1, "lab", body, 0, "LAKE", "", "1", "", "", kind, (0,), None, 1, "", conflicts)


def test_the_named_map_is_the_one_that_is_used(tmp_path: Path, maps: Maps) -> None:
    odd = ORU.replace(b"ORU^R01^ORU_R01", b"ZZZ^Z01")  # a type that no map serves

    def mac(kind: str, text: str) -> bytes:
        return kind.encode() + text.encode()[:8]

    by_type = Pipeline(maps, [channel(tmp_path, "")], mac).work(entry(odd))
    assert by_type.parked is not None and by_type.parked.code == "no-map"
    named = Pipeline(maps, [channel(tmp_path, "steps: [{map: ORU_R01}]")], mac).work(entry(odd))
    assert named.parked is None
    assert {"Observation", "Patient"} <= {d.type for d in named.drafts}


def test_the_store_keeps_a_message_header_only_where_the_channel_says_so(tmp_path: Path, maps: Maps) -> None:
    def types(text: str) -> list[str]:
        return [
            d.type
            for d in Pipeline(maps, [channel(tmp_path, text)], lambda k, t: (k + t)[:16].ljust(16).encode())
            .work(entry(ORU))
            .drafts
        ]

    left_out, kept = types(""), types("message_header: keep")
    assert "MessageHeader" not in left_out and "Observation" in left_out
    assert kept == ["MessageHeader", *left_out]
    with pytest.raises(ConfigError, match="message_header"):
        channel(tmp_path, "message_header: yes")


def test_an_acknowledgement_is_consumed_and_a_kept_twin_is_flagged(tmp_path: Path, maps: Maps) -> None:
    c = channel(tmp_path, "duplicates: {then: flag}")
    pipeline = Pipeline(maps, [c], lambda kind, text: b"x" * 16)
    work = pipeline.work(entry(ORU.replace(b"ORU^R01^ORU_R01", b"ACK"), "answer"))
    assert (work.parked, work.drafts, work.note) == (None, [], "acknowledgement")
    texts = [f.text for f in pipeline.work(entry(ORU, conflicts=7)).flags if f.code == "same-control-id"]
    assert texts == ["entry 7 has the same control id, and may be the same message"]


@pytest.mark.parametrize(
    ("receive", "told"),
    [
        ("{mllp: {port: 1}, http: {port: 2}}", "mllp and http: a channel has one way in"),
        ("{http: 8080}", "http: takes {port: 8443}"),
        ("{http: {port: 1, path: 'no'}}", "is not a path"),
        ("{folder: {pattern: '*'}}", "path: field required"),
        ("{sftp: {host: h, user: u, key: k}}", "host_key: field required"),
        ("{fax: {number: 1}}", "does not know 'fax'"),
    ],
)
def test_a_way_in_that_cannot_be_followed(receive: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "channels").mkdir()
    (tmp_path / "channels/lab.yaml").write_text(f"channel: lab\nreceive: {receive}\n")
    with pytest.raises(ConfigError) as found:
        load_channels(tmp_path)
    assert told in str(found.value) and found.value.where.startswith("channels/lab.yaml:2")


def test_every_way_in_carries_the_words_of_its_channel(tmp_path: Path) -> None:
    (tmp_path / "channels").mkdir()
    ways = {
        "a": "{http: {port: 8443, auth: {token: t}}}",
        "b": "{folder: {path: in, done: ../done}}",
        "c": "{sftp: {host: h, user: u, key: k, host_key: ssh-ed25519 AAAA}}",
    }
    for name, way in ways.items():
        text = f"channel: {name}\nreceive: {way}\norder: by PV1-19\nduplicates: {{then: flag}}\n"
        (tmp_path / f"channels/{name}.yaml").write_text(text + "accept: [{type: ORU}]\n")
    a, b, c = load_channels(tmp_path)
    for one in (a, b, c):
        assert one.receives is not None and one.mllp is None
        assert (one.receives.order, one.receives.duplicates) == ("PV1-19", "flag")
        assert one.receives.rules.accept[0].type == "ORU"
    assert a.http and a.http.http.auth and a.http.http.auth.token == tmp_path.resolve() / "t"
    assert b.folder and b.folder.folder.path == tmp_path.resolve() / "in"
    assert c.sftp and c.sftp.sftp.key == tmp_path.resolve() / "k"
    (tmp_path / "channels/d.yaml").write_text("channel: d\nreceive: {folder: {path: in}}\n")
    with pytest.raises(ConfigError, match="is used by channel b"):
        load_channels(tmp_path)
    (tmp_path / "channels/d.yaml").write_text("channel: d\nreceive: {mllp: {port: 8443}}\n")
    with pytest.raises(ConfigError, match="port 8443 is taken by channel a"):
        load_channels(tmp_path)
