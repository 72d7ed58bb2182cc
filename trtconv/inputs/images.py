"""Images as inputs and outputs of models: the one door to Pillow."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from trtconv import reading
from trtconv.errors import BackendError, ConfigError, TrtconvError
from trtconv.inputs.array_files import MAX_SET_BYTES
from trtconv.inputs.made_inputs import InputSet, InputSpec, Shapes
from trtconv.installed import install_hint
from trtconv.shapes import format_dims

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # others run programs, or read other files
Order = Literal["nchw", "nhwc"]
_MODES = {1: "L", 3: "RGB"}
_WIDE_MODES = ("I", "F")  # Pillow would cut these off at 255


@dataclass(frozen=True)
class ImageRange:
    """What black and white become in a float input."""

    black: float = 0.0
    white: float = 1.0

    def __str__(self) -> str:
        return f"{self.black:g}..{self.white:g}"

    @classmethod
    def parse(cls, text: str, option: str = "--image-range") -> ImageRange:
        """Read `0:255`."""
        black, _, white = text.partition(":")
        with suppress(ValueError):
            parsed = cls(float(black), float(white))
            if math.isfinite(parsed.black) and math.isfinite(parsed.white):
                return parsed
        what = f"got {text!r}, expected what black and white become, such as 0:1, 0:255 or -1:1"
        raise ConfigError(what, where=option)


def require_pillow() -> None:
    """Raise BackendError where Pillow is not installed."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        raise BackendError("images need Pillow, which is not installed", hint=install_hint("images")) from None


def is_image_source(path: Path) -> bool:
    """Say whether a path names an image or a folder, which is one of images."""
    return os.path.isdir(path) or path.suffix.lower() in IMAGE_SUFFIXES


@dataclass(frozen=True)
class ImageOptions:
    """How images become inputs.

    `own_size` lets a dynamic height and width be those of each image, and a dynamic batch 1; otherwise the shape of a
    dynamic input must be given. `order` says where the channels are when the sizes do not tell.
    """

    range: ImageRange = field(default_factory=ImageRange)
    own_size: bool = False
    order: Order | None = None


def read_images(
    place: Path, specs: Sequence[InputSpec], shapes: Shapes, options: ImageOptions, where: str
) -> list[InputSet]:
    """Return an input set for an image, or for each image of a folder. `shapes` gives sizes to dynamic inputs.

    Raises ConfigError where the model does not take images or a file is not one, BackendError without Pillow.
    """
    require_pillow()
    paths = images_in(place) if os.path.isdir(place) else [place]
    if not paths:
        raise ConfigError(f"holds no images ({', '.join(sorted(IMAGE_SUFFIXES))})", where=where)
    if len(specs) != 1:
        what = f"images feed a model with one input, this one has {', '.join(spec.name for spec in specs)}"
        raise ConfigError(what, where=where, hint="write .npz files with numpy.savez")
    spec = specs[0]
    dims = shapes.get(spec.name, spec.dims)
    return [InputSet(str(path), {spec.name: _read_image(path, spec, dims, options, where)}) for path in paths]


def images_in(folder: Path) -> list[Path]:
    """Return the images of a folder, by their names. Raises ConfigError where it cannot be read."""
    with reading.described(str(folder), "read"):
        paths = [folder / name for name in os.listdir(folder)]
    return sorted(path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES and os.path.isfile(path))


@dataclass(frozen=True)
class _Layout:
    batch: int
    channels: int
    height: int
    width: int
    is_channels_last: bool


def _layout(spec: InputSpec, dims: Sequence[Any], order: Order | None, where: str) -> _Layout:
    what = f"input {spec.name} is {spec.dtype} {format_dims(dims)}"
    if spec.dtype.kind != "f" and spec.dtype != np.uint8:
        raise ConfigError(f"{what}: images feed float and uint8 inputs", where=where)
    is_channels_last = len(dims) == 4 and has_channels_last(dims, order)
    channel_axis = 3 if is_channels_last else 1
    if len(dims) != 4 or dims[channel_axis] not in _MODES:
        raise ConfigError(f"{what}: images feed inputs of NxCxHxW or NxHxWxC with 1 or 3 channels", where=where)
    if not all(isinstance(dim, int) for dim in dims):
        raise ConfigError(f"{what}: what size are the images to have?", where=where, hint="give the shape: --shape")
    num_bytes = math.prod(dims) * spec.dtype.itemsize
    if num_bytes > MAX_SET_BYTES:
        what = f"{what}, {num_bytes} bytes: more than the {MAX_SET_BYTES >> 30} GiB that an input set may take"
        raise ConfigError(what, where=where, hint="give a smaller shape or size")
    if is_channels_last:
        return _Layout(dims[0], dims[3], dims[1], dims[2], True)
    return _Layout(dims[0], dims[1], dims[2], dims[3], False)


