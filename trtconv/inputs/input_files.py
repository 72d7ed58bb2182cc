"""Read input sets that a user gives: an .npz or .npy file or an image is one set, a folder one set an image."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from trtconv.errors import BackendError, ConfigError
from trtconv.inputs.made_inputs import InputSet, InputSpec, Shapes, as_values, input_specs, type_name
from trtconv.shapes import Profile, format_dims

IMAGE_INSTALL_HINT = "run: pip install 'trtconv[images]'"
_IMAGE_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
_MODES = {1: "L", 3: "RGB"}
_WIDE_MODES = ("I", "F")  # Pillow would cut these off at 255
_CASTABLE = {"f": "fiu", "V": "fiu", "i": "iu", "u": "iu", "b": "b"}  # kinds of values that an input of each kind takes
OPTION = "--inputs"
_HINT = "write it with: numpy.savez(file, NAME=array, ...)"


@dataclass(frozen=True)
class ImageRange:
    """What black and white become in a float input."""

    black: float = 0.0
    white: float = 1.0

    @classmethod
    def parse(cls, text: str) -> ImageRange:
        """Read `0:255`."""
        black, _, white = text.partition(":")
        with suppress(ValueError):
            parsed = cls(float(black), float(white))
            if math.isfinite(parsed.black) and math.isfinite(parsed.white):
                return parsed
        what = f"got {text!r}, expected what black and white become, such as 0:1, 0:255 or -1:1"
        raise ConfigError(what, where="--image-range")


_PIXEL_RANGES = (ImageRange(0, 1), ImageRange(0, 255))


def read_inputs(
    paths: Sequence[Path],
    specs: Sequence[InputSpec],
    shapes: Shapes | None = None,
    image_range: ImageRange | None = None,
    *,
    values: Shapes | None = None,
    option: str = OPTION,
) -> list[InputSet]:
    """Return the input sets of all files and folders.

    `shapes` says what size images are to have for dynamic inputs, `values` what shape tensors hold that a file does not
    name. `option` is what errors call the place where the user named the files.
    """
    sets: list[InputSet] = []
    for path in paths:
        where = f"{option} {path}"
        if path.is_dir() or path.suffix.lower() in _IMAGE_SUFFIXES:
            sets += _read_images(path, specs, shapes or {}, image_range or ImageRange(), where)
            continue
        feed = _read_npy(path, specs, where) if path.suffix == ".npy" else _read_npz(path, where)
        for spec in specs:
            if spec.name not in feed and spec.name in (values or {}):
                feed[spec.name] = as_values(spec, (values or {})[spec.name])
        _require_all(feed, specs, where)
        sets.append(InputSet(str(path), {spec.name: _fitted(spec, feed[spec.name], where) for spec in specs}))
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
        is_images = path.is_dir() or path.suffix.lower() in _IMAGE_SUFFIXES
        for image_range in _PIXEL_RANGES if is_images else (ImageRange(),):
            for each in read_inputs([path], specs, shapes, image_range, values=values, option=option):
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
                hint = f"fp16 is judged by what the network computes: give values that are finite in {values.dtype}"
                raise ConfigError(what, where=where, hint=hint)


def _require_all(feed: Mapping[str, npt.NDArray[Any]], specs: Sequence[InputSpec], where: str) -> None:
    missing = [spec.name for spec in specs if spec.name not in feed]
    if missing:
        what = f"has no array for {', '.join(missing)}; it holds {', '.join(feed) or 'nothing'}"
        raise ConfigError(what, where=where, hint=_HINT)


def _read_npz(path: Path, where: str) -> dict[str, npt.NDArray[Any]]:
    with _described(where, "is no .npz file of arrays", _HINT):
        with zipfile.ZipFile(path):  # numpy reads other kinds of files too
            pass
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}


def _read_npy(path: Path, specs: Sequence[InputSpec], where: str) -> dict[str, npt.NDArray[Any]]:
    if len(specs) != 1:
        what = f"an .npy file holds one array, the model has {len(specs)} inputs: {', '.join(s.name for s in specs)}"
        raise ConfigError(what, where=where, hint="write an .npz file with numpy.savez")
    with _described(where, "is no .npy file of an array"), path.open("rb") as file:
        return {specs[0].name: np.lib.format.read_array(file, allow_pickle=False)}


def _fitted(spec: InputSpec, values: npt.NDArray[Any], where: str) -> npt.NDArray[Any]:
    """Return the values in the input's type, where that changes nothing but the precision of floats."""
    fits = len(spec.dims) == values.ndim
    if not fits or any(isinstance(dim, int) and dim != size for dim, size in zip(spec.dims, values.shape, strict=True)):
        what = f"{spec.name} is {format_dims(values.shape)}, expected {format_dims(spec.dims)}"
        raise ConfigError(what, where=where)
    if spec.dtype.kind == "O" and values.dtype.kind in "SU":
        return values.astype(str).astype(object)
    with np.errstate(over="ignore"):
        cast = values.astype(spec.dtype) if values.dtype.kind in _CASTABLE.get(spec.dtype.kind, "") else None
    if cast is None or (spec.dtype.kind not in "fV" and not np.array_equal(cast, values)):
        what = f"{spec.name} is of type {type_name(values.dtype)}, expected {type_name(spec.dtype)}"
        raise ConfigError(what, where=where)
    return cast


