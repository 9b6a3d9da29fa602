"""Fetches published packages by name and version and unpacks them, for the scripts that make what ships.

In: a package of PyPI or npm with its version. Out: the folder of its files, below a cache folder
(`~/.cache/hl7-hub-tools`, or `HUB_TOOLS_CACHE`). Nothing is installed and no code of a package runs here;
the registries' ordinary clients (`pip download`, `npm pack`) do the fetching.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

__all__ = ["npm", "pypi"]


def pypi(name: str, version: str) -> Path:
    """Return the unpacked wheel of a PyPI package."""
    folder = _cache() / f"pypi-{name}-{version}"
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        subprocess.run([*command, "--dest", str(folder), f"{name}=={version}"], check=True)
        for wheel in folder.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder / "files")
        (folder / "done").touch()
    return folder / "files"


def npm(name: str, version: str) -> Path:
    """Return the unpacked archive of an npm package."""
    folder = _cache() / f"npm-{name.strip('@').replace('/', '-')}-{version}"
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["npm", "pack", "--silent", f"{name}@{version}"],
            check=True,
            cwd=folder,
            stdout=subprocess.DEVNULL,
        )
        for package in folder.glob("*.tgz"):
            with tarfile.open(package) as archive:
                archive.extractall(folder / "files", filter="data")
        (folder / "done").touch()
    return folder / "files" / "package"


def _cache() -> Path:
    return Path(os.environ.get("HUB_TOOLS_CACHE") or Path.home() / ".cache" / "hl7-hub-tools")
