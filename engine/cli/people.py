"""`hub user` and `hub key`: who may sign in, and which programs may ask.

In: words of the command line. Out: lines to read; a link or a key is printed once and kept nowhere. What was
done is in the audit with the name of who typed it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.channels.opening import open_keyring, open_staff, open_store, prepare_folder
from engine.cli.opened import who
from engine.kernel.clock import iso
from engine.kernel.config import Config, load_config
from engine.kernel.errors import HubError
from engine.security.access import Grant
from engine.staff.accounts import Account
from engine.staff.keys import Key
from engine.staff.staff import Staff
from engine.store.audit import Access

__all__ = [
    "Office",
    "add_user",
    "disable_user",
    "grants_of",
    "key_list",
    "link_for",
    "new_key",
    "office",
    "revoke_key",
    "set_roles",
    "user_list",
]


@dataclass(frozen=True, slots=True)
class Office:
    """What these commands work with."""

    config: Config
    staff: Staff

    def account(self, name: str) -> Account:
        """Return the account of a name. Raises HubError."""
        found = self.staff.accounts.named(name)
        if found is None:
            raise HubError(f"there is no account {name}", remedy="hub user list")
        return found

    def address(self, code: str) -> str:
        """Return where a link leads."""
        console = self.config.console
        scheme = "https" if console.tls else "http"
        return f"{console.proxy or f'{scheme}://{console.listen}'}/welcome#{code}"


@contextmanager
def office(root: Path) -> Iterator[Office]:
    """Open the people of the project at `root`, making its data folder where there is none."""
    config = load_config(root)
    prepare_folder(config)
    staff = open_staff(config, open_keyring(config))
    try:
        yield Office(config, staff)
    finally:
        staff.close()


def record(config: Config, action: str, what: str, detail: str = "") -> None:
    """Write down what was done."""
    store = open_store(config, open_keyring(config))
    try:
        store.audit.record(Access(who(), f"cli:{action}", what, detail))
    finally:
        store.close()


def grants_of(roles: Sequence[str]) -> list[Grant]:
    """Read roles as they are typed: `analyst`, or `analyst=lab_*,adt`."""
    grants = []
    for word in roles:
        role, given, channels = word.partition("=")
        grants.append(Grant(role, tuple(one for one in channels.split(",") if one) if given else ("*",)))
    return grants


def add_user(root: Path, name: str, roles: Sequence[str], display: str, email: str, elsewhere: bool) -> None:
    """Make an account and print the link with which the person sets a password."""
    with office(root) as o:
        account = o.staff.accounts.add(name, grants_of(roles), who(), display=display, email=email)
        record(o.config, "user-added", f"account/{account.id}", f"{account.name}: {' '.join(roles)}")
        if elsewhere:
            print(f"{account.name} may sign in with the name {account.name} at the issuer of console: oidc:")
            return
        print(o.address(o.staff.links.for_account(account.id)))
        print("This link works once, for 3 days: send it so that nobody else sees it.")


def link_for(root: Path, name: str, first: bool) -> None:
    """Print a link with which somebody sets a password, or the first account is made."""
    with office(root) as o:
        if first:
            print(o.address(o.staff.links.for_first()))
            print("This link makes the first account, once.")
            return
        account = o.account(name)
        print(o.address(o.staff.links.for_account(account.id)))
        print("This link works once, for 3 days. An authenticator is still asked for afterwards;")
        print(f"where it is lost: hub user disable {account.name} --authenticator")
        record(o.config, "user-link", f"account/{account.id}", account.name)


def set_roles(root: Path, name: str, roles: Sequence[str]) -> None:
    """Give a person these roles instead of those they had."""
    with office(root) as o:
        account = o.account(name)
        o.staff.accounts.grant(account.id, grants_of(roles))
        record(o.config, "user-roles", f"account/{account.id}", f"{account.name}: {' '.join(roles)}")
        print(f"{account.name}: {_roles(o.account(name))}; sessions ended")


def disable_user(root: Path, name: str, undo: bool, authenticator: bool) -> None:
    """Shut somebody out, let them in again, or forget their lost authenticator."""
    with office(root) as o:
        account = o.account(name)
        if authenticator:
            o.staff.accounts.clear_second(account.id)
        else:
            o.staff.accounts.disable(account.id, not undo)
        done = "authenticator forgotten" if authenticator else "may sign in" if undo else "shut out"
        record(o.config, "user-disabled", f"account/{account.id}", f"{account.name}: {done}")
        print(f"{account.name}: {done}; sessions ended")


def user_list(root: Path) -> list[dict[str, Any]]:
    """Return every account."""
    with office(root) as o:
        now = o.staff.now()
        return [
            {
                "name": a.name,
                "display": a.display,
                "roles": _roles(a),
                "signs in": "elsewhere" if a.issuer else "password" if a.local else "not yet",
                "authenticator": a.second,
                "state": "disabled" if a.disabled else "waits" if a.locked_until > now else "ok",
                "last": iso(a.signed_in) if a.signed_in else "never",
            }
            for a in o.staff.accounts.all()
        ]


def new_key(root: Path, name: str, scopes: Sequence[str], channels: Sequence[str], days: int | None) -> None:
    """Make a key for a program and print it, once."""
    with office(root) as o:
        on = tuple(channels) or ("*",)
        key, text = o.staff.keys.add(name, scopes, who(), channels=on, days=days)
        record(o.config, "key-made", f"key/{key.id}", f"{key.name}: {' '.join(key.scopes)}")
        print(text)
        until = f"until {iso(key.expires)[:10]}" if key.expires else "until it is revoked"
        print(f"{key.name}: {' '.join(key.scopes)}, {until}. It is not shown again.")


def key_list(root: Path) -> list[dict[str, Any]]:
    """Return every key of a program, without its secret."""
    with office(root) as o:
        now = o.staff.now()
        return [_key(k, now) for k in o.staff.keys.all()]


def revoke_key(root: Path, name: str) -> None:
    """Make a key worth nothing."""
    with office(root) as o:
        key = o.staff.keys.revoke(name, who())
        record(o.config, "key-revoked", f"key/{key.id}", key.name)
        print(f"{key.name}: revoked")


def _key(key: Key, now: int) -> dict[str, Any]:
    return {
        "name": key.name,
        "id": key.id,
        "scopes": " ".join(key.scopes),
        "state": key.state(now),
        "until": iso(key.expires)[:10] if key.expires else "",
        "used": iso(key.used) if key.used else "never",
    }


def _roles(account: Account) -> str:
    return "; ".join(
        g.role + ("" if g.channels == ("*",) else f" on {', '.join(g.channels)}") for g in account.grants
    )
