"""The demonstration of `make demo`: a real model is rewritten, compared with the original, built, and run.

Every step shows the line that a user would type. The last lines are a number, and where the picture and the page are.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from models import demo_tune
from models.fetch import FetchError, fetch, write_atomically
from trtconv.inputs.array_files import npz_bytes

MODEL = "basic_pitch_nmp"
INPUT, NOTES = "serving_default_input_2:0", "StatefulPartitionedCall:1"
DEFAULT_FOLDER = Path(__file__).parent / "build"
_SECONDS = demo_tune.NUM_SAMPLES / demo_tune.SAMPLE_RATE


class _StepFailedError(Exception):
    """A command that failed and has said why."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


def main(folder: Path = DEFAULT_FOLDER) -> int:
    """Run the steps and return the exit code of the first one that failed."""
    print("Basic Pitch (Spotify) writes down the notes of music: a real model, with 9 reflect pads.")
    try:
        _demonstrate(Path(os.path.relpath(folder)))
    except FetchError as error:
        print(f"error: {error}", *([f"hint: {error.hint}"] if error.hint else []), sep="\n", file=sys.stderr)
        return error.exit_code
    except _StepFailedError as failure:
        return failure.exit_code
    return 0


def _demonstrate(folder: Path) -> None:
    model, rewritten, engine, page = "basic_pitch.onnx", "rewritten.onnx", "basic_pitch.engine", "basic_pitch.html"
    tune, notes, picture = "tune.npz", "notes.npz", folder / "notes.png"
    write_atomically(folder / model, fetch(MODEL, folder).read_bytes())
    sound = demo_tune.play()
    write_atomically(folder / tune, npz_bytes({INPUT: sound}))
    print(f"\n$ cd {shlex.quote(str(folder))}")

    run = partial(_run, folder)
    report = run("rewrite", model, "-o", rewritten)
    print(f"  {report['num_rewritten']} of {report['num_nodes']} nodes become plugins")
    report = run("compare", model, rewritten, "--inputs", tune, "--tolerance", "0")
    print(f"  largest error of the rewritten model: {max(each['max_abs_error'] for each in report['outputs']):g}")
    shape = f"{INPUT}={'x'.join(map(str, sound.shape))}"
    report = run("build", model, "-o", engine, "--shape", shape, "--report", page)
    built = report["build"]
    has_plugins = built["backend"] == "tensorrt"
    title = f"TensorRT{'' if has_plugins else '-RTX'} {built['backend_version']}"
    print(f"  {title}: an engine for {built['gpu'] or built['gpu_arch']} in {report['seconds']:.1f} s")

    took, where = _milliseconds(run("run", rewritten, tune, "-o", notes, "--latency")), "this CPU"
    print(f"  {took:.3g} ms in ONNX Runtime on the CPU")
    if has_plugins:
        on_cpu, took, where = took, _milliseconds(run("run", engine, tune, "-o", notes, "--latency")), built["gpu"]
        print(f"  {took:.3g} ms, {on_cpu / took:.3g} times as fast")
    else:
        print("  an engine with plugins takes TensorRT and a GPU")
    with np.load(folder / notes) as outputs:
        found = outputs[NOTES]
    result = f"{demo_tune.num_found(found)} of {len(demo_tune.TUNE)} notes found"
    speed = f"{_SECONDS:.1f} s of music in {took:.3g} ms on {where}"
    write_atomically(picture, demo_tune.draw(sound, found, f"{result}, {speed}"))
    print(f"\n{result}, {speed}")
    for what, path in (("picture", picture), ("page", folder / page), ("engine", folder / engine)):
        print(f"{what:9}{path}")


def _run(folder: Path, *words: str) -> Any:
    """Show a command, run it in the folder, and return its JSON document."""
    print(f"\n$ trtconv {shlex.join(words)}", flush=True)
    command = [sys.executable, "-m", "trtconv", *words, "--json"]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise _StepFailedError(done.returncode)
    return json.loads(done.stdout)


def _milliseconds(report: Any) -> float:
    return float(report["runs"][0]["latency"]["median_us"]) / 1000


if __name__ == "__main__":
    sys.exit(main())
