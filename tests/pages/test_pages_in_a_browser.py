"""What the script of a page does, in headless Chromium; without one, these tests skip."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.reports.test_html_page import HOSTILE, page_of
from tests.support.browser import Opened, open_page, screenshot
from tests.support.command_line import write_model
from tests.support.extent import part, whole_sweep
from tests.support.page_models import CHAIN, long_page
from trtconv import BuildConfig, dry_run
from trtconv.reports.html.rendering import render_page

PLUGIN_GREEN = (0x1A, 0x7F, 0x37)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a small model."""
    folder = tmp_path_factory.mktemp("chain")
    dry_run(
        write_model(folder, "chain", CHAIN), BuildConfig(backend="tensorrt", ops="fused", report=folder / "page.html")
    )
    return folder / "page.html"


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of ten thousand nodes."""
    path = tmp_path_factory.mktemp("long") / "page.html"
    path.write_bytes(render_page(long_page(10_000)))
    return path


def shown_nodes(page: Opened, is_dim: bool = False) -> list[tuple[str, str]]:
    nodes = page.of_class("node")
    return [
        (str(node.attributes["title"]), str(node.attributes["data-outcome"]))
        for node in nodes
        if ("dim" in str(node.attributes["class"]).split()) == is_dim
    ]


def test_a_small_graph_is_open_and_side_by_side(chain: Path) -> None:
    page = open_page(chain)
    assert page.complaints == []
    assert [element.text for element in page.of_class("heads")] == [
        "The model: 6 nodes, 3 constantsWhat TensorRT gets: 4 nodes, 3 constants"
    ]
    assert shown_nodes(page) == [
        *(
            ("conv", "same"),
            ("conv", "same"),
            ("norm", "plugin"),
            ("pad", "plugin"),
            ("relu", "fused"),
            ("pad", "fused"),
        ),
        *(("last", "same"), ("last", "same"), ("tanh", "same"), ("tanh", "same")),
    ]
    plugin = page.of_class("node")[3]
    assert plugin.attributes["style"] == "grid-area: 2 / 2 / span 3;", "beside the three nodes that it stands for"
    assert "activation relu" in plugin.text
    chips = {element.text: element.attributes["title"] for element in page.of_class("chip")}
    assert list(chips) == ["plugin", "fused", "same"]
    assert len(page.of_class("group")) == 3


def test_a_search_shows_the_blocks_and_decisions_that_match(chain: Path) -> None:
    page = open_page(chain, "search=activation RELU")
    assert page.complaints == []
    assert page.by_id("found").text == "1 node before, 0 after, 1 decision"
    assert shown_nodes(page) == [("relu", "fused")]
    assert ("last", "same") not in shown_nodes(page, is_dim=True), "its block has no match"
    assert len(page.of_class("group")) == 1


def test_a_node_shows_its_reason_and_its_neighbours(chain: Path) -> None:
    page = open_page(chain, "node=relu")
    detail = page.by_id("detail")
    assert page.complaints == []
    assert "hidden" not in detail.attributes
    assert "Relu → trtconv::InstanceNorm: activation relu, fused into norm (activation relu)" in detail.text
    boxes = [
        each.attributes["aria-label"] for each in page.elements if each.tag == "g" and "aria-label" in each.attributes
    ]
    assert boxes == ["InstanceNormalization norm", "Pad pad"]
    assert "null" not in detail.text
    assert "undefined" not in detail.text


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    shapes = []
    for name in ("harmless", "".join(HOSTILE)):
        path = tmp_path / "page.html"
        path.write_bytes(page_of(name))
        page = open_page(path)
        assert page.complaints == []
        shapes.append([element.tag for element in page.elements])
        assert len(page.of_class("node")) == 2
    assert shapes[0] == shapes[1]


@whole_sweep
def test_ten_thousand_nodes_open_at_once(long: Path) -> None:
    page = open_page(long)
    assert page.complaints == []
    assert len(page.of_class("block")) == 100
    assert "Show more: 1,900 left" in [element.text for element in page.of_class("more")]
    assert len(page.elements) < 3000
    found = open_page(long, "search=stage99/block19/Pad")
    assert found.by_id("found").text == "1 node before, 1 after, 1 decision"
    assert [title for title, _ in shown_nodes(found)] == ["/network/stage99/block19/Pad"] * 2
    far = open_page(long, "node=/network/stage99/block19/Pad")
    assert "is only known at run time" in far.by_id("detail").text
    assert [each.attributes["title"] for each in far.of_class("chosen")] == ["/network/stage99/block19/Pad"]


@pytest.mark.parametrize(("width", "height"), [(1440, 1000), (390, 1400)])
@pytest.mark.parametrize("name", part(["chain", "long"], {"long"}.__contains__))
def test_wide_and_narrow_windows_show_the_graph(
    request: pytest.FixtureRequest, name: str, width: int, height: int
) -> None:
    image_module = pytest.importorskip("PIL.Image")
    picture = image_module.open(io.BytesIO(screenshot(request.getfixturevalue(name), width, height))).convert("RGB")
    assert picture.size == (width, height)
    colours = dict((colour, count) for count, colour in picture.getcolors(1 << 24))
    assert colours.get(PLUGIN_GREEN, 0) > 300, "the bars, the blocks and the tiles"
