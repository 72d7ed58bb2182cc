"""Launch the kernel of a case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from trtconv.benchmark.cases import Case
from trtconv.errors import BackendError
from trtconv.plugins.kernels import LAYOUTS, KernelError, KernelLibrary


class NotOfferedError(BackendError):
    """The library has no kernel for a case."""


@dataclass(frozen=True)
class Tensors:
    """The device addresses of one launch."""

    x: int
    y: int
    scale: int = 0
    bias: int = 0
    workspace: int = 0


def workspace_bytes(library: KernelLibrary, case: Case) -> int:
    """Return how much scratch memory a launch needs."""
    return library.workspace_bytes(case.shape, LAYOUTS[case.format]) if case.is_norm else 0


def bind(library: KernelLibrary, case: Case, tensors: Tensors) -> Callable[[int], None]:
    """Return launch(stream), its arguments converted already."""
    layout = LAYOUTS[case.format]
    if case.is_norm:
        launch = library.bind_instance_norm(
            tensors.x,
            tensors.scale,
            tensors.bias,
            tensors.y,
            shape=case.shape,
            element_type=case.element_type,
            epsilon=cast(float, case.attributes["epsilon"]),
            layout=layout,
            workspace=tensors.workspace,
            workspace_bytes=workspace_bytes(library, case),
        )
    else:
        element_bytes = case.element_type.num_bytes(1)
        launch = library.bind_reflect_pad(
            tensors.x, tensors.y, shape=case.shape, pads=case.pads, element_bytes=element_bytes, layout=layout
        )

    def checked(stream: int) -> None:
        try:
            launch(stream)
        except KernelError as error:
            if error.is_not_offered:
                raise NotOfferedError(f"the plugin library has no kernel for {case.name}") from None
            raise BackendError(error.what, where=case.name) from None

    return checked
