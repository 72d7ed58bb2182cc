"""Write a page as one HTML file that needs no other: style, script and data are in it, and it loads nothing.

Its content security policy allows this very style and this very script, so that nothing else could run or be fetched
even if a name of the model came into the page as HTML.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from trtconv.reports.html.encoding import encode, visible
from trtconv.reports.html.page import Page
from trtconv.reports.tables import Table

_FOLDER = Path(__file__).parent
_SCRIPTS = ("data", "search", "lists", "graph", "node", "decisions", "main")  # one script: each uses those before it


def render_page(page: Page) -> bytes:
    """Return the file of a page."""
    from markupsafe import Markup  # with jinja2: commands that write no page need neither

    style = Markup((_FOLDER / "page.css").read_text("utf-8"))
    script = Markup("\n".join((_FOLDER / "script" / f"{name}.js").read_text("utf-8") for name in _SCRIPTS))
    text: str = _template().render(
        page=page,
        tables=_shown(page.tables),
        accuracy=_shown(page.accuracy),
        total_seconds=sum(step.seconds for step in page.steps),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        data=Markup(encode(page)),
    )
    return text.encode()


@cache
def _template() -> Any:
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str and not isinstance(value, Markup) else value,
    )
    return environment.get_template("page.html")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _shown(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """Return tables that have rows, without the columns that are empty in all of these."""
    shown = []
    for table in tables:
        kept = [index for index in range(len(table.columns)) if any(row[index] for row in table.rows)]
        if table.rows:
            rows = [[row[index] for index in kept] for row in table.rows]
            shown.append({"heading": table.heading, "columns": [table.columns[index] for index in kept], "rows": rows})
    return shown
