"""The narrative as XHTML: every word and id kept, nothing that acts or fetches."""

from __future__ import annotations

import re

import pytest
from cda_samples import document, element, sample, section
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from engine.formats.cda.narrative import narrative
from engine.formats.cda.sections import sections
from engine.formats.cda.texts import plain_text

XHTML = "{http://www.w3.org/1999/xhtml}"
# what R4 allows in Narrative.div (txt-1), as far as this engine writes it
_XHTML = """div p br table caption thead tbody tfoot tr td th col colgroup ul ol li dl dt dd span a b i em
strong small big sub sup tt pre code q cite blockquote h1 h2 h3 h4 h5 h6 hr abbr acronym dfn kbd samp var"""
ALLOWED = set(_XHTML.split())
ATTRIBUTES = {"id", "class", "style", "title", "href", "colspan", "rowspan", "span", "align", "valign"}


def _sound(div: str) -> etree._Element:
    root = etree.fromstring(div)
    for e in root.iter():
        assert str(e.tag).startswith(XHTML) and str(e.tag).removeprefix(XHTML) in ALLOWED
        for name, value in e.attrib.items():
            assert name in ATTRIBUTES
            # an id or a title may say anything: only what a browser follows or runs matters
            if name in ("href", "style"):
                assert not re.search(
                    r"(javascript|data|vbscript|file):|url\(", str(value).lstrip("#"), re.I
                ) or (name == "href" and str(value).startswith("#"))
    return root


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def test_every_structure_is_kept() -> None:
    made = narrative(
        element(
            '<text ID="t"><paragraph ID="a" styleCode="Bold">one</paragraph><list listType="ordered" ID="l">'
            "<caption>cap</caption><item>two<footnoteRef IDREF='f'/></item></list>"
            '<table border="1" width="50%">'
            '<caption>t</caption><colgroup><col span="2"/></colgroup><thead><tr>'
            '<th colspan="2" align="CENTER">head</th></tr></thead><tbody><tr styleCode="xRow" ID="r1">'
            '<td rowspan="2">x<br/>y</td></tr></tbody></table><footnote ID="f">note</footnote>'
            '<content revised="delete">gone</content><sub>s</sub><sup>u</sup>'
            '<renderMultiMedia referencedObject="MM1 MM2"/></text>'
        )
    )
    root = _sound(made.div)
    assert made.ids == ("t", "a", "l", "r1", "f") and made.media == ("MM1", "MM2") and made.dropped == ()
    tags = " ".join(str(e.tag).removeprefix(XHTML) for e in root.iter())
    assert tags.startswith(
        "div p b ol li li a table caption colgroup col thead tr th tbody tr td br span span sub"
    )
    assert root.find(f".//{XHTML}a").get("href") == "#f"  # type: ignore[union-attr]
    assert root.find(f".//{XHTML}th").attrib == {"colspan": "2", "align": "center"}  # type: ignore[union-attr]
    deleted = next(e for e in root.iter() if e.text == "gone")
    assert "line-through" in (deleted.get("style") or "")


@pytest.mark.parametrize(
    "evil",
    [
        "<script>alert(1)</script>",
        '<paragraph onclick="steal()">x</paragraph>',
        '<linkHtml href="javascript:alert(1)">x</linkHtml>',
        '<linkHtml href=" JaVaScRiPt:alert(1)">x</linkHtml>',
        '<linkHtml href="java&#10;script:alert(1)">x</linkHtml>',
        '<linkHtml href="data:text/html,x">x</linkHtml>',
        '<linkHtml href="//elsewhere/x">x</linkHtml>',
        '<iframe src="http://elsewhere"/>',
        '<img src="http://elsewhere/pixel" alt="x"/>',
        '<table background="http://elsewhere/x"><tr><td style="background:url(http://elsewhere)">x</td></tr></table>',
        '<content styleCode="x&quot; onload=&quot;a">x</content>',
        '<content ID="x&quot; onload=&quot;a">x</content>',
        "<style>@import 'http://elsewhere'</style>",
        "<svg><script>alert(1)</script></svg>",
        "<form action='http://elsewhere'><input name='x'/></form>",
        "<math><maction actiontype='statusline#http://elsewhere'>x</maction></math>",
        "<paragraph>&lt;script&gt;alert(1)&lt;/script&gt;</paragraph>",
    ],
)
def test_nothing_that_acts_or_fetches_comes_out(evil: str) -> None:
    made = narrative(element(f"<text>safe {evil}</text>"))
    _sound(made.div)
    assert not re.search(
        r"<script|<iframe|<img|<svg|<form|<style|\son\w+=|elsewhere|javascript:", made.div, re.I
    )
    assert "safe" in made.div


