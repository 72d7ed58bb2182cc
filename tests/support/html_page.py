"""Read a page back as a browser does: its elements, and the data in its script."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

_VOID = frozenset({"meta", "input", "br", "link", "img"})


@dataclass
class Element:
    """An element: its attributes, and the text in it and in its children."""

    tag: str
    attributes: dict[str, str | None]
    text: str = ""


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self.open: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self.elements.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text += data


@dataclass
class ReadPage:
    """A page as it was read."""

    elements: list[Element]
    data: dict[str, Any] = field(default_factory=dict)

    def all(self, tag: str) -> list[Element]:
        """Return all elements of a tag."""
        return [element for element in self.elements if element.tag == tag]

    def rows(self) -> list[list[str]]:
        """Return the texts of the cells of all tables and, as rows of two, the facts."""
        rows: list[list[str]] = []
        for element in self.elements:
            if element.tag in ("tr", "dt"):
                rows.append([])
            if element.tag in ("th", "td", "dt", "dd"):
                rows[-1].append(element.text.strip())
        return rows

    def text(self, number: int) -> str:
        """Return a text of the data."""
        return str(self.data["texts"][number])

    def nodes(self, side: str) -> list[dict[str, Any]]:
        """Return the nodes "before" or "after", with the texts in the place of their numbers."""
        outcomes = [name for name, _ in self.data["outcomes"]]
        tensors = [tuple(map(self.text, tensor)) for tensor in self.data[side]["tensors"]]
        keys = ("address", "op", "outcome", "block", "match", "attributes", "inputs", "outputs", "decisions", "more")
        nodes = [dict(zip(keys, node, strict=True)) for node in self.data[side]["nodes"]]
        for node in nodes:
            node |= {key: self.text(node[key]) for key in ("address", "op", "attributes")}
            node["outcome"] = outcomes[node["outcome"]]
            node |= {key: [tensors[number] for number in node[key]] for key in ("inputs", "outputs")}
        return nodes

    def outcomes(self, side: str) -> dict[str, str]:
        """Return the outcome of each node by its address."""
        return {node["address"]: node["outcome"] for node in self.nodes(side)}

    def decisions(self) -> list[tuple[str, str, str, str, str]]:
        """Return address, op, what it became, reason and outcome of each decision."""
        outcomes = [name for name, _ in self.data["outcomes"]]
        return [(*map(self.text, made[:4]), outcomes[made[4]]) for made in self.data["decisions"]]  # type: ignore[misc]


def read_elements(page: str) -> list[Element]:
    """Parse a page; every element that begins has to end."""
    parser = _Parser()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser.elements


def read_page(page: bytes) -> ReadPage:
    """Parse a page as it is in its file, with its data."""
    read = ReadPage(read_elements(page.decode()))
    (data,) = [element.text for element in read.all("script") if element.attributes.get("type") == "application/json"]
    read.data = json.loads(data)
    return read
