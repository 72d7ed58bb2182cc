"""A fake machine for `trtconv bench --ops`: device, library, engines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.bench_fakes import (
    CASES,
    FakeDevice,
    FakeEngine,
    FakeLibrary,
)
from trtconv.benchmark import cases, kernels, ops
from trtconv.benchmark.cases import Case
from trtconv.benchmark.one_op_engines import BuiltEngine, has_kind
from trtconv.gpu import device as gpu_device
from trtconv.gpu import timing
from trtconv.plugins.kernels import KernelLibrary
from trtconv.plugins.library import PluginLibrary

MICROSECONDS = {"kernel": 10.0, "copy": 8.0, "native": 25.0, "native_op": 40.0, "plugin": 12.0}
L2_BYTES = 40_000  # LARGE moves 64000


class Rig:
    """A fake device with everything that `bench_ops` finds on a machine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.device = FakeDevice(dict(MICROSECONDS), l2_bytes=L2_BYTES)
        self.library = FakeLibrary(self.device)
        self.built: dict[tuple[Case, str], BuiltEngine] = {}
        self.spoil_engine: dict[str, Callable[[np.ndarray], None]] = {}
        described = PluginLibrary(Path("lib.so"), "0" * 64, ())
        monkeypatch.setattr(cases, "all_cases", lambda: iter(CASES))
        monkeypatch.setattr(gpu_device, "open_device", lambda: self.device)
        monkeypatch.setattr(ops, "load_kernels", lambda: (KernelLibrary(self.library), described))
        monkeypatch.setattr(ops, "find_tensorrt", lambda: ("10.6.0", None))
        monkeypatch.setattr(timing, "_HOST_CALLS", 1)  # numpy computes each of them
        monkeypatch.setattr(ops, "build_engines", self.build)
        monkeypatch.setattr(ops.loading, "load_engine", self.load)

    def build(self, cases: Any, kinds: Any, folder: Path, num_jobs: int, progress: Any) -> Any:
        self.num_jobs = num_jobs
        wanted = [(case, kind) for case in cases for kind in kinds if has_kind(case, kind)]
        made = {(case, kind): BuiltEngine(Path(f"{case.name}|{kind}")) for case, kind in wanted}
        return made | self.built

    def load(self, path: Path) -> FakeEngine:
        name, kind = str(path).split("|")
        case = next(case for case in CASES if case.name == name)
        values = cases.make_values(case)

        def work(addresses: Mapping[str, int]) -> None:
            # The launcher itself, as the plugin calls it, on the engine's own copies of scale and bias.
            library = FakeLibrary(FakeDevice(MICROSECONDS), self.spoil_engine.get(kind, lambda y: None))
            with ops.ExitStack() as until:
                allocate = library.device.allocate
                scale, bias, workspace = (allocate(max(case.num_bytes, 4096), until) for _ in range(3))
                for address, array in ((scale, values.scale), (bias, values.bias)):
                    if array is not None:
                        library.device.upload(address, array)
                tensors = ops.Tensors(**addresses, scale=scale, bias=bias, workspace=workspace)
                launch = kernels.bind(KernelLibrary(library), case, tensors)
                launch(library.device.stream)

        return FakeEngine(self.device, kind, work)
