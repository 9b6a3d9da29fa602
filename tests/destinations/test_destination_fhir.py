"""Transactions to a FHIR server: what is asked of it, how its answers are judged, what is told of them."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any

import pytest
from fhir_side import (
    OBSERVATION,
    PATIENT,
    Asked,
    O,
    P,
    Reply,
    destination,
    done,
    outcome,
    parcel,
    response,
    serving,
)

from engine.destinations.fhir_written import There, Written
from engine.kernel.delivery import Receipt
from engine.kernel.errors import ConfigError, HubError


def test_ours_is_an_update_at_our_id_what_is_referred_to_first(tmp_path: Path) -> None:
    with serving(done) as server:
        receipt = destination(tmp_path, server.url).deliver(parcel(OBSERVATION, PATIENT, mentioned=(P,)))
    assert (receipt.verdict, receipt.reference) == ("sent", O)
    (asked,) = server.asked
    assert [e["request"] for e in asked.entries] == [{"method": "PUT", "url": P}, {"method": "PUT", "url": O}]
    assert asked.entries[1]["resource"]["subject"] == {"reference": P}
    assert asked.entries[0]["fullUrl"] == f"{server.url}/{P}"
    assert "meta" not in asked.entries[0]["resource"]  # whose version that is: the server has its own
    assert asked.headers["prefer"] == "return=minimal"


def test_theirs_is_found_by_our_identifier_and_refers_by_placeholder(tmp_path: Path) -> None:
    provenance = {
        "resourceType": "Provenance",
        "id": "pr",
        "target": [{"reference": O}],
        "recorded": "2026-05-01",
    }
    with serving(done) as server:
        receipt = destination(tmp_path, server.url, ids="theirs").deliver(
            parcel(OBSERVATION, PATIENT, provenance, mentioned=(P,))
        )
    assert (receipt.verdict, receipt.reference) == ("sent", "Observation/there-1")
    patient, observation, trace = server.asked[0].entries
    system = "https%3A%2F%2Fhub.example%2Fid%2Fresource%7C"
    assert patient["request"] == {
        "method": "POST", "url": "Patient", "ifNoneExist": f"identifier={system}{PATIENT['id']}"
    }  # fmt: skip
    assert observation["request"]["url"] == f"Observation?identifier={system}{OBSERVATION['id']}"
    assert trace["request"]["url"] == f"Provenance?_tag={system}pr"
    assert trace["resource"]["meta"]["tag"] == [{"system": "https://hub.example/id/resource", "code": "pr"}]
    assert observation["resource"]["subject"]["reference"] == patient["fullUrl"]
    assert patient["fullUrl"].startswith("urn:uuid:")
    assert not any("id" in e["resource"] for e in server.asked[0].entries)


class Own:
    """A server that gives ids of its own, tells them or not, and is read and searched."""

    def __init__(self, tells: bool = True, mixes: bool = False) -> None:
        self.tells, self.mixes = tells, mixes
        self.held: dict[str, dict[str, Any]] = {}

    def __call__(self, asked: Asked) -> Reply:
        path = asked.path.removeprefix("/fhir/")
        if asked.method == "POST":
            made = [self.take(e["resource"]) for e in asked.entries]
            made = made[::-1] if self.mixes else made
            return response(
                [{"response": {"status": "201", **({"location": one} if self.tells else {})}} for one in made]
            )
        if path in self.held:
            return 200, {}, json.dumps(self.held[path]).encode()
        kind = path.partition("?")[0]
        found = [r for r in self.held.values() if r["resourceType"] == kind and own(r) in asked.path]
        body = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": r} for r in found]}
        return (404, {}, outcome("not-found")) if "?" not in path else (200, {}, json.dumps(body).encode())

    def take(self, resource: dict[str, Any]) -> str:
        name = f"{resource['resourceType']}/there-{own(resource)}"
        self.held[name] = {**resource, "id": name.partition("/")[2]}
        return name


def own(resource: dict[str, Any]) -> str:
    """Return our id of what a server has."""
    (value,) = [
        i["value"] for i in resource["identifier"] if i["system"] == "https://hub.example/id/resource"
    ]
    return str(value)


MOTHER, NEWBORN = {**PATIENT, "id": "mother"}, {**PATIENT, "id": "newborn"}
RESULT = {
    **OBSERVATION,
    "id": "result",
    "subject": {"reference": "Patient/newborn"},
    "focus": [{"reference": "Patient/mother"}],
}


@pytest.mark.parametrize("tells, mixes", [(True, False), (False, False), (True, True)])
def test_a_result_goes_to_the_patient_it_is_of_whatever_the_answer_before_said(
    tmp_path: Path, tells: bool, mixes: bool
) -> None:
    side = Own(tells, mixes)
    with serving(side) as server:
        to = destination(tmp_path, server.url, ids="theirs", entries=2)
        assert to.deliver(parcel(RESULT, MOTHER, NEWBORN)).verdict == "sent"
        after = {**RESULT, "id": "later"}
        assert to.deliver(parcel(after, key="k2")).verdict == "sent"
        searches = [a for a in server.asked if a.method == "GET"]
    assert searches and all(a.headers["cache-control"] == "no-cache" for a in searches)
    for name in ("result", "later"):
        assert side.held[f"Observation/there-{name}"]["subject"] == {"reference": "Patient/there-newborn"}


def test_what_the_server_has_lost_is_not_referred_to(tmp_path: Path) -> None:
    side = Own()
    with serving(side) as server:
        to = destination(tmp_path, server.url, ids="theirs", entries=2)
        to.deliver(parcel(RESULT, MOTHER, NEWBORN))
        gone = side.held.pop("Patient/there-newborn")

        def strict(asked: Asked) -> Reply:
            if asked.method == "POST" and b"Patient/there-newborn" in asked.body:
                return 422, {}, outcome("not-found")
            return side(asked)

        server.say = strict
        assert to.deliver(parcel({**RESULT, "id": "later"}, key="k2")).verdict == "sent"
    assert own(gone) == "newborn"
    assert side.held["Observation/there-later"]["subject"]["identifier"]["value"] == "newborn"


def test_what_the_server_does_not_have_is_referred_to_by_identifier(tmp_path: Path) -> None:
    def say(asked: Asked) -> Reply:
        empty = json.dumps({"resourceType": "Bundle", "type": "searchset"}).encode()
        return done(asked) if asked.method == "POST" else (200, {}, empty)

    with serving(say) as server:
        receipt = destination(tmp_path, server.url, ids="theirs").deliver(parcel(OBSERVATION))
    assert receipt.verdict == "sent"
    assert server.asked[-1].entries[0]["resource"]["subject"] == {
        "type": "Patient",
        "identifier": {"system": "https://hub.example/id/resource", "value": PATIENT["id"]},
    }


# status of the whole request -> verdict, down
@pytest.mark.parametrize(
    "status, headers, body, verdict, down, wait",
    [
        (400, {}, outcome("invalid"), "refuse", False, None),
        (401, {}, b"", "retry", True, None),
        (403, {}, outcome("forbidden"), "retry", True, None),
        (404, {}, b"<html>", "retry", True, None),
        (404, {}, outcome("not-found"), "refuse", False, None),
        (409, {}, outcome("conflict"), "retry", False, None),
        (412, {}, outcome("multiple-matches"), "park", False, None),
        (422, {}, outcome("processing"), "refuse", False, None),
        (429, {"Retry-After": "17"}, b"", "retry", True, 17.0),
        (500, {}, outcome("exception"), "retry", False, None),
        (501, {}, outcome("not-supported"), "refuse", False, None),
        (502, {}, b"<html>", "retry", True, None),
        (503, {"Retry-After": "999999"}, b"", "retry", True, 86400.0),
        (302, {"Location": "http://elsewhere.example/"}, b"", "retry", True, None),
        (200, {}, b"<html>please sign in</html>", "retry", True, None),
        (200, {}, b'{"resourceType": "OperationOutcome"}', "retry", True, None),
    ],
)
def test_a_status_is_judged_by_its_meaning(
    tmp_path: Path,
    status: int,
    headers: dict[str, str],
    body: bytes,
    verdict: str,
    down: bool,
    wait: float | None,
) -> None:
    with serving(lambda _: (status, headers, body)) as server:
        receipt = destination(tmp_path, server.url).deliver(parcel(PATIENT))
    assert (receipt.verdict, receipt.down, receipt.wait) == (verdict, down, wait)
    assert str(status) in receipt.why and "SECRETNAME" not in receipt.why
    assert body in receipt.answer


def test_a_200_that_hides_a_failed_entry_is_not_taken_for_sent(tmp_path: Path) -> None:
    bad = json.loads(outcome("value", expression=("Observation.valueQuantity.unit", "Patient.SECRETNAME")))

    def say(asked: Asked) -> Reply:
        failed = {"response": {"status": "422 Unprocessable Entity", "outcome": bad}}
        return response([{"response": {"status": "200 OK", "location": f"{P}/_history/1"}}, failed])

    with serving(say) as server:
        to = destination(tmp_path, server.url)
        receipt = to.deliver(parcel(OBSERVATION, PATIENT))
        server.say = lambda _: (200, {}, json.dumps(CAPABLE).encode())
        assert "NOT atomic" in to.check()
    assert receipt.verdict == "refuse"
    assert receipt.why == (
        "entry 1 (Observation): 422 value at Observation.valueQuantity.unit; "
        "1 of 2 were written all the same: this server is not atomic"
    )


@pytest.mark.parametrize(
    "statuses, verdict",
    [(("400", "503"), "retry"), (("400", "412"), "park"), (("", "200"), "retry"), (("409", "409"), "retry")],
)
def test_of_several_failed_entries_the_one_that_may_pass_decides(
    tmp_path: Path, statuses: tuple[str, ...], verdict: str
) -> None:
    with serving(lambda _: response([{"response": {"status": s}} for s in statuses])) as server:
        assert destination(tmp_path, server.url).deliver(parcel(OBSERVATION, PATIENT)).verdict == verdict


@pytest.mark.parametrize("more", [-1, 1])
def test_an_answer_of_another_length_is_asked_again_one_by_one(tmp_path: Path, more: int) -> None:
    def say(asked: Asked) -> Reply:
        entries = json.loads(done(asked)[2])["entry"]
        return done(asked) if len(entries) == 1 else response((entries * 2)[: len(entries) + more])

    with serving(say) as server:
        receipt = destination(tmp_path, server.url).deliver(parcel(OBSERVATION, PATIENT))
    assert receipt.verdict == "sent"
    assert [len(a.entries) for a in server.asked] == [2, 1, 1]


def test_an_answer_that_never_fits_is_for_a_person(tmp_path: Path) -> None:
    with serving(lambda _: response([])) as server:
        assert destination(tmp_path, server.url).deliver(parcel(PATIENT)).verdict == "park"


def test_a_transaction_that_is_too_long_is_halved(tmp_path: Path) -> None:
    many = [{**PATIENT, "id": f"p{i}"} for i in range(8)]
    with serving(lambda a: done(a) if len(a.entries) <= 3 else (413, {}, b"")) as server:
        to = destination(tmp_path, server.url)
        assert to.deliver(parcel(*many)).verdict == "sent"
        assert sorted(len(a.entries) for a in server.asked) == [2, 2, 2, 2, 4, 8]
        server.say = lambda a: (413, {}, b"")
        assert to.deliver(parcel(PATIENT, key="k2")).verdict == "refuse"


def test_a_chunk_that_fails_after_others_says_what_is_written(tmp_path: Path) -> None:
    many = [{**PATIENT, "id": f"p{i}"} for i in range(3)]
    with serving(lambda a: done(a) if len(server.asked) < 3 else (503, {"Retry-After": "2"}, b"")) as server:
        to = destination(tmp_path, server.url, entries=1)
        receipt = to.deliver(parcel(*many))
        assert (receipt.verdict, receipt.wait, receipt.down) == ("retry", 2.0, True)
        assert (
            receipt.why.startswith("transaction 3 of 3: answered 503")
            and "2 before it written" in receipt.why
        )
        server.say = done
        assert to.deliver(parcel(*many)).verdict == "sent"
    urls = [a.entries[0]["request"]["url"] for a in server.asked]
    assert urls == ["Patient/p0", "Patient/p1", "Patient/p2"] * 2  # all of it again, at the same ids


def test_older_never_overwrites_newer_there(tmp_path: Path) -> None:
    def at(version: int, family: str) -> dict[str, Any]:
        return {**PATIENT, "meta": {"versionId": str(version)}, "name": [{"family": family}]}

    with serving(done) as server:
        first, second = destination(tmp_path, server.url), destination(tmp_path, server.url)
        assert first.deliver(parcel(at(5, "new"))).verdict == "sent"
        late = second.deliver(parcel(at(4, "old"), OBSERVATION, key="k2"))
        assert late.verdict == "sent"
        nothing = second.deliver(parcel(at(4, "old"), key="k3"))
    assert [e["request"]["url"] for e in server.asked[1].entries] == [O]
    assert (nothing.verdict, len(server.asked)) == ("sent", 2)
    assert "newer" in nothing.why


def test_older_stays_older_after_an_answer_that_was_lost(tmp_path: Path) -> None:
    newer, older = {**PATIENT, "meta": {"versionId": "5"}}, {**PATIENT, "meta": {"versionId": "4"}}
    with serving(done) as server:
        to = destination(tmp_path, server.url)
        to.deliver(parcel(newer, key="a"))
        server.say = lambda _: (500, {}, b"")
        assert to.deliver(parcel(newer, key="b")).verdict == "retry"
        server.say = lambda a: done(a) if len(server.asked) > 3 else (422, {}, outcome("invalid"))
        late = to.deliver(parcel(older, OBSERVATION, key="c"))  # and it is refused the first time
    assert late.verdict == "sent"
    assert [[e["request"]["url"] for e in a.entries] for a in server.asked] == [[P], [P], [O], [O]]


def test_a_server_that_lost_what_it_had_is_told_all_of_it_again(tmp_path: Path) -> None:
    with serving(done) as server:
        to = destination(tmp_path, server.url)
        to.deliver(parcel(PATIENT, OBSERVATION, mentioned=(P,)))
        server.say = lambda a: done(a) if len(a.entries) == 2 else (422, {}, outcome("not-found"))
        assert to.deliver(parcel(PATIENT, OBSERVATION, mentioned=(P,), key="k2")).verdict == "sent"
    assert [len(a.entries) for a in server.asked] == [2, 1, 2]


def test_who_was_away_is_told_again_what_others_refer_to(tmp_path: Path) -> None:
    with serving(done) as server:
        to = destination(tmp_path, server.url)
        for key in ("a", "b"):
            to.deliver(parcel(PATIENT, OBSERVATION, mentioned=(P,), key=key))
        server.say = lambda _: None
        assert to.deliver(parcel(PATIENT, OBSERVATION, mentioned=(P,), key="c")).verdict == "retry"
        server.say = done  # restored from a backup, and it takes references that point at nothing
        to.deliver(parcel(PATIENT, OBSERVATION, mentioned=(P,), key="c"))
    assert [len(a.entries) for a in server.asked] == [2, 1, 1, 2]


def test_what_is_only_mentioned_is_written_when_it_has_changed_and_then_not_again(tmp_path: Path) -> None:
    newer = {**PATIENT, "meta": {"versionId": "4"}}
    with serving(done) as server:
        to = destination(tmp_path, server.url)
        for key, person in (("a", PATIENT), ("b", PATIENT), ("c", newer), ("d", newer), ("e", PATIENT)):
            to.deliver(parcel(person, OBSERVATION, mentioned=(P,), key=key))
    assert [len(a.entries) for a in server.asked] == [2, 1, 2, 1, 1]


def test_what_it_has_is_believed_for_a_quarter_of_an_hour() -> None:
    now = [0.0]
    written = Written(lambda: now[0])
    written.note({P: There(3, sure=True)})
    now[0] = 900
    assert written.has(P)
    now[0] = 901
    assert written.has(P) is None
    known = written.of(P)  # what is newer there is known for as long as the process runs
    assert known is not None and known.version == 3


def test_if_match_says_the_version_after_our_last_write_until_an_answer_is_lost(tmp_path: Path) -> None:
    with serving(done) as server:
        to = destination(tmp_path, server.url, changed_there="park")
        for key in ("a", "b"):
            to.deliver(parcel(PATIENT, key=key))
        server.say = lambda _: None
        assert to.deliver(parcel(PATIENT, key="c")).verdict == "retry"
        server.say = done
        to.deliver(parcel(PATIENT, key="c"))
        server.say = lambda _: (412, {}, outcome("conflict"))
        assert to.deliver(parcel(PATIENT, key="d")).verdict == "park"
    sent = [a.entries[0]["request"].get("ifMatch") for a in server.asked]
    assert sent == [None, 'W/"7"', 'W/"7"', None, 'W/"7"']  # the lost answer: nobody knows the version then


def versions(of: str, version: int) -> bytes:
    """Make a resource as a server has it."""
    kind, _, id = of.partition("/")
    return json.dumps({"resourceType": kind, "id": id, "meta": {"versionId": str(version)}}).encode()


@pytest.mark.parametrize("transactions", [True, False])
@pytest.mark.parametrize(("there", "verdict"), [((200, 7), "retry"), ((200, 8), "park"), ((410, 0), "park")])
def test_a_409_for_an_if_match_parks_where_somebody_has_changed_it(
    tmp_path: Path, transactions: bool, there: tuple[int, int], verdict: str
) -> None:
    def say(asked: Asked) -> Reply:
        if asked.method == "GET":
            return there[0], {}, versions(P, there[1])
        if asked.method == "PUT":
            return 200, {"ETag": 'W/"7"'}, b""
        return done(asked)

    with serving(say) as server:
        to = destination(tmp_path, server.url, changed_there="park", transactions=transactions)
        assert to.deliver(parcel(PATIENT, key="a")).verdict == "sent"
        server.say = lambda a: say(a) if a.method == "GET" else (409, {}, outcome("conflict"))
        assert to.deliver(parcel(PATIENT, key="b")).verdict == verdict
    assert server.asked[-1].path == f"/fhir/{P}"


def test_what_somebody_has_changed_is_not_overwritten_because_something_was_left_out(tmp_path: Path) -> None:
    with serving(done) as server:
        to = destination(tmp_path, server.url, changed_there="park")
        assert to.deliver(parcel(OBSERVATION, PATIENT, mentioned=(P,), key="a")).verdict == "sent"
        server.say = lambda _: (412, {}, outcome("conflict"))
        receipt = to.deliver(parcel(OBSERVATION, PATIENT, mentioned=(P,), key="b"))  # the patient is there
        assert receipt.verdict == "park"
        # a refusal is tried once more with the patient, and still only over our own version
        server.say = lambda a: (422, {}, outcome("invalid")) if len(a.entries) == 1 else done(a)
        assert to.deliver(parcel(OBSERVATION, PATIENT, mentioned=(P,), key="c")).verdict == "sent"
    sent = [[e["request"].get("ifMatch") for e in a.entries] for a in server.asked]
    assert sent == [[None, None], ['W/"7"'], ['W/"7"'], [None, 'W/"7"']]


def test_with_their_ids_if_match_goes_to_their_address(tmp_path: Path) -> None:
    """A conditional update may heed no If-Match (HAPI)."""
    with serving(done) as server:
        to = destination(tmp_path, server.url, ids="theirs", changed_there="park")
        for key in ("a", "b"):
            assert to.deliver(parcel(PATIENT, key=key)).verdict == "sent"
    first, second = (a.entries[0] for a in server.asked)
    assert first["request"]["url"].startswith("Patient?identifier=")
    assert second["request"] == {"method": "PUT", "url": "Patient/there-0", "ifMatch": 'W/"7"'}
    assert second["resource"]["id"] == "there-0"


def test_what_refers_to_each_other_is_deleted_in_the_order_the_server_wants(tmp_path: Path) -> None:
    gone: set[str] = set()

    def say(asked: Asked) -> Reply:
        if asked.method != "DELETE":
            return done(asked)
        name = asked.path.removeprefix("/fhir/")
        if name == P and O not in gone:
            return 409, {}, outcome("conflict")
        gone.add(name)
        return 204, {}, b""

    with serving(say) as server:
        receipt = destination(tmp_path, server.url).deliver(parcel({**PATIENT, "id": "other"}, gone=(P, O)))
        assert receipt.verdict == "sent" and gone == {P, O}
        server.say = lambda a: done(a) if a.method == "POST" else (409, {}, outcome("conflict"))
        receipt = destination(tmp_path, server.url).deliver(parcel({**PATIENT, "id": "other"}, gone=(P, O)))
    assert receipt.verdict == "retry" and "deleting a Patient" in receipt.why


def test_a_server_that_gives_another_id_than_ours_is_noticed(tmp_path: Path) -> None:
    where = {"status": "201 Created", "location": "Patient/123/_history/1"}
    with serving(lambda _: response([{"response": where}])) as server:
        receipt = destination(tmp_path, server.url).deliver(parcel(PATIENT))
    assert receipt.verdict == "park" and "ids: theirs" in receipt.why


@pytest.mark.parametrize("ids, path", [("ours", P), ("theirs", "Patient?identifier=")])
@pytest.mark.parametrize(
    "status, verdict", [(204, "sent"), (404, "sent"), (410, "sent"), (409, "retry"), (405, "refuse")]
)
def test_what_is_gone_is_deleted_after_the_rest(
    tmp_path: Path, ids: str, path: str, status: int, verdict: str
) -> None:
    with serving(lambda a: done(a) if a.method == "POST" else (status, {}, b"")) as server:
        alone = {**OBSERVATION, "subject": {"display": "x"}}
        receipt = destination(tmp_path, server.url, ids=ids).deliver(parcel(alone, gone=(P,)))
    assert receipt.verdict == verdict
    assert [a.method for a in server.asked] == ["POST", "DELETE"]
    assert server.asked[1].path.startswith(f"/fhir/{path}")


def test_without_transactions_every_resource_goes_by_itself(tmp_path: Path) -> None:
    def say(asked: Asked) -> Reply:
        kind = json.loads(asked.body)["resourceType"]
        return 201, {"Location": f"{server.url}/{kind}/z-{kind}/_history/1", "ETag": 'W/"1"'}, b""

    with serving(say) as server:
        to = destination(tmp_path, server.url, ids="theirs", transactions=False)
        receipt = to.deliver(parcel(OBSERVATION, PATIENT, mentioned=(P,)))
    assert (receipt.verdict, receipt.reference) == ("sent", "Observation/z-Observation")
    first, second = server.asked
    assert (first.method, first.path) == ("POST", "/fhir/Patient")
    assert first.headers["if-none-exist"].startswith("identifier=")
    assert (second.method, json.loads(second.body)["subject"]) == ("PUT", {"reference": "Patient/z-Patient"})


def test_numbers_keep_every_digit(tmp_path: Path) -> None:
    digits = ["100.0", "4.10", "0.000000100", "1e2", "12345678901234567890.123456789", "-0.0"]
    body = b'{"resourceType":"Bundle","entry":[%s]}' % b",".join(
        b'{"resource":{"resourceType":"Observation","id":"o%d","valueQuantity":{"value":%s}}}'
        % (i, d.encode())
        for i, d in enumerate(digits)
    )
    with serving(done) as server:
        destination(tmp_path, server.url).deliver(
            parcel().__class__("k", 1, "lab", body, "application/fhir+json")
        )
    sent = [str(json.loads(json.dumps(d))) for d in digits]
    text = server.asked[0].body.decode()
    found = [part.split("}")[0].split(":")[1] for part in text.split('"valueQuantity":')[1:]]
    assert [f.upper().replace("E+", "E") for f in found] == [
        s.upper().replace("0.000000100", "1.00E-7") for s in sent
    ]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"resourceType":"Patient"}', b'{"resourceType":"Bundle","entry":[{}]}']
)
def test_a_body_that_is_no_bundle_of_ours_is_for_a_person(tmp_path: Path, body: bytes) -> None:
    with serving(done) as server:
        p = parcel()
        receipt = destination(tmp_path, server.url).deliver(
            p.__class__("k", 1, "lab", body, "application/fhir+json")
        )
    assert receipt.verdict == "park" and not server.asked


def test_evidence_holds_what_was_said_but_no_secret(tmp_path: Path) -> None:
    with serving(done) as server:
        to = destination(tmp_path, server.url, auth={"bearer": "a-token-of-sixteen-or-more"})
        receipt = to.deliver(parcel(PATIENT))
    assert server.asked[0].headers["authorization"] == "Bearer a-token-of-sixteen-or-more"
    assert b"a-token-of" not in receipt.request + receipt.answer
    assert b'"SECRETNAME"' in receipt.request and b"transaction-response" in receipt.answer


def test_nobody_there_is_down(tmp_path: Path) -> None:
    with serving(done) as server:
        url = server.url
    receipt: Receipt = destination(tmp_path, url).deliver(parcel(PATIENT))
    assert (receipt.verdict, receipt.down) == ("retry", True)


@pytest.mark.parametrize(
    "words, said",
    [
        (("ca", "certificate"), ""),
        (("ca",), "no TLS connection"),  # it wants a certificate of ours
        (("certificate",), "no TLS connection: self"),  # nobody we believe signed its own
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_mutual_tls(tmp_path: Path, pem: Path, words: tuple[str, ...], said: str) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=pem)
    context.load_cert_chain(pem)
    context.verify_mode = ssl.CERT_REQUIRED
    with serving(done, context) as server:
        to = destination(tmp_path, server.url, tls={word: str(pem) for word in words})
        receipt = to.deliver(parcel(PATIENT))
    if not said:
        assert receipt.verdict == "sent", receipt.why
    else:
        assert (receipt.verdict, receipt.down) == ("retry", True) and receipt.why.startswith(said), receipt


CAPABLE = {
    "resourceType": "CapabilityStatement",
    "fhirVersion": "4.0.1",
    "software": {"name": "Some Server"},
    "rest": [
        {
            "interaction": [{"code": "transaction"}],
            "resource": [{"type": "Patient", "updateCreate": True, "conditionalUpdate": True}],
        }
    ],
}


@pytest.mark.parametrize(
    "said, line",
    [
        (CAPABLE, "FHIR 4.0.1, Some Server"),
        ({**CAPABLE, "rest": []}, "it does not say that it takes transactions"),
        ({"resourceType": "OperationOutcome"}, "without a CapabilityStatement"),
    ],
)
def test_check_says_what_answers(tmp_path: Path, said: dict[str, Any], line: str) -> None:
    with serving(lambda _: (200, {}, json.dumps(said).encode())) as server:
        assert line in destination(tmp_path, server.url).check()
    assert [a.method for a in server.asked] == ["GET"]


@pytest.mark.parametrize(
    "status, said",
    [(200, b"<html>"), (401, b""), (200, json.dumps({**CAPABLE, "fhirVersion": "5.0.0"}).encode())],
)
def test_check_raises_where_nothing_can_be_delivered(tmp_path: Path, status: int, said: bytes) -> None:
    with serving(lambda _: (status, {}, said)) as server, pytest.raises(HubError):
        destination(tmp_path, server.url).check()


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"url": "http://fhir.example/r4"}, "plain http"),
        ({"url": "https://user:pw@fhir.example/r4"}, "pattern"),
        (
            {"url": "https://f.example", "smart": {"client_id": "x", "token_url": "http://t.example/"}},
            "plain http",
        ),
        ({"url": "https://f.example", "smart": {"client_id": "x"}, "auth": {"bearer": "y"}}, "one way"),
    ],
)
def test_settings_that_cannot_be_followed(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        destination(tmp_path, **settings)


@pytest.mark.parametrize(
    "settings, refused",
    [
        ({}, True),
        ({"auth": {"bearer": "short"}}, True),
        ({"auth": {"user": "hub", "password": "short"}}, True),
        ({"auth": {"bearer": "x" * 20}}, False),
        ({"smart": {"client_id": "hub"}}, False),
    ],
)
def test_production_refuses_weak_proof(tmp_path: Path, settings: dict[str, Any], refused: bool) -> None:
    def make() -> None:
        destination(tmp_path, "https://fhir.example/r4", production=True, **settings).close()

    if not refused:
        return make()
    with pytest.raises(ConfigError, match="production"):
        make()