def has_channels_last(dims: Sequence[Any], order: Order | None) -> bool:
    """Say whether an input of rank 4 has its channels last: as `order` says, else where its sizes are 1 or 3."""
    return order == "nhwc" or (order is None and dims[1] not in _MODES and dims[3] in _MODES)


def _of_own_size(dims: Sequence[Any], order: Order | None, width: int, height: int) -> list[Any]:
    """Return the dimensions with those of an image in the place of dynamic ones."""
    if len(dims) != 4:
        return list(dims)
    is_channels_last = has_channels_last(dims, order)
    own = (1, height, width, 3) if is_channels_last else (1, 3, height, width)
    return [dim if isinstance(dim, int) else size for dim, size in zip(dims, own, strict=True)]


def _read_image(
    path: Path, spec: InputSpec, dims: Sequence[Any], options: ImageOptions, where: str
) -> npt.NDArray[Any]:
    """Return one image in the input's size and layout, the same for each of a batch."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with reading.opened(path, reading.IMAGE) as file, Image.open(file, formats=_FORMATS) as image:
            if image.mode.startswith(_WIDE_MODES):
                what = f"its pixels ({image.mode}) have more than the 8 bits of a byte"
                raise ConfigError(what, where=str(path), hint="write an .npz file with numpy.savez")
            upright = ImageOps.exif_transpose(image)
            if options.own_size:
                dims = _of_own_size(dims, options.order, *upright.size)
            layout = _layout(spec, dims, options.order, where)
            resized = upright.convert(_MODES[layout.channels]).resize(
                (layout.width, layout.height), Image.Resampling.BILINEAR
            )
    except TrtconvError:
        raise
    except UnidentifiedImageError:
        raise ConfigError(f"is not an image that can be read ({', '.join(_FORMATS)})", where=str(path)) from None
    except Exception as error:  # each format has its own
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ConfigError(f"cannot be read as an image: {reason}", where=str(path)) from None
    pixels = np.asarray(resized).reshape(layout.height, layout.width, layout.channels)
    if spec.dtype != np.uint8:
        black, white = options.range.black, options.range.white
        pixels = (black + pixels.astype(np.float64) / 255 * (white - black)).astype(spec.dtype)
    if not layout.is_channels_last:
        pixels = pixels.transpose(2, 0, 1)
    return np.repeat(pixels[np.newaxis], layout.batch, axis=0)


def as_pictures(values: npt.NDArray[Any], order: Order | None = None) -> npt.NDArray[Any] | None:
    """Return an output as pictures [N, H, W, C] with 1 or 3 channels, or None where it cannot be that.

    An output of rank 2 to 4 may be [H, W], [N, H, W], [C, H, W], [H, W, C], [N, C, H, W] or [N, H, W, C]; where the
    sizes leave it open, channels come first unless `order` is "nhwc".
    """
    if values.dtype.kind not in "fiuV" or not 2 <= values.ndim <= 4 or values.size == 0:
        return None
    if values.ndim == 2:
        return values[np.newaxis, :, :, np.newaxis]
    channels_first, channels_last = values.shape[-3] in _MODES, values.shape[-1] in _MODES
    if values.ndim == 3 and not channels_first and not channels_last:
        return values[..., np.newaxis]
    if values.ndim == 3:
        values = values[np.newaxis]
    if channels_last and (order == "nhwc" or not channels_first):
        return values
    return values.transpose(0, 2, 3, 1) if channels_first and order != "nhwc" else None


def to_pixels(values: npt.NDArray[Any], image_range: ImageRange) -> npt.NDArray[np.uint8]:
    """Return values as pixels of 8 bits; what is beyond black and white is cut off, what is not a number is black."""
    span = image_range.white - image_range.black
    scaled = (values.astype(np.float64) - image_range.black) * (255 / span if span else 0.0)
    pixels: npt.NDArray[np.uint8] = np.nan_to_num(scaled, nan=0.0).clip(0, 255).round().astype(np.uint8)
    return pixels


def encode(pixels: npt.NDArray[np.uint8], path: Path) -> bytes:
    """Return a picture [H, W, C] as the content of an image file, whose name says its format.

    Raises ConfigError for a name that Pillow knows no format for.
    """
    require_pillow()
    from PIL import Image

    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    Image.init()
    kind = Image.EXTENSION.get(path.suffix.lower())
    if kind not in Image.SAVE:
        raise ConfigError("is not the name of an image that can be written", where=str(path), hint="use .png or .jpg")
    content = io.BytesIO()
    image.save(content, kind, **({"quality": 95} if kind == "JPEG" else {}))
    return content.getvalue()
