"""Norms with what surrounds them, launched on the host into memory that keeps account of what is read and written."""

from __future__ import annotations

import ctypes
from pathlib import Path

from host_compiler import load_cpp

from tests.plugins.host_build import STAND_INS
from tests.support.extent import num_examples

SEED = 16
NUM_NORMS = num_examples(800_000)  # 200,000 take a second
HELD = [
    f"{before}norm{after}"
    for before in ("", "interleaving, ", "copy of the residual, ", "interleaving, copy of the residual, ")
    for after in ("", ", output map")
]
SCATTERED = "scattered norm, filling of pads"
PATHS = {
    *(f"linear: {launches}" for launches in (*HELD, SCATTERED)),
    *(f"channels-last: {launches}" for launches in (*HELD, SCATTERED, f"interleaving, {SCATTERED}")),
}


def test_launches_keep_to_the_workspace_and_to_what_they_own() -> None:
    """Nothing is written beyond the output and the workspace, nor over what is still read; the output is whole."""
    here = Path(__file__).parent
    includes = ("-iquote", str(STAND_INS), f"-I{STAND_INS}", f"-I{here}")
    library = load_cpp(here / "host_placed_memory.cpp", *includes, "-Wno-unknown-pragmas")
    library.host_placed_memory.restype = ctypes.c_char_p
    paths = ctypes.c_char_p()
    problem = library.host_placed_memory(ctypes.c_int64(SEED), ctypes.c_int64(NUM_NORMS), ctypes.byref(paths))
    assert not problem, problem.decode()
    assert set((paths.value or b"").decode().splitlines()) == PATHS
