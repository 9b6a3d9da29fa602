"""One run of compiled maps over a document: elements and attributes as raw values.

`TreeRun` is what generated code calls for CDA, SCRIPT and DICOM; `TracedTreeRun` its twin, whose texts
remember the element and attribute they came from (`At`). References to what another element became are
written when all resources are there (`made_here`). Everything else is the run of HL7 v2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from engine.formats.cda.times import compact
from engine.formats.xml.nodes import Node
from engine.formats.xml.paths import Path, read_path
from engine.kernel.message import Draft, Gap, Identity
from engine.mapping.dicom_values import FUNCTIONS
from engine.mapping.run import Run, TracedRun
from engine.mapping.traced import TKey, TStr, absorb, traced
from engine.mapping.tree_values import KEYS, Function

__all__ = ["At", "TracedTreeRun", "TreeRun", "path_function", "tree_space"]


class At(NamedTuple):
    """A place in a document: an element, or its attribute (`@code`), or its text (`text()`)."""

    node: Node
    part: str = ""

    def __str__(self) -> str:
        return f"{self.node.place}/{self.part}" if self.part[:1] == "@" else self.node.place

    def below(self, index: int) -> At:
        """A piece of a text is where the text is."""
        return self


class TreeRun(Run):
    """The run of the fast program."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.names = self.message.names
        self.document = self.message.document
        if self.message.several:
            self.hold(
                "several-patients", "", "it names more than one patient, and does not say of whom it tells"
            )
        self.waiting: dict[int, tuple[dict[str, Any], Node, tuple[str, ...]]] = {}
        self.opened = 0
        self.by_id: dict[str, Draft] = {}

    def made_here(self, node: Node, targets: tuple[str, ...] = ()) -> dict[str, Any]:
        """Return a Reference that is filled once all resources are made (see `treelinks`)."""
        self.marks += 1
        self.opened += 1
        ref: dict[str, Any] = {"reference": "", "n": self.opened}
        self.waiting[ref["n"]] = (ref, node, targets)
        return ref

    def make_of(self, name: str, node: Any, fn: Callable[..., Any]) -> dict[str, Any] | None:
        """Build the resource that map `name` makes of this element, once per document."""
        if not node:
            return None
        self.marks += 1
        known = self.made.get((fn, node))
        if known is not None:
            return dict(known)
        o, labels, keys, inner = self._resource(node, fn)
        if not o:
            return None
        made = self.settle_made(name.rsplit("_", 1)[-1], name, o, labels, keys, inner, (fn, node))
        return dict(made) if made is not None else None

    def _settle_keyed(
        self,
        kind: str,
        name: str,
        body: dict[str, Any],
        labels: dict[str, tuple[str, ...]],
        keys: tuple[Identity, ...],
    ) -> dict[str, Any]:
        """As for a message; a document may make thousands, so they are found by id."""
        self.settled += 1
        draft_id = self.identify(kind, keys[0][0], keys[0][1])
        d = self.by_id.get(draft_id)
        if d is None:
            d = self.by_id[draft_id] = Draft(name, kind, draft_id, body, keys, "merge", labels, map=name)
            self.drafts.append(d)
        else:
            for k, v in body.items():
                if k not in d.body:
                    d.body[k] = v
                    if k in labels:
                        d.labels[k] = labels[k]
                elif isinstance(v, list):
                    self._join(d, k, v, labels.get(k, ()))
                elif self.tracing:
                    d.body[k] = absorb(d.body[k], v)
        return self.reference(kind, draft_id)

    def _join(self, d: Draft, name: str, entries: list[Any], labels: tuple[str, ...]) -> None:
        """Add the entries of a list that a resource, met again in the document, did not have yet."""
        have = d.body[name]
        marks = list(d.labels.get(name, ("",) * len(have)))
        for i, e in enumerate(entries):
            at = next((n for n, h in enumerate(have) if h == e), None)
            if at is None:
                if name == "name" and not _same_family(have, e):
                    self.flag("other-name", f" {d.type}.name", "a number met before comes with another name")
                have.append(e)
                marks.append(labels[i] if i < len(labels) else "")
            elif self.tracing:
                have[at] = absorb(have[at], e)
        d.labels[name] = tuple(marks)

    def body_of(self, ref: dict[str, Any] | None) -> dict[str, Any] | None:
        target = (ref or {}).get("reference", "")
        if target.startswith("#"):
            return super().body_of(ref)
        found = self.by_id.get(target[-36:])
        return found.body if found is not None else None

    def missed(self, table: str, where: str, rule: str, code: str, system: str, uri: str, text: str) -> None:
        self.marks += 1
        self.notes += 1
        self.gaps.append(Gap(self.where + where, table, rule, code, system, uri, text))

    def code_alone(self, v: str, coding: bool) -> dict[str, Any] | None:
        """A code without a system, as it goes to a table."""
        t = self.text(v)
        if not t:
            return None
        code = {"code": self.keep(" ".join(t.split()), v)}
        return code if coding else {"coding": [code]}

    def date(self, v: str) -> str | None:
        return super().date(self._digits(v)[0])

    def date_time(self, v: str) -> str | None:
        digits, problem = self._digits(v)
        out = super().date_time(digits)
        if problem and out is not None:
            self.lost = problem
            self.marks += 1
        return out

    def instant(self, v: str) -> str | None:
        return super().instant(self._digits(v)[0])

    def _digits(self, v: str) -> tuple[str, str]:
        """Return a time as HL7 v2 writes it, and what is not kept of it; documents write others too."""
        text = str(self.text(v))
        if not text:
            return v, ""
        digits, problem = compact(text)
        return (v if digits == text else self.keep(digits or "?", v)), "" if not digits else problem

    def from_(self, value: Any, node: Node, *parts: str) -> Any:
        """Return a value made of an element's parts; the twin remembers them."""
        return value

    def texts_of(self, node: Node, path: str) -> list[str]:
        """The texts that a path names, for functions."""
        return read_path(path).texts(node)