def test_good_links_stay_and_what_was_left_out_is_told() -> None:
    made = narrative(
        element(
            '<text><linkHtml href="https://www.example.org/?a=1&amp;b=2">x</linkHtml>'
            '<linkHtml href="#id1">y</linkHtml>'
            '<linkHtml href="ftp://old">z</linkHtml><marquee>w</marquee><object>gone</object></text>'
        )
    )
    assert [a.get("href") for a in _sound(made.div).iter(f"{XHTML}a")] == [
        "https://www.example.org/?a=1&b=2",
        "#id1",
        None,
    ]
    assert made.dropped == ("href", "marquee", "object")
    assert _words(re.sub("<[^>]*>", " ", made.div)) == ["x", "y", "z", "w"]


def test_nothing_to_read_is_no_narrative() -> None:
    assert narrative(None).div == ""
    assert narrative(element("<text/>")).div == ""
    assert narrative(element("<text><paragraph> </paragraph><br/></text>")).div == ""
    assert narrative(element('<text><renderMultiMedia referencedObject="m"/></text>')).div != ""


def test_ids_are_unique_and_prefixed_on_demand() -> None:
    made = narrative(element('<text><content ID="a">1</content><content ID="a">2</content></text>'), "s1-")
    assert made.div.count("id=") == 1 and 'id="s1-a"' in made.div and made.ids == ("a",)


def test_deep_nesting_keeps_its_words() -> None:
    made = narrative(element("<text>" + "<content>" * 400 + "deep" + "</content>" * 400 + " end</text>"))
    assert _words("".join(str(t) for t in _sound(made.div).itertext())) == ["deep", "end"]


_TAGS = """paragraph content list item caption table thead tbody tr td th br sub footnote footnoteRef linkHtml
h1 blink renderMultiMedia b div script iframe"""
_TAG = st.sampled_from(_TAGS.split())
_VALUE = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn")), max_size=8
) | st.sampled_from(["#a", "javascript:1", '"><script>', "Bold Underline", "2", "http://x.example/"])
_ATTRIBUTES = "ID styleCode href onclick style src listType colspan revised IDREF referencedObject"
_ATTRIBUTE = st.sampled_from(_ATTRIBUTES.split())


def _tree(inner: st.SearchStrategy[etree._Element]) -> st.SearchStrategy[etree._Element]:
    @st.composite
    def build(draw: st.DrawFn) -> etree._Element:
        e = etree.Element(
            f"{{urn:hl7-org:v3}}{draw(_TAG)}", draw(st.dictionaries(_ATTRIBUTE, _VALUE, max_size=3))
        )
        e.text = draw(_VALUE)
        for one in draw(st.lists(inner, max_size=3)):
            one.tail = draw(_VALUE)
            e.append(one)
        return e

    return build()


_LEAF = st.builds(lambda tag: etree.Element(f"{{urn:hl7-org:v3}}{tag}"), _TAG)


@settings(max_examples=150, deadline=None)
@given(st.recursive(_LEAF, _tree, max_leaves=10))
def test_any_narrative_comes_out_sound_with_its_words(tree: etree._Element) -> None:
    text = etree.Element("{urn:hl7-org:v3}text")
    text.append(tree)
    made = narrative(text)
    for hidden in list(text.iter("{urn:hl7-org:v3}script", "{urn:hl7-org:v3}iframe")):
        hidden.text = None
        for e in list(hidden):
            hidden.remove(e)
    said = _words(" ".join(str(t) for t in text.itertext()))
    if made.div:
        root = _sound(made.div)
        shown = _words(" ".join(str(t) for t in root.itertext()))
        assert "".join(shown).replace("media", "") == "".join(said).replace("media", "")
        ids = [e.get("id") for e in root.iter() if e.get("id")]
        assert len(ids) == len(set(ids))
    else:
        assert not said


def test_the_samples_keep_every_word() -> None:
    for name in ("ccd", "discharge_summary", "c32", "lab_report"):
        doc = sample(name)
        for one in sections(doc):
            assert one.text is not None
            made = narrative(one.text)
            shown = " ".join(str(t) for t in _sound(made.div).itertext())
            assert _words(shown) == _words(" ".join(str(t) for t in one.text.itertext())), one.place


def test_words_of_a_row_stay_apart_and_deleted_ones_stay_out() -> None:
    row = element(
        "<tr><td>Potassium</td><td>5.9<br/>mmol/L</td>"
        '<td><content revised="delete">5.1</content> high</td></tr>'
    )
    assert plain_text(row) == "Potassium | 5.9\nmmol/L | high"


def test_an_id_is_found_in_the_narrative_only_once() -> None:
    doc = document(section('<text><content ID="a">first</content><content ID="a">second</content></text>'))
    found = doc.texts.element("a")
    assert found is not None and found.text == "first" and doc.texts.element("b") is None
