"""Threads build for several architectures of TensorRT-RTX at once, and each gets its engine."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.command_line import write_model
from trtconv.engine.backends import Backend
from trtconv.engine.rtx_turns import turn_of


def backend(arch: str, key: str = "tensorrt-rtx") -> Backend:
    return Backend(key, None, None, arch)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("second", "meets"),
    [(backend("sm_86"), True), (backend("sm_89"), False), (backend("sm_89", "tensorrt"), True)],
    ids=["same architecture", "another architecture", "TensorRT"],
)
def test_only_builds_for_one_architecture_run_side_by_side(second: Backend, meets: bool) -> None:
    inside = threading.Event()

    def build() -> None:
        with turn_of(second):
            inside.set()

    with turn_of(backend("sm_86")):
        thread = threading.Thread(target=build)
        thread.start()
        assert inside.wait(0.2) == meets
    thread.join()
    assert inside.is_set()


def test_a_build_that_fails_ends_its_turn() -> None:
    with pytest.raises(ValueError, match="fails"), turn_of(backend("sm_86")):
        raise ValueError("fails")
    with turn_of(backend("sm_89")):
        pass


def test_threads_build_for_all_architectures(tmp_path: Path) -> None:
    rtx = pytest.importorskip("tests.support.rtx")
    model = write_model(tmp_path, "relu", "g (float[1,3,8,8] x) => (float[1,3,8,8] y) { y = Relu(x) }")

    def build(index: int) -> str | None:
        arch = ("sm_86", "sm_89", "sm_120")[index % 3]
        report = rtx.rtx_build(model, gpu_arch=arch, output=tmp_path / f"{index}.engine")
        assert report.manifest.gpu_arch == arch
        return str(arch)

    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(build, range(9)))) == 9
