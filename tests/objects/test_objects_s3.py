"""Objects in a bucket: signed as S3 asks for, sealed before they go, in parts where they are long."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from s3_server import ACCESS, BUCKET, REGION, SECRET, Bucket

from engine.kernel.errors import ConfigError, HubError
from engine.objects import bucket as bucket_of_s3
from engine.objects import s3
from engine.objects.folder import MissingObject
from engine.objects.s3 import S3Objects
from engine.objects.sealed import DamagedObject
from engine.security.keys import Keyring
from engine.security.sigv4 import EMPTY, signed

LATER = 1 << 60
EXAMPLE = {
    "access_key": "AKIAIOSFODNN7EXAMPLE",
    "secret_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "region": "us-east-1",
    "moment": "20130524T000000Z",
}
HOST = "examplebucket.s3.amazonaws.com"


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "payload", "signature"),
    [
        (
            "GET",
            "/test.txt",
            {},
            {"Range": "bytes=0-9"},
            EMPTY,
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            "/test$file.text",
            {},
            {"Date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
            "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "GET",
            "/",
            {"lifecycle": ""},
            {},
            EMPTY,
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "GET",
            "/",
            {"max-keys": "2", "prefix": "J"},
            {},
            EMPTY,
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)
def test_the_examples_of_the_s3_reference_are_signed_as_printed_there(
    method: str, path: str, query: dict[str, str], headers: dict[str, str], payload: str, signature: str
) -> None:
    made = signed(method, HOST, path, query.items(), headers, payload=payload, **EXAMPLE)
    assert made["authorization"].endswith(f"Signature={signature}")


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    server = Bucket()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def objects(
    bucket: Bucket, tmp_path: Path, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> Iterator[S3Objects]:
    monkeypatch.setattr(bucket_of_s3, "PART", 300_000)
    monkeypatch.setattr(s3, "_FIRST", 200_000)
    opened = open_at(bucket, tmp_path, keyring)
    opened._bucket._pause.set()  # tries again at once
    yield opened
    opened.close()


def open_at(bucket: Bucket, tmp_path: Path, keyring: Keyring, secret: str = SECRET) -> S3Objects:
    return S3Objects(
        f"{bucket.endpoint}/{BUCKET}/hub%20of%20ours",
        keyring,
        region=REGION,
        access_key=ACCESS,
        secret_key=secret,
        spool=tmp_path / "spool",
    )


def put(objects: S3Objects, data: bytes) -> str:
    arriving = objects.begin()
    arriving.write(data)
    stored = objects.keep(arriving)
    assert stored.size == len(data)
    return stored.address


def spooled(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "spool" / "incoming").iterdir())


@pytest.mark.parametrize("size", [0, 100, 299_000, 2_500_000])
def test_what_was_kept_is_read(bucket: Bucket, objects: S3Objects, tmp_path: Path, size: int) -> None:
    data = random.Random(size).randbytes(size)
    address = put(objects, data)
    with objects.open(address) as opened:
        assert opened.read() == data
        opened.seek(size // 2)
        assert opened.read(10) == data[size // 2 : size // 2 + 10]
    assert list(bucket.held) == [f"hub of ours/{address[:2]}/{address}"]
    assert size < 10 or data[:50] not in bucket.held[f"hub of ours/{address[:2]}/{address}"]
    assert spooled(tmp_path) == [] and bucket.uploads == {}
    assert ("POST uploads" in bucket.asked) == (size > 300_000)


def test_a_small_object_is_read_with_one_request(bucket: Bucket, objects: S3Objects) -> None:
    address = put(objects, b"abc")
    bucket.asked.clear()
    assert objects.open(address).read() == b"abc"
    assert bucket.asked == ["GET -"]


def test_the_same_bytes_are_kept_once_and_deleted(bucket: Bucket, objects: S3Objects) -> None:
    address = put(objects, b"abc")
    assert put(objects, b"abc") == address and len(bucket.held) == 1
    assert objects.delete(address) and not objects.delete(address)
    for missing in (address, "../x", ""):
        with pytest.raises(MissingObject):
            objects.open(missing)


def test_what_is_old_is_listed_and_what_was_brought_again_stays(bucket: Bucket, objects: S3Objects) -> None:
    addresses = sorted(put(objects, b"object %d" % n) for n in range(8))
    young = addresses[3]
    for name in bucket.times:
        if not name.endswith(young):
            bucket.times[name] -= timedelta(days=1)
    moment = int((datetime.now(UTC) - timedelta(hours=1)).timestamp() * 1000)
    assert sorted(objects.addresses(moment)) == [a for a in addresses if a != young]
    assert sorted(objects.addresses(LATER)) == addresses
    assert objects.discard(addresses[0], moment) and objects.discard(addresses[0], moment)
    assert not objects.discard(young, moment)
    assert len(bucket.held) == 7


def test_a_bucket_that_is_away_is_an_oserror_and_leaves_nothing(
    bucket: Bucket, objects: S3Objects, tmp_path: Path
) -> None:
    bucket.trouble = lambda method, path: 503 if "partNumber=2" in path else 0
    with pytest.raises(OSError, match="503 Trouble"):
        put(objects, bytes(1_000_000))
    assert bucket.uploads == {} and bucket.held == {} and spooled(tmp_path) == []
    assert bucket.asked.count("PUT partNumber,uploadId") == 4  # one part, and three tries of the next
    once = iter([500])
    bucket.trouble = lambda method, path: next(once, 0) if method == "PUT" else 0
    address = put(objects, b"abc")
    bucket.trouble = lambda method, path: 503
    with pytest.raises(HubError, match="cannot be read"):
        objects.open(address)


def test_another_secret_is_refused_in_words(bucket: Bucket, tmp_path: Path, keyring: Keyring) -> None:
    with pytest.raises(OSError, match="403 SignatureDoesNotMatch"):
        put(open_at(bucket, tmp_path, keyring, "wrong"), b"abc")
    assert bucket.held == {} and len(bucket.asked) == 1  # not tried again


def test_a_changed_object_does_not_open(bucket: Bucket, objects: S3Objects) -> None:
    address = put(objects, b"abc" * 1000)
    ((name, data),) = bucket.held.items()
    bucket.held[name] = data[:-1] + bytes([data[-1] ^ 1])
    with pytest.raises(DamagedObject):
        objects.open(address)


@pytest.mark.parametrize(("url", "secret"), [("http://h", "x"), ("http://h/", "x"), ("http://h/bucket", "")])
def test_a_bucket_without_a_name_or_key_is_refused(
    tmp_path: Path, keyring: Keyring, url: str, secret: str
) -> None:
    with pytest.raises(ConfigError, match="names no bucket"):
        S3Objects(url, keyring, region=REGION, access_key=ACCESS, secret_key=secret, spool=tmp_path)


def test_what_is_put_aside_can_be_brought_back(objects: S3Objects, bucket: Bucket) -> None:
    address, other = put(objects, b"an object"), put(objects, b"another")
    bucket.times = dict.fromkeys(bucket.times, datetime.now(UTC) - timedelta(days=2))
    moment = (datetime.now(UTC) - timedelta(days=1)).timestamp() * 1000
    assert objects.touch(other) and not objects.put_aside(other, int(moment))
    assert objects.put_aside(address, int(moment)) and not objects.put_aside(address, int(moment))
    assert list(objects.addresses(LATER)) == [other]
    assert list(objects.leftovers(LATER)) == [address] and list(objects.leftovers(int(moment))) == []
    with pytest.raises(MissingObject):
        objects.open(address)
    assert not objects.touch(address)
    assert objects.bring_back(address) and not objects.bring_back(address)
    assert objects.open(address).read() == b"an object"
    assert objects.put_aside(address, LATER) and objects.remove_leftover(address)
    assert not objects.remove_leftover(address) and len(bucket.held) == 1