def _read_images(
    place: Path, specs: Sequence[InputSpec], shapes: Shapes, image_range: ImageRange, where: str
) -> list[InputSet]:
    require_pillow()
    paths = _images_in(place) if place.is_dir() else [place]
    if not paths:
        raise ConfigError(f"holds no images ({', '.join(sorted(_IMAGE_SUFFIXES))})", where=where)
    if len(specs) != 1:
        what = f"images feed a model with one input, this one has {', '.join(spec.name for spec in specs)}"
        raise ConfigError(what, where=where, hint="write .npz files with numpy.savez")
    spec = specs[0]
    layout = _layout(spec, shapes.get(spec.name, spec.dims), where)
    return [InputSet(str(path), {spec.name: _read_image(path, spec, layout, image_range)}) for path in paths]


def _images_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _IMAGE_SUFFIXES and path.is_file())


def require_pillow() -> None:
    """Raise BackendError where Pillow is not installed."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        raise BackendError("images need Pillow, which is not installed", hint=IMAGE_INSTALL_HINT) from None


@dataclass(frozen=True)
class _Layout:
    batch: int
    channels: int
    height: int
    width: int
    is_channels_last: bool


def _layout(spec: InputSpec, dims: Sequence[Any], where: str) -> _Layout:
    what = f"input {spec.name} is {spec.dtype} {format_dims(dims)}"
    if spec.dtype.kind != "f" and spec.dtype != np.uint8:
        raise ConfigError(f"{what}: images feed float and uint8 inputs", where=where)
    if len(dims) != 4 or not (dims[1] in _MODES or dims[3] in _MODES):
        raise ConfigError(f"{what}: images feed inputs of NxCxHxW or NxHxWxC with 1 or 3 channels", where=where)
    if not all(isinstance(dim, int) for dim in dims):
        raise ConfigError(f"{what}: what size are the images to have?", where=where, hint="give the shape: --shape")
    if dims[1] in _MODES:
        return _Layout(dims[0], dims[1], dims[2], dims[3], False)
    return _Layout(dims[0], dims[3], dims[1], dims[2], True)


def _read_image(path: Path, spec: InputSpec, layout: _Layout, image_range: ImageRange) -> npt.NDArray[Any]:
    """Return one image in the input's size and layout, the same for each of a batch."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode.startswith(_WIDE_MODES):
                what = f"its pixels ({image.mode}) have more than the 8 bits of a byte"
                raise ConfigError(what, where=str(path), hint="write an .npz file with numpy.savez")
            resized = image.convert(_MODES[layout.channels]).resize(
                (layout.width, layout.height), Image.Resampling.BILINEAR
            )
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot be read as an image: {reason}", where=str(path)) from None
    pixels = np.asarray(resized).reshape(layout.height, layout.width, layout.channels)
    if spec.dtype != np.uint8:
        span = image_range.white - image_range.black
        pixels = (image_range.black + pixels.astype(np.float64) / 255 * span).astype(spec.dtype)
    if not layout.is_channels_last:
        pixels = pixels.transpose(2, 0, 1)
    return np.repeat(pixels[np.newaxis], layout.batch, axis=0)


@contextmanager
def _described(where: str, what: str, hint: str | None = None) -> Iterator[None]:
    """Turn what numpy, zipfile and zlib raise for a damaged file, a dozen kinds of exceptions, into ConfigError."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror or error}", where=where) from None
    except Exception as error:
        raise ConfigError(f"{what}: {str(error) or type(error).__name__}", where=where, hint=hint) from None
