"""The data of a page as JSON that is safe inside of HTML: every text once, everything else numbers."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, Final, get_args

from trtconv.display import printable
from trtconv.reports.grouping import by_kind, reason_of
from trtconv.reports.html.page import OUTCOME_TEXTS, Graph, Outcome, Page, outcome_of

MAX_CHARS: Final = 400  # of one text: names of real models are shorter
_OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
# A script element ends at the first </script>, and a comment in it changes how it is read, whatever JSON says.
_HTML_SAFE = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})
_INVISIBLE = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})


def visible(text: str) -> str:
    """Return text of at most MAX_CHARS characters in which whatever has no shape of its own is written out.

    Such are control characters, and those that turn the direction of what follows: a name must not pose as another.
    """
    if len(text) > MAX_CHARS:
        text = f"{text[: MAX_CHARS // 2]}…{text[-(MAX_CHARS // 2) + 1 :]}"
    if text.isprintable():
        return text
    text = printable(text)
    return "".join(_written_out(char) if unicodedata.category(char) in _INVISIBLE else char for char in text)


def encode(page: Page) -> str:
    """Return the JSON text of graphs, decisions and layers, for a script element."""
    texts = _Texts()
    kinds = by_kind(page.decisions)
    numbers = {id(decision): number for number, decision in enumerate(page.decisions)}
    document = {
        "outcomes": [[name, OUTCOME_TEXTS[name]] for name in _OUTCOMES],
        "blocks": texts.all(page.graphs.blocks if page.graphs else ()),
        "before": None if page.graphs is None else _graph(page.graphs.before, texts),
        "after": None if page.graphs is None or page.graphs.after is None else _graph(page.graphs.after, texts),
        "decisions": [
            [
                *texts.all((decision.node, decision.op, decision.became or "", decision.reason)),
                _OUTCOMES.index(outcome_of(decision)),
                [texts.all((key, figure_text(value))) for key, value in decision.figures.items()],
            ]
            for decision in page.decisions
        ],
        "groups": [[texts.add(reason_of(kind)), [numbers[id(each)] for each in kind]] for kind in kinds],
        "layers": None
        if page.layers is None
        else [
            [*texts.all((row.name, row.type, row.writes, row.formats, row.tactic)), texts.all(row.nodes)]
            for row in page.layers
        ],
        "texts": texts.list,
    }
    return json.dumps(document, separators=(",", ":"), allow_nan=False).translate(_HTML_SAFE)


def figure_text(value: Any) -> str:
    """Return a figure of a decision as people read it."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {figure_text(each)}" for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(figure_text, value))}]"
    return str(value)


class _Texts:
    """Texts by their numbers: names stand in nodes, tensors and decisions, before and after the rewrite."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.list: list[str] = []

    def add(self, text: str) -> int:
        if text not in self._numbers:
            self._numbers[text] = len(self.list)
            self.list.append(visible(text))
        return self._numbers[text]

    def all(self, texts: Iterable[str]) -> list[int]:
        return [self.add(text) for text in texts]


def _graph(graph: Graph, texts: _Texts) -> dict[str, Any]:
    return {
        "nodes": [
            [
                *texts.all((node.address, node.op)),
                _OUTCOMES.index(node.outcome),
                node.block,
                node.match,
                texts.add(node.attributes),
                *(list(numbers) for numbers in (node.inputs, node.outputs, node.decisions)),
                node.num_more,
            ]
            for node in graph.nodes
        ],
        "tensors": [texts.all((tensor.name, tensor.type, tensor.role)) for tensor in graph.tensors],
        "constants": graph.num_constants,
        "leftOut": graph.num_left_out,
    }


def _written_out(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
