"""Open a page in headless Chromium: what its script makes of it, and how it looks."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.html_page import Element, read_elements

_NAMES = ("chromium-headless-shell", "chrome-headless-shell", "chromium", "chromium-browser", "google-chrome")
_OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr")
_TIMEOUT_SECONDS = 120


@dataclass
class Opened:
    """A page after its script has run: its elements, and what the browser complained of."""

    elements: list[Element]
    complaints: list[str]

    def of_class(self, name: str) -> list[Element]:
        """Return all elements of a class."""
        return [each for each in self.elements if name in (each.attributes.get("class") or "").split()]

    def by_id(self, name: str) -> Element:
        """Return the element with this id."""
        (found,) = [each for each in self.elements if each.attributes.get("id") == name]
        return found


def open_page(path: Path, fragment: str = "") -> Opened:
    """Open a file and return it as it is after its script; `fragment` comes after the # of its address."""
    done = _run("--dump-dom", "--virtual-time-budget=3000", f"{path.as_uri()}#{fragment}")
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Opened(read_elements(done.stdout), complaints)


def screenshot(path: Path, width: int, height: int, fragment: str = "") -> bytes:
    """Return a picture of a page in a window of this size, as PNG."""
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder, "page.png")
        _run(f"--screenshot={picture}", f"--window-size={width},{height}", f"{path.as_uri()}#{fragment}")
        return picture.read_bytes()


def _run(*args: str) -> subprocess.CompletedProcess[str]:
    browser = next(filter(None, map(shutil.which, _NAMES)), None)
    if browser is None:
        pytest.skip(f"no Chromium here: none of {', '.join(_NAMES)} is in PATH")
    with tempfile.TemporaryDirectory() as profile:
        command = [browser, *_OPTIONS, f"--user-data-dir={profile}", *args]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=_TIMEOUT_SECONDS)
