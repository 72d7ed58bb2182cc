"""Call the plugin library's C launchers, which plugins_cuda/trtconv_kernels.h declares, on device addresses."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from trtconv.element_types import FLOAT32, ElementType
from trtconv.errors import BackendError
from trtconv.plugins import library as plugin_library

# How tensors lie in memory: the numbers of trtconv_kernels.h.
LAYOUTS: Mapping[str, int] = {"linear": 0, "channels_last": 1, "chw4": 2, "chw32": 3}
# What becomes of a norm's values before they are rounded: the numbers of trtconv_kernels.h.
ACTIVATIONS: Mapping[str, int] = {
    name: number for number, name in enumerate(("none", "relu", "leaky_relu", "prelu", "silu", "elu", "tanh"))
}
PAD_MODES: Mapping[str, int] = {"reflect": 0, "edge": 1, "zero": 2}
_ERROR_TYPE = -2  # TRTCONV_ERROR_TYPE
_WORDS = -1  # TRTCONV_WORDS
_MAX_RANK = 8

Launch = Callable[[int], None]  # of a stream


class KernelError(BackendError):
    """A launcher returned a status other than 0: positive for a CUDA error, negative for a wrong argument."""

    def __init__(self, status: int) -> None:
        kind = "CUDA error" if status > 0 else "launcher status"
        super().__init__(f"the kernel could not be launched: {kind} {status}")
        self.status = status

    @property
    def is_not_offered(self) -> bool:
        """Whether the library has no kernel for such a type or layout."""
        return self.status == _ERROR_TYPE


@dataclass(frozen=True)
class OutputMap:
    """What a pad does beside moving and reflecting: the fields of trtconv_output_map.

    `upsample`, `phases` and `crop` hold a number for each axis; without one no axis is upsampled, has phases or is
    cropped. Where neither type is given, elements are moved bit for bit. `y_layout` is that of x where it is None.
    """

    upsample: Sequence[int] = ()
    pad_mode: str = "reflect"
    x_type: ElementType | None = None
    y_type: ElementType | None = None
    y_layout: int | None = None
    activation: str = "none"
    alpha: float = 0.0
    phases: Sequence[int] = ()
    crop: Sequence[int] = ()


class _OutputMapStruct(ctypes.Structure):
    _fields_: ClassVar[Sequence[tuple[str, Any]]] = [
        ("upsample", ctypes.c_int64 * _MAX_RANK),
        ("pad_mode", ctypes.c_int32),
        ("output_format", ctypes.c_int32),
        ("input_dtype", ctypes.c_int32),
        ("output_dtype", ctypes.c_int32),
        ("activation", ctypes.c_int32),
        ("alpha", ctypes.c_float),
        ("phases", ctypes.c_int64 * _MAX_RANK),
        ("crop", ctypes.c_int64 * _MAX_RANK),
    ]


class NormPlace(NamedTuple):
    """Where a norm's results go and its residual lies: trtconv_norm_place, by the spatial axes of X."""

    upsample: Sequence[int]
    pads: Sequence[int]  # all begins, then all ends; likewise those of the residual
    pad_mode: str = "reflect"
    residual_pads: Sequence[int] = ()
    y_type: ElementType | None = None  # that of X
    phases: Sequence[int] = ()  # 1 for each
    crop: Sequence[int] = ()  # none


class NormOptions(NamedTuple):
    """What an InstanceNorm does beside: trtconv_instance_norm_options, with device addresses of tensors, 0 for none."""

    groups: int = 0
    is_affine_per_image: bool = False
    activation: str = "none"
    alpha: float = 0.0
    residual: int = 0
    slope: int = 0
    place: NormPlace | None = None


class _CNormPlace(ctypes.Structure):
    _fields_ = (
        ("rank", ctypes.c_int32),
        ("sizes", ctypes.c_int64 * (_MAX_RANK - 2)),
        ("upsample", ctypes.c_int64 * (_MAX_RANK - 2)),
        ("pads", ctypes.c_int64 * (2 * _MAX_RANK - 4)),
        ("residual_pads", ctypes.c_int64 * (2 * _MAX_RANK - 4)),
        ("pad_mode", ctypes.c_int32),
        ("output_dtype", ctypes.c_int32),
        ("phases", ctypes.c_int64 * (_MAX_RANK - 2)),
        ("crop", ctypes.c_int64 * (_MAX_RANK - 2)),
    )


class _CNormOptions(ctypes.Structure):
    _fields_ = (
        ("groups", ctypes.c_int64),
        ("is_affine_per_image", ctypes.c_int32),
        ("activation", ctypes.c_int32),
        ("alpha", ctypes.c_float),
        ("residual", ctypes.c_void_p),
        ("slope", ctypes.c_void_p),
        ("place", ctypes.POINTER(_CNormPlace)),
    )


def c_place(place: NormPlace, shape: Sequence[int], element_type: ElementType) -> _CNormPlace:
    """Return the place of the results of X as the launcher takes it; `shape` is that of X with its phases."""
    most = _MAX_RANK - 2
    sizes = shape[2:]
    residual_pads = place.residual_pads or (0,) * (2 * len(sizes))
    return _CNormPlace(
        len(sizes),
        (ctypes.c_int64 * most)(*sizes),
        (ctypes.c_int64 * most)(*place.upsample),
        (ctypes.c_int64 * (2 * most))(*place.pads),
        (ctypes.c_int64 * (2 * most))(*residual_pads),
        PAD_MODES[place.pad_mode],
        _kernel_number(place.y_type or element_type),
        (ctypes.c_int64 * most)(*(place.phases or (1,) * len(sizes))),
        (ctypes.c_int64 * most)(*place.crop),
    )


