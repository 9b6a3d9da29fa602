"""The first five minutes as a stranger has them: start, send, read with another reader, follow, stop."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import fhirclient.client
import httpx
import pytest
from fhirclient.models.observation import Observation
from fhirclient.models.patient import Patient
from hub_project import HERE, make_project
from typer.testing import CliRunner, Result

from engine.channels.definition import load_channels
from engine.cli.main import app
from engine.kernel.config import load_config


@dataclass
class Running:
    """A whole hub as its own processes."""

    root: Path
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    @property
    def web(self) -> str:
        return f"http://{load_config(self.root).console.listen}"

    @property
    def token(self) -> str:
        return (self.root / "var/token").read_text().strip()

    def address(self, channel: str) -> str:
        found = next(c.mllp for c in load_channels(self.root) if c.name == channel)
        assert found is not None
        return f"mllp://127.0.0.1:{found.mllp.port}"

    def typed(self, *arguments: str) -> Result:
        """Run a command of this process's `hub` in the project's folder: quicker, same code."""
        with contextlib.chdir(self.root):
            return CliRunner().invoke(app, arguments)

    def hub(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Type a command in the project's folder."""
        return subprocess.run(
            [sys.executable, "-m", "engine.cli.main", *arguments],
            cwd=self.root,
            env=os.environ | {"PYTHONPATH": str(HERE), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=60,
        )


def wait(what: str, done: object, seconds: float = 30) -> None:
    assert callable(done)
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            pytest.fail(f"waited {seconds} s for {what}")
        time.sleep(0.05)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    root = make_project(tmp_path_factory.mktemp("stranger") / "project")
    process = subprocess.Popen(
        [sys.executable, "-m", "engine.cli.main", "serve"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(HERE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    made = Running(root, process)
    assert process.stdout is not None
    out = process.stdout
    threading.Thread(target=lambda: made.lines.extend(out), daemon=True).start()
    try:
        wait(
            "the hub to be ready", lambda: any("try, in a second" in x for x in made.lines) or process.poll()
        )
        assert process.poll() is None, "".join(made.lines)
        yield made
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def test_a_stranger_sends_reads_follows_and_stops(running: Running) -> None:
    said = "".join(running.lines)
    root, token = f"project {running.root}", f"token: {running.root / 'var/token'}"
    for word in ("ready in", root, running.address("lab_oru"), running.address("adt"), running.web, token):
        assert word in said, word
    assert (running.root / "var/token").stat().st_mode & 0o077 == 0

    (command,) = [line.split("terminal:")[1].split() for line in running.lines if "second terminal:" in line]
    assert command[:2] == ["hub", "send"] and command[-1] == running.address("lab_oru")
    sent = running.hub(*command[1:])  # what it says, typed
    assert sent.returncode == 0, sent.stdout + sent.stderr
    assert "AA" in sent.stdout and "MSA|AA|LAB0001" in sent.stdout
    for kind in ("Patient/", "Observation/", "DiagnosticReport/"):
        assert kind in sent.stdout

    # read it with a client that is not ours
    client = fhirclient.client.FHIRClient(settings={"app_id": "test", "api_base": f"{running.web}/fhir/"})
    client.server.session.headers["Authorization"] = f"Bearer {running.token}"
    search = Patient.where({"identifier": "urn:oid:2.16.840.1.113883.19.5|100234"})
    (patient,) = search.perform_resources(client.server)
    assert patient.name[0].family == "Doe" and patient.birthDate.isostring == "1980-01-01"
    found = Observation.where({"patient": patient.id, "code": "http://loinc.org|2823-3"})
    (observation,) = found.perform_resources(client.server)
    assert observation.valueQuantity.value == 4.1 and observation.valueQuantity.code == "mmol/L"
    again = Observation.read(observation.id, client.server)
    assert again.as_json() == observation.as_json()
    assert patient.id in observation.subject.reference

    # follow the changes
    bearer = {"Authorization": f"Bearer {running.token}"}
    feed = httpx.get(f"{running.web}/feed?since=0&limit=1000&bodies=true", headers=bearer).json()
    assert ("Observation", observation.id) in [(c["type"], c["id"]) for c in feed["changes"]]
    more = running.typed("send", "sample_messages/adt/adt_a01_admit.hl7", "--to", running.address("adt"))
    assert more.exit_code == 0 and "Encounter/" in more.output, more.output
    later = httpx.get(f"{running.web}/feed?since={feed['next']}&wait=20", headers=bearer, timeout=30).json()
    assert later["changes"] and later["changes"][0]["position"] == feed["head"] + 1

    # the pages of operators
    wait("good health", lambda: httpx.get(f"{running.web}/healthz").status_code == 200)
    assert "lab_oru" in httpx.get(running.web.rstrip("/") + "/status").text
    assert "hub_mllp_answer_seconds" in httpx.get(f"{running.web}/metrics").text
    assert httpx.get(f"{running.web}/fhir/Patient").status_code == 401

    # the commands of analysts, beside the running hub
    listed = running.typed("msg", "find", "Doe", "100234")
    assert listed.exit_code == 0 and "ORU^R01" in listed.output and "Doe" not in listed.output
    replayed = running.typed("msg", "replay", "1", "--why", "to see it")
    assert replayed.exit_code == 0 and "done" in replayed.output, replayed.output
    demo = running.typed("demo", "--rate", "50", "--count", "20")
    assert demo.exit_code == 0 and "20 of 20 messages taken" in demo.output, demo.output
    doctor = running.typed("doctor")
    assert doctor.exit_code == 0 and "answers" in doctor.output, doctor.output

    # nothing of all that is in the log, and it stops when told
    said = "".join(running.lines)
    for word in ("100234", "Doe", running.token, "identifier="):
        assert word not in said
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(30) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{running.web}/healthz")
