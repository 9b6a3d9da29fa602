"""Whatever happens to a file on its way, a load ends with a release or with an error that says where."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from code_samples import LOINC_COLUMNS, LOINC_ROWS, conso, csv_text, rel, rf2, sat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.codes.loaders.summary import Asked
from engine.codes.loading import load_release
from engine.codes.store import CodeStore
from engine.kernel.errors import HubError


def _zip(parts: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, text in parts.items():
            made.writestr(name, text)
    return out.getvalue()


def _tgz(parts: dict[str, object]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as made:
        for name, body in parts.items():
            data = json.dumps(body).encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return out.getvalue()


SYSTEM = {"resourceType": "CodeSystem", "url": "urn:x:a", "content": "complete", "concept": [{"code": "a"}]}
GOOD: dict[str, bytes] = {
    "Loinc.csv": csv_text(LOINC_ROWS, LOINC_COLUMNS).encode(),
    "edition.zip": _zip(rf2()),
    "RxNorm_full_05052025.zip": _zip(
        {
            "rrf/RXNCONSO.RRF": conso("1", "IN", "a") + conso("2", "SCD", "b"),
            "rrf/RXNREL.RRF": rel("1", "has_ingredient", "2"),
            "rrf/RXNSAT.RRF": sat("2", "NDC", "00011000222"),
        }
    ),
    "icd10cm_order_2026.txt": f"00001 A00     0 {'Cholera':<60} Cholera\r\n".encode() * 1,
    "2018_I9gem.txt": b"0010  A000    00000\n25000 E119    10000\n",
    "cvx.txt": b"901       |short|Full|note|Active|False|2025/05/01\r\n",
    "package.tgz": _tgz({"package/package.json": {"name": "x"}, "package/CodeSystem-a.json": SYSTEM}),
    "system.json": json.dumps(SYSTEM).encode(),
    "carc.csv": b"code,display\n1,Deductible\n2,Coinsurance\n",
}
CHANGES = st.one_of(
    st.tuples(st.just("cut"), st.floats(0, 1), st.just(b"")),
    st.tuples(st.just("put"), st.floats(0, 1), st.binary(min_size=1, max_size=6)),
    st.tuples(st.just("over"), st.floats(0, 1), st.binary(min_size=1, max_size=6)),
    st.tuples(st.just("twice"), st.floats(0, 1), st.just(b"")),
)
HOW: dict[str, Callable[[bytes, int, bytes], bytes]] = {
    "cut": lambda data, at, _: data[:at],
    "put": lambda data, at, what: data[:at] + what + data[at:],
    "over": lambda data, at, what: data[:at] + what + data[at + len(what) :],
    "twice": lambda data, at, _: data[:at] + data[at // 2 :],
}


@pytest.mark.parametrize("name", GOOD)
def test_as_it_is_it_loads(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(GOOD[name])
    asked = Asked(version="1") if name.startswith("carc") else Asked()
    assert load_release(tmp_path / "codes.db", tmp_path / name, asked).releases


@pytest.mark.parametrize("name", GOOD)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(change=CHANGES)
def test_any_change_loads_or_says_where(name: str, change: tuple[str, float, bytes], tmp_path: Path) -> None:
    how, part, what = change
    data = GOOD[name]
    (tmp_path / name).write_bytes(HOW[how](data, int(len(data) * part), what))
    store = tmp_path / "codes.db"
    for file in tmp_path.glob("codes.db*"):
        file.unlink()
    try:
        load_release(store, tmp_path / name, Asked(version="1") if name.startswith("carc") else Asked())
    except HubError as error:
        assert error.what
        there = CodeStore(store)
        assert there.releases() == []
        there.close()
