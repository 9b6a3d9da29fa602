"""Secrets in addresses: none is kept as evidence, and everything else of the address is."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from fhir_side import PATIENT, destination, done, parcel, serving

from engine.destinations.http_answers import answered, asked
from engine.destinations.http_secrets import KEPT_BACK, without_secrets

PRESIGNED = {
    # the example of "Authenticating Requests: Using Query Parameters", Amazon S3 API reference
    "s3": (
        "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential="
        "AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z"
        "&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=SESAME&X-Amz-Security-Token=SESAME%3D",
        ("X-Amz-Expires=86400", "X-Amz-SignedHeaders=host", "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"),
    ),
    "azure": (
        "https://mercy.blob.core.windows.net/in/a.hl7?sv=2024-11-04&sp=cw&se=2026-12-01&sig=SESAME%2Babc%3D",
        ("sv=2024-11-04", "sp=cw", "se=2026-12-01"),
    ),
    "google": (
        "https://storage.googleapis.com/mercy/a.hl7?X-Goog-Expires=900&X-Goog-Signature=SESAME&v=1",
        ("X-Goog-Expires=900", "v=1"),
    ),
    "an Azure function": ("https://f.example/api/in?code=SESAME==&name=lab", ("/api/in?", "name=lab")),
    "a token": ("https://x.example/?a=1;access_token=SESAME&b=2#id_token=SESAME", ("a=1", "b=2")),
    "a key": ("https://x.example/?API_KEY=SESAME&apikey=SESAME&q=key", ("q=key",)),
    "a password": ("https://hub:SESAME@x.example/in?of=7", ("https://", "@x.example/in?of=7")),
}


@pytest.mark.parametrize(("url", "kept"), PRESIGNED.values(), ids=PRESIGNED.keys())
def test_what_lets_in_is_taken_out(url: str, kept: tuple[str, ...]) -> None:
    request = httpx.Request("PUT", url, content=b"MSH")
    evidence = asked(request, b"MSH") + answered(httpx.Response(302, headers={"Location": url}), b"")
    for shown in (without_secrets(url), evidence.decode()):
        assert "SESAME" not in shown and KEPT_BACK in shown
    assert all(part in without_secrets(url) for part in kept)


@pytest.mark.parametrize(
    "url",
    [
        "/Patient?identifier=https%3A%2F%2Fhub.example%2Fid%2Fresource%7C0a00",
        "/in/lab?of=101&received=20260502&monkey=1&codes=2&keys=3",
        "mailto:somebody@mercy.example",
    ],
)
def test_what_lets_nobody_in_stays(url: str) -> None:
    assert without_secrets(url) == url


@pytest.mark.parametrize("hostile", ["?" + "a" * 200_000, "?token" * 50_000, "://" + "b" * 200_000])
def test_a_long_address_is_read_in_one_go(hostile: str) -> None:
    assert without_secrets(f"{hostile}&token=SESAME") == f"{hostile}&token={KEPT_BACK}"


def test_a_fhir_server_that_answers_with_a_presigned_address(tmp_path: Path) -> None:
    with serving(lambda a: (done(a)[0], {"Location": PRESIGNED["s3"][0]}, done(a)[2])) as server:
        receipt = destination(tmp_path, server.url).deliver(parcel(PATIENT))
    assert receipt.verdict == "sent"
    assert b"SESAME" not in receipt.answer and b"X-Amz-Expires=86400" in receipt.answer
