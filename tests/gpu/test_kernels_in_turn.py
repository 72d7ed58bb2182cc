"""Kernels one behind another, each of which may get ready while the one before it ends: on a GPU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from tests.gpu.cuda_torch import torch
from tests.gpu.kernel_library import FORMAT_CHANNELS_LAST, FORMAT_LINEAR, Tensor, TorchKernels, padded_shape
from tests.gpu.layouts import to_layout
from tests.gpu.norm_checks import EPSILON, parameters, workspace_for

pytestmark = pytest.mark.gpu

PADS = (0, 0, 1, 1, 0, 0, 1, 1)
ROUNDS = 4

# What an H100 launches for the padded tensor: linear, channels-last.
SHAPES = {
    "block, block": (2, 64, 30, 30),
    "block, cluster": (2, 64, 62, 62),
    "clustered, grid": (1, 64, 254, 254),
    "streamed by a block each, streamed": (1, 300, 198, 198),
    "streamed by several blocks each, streamed": (1, 8, 630, 630),
    "split, streamed": (1, 1, 4100, 4100),
}


@dataclass(frozen=True)
class Chain:
    """Pad, norm, norm, pad: each reads what the one before it wrote, and both norms use one workspace."""

    kernels: TorchKernels
    shape: Sequence[int]
    format: int
    x: Tensor
    scale: Tensor
    bias: Tensor
    results: Sequence[Tensor]
    workspace: Tensor

    @classmethod
    def of(cls, kernels: TorchKernels, shape: Sequence[int], format_: int) -> Chain:
        def stored(sizes: Sequence[int]) -> Tensor:
            return to_layout(torch.zeros(*sizes, dtype=torch.float16, device="cuda"), format_, 0)

        once = padded_shape(shape, PADS)
        scale, bias = parameters(shape[1], torch.float16)
        results = [stored(once), stored(once), stored(once), stored(padded_shape(once, PADS))]
        workspace = workspace_for(kernels, results[0], once, format_)
        return cls(kernels, shape, format_, stored(shape), scale, bias, results, workspace)

    def renew(self) -> None:
        """Give x other values, and all results none of a result's."""
        self.x.copy_(torch.randn_like(self.x) * 3 + 1)
        for result in self.results:
            result.fill_(math.nan)

    def launch(self, stream: int, *, waits: bool) -> None:
        """Enqueue all; `waits` for each before the next."""
        padded, normed, again, last = self.results
        steps = [
            lambda: self._pad(self.x, padded, self.shape, stream),
            lambda: self._norm(padded, normed, stream),
            lambda: self._norm(normed, again, stream),
            lambda: self._pad(again, last, padded_shape(self.shape, PADS), stream),
        ]
        for step in steps:
            step()
            if waits:
                torch.cuda.synchronize()

    def _pad(self, x: Tensor, y: Tensor, shape: Sequence[int], stream: int) -> None:
        self.kernels.reflect_pad(x, y, PADS, stream, shape=shape, format_=self.format)

    def _norm(self, x: Tensor, y: Tensor, stream: int) -> None:
        shape = padded_shape(self.shape, PADS)
        self.kernels.instance_norm(
            x, self.scale, self.bias, y, EPSILON, self.workspace, stream, shape=shape, format_=self.format
        )


@pytest.mark.parametrize("format_", [FORMAT_LINEAR, FORMAT_CHANNELS_LAST], ids=["linear", "channels_last"])
@pytest.mark.parametrize("name", SHAPES)
def test_a_chain_gives_what_its_kernels_give_one_by_one(name: str, format_: int) -> None:
    chain = Chain.of(TorchKernels(), SHAPES[name], format_)
    chain.launch(torch.cuda.current_stream().cuda_stream, waits=True)  # kernels are loaded at their first launch
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        chain.launch(torch.cuda.current_stream().cuda_stream, waits=False)
    for _ in range(ROUNDS):
        chain.renew()
        torch.cuda.synchronize()
        chain.launch(torch.cuda.current_stream().cuda_stream, waits=True)
        expected = [result.clone() for result in chain.results]
        assert all(torch.isfinite(result).all() for result in expected)

        for run in (lambda: chain.launch(torch.cuda.current_stream().cuda_stream, waits=False), graph.replay):
            for result in chain.results:
                result.fill_(math.nan)
            run()
            torch.cuda.synchronize()
            assert all(torch.equal(result, each) for result, each in zip(chain.results, expected, strict=True))
