"""Launch the kernel of a case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trtconv.benchmark.cases import Case
from trtconv.errors import BackendError
from trtconv.ops.output_map import spread
from trtconv.plugins.kernels import LAYOUTS, KernelError, KernelLibrary, Launch, NormOptions, NormPlace, OutputMap


class NotOfferedError(BackendError):
    """The library has no kernel for a case."""


@dataclass(frozen=True)
class Tensors:
    """The device addresses of one launch."""

    x: int
    y: int
    scale: int = 0
    bias: int = 0
    residual: int = 0
    workspace: int = 0


def workspace_bytes(library: KernelLibrary, case: Case) -> int:
    """Return how much scratch memory a launch needs."""
    if not case.is_norm:
        return 0
    groups, place = case.attributes["groups"], _place_of(case)
    return library.workspace_bytes(case.shape, LAYOUTS[case.format], groups, place, case.element_type)


def bind(library: KernelLibrary, case: Case, tensors: Tensors) -> Callable[[int], None]:
    """Return launch(stream), its arguments converted already."""
    launch = _bind_norm(library, case, tensors) if case.is_norm else _bind_pad(library, case, tensors)

    def checked(stream: int) -> None:
        try:
            launch(stream)
        except KernelError as error:
            if error.is_not_offered:
                raise NotOfferedError(f"the plugin library has no kernel for {case.name}") from None
            raise BackendError(error.what, where=case.name) from None

    return checked


def _bind_norm(library: KernelLibrary, case: Case, tensors: Tensors) -> Launch:
    attributes = case.attributes
    options = NormOptions(
        groups=attributes["groups"],
        activation=attributes["activation"],
        alpha=attributes["alpha"],
        residual=tensors.residual if case.has_residual else 0,
        place=_place_of(case),
    )
    return library.bind_instance_norm(
        tensors.x,
        tensors.scale,
        tensors.bias,
        tensors.y,
        shape=case.shape,
        element_type=case.element_type,
        epsilon=attributes["epsilon"],
        layout=LAYOUTS[case.format],
        workspace=tensors.workspace,
        workspace_bytes=workspace_bytes(library, case),
        options=options,
    )


def _place_of(case: Case) -> NormPlace | None:
    """Return where the results of a norm go, None where they lie as X does."""
    if not case.is_placed:
        return None
    attributes, num_axes = case.attributes, len(case.shape) - 2
    return NormPlace(
        upsample=spread(attributes["upsample"], num_axes),
        pads=spread(attributes["pads"], 2 * num_axes),
        pad_mode=attributes["pad_mode"],
    )


def _bind_pad(library: KernelLibrary, case: Case, tensors: Tensors) -> Launch:
    attributes, element_type = case.attributes, case.element_type
    output_map = OutputMap(
        upsample=spread(attributes["upsample"], len(case.shape)),
        pad_mode=attributes["pad_mode"],
        x_type=element_type,
        y_type=case.output_type,
        activation=attributes["activation"],
        alpha=attributes["alpha"],
    )
    return library.bind_reflect_pad(
        tensors.x,
        tensors.y,
        shape=case.shape,
        pads=case.pads,
        element_bytes=element_type.num_bytes(1),
        layout=LAYOUTS[case.format],
        output_map=output_map if case.extra else None,
    )
