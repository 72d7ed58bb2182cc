"""docs/fused.md says what its measurements say."""

from __future__ import annotations

import re

from tests.support.fused_page import DOCS, PAGE, with_tables


def test_the_tables_are_made_of_their_measurements() -> None:
    assert PAGE.read_text() == with_tables(PAGE.read_text()), "run: python -m tests.support.fused_page"
    assert len(re.findall(r"<!-- table \w+: begin -->\n\|", PAGE.read_text())) == 8


def test_a_changed_figure_is_put_right() -> None:
    page = PAGE.read_text()
    wrong = page.replace("| 140.15 |", "| 140.00 |")
    assert wrong != page
    assert with_tables(wrong) == page


def test_linked_measurements_exist() -> None:
    links = set(re.findall(r"\]\((measurements/\w+\.json)\)", PAGE.read_text()))
    assert len(links) == 9
    assert all((DOCS / link).is_file() for link in links)
