"""A page is one file that loads nothing, and no name of a model becomes HTML, script or an invisible character."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from tests.support.html_page import ReadPage, read_page
from trtconv.decisions import Decision
from trtconv.reports.html.encoding import MAX_CHARS, visible
from trtconv.reports.html.page import Graph, Graphs, LayerRow, Node, Page, Tensor
from trtconv.reports.html.rendering import render_page
from trtconv.reports.tables import Column, Table

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "<img src=x onerror=alert(1)>",
    "\"'><b>",
    "&lt;b&gt;",
    "{{ 7 * 7 }}",
    "]]>",
    "\u2028\u2029",
    "a\u202egpj.exe",
    "\u2066x\u2069",
    "zero\u200bwidth",
    "null\0esc\x1b[31m\n",
    "\ud800",
    "\ufeff",
    "tag\U000e0041",
)


def page_of(name: str) -> bytes:
    """A page in which every text is `name`."""
    node = Node(name, name, "native", 0, (0,), (0,), 0, (0,), None, name)
    graph = Graph([node], [Tensor(name, name)])
    return render_page(
        Page(
            name,
            name,
            facts=[(name, name)],
            tables=[Table(name, [Column(name)], [[name]])],
            accuracy=[Table(name, [Column(name)], [[name]])],
            graphs=Graphs(graph, graph, [name]),
            decisions=[Decision(name, name, None, name, {name: name})],
            layers=[LayerRow(name, name, name, name, name, [name])],
        )
    )


def shape(page: ReadPage) -> list[tuple[str, list[str]]]:
    return [(element.tag, sorted(element.attributes)) for element in page.elements]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_becomes_html_or_script(name: str) -> None:
    page, harmless = read_page(page_of(name)), read_page(page_of("harmless"))
    assert shape(page) == shape(harmless), "the same elements with the same attributes"
    assert [each.text for each in page.all("script")[1:]] == [each.text for each in harmless.all("script")[1:]]
    assert page.text(page.data["before"]["nodes"][0][0]) == visible(name)
    assert page.all("h1")[0].text == visible(name)


@pytest.mark.parametrize("name", HOSTILE)
def test_what_has_no_shape_is_written_out(name: str) -> None:
    assert visible(name).isprintable()
    assert page_of(name).decode().replace("\n", "").isprintable()


def test_what_is_written_out_and_what_is_not() -> None:
    assert visible("a\u202egpj.exe") == "a\\u202egpj.exe"
    assert visible("null\0\n") == "null\\x00\\n"
    assert visible("tag\U000e0041") == "tag\\U000e0041"
    assert visible("网络/卷积 é") == "网络/卷积 é"


def test_a_name_as_long_as_a_model_is_cut() -> None:
    name = "a" * 1_000_000 + "end"
    assert len(visible(name)) == MAX_CHARS
    assert visible(name).endswith("end")
    assert len(page_of(name)) < 100_000


def test_a_page_loads_nothing_and_allows_nothing() -> None:
    page = page_of("model")
    read = read_page(page)
    (policy,) = [each.attributes["content"] for each in read.all("meta") if "http-equiv" in each.attributes]
    rules = dict(rule.strip().partition(" ")[::2] for rule in str(policy).split(";"))
    texts = {"style-src": read.all("style")[0].text, "script-src": read.all("script")[-1].text}
    assert rules == {"default-src": "'none'", "base-uri": "'none'", "form-action": "'none'"} | {
        rule: f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for rule, text in texts.items()
    }
    assert not {element.tag for element in read.elements} & {"link", "img", "iframe", "object", "embed", "base", "form"}
    attributes = {name for element in read.elements for name in element.attributes}
    assert not attributes & {"src", "style"}
    assert not [name for name in attributes if name.startswith("on")]
    links = [str(element.attributes["href"]) for element in read.all("a")]
    assert links
    assert all(re.fullmatch("#[a-z]+", link) for link in links)
    assert {link[1:] for link in links} <= {element.attributes.get("id") for element in read.elements}
    assert b"innerHTML" not in page
    assert re.findall(rb"https?://\S+?(?=[\"'])", page) == [b"http://www.w3.org/2000/svg"], (
        "a name space, not an address"
    )


def test_sections_that_have_nothing_are_not_there() -> None:
    read = read_page(render_page(Page("empty", "", facts=[])))
    assert [element.attributes["id"] for element in read.all("section")] == ["summary"]
    assert (read.data["before"], read.data["after"], read.data["layers"]) == (None, None, None)
