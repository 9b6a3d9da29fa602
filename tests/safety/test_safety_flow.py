"""The flow: one bad message harms no other, what is answered is kept, nothing personal leaves the seal."""

from __future__ import annotations

import logging

import pytest
from safety_hub import Hub, adt, header, merge, obx, oru, who

WORD = "ZEBRAWORD"


def test_one_bad_message_of_a_batch_parks_alone(hub: Hub) -> None:
    messages = [oru(who(), filler=f"F{i}^LIS", placer=f"P{i}^EHR") for i in range(3)]
    messages[1] = messages[1].replace("77^^^NORTH^MR", "")
    outcomes = hub.send_all("\n".join(["BHS|^~\\&|LIS", *messages, "BTS|3"]), "lab_oru")
    assert [o.status for o in outcomes] == ["done", "parked", "done"]
    assert len(hub.all("Observation")) == 2
    assert len(hub.answers) == 1


def test_a_parked_message_does_not_hold_up_the_next_of_its_patient(hub: Hub) -> None:
    assert hub.lab(oru(who(), obx("4.1", "Q"))).status == "parked"
    assert hub.lab(oru(who(), obx("6.9", "F"))).status == "done"


def test_a_result_of_a_patient_whose_update_is_parked_arrives(hub: Hub) -> None:
    hub.adt(adt("A01"))
    assert hub.adt(adt("A08", who(name="ROE^ANN", born="19500505"))).status == "parked"
    assert hub.lab(oru()).status == "done"
    assert len(hub.of("77", "Observation")) == 1


def test_the_same_bytes_again_are_answered_and_not_worked_again(hub: Hub) -> None:
    message = oru(control="SAME")
    hub.lab(message)
    assert hub.send_all(message, "lab_oru") == []
    assert b"MSA|AA|SAME" in hub.answers[0]


def test_one_control_id_with_other_bytes_is_another_message(hub: Hub) -> None:
    hub.lab(oru(control="SAME"))
    outcome = hub.lab(oru(control="SAME", filler="F2^LIS", placer="P2^EHR"))
    assert (outcome.status, "same-control-id" in [f.code for f in outcome.flags]) == ("done", True)
    assert len(hub.all("Observation")) == 2


def test_garbage_is_kept_and_refused(hub: Hub) -> None:
    outcome = hub.lab(b"\x00\xff not a message")
    assert (outcome.status, outcome.cause) == ("parked", "garbage")
    assert b"MSA|AR" in hub.answers[0]


def test_a_message_nobody_maps_is_kept_for_a_person(hub: Hub) -> None:
    for event in ("A19", "Z01"):
        outcome = hub.adt(adt(event, who(), "MRG|88^^^NORTH^MR"))
        assert (outcome.status, outcome.cause) == ("parked", "no-map")
    assert hub.store.head() == 0


@pytest.mark.parametrize(
    ("charset", "encoding"), [("8859/1", "latin-1"), ("UNICODE UTF-8", "utf-8"), ("8859/2", "iso-8859-2")]
)
def test_a_name_is_read_in_the_charset_it_was_written_in(hub: Hub, charset: str, encoding: str) -> None:
    message = oru(who(name="MÜLLER^ÉVA")).replace("|P|2.5.1", f"|P|2.5.1{'|' * 6}{charset}", 1)
    hub.lab(message.replace("\n", "\r").encode(encoding))
    assert hub.patient("77")["name"] == [{"family": "MÜLLER", "given": ["ÉVA"]}]


def test_a_large_document_arrives_whole(hub: Hub) -> None:
    data = "QUJD" * 500_000
    line = f"OBX|1|ED|60567-5^Pathology report^LN||LIS^AP^PDF^Base64^{data}||||||F"
    assert hub.lab(oru(who(), line)).status == "done"
    attachment = hub.one("DocumentReference")["content"][0]["attachment"]
    assert attachment["data"] == data


def test_nothing_personal_in_files_outcomes_or_logs(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    word = WORD
    result = oru(who(f"{word}1", f"{word}^{word}"), obx(word), f"NTE|1|L|{word}")
    messages = [
        result,
        oru(who(), obx("4.1", word)),
        oru(status=word),
        oru(who(born=word)),
        oru(who(f"{word}^^^NORTH^MR~{word}2^^^NORTH^MR")),
        oru(who(), f"OBX|1|{word}|{word}^{word}|{word}|{word}|{word}|{word}|{word}|||F"),
        adt("A01", who(f"{word}3", word, word, f"|{word}|{word}|{word}")),
        adt(word),
        adt("A01", who(), f"PV1|{word}|{word}|{word}", f"AL1|1|{word}|{word}|{word}", f"ZZZ|{word}"),
        adt("A01", who(name=f"{word}^{word}", born="19330303")),
        merge(f"{word}1", "77"),
        merge(f"{word}1", f"{word}1"),
        f"{word}|{word}",
        header("ORU^R01") + f"\n{word}|1\nPID|{word}",
    ]
    for message in messages:
        for channel in ("lab_oru", "adt"):
            for outcome in hub.send_all(message, channel):
                assert word not in repr(outcome)
    assert word in repr(hub.all("Patient"))  # it did arrive
    assert word not in caplog.text
    for file in hub.folder.iterdir():
        data = file.read_bytes()
        assert word.encode() not in data, file.name
        assert word.lower().encode() not in data, file.name
