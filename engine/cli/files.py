"""The files process of `hub serve`: channels that take files.

In: the settings and the channels. Out: a process that ends when it is told to, its addresses said to the
supervisor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from engine.channels.definition import Channel
from engine.channels.opening import open_journal
from engine.channels.sharing import open_queue, ringing
from engine.channels.spans import traced_journal
from engine.kernel.config import Config
from engine.listeners.file_settings import FolderChannel, SftpChannel
from engine.security.keys import Keyring

__all__ = ["polled", "run_files"]


def polled(channels: Iterable[Channel]) -> list[FolderChannel | SftpChannel]:
    """Return the channels whose folders are looked into."""
    return [way for c in channels if (way := c.folder or c.sftp) is not None]


def run_files(
    config: Config, channels: Iterable[Channel], keyring: Keyring, ready: Callable[[str], None]
) -> None:
    """Take files until told to stop."""
    from engine.listeners.polling import PollSettings, run
    from engine.listeners.senders import concealed_by

    settings = PollSettings(
        markers=config.data_dir / "files",
        metrics=config.metrics_dir,
        journal_disk=config.data_dir if config.journal_url.startswith("sqlite") else None,
        disk_reserve_bytes=config.disk_reserve_mb << 20,
    )
    ways = polled(channels)
    queue = open_queue(config, "files")
    run(
        settings,
        ways,
        lambda: traced_journal(config, "files", ringing(config, "files", open_journal(config, keyring))),
        ready=lambda addresses: ready(
            " ".join(f"{w.channel}={a}" for w, a in zip(ways, addresses, strict=True))
        ),
        conceal=concealed_by(keyring.mac16),
        turn=lambda name: queue.turn(f"files-{name}"),
    )
    queue.close()
