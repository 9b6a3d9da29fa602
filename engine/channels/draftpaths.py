"""Which files of a project a draft may change, how they are read, and a folder of the project as it would be.

In: the project's root and paths below `channels/`, `mappings/`, `terminology/`. Out: texts, or a folder of
links to what stays and files for what changes, which everything that reads a project can read.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

from engine.channels.renewal import FOLDERS
from engine.kernel.config import Config
from engine.kernel.errors import ConfigError

__all__ = ["FOLDERS", "LARGEST", "built", "file_of_test", "forget", "live_text", "safe_path", "text_digest"]

LARGEST = 8 << 20  # bytes of one file
_LONGEST = 64 << 20  # bytes of a message that a test sends
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_KINDS = (".yaml", ".csv", ".md")
_UNUSED = 3600.0  # seconds after which a folder that nobody asked for again goes away


def safe_path(config: Config, path: str) -> str:
    """Return a path of a file that a draft may change. Raises ConfigError for every other."""
    parts = PurePosixPath(path).parts
    wrong = ""
    if path != "/".join(parts) or len(parts) < 2 or not all(_NAME.fullmatch(p) for p in parts):
        wrong = "it is no plain path below the project"
    elif parts[0] not in FOLDERS:
        wrong = "it is outside of them"
    elif not parts[-1].endswith(_KINDS):
        wrong = f"its name does not end in {', '.join(_KINDS)}"
    else:
        at = config.root
        for part in parts:
            at = at / part
            if at.is_symlink():
                wrong = "a part of it is a link to somewhere else"
                break
    if wrong:
        raise ConfigError(
            f"a draft cannot change {path!r}",
            why=wrong,
            remedy=f"name a file below {', '.join(f'{f}/' for f in FOLDERS)}",
        )
    return path


def live_text(config: Config, path: str) -> str | None:
    """Return a file as it is in force; None where there is none. Raises ConfigError."""
    try:
        data = (config.root / path).read_bytes()
        return data.decode("utf-8")
    except FileNotFoundError:
        return None
    except OSError as e:
        raise ConfigError("cannot be read", where=path, why=e.strerror or "") from None
    except UnicodeDecodeError:
        raise ConfigError("is not UTF-8", where=path, remedy="save the file as UTF-8") from None


def file_of_test(root: Path, path: str, place: str) -> Path:
    """Return a file that a test names: of the project, plain and not too long, nothing else of this machine.

    Raises ConfigError.
    """
    parts, found, wrong = PurePosixPath(path).parts, root / path, ""
    if not parts or ".." in parts or parts[0] == "/" or "\0" in path:
        wrong = "it is no plain path below the project"
    elif found.exists() and not found.is_file():
        wrong = "it is no plain file"
    elif found.exists() and found.stat().st_size > _LONGEST:
        wrong = f"it is longer than {_LONGEST >> 20} MiB"
    if wrong:
        raise ConfigError(f"{path!r} cannot be used in a test", where=place, why=wrong)
    return found


def text_digest(text: str | None) -> str:
    """Return the digest of a file's text; of no file it is empty."""
    return "" if text is None else hashlib.sha256(text.encode()).hexdigest()


def built(config: Config, name: str, texts: Mapping[str, str | None]) -> Path:
    """Return a folder of the whole project with some files replaced; made anew where a live file changed.

    `name` begins the folder's name. It goes away when nobody has asked for it for an hour.
    """
    home = config.data_dir / "drafts"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    live = list(_live(config.root))
    h = hashlib.sha256()
    for path, mark in live:
        h.update(f"{path}|{mark}\n".encode())
    for path, text in sorted(texts.items()):
        h.update(f"{path}|{text_digest(text)}\n".encode())
    folder = home / f"{name}-{h.hexdigest()[:16]}"
    _clean(home, folder)
    if folder.is_dir():
        os.utime(folder)
        return folder
    made = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=home))  # mode 700 by definition
    try:
        _fill(config, made, [path for path, _ in live], texts)
        try:
            made.rename(folder)
        except OSError:  # another process was first
            if not folder.is_dir():
                raise
            shutil.rmtree(made)
    except OSError as e:
        shutil.rmtree(made, ignore_errors=True)
        raise ConfigError(
            "the folder of a draft cannot be made", where=str(home), why=e.strerror or ""
        ) from None
    return folder


def forget(config: Config, name: str) -> None:
    """Remove the folders whose name begins so."""
    for folder in (config.data_dir / "drafts").glob(f"{name}-*"):
        shutil.rmtree(folder, ignore_errors=True)


def _live(root: Path) -> Iterator[tuple[str, str]]:
    """Give every file that a draft could change, with a mark that changes when it does."""
    for top in FOLDERS:
        for at, folders, files in os.walk(root / top):
            folders.sort()
            links = [one for one in folders if os.path.islink(os.path.join(at, one))]  # not walked into
            for file in sorted(files + links):
                if file.startswith("."):
                    continue  # on its way to be renamed into place
                path = os.path.join(at, file)
                with suppress(FileNotFoundError):
                    st = os.stat(path)
                    yield os.path.relpath(path, root), f"{st.st_ino}:{st.st_mtime_ns}:{st.st_size}"


def _fill(config: Config, made: Path, live: list[str], texts: Mapping[str, str | None]) -> None:
    root = config.root.resolve()
    data = config.data_dir.resolve()
    for one in root.iterdir():
        if one.name not in FOLDERS and not one.name.startswith(".") and one.resolve() != data:
            (made / one.name).symlink_to(one)
    folders: set[Path] = set()
    for path in [*live, *(p for p, text in texts.items() if text is not None)]:
        folder = (made / path).parent
        if folder not in folders:
            folder.mkdir(parents=True, exist_ok=True)
            folders.add(folder)
        if path not in texts:
            (made / path).symlink_to(root / path)
    for path, text in texts.items():
        if text is not None:
            (made / path).write_bytes(text.encode())


def _clean(home: Path, keep: Path) -> None:
    """Remove folders that nobody has asked for in a while."""
    oldest = time.time() - _UNUSED
    for folder in home.iterdir():
        with suppress(FileNotFoundError):
            if folder != keep and folder.stat().st_mtime < oldest:
                shutil.rmtree(folder, ignore_errors=True)
