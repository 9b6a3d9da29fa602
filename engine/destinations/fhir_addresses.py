"""How a resource of ours is addressed at a FHIR server: by our id, or by an identifier the server finds it
by.

In: a piece and what is known of the others. Out: the entry of a transaction (FHIR R4 bundle.html, http.html
3.1.0.5.3 conditional create, 3.1.0.4.3 conditional update) whose references are resolved by us: `urn:uuid:`
for what stands in the same transaction, the server's own `Type/id` for what it has. No conditional
references.

`ids: theirs` needs something to search by. Types with a list of identifiers get one more, ours: system
`<identity_base>/id/resource`, value our id. Where a type has none, or room for one only, the same pair is a
tag (`meta.tag`, searched by `_tag`, which every type has); with `find_by: tag` for all types. A Binary
cannot be searched at all, so it alone keeps our id.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from engine.destinations.fhir_pieces import Piece, with_references
from engine.fhir import definitions
from engine.fhir.bundle import identifier_query
from engine.fhir.ids import name_uuid

__all__ = ["Addresses", "placeholder"]


def placeholder(name: str) -> str:
    """Return what a resource is called inside a transaction."""
    kind, _, id_ = name.partition("/")
    return "urn:uuid:" + name_uuid(kind, id_)


class Addresses:
    """Addresses of one server."""

    def __init__(self, base: str, identity_base: str, ours: bool, tags: bool = False) -> None:
        self._base, self.ours, self._tags = base, ours, tags
        self.system = f"{identity_base}/id/resource"

    def keeps_id(self, kind: str) -> bool:
        """Say whether resources of a type have our id there."""
        return self.ours or kind == "Binary"

    def query(self, name: str) -> str:
        """Return the search that finds a resource of ours."""
        kind, _, id_ = name.partition("/")
        words = identifier_query(self.system, id_)
        return words if self._by_identifier(kind) else "_tag" + words.removeprefix("identifier")

    def named(self, name: str) -> str:
        """Return the address of a resource of ours, relative to the base, as PUT and DELETE name it."""
        kind = name.partition("/")[0]
        return name if self.keeps_id(kind) else f"{kind}?{self.query(name)}"

    def carried(self, body: Mapping[str, Any]) -> list[str]:
        """Return the ids of ours that a resource there is marked with."""
        held = body.get("identifier")
        marks = [(i.get("system"), i.get("value")) for i in held] if isinstance(held, list) else []
        tags = (body.get("meta") or {}).get("tag") or ()
        marks += [(tag.get("system"), tag.get("code")) for tag in tags]
        return [str(value) for system, value in marks if system == self.system]

    def logical(self, name: str) -> dict[str, Any]:
        """Return a reference to what the server does not have: its type and our identifier of it."""
        kind, _, id_ = name.partition("/")
        return {"type": kind, "identifier": {"system": self.system, "value": id_}}

    def entry(
        self, piece: Piece, here: Set[str], there: Mapping[str, str], version: str = "", at: str = ""
    ) -> dict[str, Any]:
        """Make the entry of a piece. `here`: names in the same transaction; `there`: the server's address of
        names it has; `version`: of the resource there, which must not have changed (If-Match), and is at
        the server's address `at`."""
        keeps = self.keeps_id(piece.type)

        def to(name: str) -> str | dict[str, Any]:
            if self.keeps_id(name.partition("/")[0]):
                return name
            return placeholder(name) if name in here else there.get(name) or self.logical(name)

        body = with_references(piece.body if keeps else self._found_by(piece), to)
        if keeps:
            request = {"method": "PUT", "url": piece.name}
        elif piece.mentioned:
            request = {"method": "POST", "url": piece.type, "ifNoneExist": self.query(piece.name)}
        elif at:
            request = {"method": "PUT", "url": at}
            body = {**body, "id": at.partition("/")[2]}
        else:
            request = {"method": "PUT", "url": self.named(piece.name)}
        if version:
            request["ifMatch"] = version
        full = f"{self._base}/{piece.name}" if keeps else placeholder(piece.name)
        return {"fullUrl": full, "resource": body, "request": request}

    def _found_by(self, piece: Piece) -> dict[str, Any]:
        """Return the body without our id, with what it is found by."""
        body = {k: v for k, v in piece.body.items() if k != "id"}
        if self._by_identifier(piece.type):
            own = {"system": self.system, "value": piece.id}
            held = list(body.get("identifier") or ())
            body["identifier"] = held if own in held else [*held, own]
            return body
        tag = {"system": self.system, "code": piece.id}
        meta = dict(body.get("meta") or {})
        tags = list(meta.get("tag") or ())
        meta["tag"] = tags if tag in tags else [*tags, tag]
        rest = {k: v for k, v in body.items() if k not in ("resourceType", "meta")}
        return {"resourceType": piece.type, "meta": meta, **rest}

    def _by_identifier(self, kind: str) -> bool:
        """Say whether a type has place for our identifier among its others, and can be searched by it."""
        element = None if self._tags else definitions.element(kind, "identifier")
        return element is not None and element.repeats and "identifier" in definitions.search_parameters(kind)
