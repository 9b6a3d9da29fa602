"""The behaviour that every kind of destination must show, whatever it speaks.

A kind's test file makes a class of it, gives its word and a fixture `side`, the other side that it is tried
against (docs/developers/adding-a-destination.md):

    class TestFile(Behaviour):
        word = "file"

        @pytest.fixture
        def side(self, tmp_path): ...

What cannot happen to a kind is said by a word of the class (`can_refuse = ""` becomes the reason), never left
out.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytest
from pydantic import BaseModel

from engine.destinations.kinds import KINDS
from engine.kernel.delivery import Around, Destination, Parcel, Receipt
from engine.kernel.errors import HubError

__all__ = ["MARKS", "Behaviour", "Side", "message"]

MARKS = ("Zzyzxson", "Qwertina", "MRN7788990")
"""Words of the patient in every parcel; they stand where patient data stands, and nowhere else."""


class Side(Protocol):
    """The other side: a real peer, or a folder. It begins empty, there, and willing."""

    words: dict[str, Any]  # settings that reach it, as YAML would say them
    secrets: Sequence[str]  # of these settings: they may stand in nothing that is shown

    def taken(self) -> list[bytes]:
        """Return what it has made its own, once for each time it would act on it."""

    def away(self) -> None:
        """Answer nobody from now on."""

    def back(self) -> None:
        """Be there again, with what it had."""

    # where the kind's class says that it can:
    # def refuse(self) -> None: take no content any more, and say so, quoting what was sent
    # def lose_answer(self) -> None: take the next one, and cut the connection instead of answering


def message(n: int = 1) -> bytes:
    """Return an HL7 v2 result about the patient of MARKS."""
    family, given, number = MARKS
    return (
        f"MSH|^~\\&|LAB|LAKESIDE|HUB|MERCY|20260502114500||ORU^R01^ORU_R01|C{n}|P|2.5.1\r"
        f"PID|1||{number}^^^LAKESIDE^MR||{family}^{given}||19700101|F\r"
        f"OBR|1||F{n}|2823-3^Potassium^LN|||20260502113000\r"
        f"OBX|1|NM|2823-3^Potassium^LN||4.{n}|mmol/L|3.5-5.1|N|||F\r"
    ).encode()


class Behaviour:
    """Everything a destination owes the loop that calls it."""

    word = ""  # of KINDS
    can_refuse = True  # or False, and `never_refuses` says why
    never_refuses = ""
    can_lose_answers = True  # or False, and `never_loses` says why
    never_loses = ""
    refused_as = "refuse"  # the verdict on content that the other side does not take

    # -- what a kind may say otherwise

    def parcel(self, n: int = 1) -> Parcel:
        """Return the nth of some parcels that this kind takes."""
        facts = {
            "type": "ORU^R01",
            "event": "R01",
            "control_id": f"C{n}-{MARKS[2]}",  # a sender may build it from anything
            "sender": "LAKESIDE",
            "received": "2026-05-02T11:45:00+00:00",
        }
        key = f"lab_oru-{100 + n}-other-1"
        return Parcel(key, 100 + n, "lab_oru", message(n), "application/hl7-v2", facts)

    @pytest.fixture
    def around(self, tmp_path: Path) -> Around:
        (tmp_path / "project").mkdir(exist_ok=True)
        return Around(tmp_path / "project", tmp_path / "data", "Mercy", "https://hub.mercy.example/id")

    @pytest.fixture
    def made(self, side: Side, around: Around) -> Any:
        """Make destinations that reach the other side, and close them in the end."""
        all_made: list[Destination] = []

        def make(**more: Any) -> Destination:
            kind = KINDS[self.word]
            all_made.append(kind.make(kind.settings(**{**side.words, **more}), "other", around))
            return all_made[-1]

        yield make
        for one in all_made:
            one.close()

    # -- what is owed

    def test_delivered(self, side: Side, made: Any) -> None:
        there = made()
        for n in (1, 2, 3):
            receipt = there.deliver(self.parcel(n))
            assert (receipt.verdict, receipt.down, receipt.wait) == ("sent", False, None), receipt.why
            assert len(side.taken()) == n
            self.shows_nothing(side, receipt)

    def test_twice_with_one_key_is_once(self, side: Side, made: Any) -> None:
        there = made()
        for tries in range(3):
            assert there.deliver(replace(self.parcel(), tries=tries)).verdict == "sent"
        assert len(side.taken()) == 1

    def test_once_over_a_crash(self, side: Side, made: Any) -> None:
        made().deliver(self.parcel())
        again = made()  # of a new process, which knows nothing of the one before
        assert again.deliver(replace(self.parcel(), tries=1)).verdict == "sent"
        assert again.deliver(self.parcel(2)).verdict == "sent"
        assert len(side.taken()) == 2

    def test_an_answer_that_was_lost(self, side: Side, made: Any) -> None:
        if not self.can_lose_answers:
            pytest.skip(self.never_loses)
        there = made()
        side.lose_answer()  # type: ignore[attr-defined]
        receipt = there.deliver(self.parcel())
        assert receipt.verdict in ("retry", "sent"), receipt.why  # sent: it asked again by itself
        self.shows_nothing(side, receipt)
        assert there.deliver(replace(self.parcel(), tries=1)).verdict == "sent"
        assert len(side.taken()) == 1

    def test_who_is_away_is_tried_again(self, side: Side, made: Any) -> None:
        there = made()
        assert there.deliver(self.parcel(1)).verdict == "sent"
        side.away()
        for _ in range(2):
            receipt = there.deliver(self.parcel(2))
            assert (receipt.verdict, receipt.down) == ("retry", True) and receipt.why
            self.shows_nothing(side, receipt)
        side.back()
        assert there.deliver(self.parcel(2)).verdict == "sent"
        assert len(side.taken()) == 2

    def test_who_was_never_there(self, side: Side, made: Any) -> None:
        side.away()
        there = made()
        receipt = there.deliver(self.parcel())
        assert (receipt.verdict, receipt.down) == ("retry", True) and receipt.why
        side.back()
        assert there.deliver(self.parcel()).verdict == "sent"

    def test_content_that_is_not_taken(self, side: Side, made: Any) -> None:
        if not self.can_refuse:
            pytest.skip(self.never_refuses)
        there = made()
        side.refuse()  # type: ignore[attr-defined]
        receipt = there.deliver(self.parcel())
        assert (receipt.verdict, receipt.down) == (self.refused_as, False) and receipt.why
        self.shows_nothing(side, receipt)
        assert side.taken() == []

    def test_evidence(self, side: Side, made: Any) -> None:
        receipt = made().deliver(self.parcel())
        assert receipt.request
        for secret in side.secrets:
            assert secret.encode() not in receipt.request + receipt.answer

    def test_check_delivers_nothing(self, side: Side, made: Any) -> None:
        there = made()
        said = there.check()
        assert said and "\n" not in said and side.taken() == []
        assert not [s for s in side.secrets if s in said]
        assert there.deliver(self.parcel()).verdict == "sent"
        there.check()
        assert len(side.taken()) == 1

    def test_check_says_who_is_away(self, side: Side, made: Any) -> None:
        side.away()
        with pytest.raises(HubError) as caught:
            made().check()
        assert not [s for s in side.secrets if s in str(caught.value)]

    def test_close(self, side: Side, made: Any) -> None:
        unused, used = made(), made()
        used.deliver(self.parcel())
        for there in (unused, used):
            there.close()
            there.close()
        assert len(side.taken()) == 1

    def test_threads_take_turns(self, side: Side, made: Any) -> None:
        there = made()
        said: list[Receipt] = []
        for n in (1, 2):
            thread = threading.Thread(target=lambda n=n: said.append(there.deliver(self.parcel(n))))  # type: ignore[misc]
            thread.start()
            thread.join(60)
        assert [r.verdict for r in said] == ["sent", "sent"] and len(side.taken()) == 2

    def test_nothing_is_logged_of_patients_and_secrets(
        self, side: Side, made: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        there = made()
        there.deliver(self.parcel(1))
        side.away()
        there.deliver(self.parcel(2))
        assert not [word for word in (*MARKS, *side.secrets) if word in caplog.text]

    def test_its_settings(self, side: Side) -> None:
        kind = KINDS[self.word]
        assert kind.word == self.word and kind.bodies and kind.at_once > 0
        settings = kind.settings(**side.words)
        assert not [s for s in side.secrets if s in repr(settings)]
        with pytest.raises(ValueError, match="no_such_word"):
            kind.settings(**side.words, no_such_word=1)
        described(kind.settings)

    def shows_nothing(self, side: Side, receipt: Receipt) -> None:
        """Assert that nothing which everybody sees holds patient data or a secret."""
        shown = f"{receipt.why} {receipt.reference}"
        assert not [word for word in (*MARKS, *side.secrets) if word in shown] and "\n" not in receipt.why
        if receipt.verdict != "sent":
            assert receipt.why


def described(settings: type[BaseModel]) -> None:
    """Assert that every setting, and every one inside it, is frozen, closed, described and has an example."""
    assert settings.model_config.get("frozen") and settings.model_config.get("extra") == "forbid", settings
    assert settings.__doc__
    for name, field in settings.model_fields.items():
        assert field.description and field.examples, f"{settings.__name__}.{name}"
        for inside in _models(field.annotation):
            described(inside)


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models(part)]


class TakenNames(Behaviour):
    """What kinds show whose name of a file decides: `exists:` says what becomes of another of that name."""

    @pytest.mark.parametrize(
        ("exists", "verdicts", "left"),
        [
            ("hold", ["park", "park"], ["one"]),
            ("wait", ["retry", "retry"], ["one"]),
            ("both", ["sent", "sent"], ["one", "two"]),
            ("replace", ["sent", "sent"], ["two"]),
        ],
    )
    def test_a_name_that_another_has(
        self, side: Any, made: Any, exists: str, verdicts: list[str], left: list[str]
    ) -> None:
        there = made(exists=exists)
        assert there.deliver(self.parcel()).verdict == "sent"
        receipts = [there.deliver(self.other()) for _ in range(2)]
        assert [r.verdict for r in receipts] == verdicts and not any(r.down for r in receipts)
        bodies = {"one": self.parcel().body, "two": self.other().body}
        assert sorted(side.taken()) == sorted(bodies[word] for word in left)
        for receipt in receipts:
            self.shows_nothing(side, receipt)
