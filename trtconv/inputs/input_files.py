"""Read input sets that a user gives: an .npz or .npy file or an image is one set, a folder one set an image."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from trtconv.errors import ConfigError, TrtconvError
from trtconv.inputs.array_files import Check, read_npy, read_npz
from trtconv.inputs.images import ImageOptions, ImageRange, images_in, is_image_source, read_images
from trtconv.inputs.made_inputs import InputSet, InputSpec, Shapes, as_values, input_specs, type_name
from trtconv.shapes import Profile, format_dims

_CASTABLE = {"f": "fiu", "V": "fiu", "i": "iu", "u": "iu", "b": "b"}  # kinds of values that an input of each kind takes
OPTION = "--inputs"
_HINT = "write it with: numpy.savez(file, NAME=array, ...)"
_SHOWN_NAMES, _SHOWN_CHARS = 5, 80
_PIXEL_RANGES = (ImageRange(0, 1), ImageRange(0, 255))


def files_read(paths: Sequence[Path]) -> list[Path]:
    """Return the files that `read_inputs` reads: of a folder its images. Raises ConfigError for one that is closed."""
    return [file for path in paths for file in (images_in(path) if os.path.isdir(path) else [path])]


def read_inputs(
    paths: Sequence[Path],
    specs: Sequence[InputSpec],
    shapes: Shapes | None = None,
    images: ImageOptions | None = None,
    *,
    values: Shapes | None = None,
    option: str = OPTION,
) -> list[InputSet]:
    """Return the input sets of all files and folders.

    `shapes` says what size images are to have for dynamic inputs, `images` how they become inputs, `values` what shape
    tensors hold that a file does not name. `option` is what errors call the place where the user named the files.
    """
    sets: list[InputSet] = []
    for path in paths:
        where = f"{option} {path}"
        if is_image_source(path):
            sets += read_images(path, specs, shapes or {}, images or ImageOptions(), where)
            continue
        read = _read_npy if path.suffix == ".npy" else _read_npz
        feed, held = read(path, specs, where)
        for spec in specs:
            if spec.name not in feed and spec.name in (values or {}):
                feed[spec.name] = as_values(spec, (values or {})[spec.name])
        _require_all(feed, held, specs, where)
        sets.append(InputSet(str(path), {spec.name: fitted(spec, feed[spec.name], where) for spec in specs}))
    return sets


def read_calibration(paths: Sequence[Path], proto: onnx.ModelProto, profiles: Sequence[Profile]) -> list[InputSet]:
    """Return the input sets that fp16 is judged by, at the usual shapes of the first profile.

    What range a network's pixels have is not known, so that an image is two sets, from 0 to 1 and from 0 to 255. Raises
    ConfigError for values that are not finite: they say nothing of what the network computes.
    """
    option, profile = "--calibration", profiles[0] if profiles else {}
    specs = input_specs(proto)
    shapes, values = (
        {name: each.opt for name, each in profile.items() if each.kind == kind} for kind in ("shape", "values")
    )
    sets: list[InputSet] = []
    for path in paths:
        is_images = is_image_source(path)
        for image_range in _PIXEL_RANGES if is_images else (ImageRange(),):
            for each in read_inputs([path], specs, shapes, ImageOptions(image_range), values=values, option=option):
                label = f"{each.label}, {image_range.black:g} to {image_range.white:g}" if is_images else each.label
                _require_finite(each, f"{option} {each.label}")
                sets.append(InputSet(label, each.feed))
    return sets


def _require_finite(inputs: InputSet, where: str) -> None:
    for name, values in inputs.feed.items():
        if values.dtype.kind not in "fV":
            continue
        for special, kind in ((np.isnan(values), "NaN"), (np.isinf(values), "inf")):
            if special.any():
                what = f"{name} holds {kind}, in {int(special.sum())} of {values.size} values"
                hint = f"calibration runs the network on these values: they must be finite in {values.dtype}"
                raise ConfigError(what, where=where, hint=hint)


def _require_all(
    feed: Mapping[str, npt.NDArray[Any]], held: Sequence[str], specs: Sequence[InputSpec], where: str
) -> None:
    missing = [spec.name for spec in specs if spec.name not in feed]
    if missing:
        what = f"has no array for {_first_of(missing)}; it holds {_first_of(held) or 'nothing'}"
        raise ConfigError(what, where=where, hint=_HINT)


def _first_of(names: Sequence[str]) -> str:
    """Return a few names, each cut, and how many more there are."""
    shown = [name if len(name) <= _SHOWN_CHARS else f"{name[:_SHOWN_CHARS]}..." for name in names[:_SHOWN_NAMES]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


def _read_npz(path: Path, specs: Sequence[InputSpec], where: str) -> tuple[dict[str, npt.NDArray[Any]], list[str]]:
    with _described(where, "is not an .npz file of arrays", _HINT):
        return read_npz(path, [spec.name for spec in specs], _fitting(specs, where), where)


def _read_npy(path: Path, specs: Sequence[InputSpec], where: str) -> tuple[dict[str, npt.NDArray[Any]], list[str]]:
    if len(specs) != 1:
        inputs = _first_of([spec.name for spec in specs])
        what = f"an .npy file holds one array, the model has {len(specs)} inputs: {inputs}"
        raise ConfigError(what, where=where, hint="write an .npz file with numpy.savez")
    name = specs[0].name
    with _described(where, "is not an .npy file of an array"):
        return {name: read_npy(path, name, _fitting(specs, where), where)}, [name]


def _fitting(specs: Sequence[InputSpec], where: str) -> Check:
    """Return what refuses an array whose shape is not that of its input."""
    by_name = {spec.name: spec for spec in specs}

    def check(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
        _require_shape(by_name[name], shape, where)
        return int(by_name[name].dtype.itemsize)

    return check


def _require_shape(spec: InputSpec, shape: tuple[int, ...], where: str) -> None:
    fits = len(spec.dims) == len(shape)
    if not fits or any(isinstance(dim, int) and dim != size for dim, size in zip(spec.dims, shape, strict=True)):
        what = f"{spec.name} is {format_dims(shape)}, expected {format_dims(spec.dims)}"
        raise ConfigError(what, where=where)


def fitted(spec: InputSpec, values: npt.NDArray[Any], where: str) -> npt.NDArray[Any]:
    """Return the values in the input's type, where that changes nothing but the precision of floats.

    Raises ConfigError for another shape or type.
    """
    _require_shape(spec, values.shape, where)
    if values.dtype == spec.dtype:
        return values
    if spec.dtype.kind == "O" and values.dtype.kind in "SU":
        return values.astype(str).astype(object)
    with np.errstate(over="ignore"):
        cast = values.astype(spec.dtype) if values.dtype.kind in _CASTABLE.get(spec.dtype.kind, "") else None
    if cast is None or (spec.dtype.kind not in "fV" and not np.array_equal(cast, values)):
        what = f"{spec.name} is of type {type_name(values.dtype)}, expected {type_name(spec.dtype)}"
        raise ConfigError(what, where=where)
    return cast


@contextmanager
def _described(where: str, what: str, hint: str | None = None) -> Iterator[None]:
    """Turn what numpy, zipfile and zlib raise for a damaged file, a dozen kinds of exceptions, into ConfigError."""
    try:
        yield
    except TrtconvError:
        raise
    except Exception as error:
        raise ConfigError(f"{what}: {str(error) or type(error).__name__}", where=where, hint=hint) from None