class TracedTreeRun(TreeRun, TracedRun):
    """The twin that remembers."""

    def from_(self, value: Any, node: Node, *parts: str) -> Any:
        return traced(value, tuple(At(node, p) for p in parts) or (At(node),), self.row)

    def texts_of(self, node: Node, path: str) -> list[str]:
        return [str(t) if isinstance(t, Node) else t for t in _walk_traced(read_path(path), node)]


def _same_family(have: list[Any], name: dict[str, Any]) -> bool:
    """Say whether a name is one of those there, written otherwise."""
    family = str(name.get("family", "")).casefold()
    return any(str(h.get("family", "")).casefold() == family for h in have)


def path_function(text: str, trace: bool) -> Callable[[Any], Sequence[Any]]:
    """Return the function that generated code calls for a path: element -> elements or texts."""
    path = read_path(text)
    find = _finder(path)
    name = path.attribute
    if not name:
        return find
    if name == "text()":
        if trace:
            return lambda node: [TStr(t, (At(n, "text()"),)) for n in find(node) if (t := n.text)]
        return lambda node: [t for n in find(node) if (t := n.text)]
    if trace:
        part = "@" + name
        return lambda node: [TStr(t, (At(n, part),)) for n in find(node) if (t := n.get(name))]
    return lambda node: [t for n in find(node) if (t := n.get(name))]


def _finder(path: Path) -> Callable[[Any], Sequence[Node]]:
    """Return the quickest way to the elements of a path: most have one or two names and no tests."""
    names = [s.name for s in path.steps]
    plain = not path.absolute and not any(s.tests for s in path.steps) and not {"..", "*"} & set(names)
    if plain and not names:
        return lambda node: (node,) if node else ()
    if plain and len(names) == 1:
        (only,) = names
        return lambda node: node.by(only) if node else ()
    if plain and len(names) == 2:
        outer, inner = names

        def two(node: Any) -> Sequence[Node]:
            found: Sequence[Node] = node.by(outer) if node else ()
            if len(found) == 1:
                return found[0].by(inner)
            return [c for n in found for c in n.by(inner)]

        return two
    return lambda node: path.nodes(node) if node else ()


def _walk_traced(path: Path, node: Node) -> Sequence[Any]:
    found = path.nodes(node)
    name = path.attribute
    if not name:
        return found
    if name == "text()":
        return [TStr(t, (At(n, "text()"),)) for n in found if (t := n.text)]
    return [TStr(t, (At(n, "@" + name),)) for n in found if (t := n.get(name))]


def _valued(v: Any) -> bool:
    return bool(v) if isinstance(v, str) else v.valued


def _some(found: Sequence[Any]) -> list[Any]:
    return [v for v in found if _valued(v)]


def _first(found: Sequence[Any]) -> Any:
    for v in found:
        if _valued(v):
            return v
    return ""


def _there(found: Sequence[Any]) -> bool:
    return any(map(_valued, found))


def _said(v: Any) -> str:
    """What an element says as a primitive: its value, else its code, else its text."""
    if not v:
        return ""
    return v if isinstance(v, str) else v.get("value") or v.get("code") or v.text


def _said_traced(v: Any) -> str:
    if not v or isinstance(v, str):
        return v or ""
    for name in ("value", "code"):
        if text := v.get(name):
            return TStr(text, (At(v, "@" + name),))
    return TStr(v.text, (At(v, "text()"),)) if v.text else ""


def _among(found: Sequence[Any], values: tuple[str, ...]) -> bool:
    texts = [t for v in found if (t := _said(v))]
    return any(t in values for t in texts) if texts else "" in values


_STEPS: dict[str, Any] = {
    "some": _some, "first": _first, "there": _there, "said": _said, "among": _among,
}  # fmt: skip


def tree_space(trace: bool) -> dict[str, Any]:
    """Return the steps and functions that generated code for documents calls, by name."""
    if not trace:
        return {**_STEPS, **{f"T_{name}": fn for name, fn in FUNCTIONS.items()}}
    told = {f"T_{name}": _remembering(name, fn) for name, fn in FUNCTIONS.items()}
    return {**_STEPS, "said": _said_traced, **told}


def _remembering(name: str, fn: Function) -> Function:
    """A function in the twin: what it makes without saying of what is made of the element as a whole."""

    def remembering(node: Node, x: Any) -> Any:
        out = fn(node, x)
        if out is None:
            return None
        if name not in KEYS:
            return traced(out, (At(node),), x.row)
        return TKey(out, (At(node),), x.row) if isinstance(out, str) else out

    return remembering
