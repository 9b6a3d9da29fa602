"""Where things stand in an XML document: absolute XPaths with positions, for elements, attributes and text.

In: elements. Out: `/ClinicalDocument/recordTarget[1]/patientRole[1]/id[2]/@root`: names without prefix are
those of the root's namespace (for HL7 `urn:hl7-org:v3`), `sdtc:` and `xsi:` are the usual ones, any other is
written in full. A position counts siblings of the same name, from 1. Text that stands alone in its element is
the element's; text beside elements is `/text()[n]`. Follows XPath 1.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from lxml import etree

__all__ = ["Leaf", "Places", "leaves", "step_name"]

_PREFIXES = {
    "urn:hl7-org:sdtc": "sdtc",
    "http://www.w3.org/2001/XMLSchema-instance": "xsi",
    "urn:hl7-org:v3/voc": "voc",
    "http://www.w3.org/XML/1998/namespace": "xml",
}
_REMEMBERED = 4096


class Leaf(NamedTuple):
    """One populated leaf: where, what it says, on which line its element begins."""

    place: str
    value: str
    line: int


def step_name(tag: str, home: str) -> str:
    """Write an element or attribute name as a step; `home` is the namespace written without prefix."""
    if tag[:1] != "{":
        return tag if not home else f"*[local-name()='{tag}' and namespace-uri()='']"
    namespace, _, local = tag[1:].partition("}")
    if namespace == home:
        return local
    prefix = _PREFIXES.get(namespace)
    if prefix:
        return f"{prefix}:{local}"
    return f"*[local-name()='{local}' and namespace-uri()='{namespace}']"


def _attribute_name(name: str) -> str:
    return "@" + (step_name(name, "") if name[:1] == "{" else name)


class Places:
    """Tells the XPath of any element of one document; asked in document order, it counts only forward."""

    def __init__(self, root: etree._Element) -> None:
        self._root = root
        self._home = etree.QName(root).namespace or ""
        self._last: dict[tuple[etree._Element, str], tuple[etree._Element, int]] = {}

    def of(self, element: etree._Element, attribute: str = "") -> str:
        """Give the XPath of an element, or of its attribute (`{namespace}local`)."""
        steps: list[str] = []
        at: etree._Element | None = element
        while at is not None and at is not self._root:
            tag = str(at.tag)
            steps.append(f"{step_name(tag, self._home)}[{self._number(at, tag)}]")
            at = at.getparent()
        steps.append(step_name(str(self._root.tag), self._home))
        path = "/" + "/".join(reversed(steps))
        return f"{path}/{_attribute_name(attribute)}" if attribute else path

    def _number(self, element: etree._Element, tag: str) -> int:
        parent = element.getparent()
        if parent is None:
            return 1
        known, number = self._last.get((parent, tag), (None, 0))
        if known is element:
            return number
        count = 1
        for before in element.itersiblings(tag, preceding=True):
            if before is known:
                count += number
                break
            count += 1
        if len(self._last) >= _REMEMBERED:
            self._last.clear()
        self._last[parent, tag] = (element, count)
        return count


def _line(element: etree._Element) -> int:
    line: Any = element.sourceline
    return line or 0


def leaves(root: etree._Element) -> Iterator[Leaf]:
    """Give every attribute and every text that is not blank, in document order."""
    home = etree.QName(root).namespace or ""
    names: dict[str, str] = {}

    def step(tag: str) -> str:
        name = names.get(tag)
        if name is None:
            name = names[tag] = step_name(tag, home)
        return name

    stack: list[tuple[etree._Element, str, Iterator[etree._Element], dict[str, int], list[int]]] = []
    element, path = root, "/" + step(str(root.tag))
    while True:
        line = _line(element)
        for name, value in element.attrib.items():
            if str(value).strip():
                yield Leaf(f"{path}/{_attribute_name(str(name))}", str(value), line)
        text = element.text
        texts = [1 if text else 0]
        if text and text.strip():
            yield Leaf(path if not len(element) else f"{path}/text()[1]", text, line)
        stack.append((element, path, iter(element), {}, texts))
        while stack:
            parent, above, rest, counts, texts = stack[-1]
            child = next(rest, None)
            if child is not None:
                tag = str(child.tag)
                counts[tag] = counts.get(tag, 0) + 1
                element, path = child, f"{above}/{step(tag)}[{counts[tag]}]"
                break
            stack.pop()
            tail = parent.tail
            if stack and tail:
                outer = stack[-1]
                outer[4][0] += 1
                if tail.strip():
                    yield Leaf(f"{outer[1]}/text()[{outer[4][0]}]", tail, _line(parent))
        else:
            return
