"""Find and describe the compiled plugin library."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from trtconv.errors import BackendError
from trtconv.files import sha256
from trtconv.installed import reinstall_hint
from trtconv.ops import CUSTOM_OPS
from trtconv.ops.custom_op import DOMAIN, VERSION

FILE_NAME = "libtrtconv_plugins.so"
ENVIRONMENT_VARIABLE = "TRTCONV_PLUGIN_LIBRARY"


@dataclass(frozen=True)
class PluginLibrary:
    """One compiled plugin library: where it is, its fingerprint, and the plugins that it holds."""

    path: Path
    sha256: str
    plugins: tuple[str, ...]


def searched_paths() -> list[Path]:
    """Return where the library is looked for, in order; a path from the environment excludes the others."""
    from_environment = os.environ.get(ENVIRONMENT_VARIABLE)
    if from_environment:
        return [Path(from_environment)]
    return [Path(__file__).resolve().parents[1] / "lib" / FILE_NAME]


def find() -> PluginLibrary:
    """Return the plugin library, or raise BackendError with every path that was tried."""
    for path in searched_paths():
        if os.path.isfile(path):
            names = tuple(f"{DOMAIN}::{name} version {VERSION}" for name in CUSTOM_OPS)
            return PluginLibrary(Path(os.path.realpath(path)), sha256(path), names)
    tried = ", ".join(map(str, searched_paths()))
    raise BackendError(
        f"the plugin library was not found; searched: {tried}",
        hint=f"{reinstall_hint()}, or set {ENVIRONMENT_VARIABLE} to the file",
    )
