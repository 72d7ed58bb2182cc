"""The demonstration of `make demo`: a real model fetched, rewritten, compared with the original, and built.

Every step shows the line that a user would type.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from models.fetch import fetch
from trtconv.comparison import compare, random_inputs
from trtconv.comparison.tolerance import TOLERANCE

MODEL = "basic_pitch_nmp"
INPUT, SHAPE = "serving_default_input_2:0", (1, 43844, 1)  # two seconds of audio at 22050 Hz
DEFAULT_FOLDER = Path(__file__).parent / "build"


def main(folder: Path = DEFAULT_FOLDER) -> int:
    """Run the steps and return the exit code of the first one that failed."""
    print(f"Basic Pitch (Spotify): notes out of audio, with 9 reflect pads. Files go to {folder}")
    model = fetch(MODEL, folder)
    rewritten, engine = folder / f"{MODEL}.rewritten.onnx", folder / f"{MODEL}.engine"

    failed = _run("rewrite", model, "-o", rewritten)
    if failed:
        return failed

    print("\n# the rewritten model against the original, both in ONNX Runtime, through polygraphy")
    report = compare(model, rewritten, random_inputs(model, {INPUT: SHAPE}), TOLERANCE["exact"])
    print(report.render())
    if not report.passed:
        return 1

    failed = _run("build", model, "-o", engine, "--shape", f"{INPUT}={'x'.join(map(str, SHAPE))}")
    if not failed:
        print(f"\nDone. The engine is {engine}, and {engine}.json says what is in it.")
    return failed


def _run(*arguments: str | Path) -> int:
    words = [str(word) for word in arguments]
    print(f"\n$ trtconv {shlex.join(words)}", flush=True)
    return subprocess.run([sys.executable, "-m", "trtconv", *words], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