def c_options(options: NormOptions, place: _CNormPlace | None = None) -> _CNormOptions:
    """Return the options as the launcher takes them."""
    return _CNormOptions(
        options.groups,
        options.is_affine_per_image,
        ACTIVATIONS[options.activation],
        options.alpha,
        options.residual or None,
        options.slope or None,
        None if place is None else ctypes.pointer(place),
    )


class KernelLibrary:
    """The launchers of libtrtconv_plugins.so.

    `bind_*` return launch(stream), its arguments converted once so that little but the launch itself takes time; it
    raises KernelError. Tensors are device addresses; shapes are [N, C, D1..Dk], however the tensors lie in memory, and
    those of x where it has phases.
    """

    def __init__(self, library: Any) -> None:
        self._library = library
        library.trtconv_instance_norm_workspace_bytes.restype = ctypes.c_size_t

    def version(self) -> str:
        """Return the version of trtconv that the library was built from."""
        self._library.trtconv_plugin_library_version.restype = ctypes.c_char_p
        return str(self._library.trtconv_plugin_library_version().decode())

    def workspace_bytes(
        self,
        shape: Sequence[int],
        layout: int = LAYOUTS["linear"],
        groups: int = 0,
        place: NormPlace | None = None,
        element_type: ElementType = FLOAT32,
    ) -> int:
        """Return how many bytes of scratch memory an InstanceNorm needs, or a smaller batch or smaller slices."""
        given = None if place is None else c_place(place, shape, element_type)
        needed = self._library.trtconv_instance_norm_workspace_bytes(
            *_norm_sizes(shape),
            ctypes.c_int32(_kernel_number(element_type)),
            ctypes.c_int32(layout),
            ctypes.c_int64(groups),
            ctypes.c_void_p(None if given is None else ctypes.addressof(given)),
        )
        return int(needed)

    def bind_instance_norm(
        self,
        x: int,
        scale: int,
        bias: int,
        y: int,
        *,
        shape: Sequence[int],
        element_type: ElementType,
        epsilon: float,
        layout: int,
        workspace: int,
        workspace_bytes: int,
        options: NormOptions = NormOptions(),  # noqa: B008 - immutable
    ) -> Launch:
        """Bind y = InstanceNorm(x, scale, bias), with what `options` adds."""
        place = None if options.place is None else c_place(options.place, shape, element_type)
        given = c_options(options, place)
        arguments = [
            *map(ctypes.c_void_p, (x, scale, bias, y)),
            *_norm_sizes(shape),
            ctypes.c_float(epsilon),
            ctypes.c_int32(_kernel_number(element_type)),
            ctypes.c_int32(layout),
            ctypes.byref(given),
            ctypes.c_void_p(workspace),
            ctypes.c_size_t(workspace_bytes),
        ]
        return _bound(self._library.trtconv_instance_norm, arguments, (given, place))

    def bind_reflect_pad(
        self,
        x: int,
        y: int,
        *,
        shape: Sequence[int],
        pads: Sequence[int],
        element_bytes: int,
        layout: int,
        output_map: OutputMap | None = None,
    ) -> Launch:
        """Bind y = ReflectPad(x); `pads` in ONNX order, `element_bytes` those of x."""
        sizes, both = (np.array(values, dtype=np.int64) for values in (shape, pads))
        struct = None if output_map is None else _struct_of(output_map, layout)
        arguments = [
            ctypes.c_void_p(x),
            ctypes.c_void_p(y),
            ctypes.c_int32(len(sizes)),
            ctypes.c_void_p(sizes.ctypes.data),
            ctypes.c_void_p(both.ctypes.data),
            ctypes.c_int32(element_bytes),
            ctypes.c_int32(layout),
            ctypes.c_void_p(None if struct is None else ctypes.addressof(struct)),
        ]
        return _bound(self._library.trtconv_reflect_pad, arguments, (sizes, both, struct))


def load_kernels() -> tuple[KernelLibrary, plugin_library.PluginLibrary]:
    """Return the launchers, and the description of the library that they are of."""
    described = plugin_library.find()
    try:
        return KernelLibrary(ctypes.CDLL(str(described.path))), described
    except (OSError, AttributeError) as error:
        raise BackendError(f"is not a plugin library of this version: {error}", where=str(described.path)) from error


def _norm_sizes(shape: Sequence[int]) -> list[ctypes.c_int64]:
    return [ctypes.c_int64(size) for size in (*shape[:2], math.prod(shape[2:]))]


def _struct_of(output_map: OutputMap, layout: int) -> _OutputMapStruct:
    factors = (*output_map.upsample, *[1] * _MAX_RANK)[:_MAX_RANK]
    return _OutputMapStruct(
        (ctypes.c_int64 * _MAX_RANK)(*factors),
        PAD_MODES[output_map.pad_mode],
        layout if output_map.y_layout is None else output_map.y_layout,
        _kernel_number(output_map.x_type),
        _kernel_number(output_map.y_type),
        ACTIVATIONS[output_map.activation],
        output_map.alpha,
        (ctypes.c_int64 * _MAX_RANK)(*(*output_map.phases, *[1] * _MAX_RANK)[:_MAX_RANK]),
        (ctypes.c_int64 * _MAX_RANK)(*output_map.crop),
    )


def _kernel_number(element_type: ElementType | None) -> int:
    if element_type is None:
        return _WORDS
    return -2 if element_type.kernel is None else element_type.kernel  # the launcher refuses it


def _bound(launcher: Any, arguments: Sequence[Any], keep: Any) -> Launch:
    def launch(stream: int, keep_alive: Any = keep) -> None:
        status = launcher(*arguments, ctypes.c_void_p(stream))
        if status != 0:
            raise KernelError(status)

    return launch
