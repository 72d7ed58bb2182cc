"""Which versions are installed, by the packages' own metadata: nothing of them is imported.

For the time that it takes, importlib.metadata itself is imported by the functions that read them.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from urllib.parse import unquote, urlsplit

# The names under which each thing is distributed; TensorRT's own package is a shell around others.
DISTRIBUTIONS: Mapping[str, Sequence[str]] = {
    "trtconv": ("trtconv",),
    "onnx": ("onnx",),
    "onnx-graphsurgeon": ("onnx-graphsurgeon",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "polygraphy": ("polygraphy",),
    "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12", "tensorrt-cu13-bindings", "tensorrt-cu12-bindings"),
    "tensorrt-rtx": ("tensorrt-rtx", "tensorrt-rtx-cu13", "tensorrt-rtx-cu12"),
}
# What each optional part of trtconv is for. What a part needs, the package's metadata say.
EXTRAS: Mapping[str, str] = {
    "tensorrt": "engines with plugins, on a machine with an NVIDIA GPU",
    "rtx": "engines for RTX GPUs, built on any machine",
    "compare": "trtconv compare, trtconv build --verify",
    "bench": "trtconv bench",
    "run": "trtconv run of an engine",
    "images": "images as inputs and outputs",
    "plot": "--plot",
}
_EXTRA_OF_BACKEND: Mapping[str, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "rtx"}
_NOTES: Mapping[str, str] = {"tensorrt": " (needs an NVIDIA GPU)", "rtx": " (builds anywhere)"}
# As metadata write it: name[extras] version; extra == "name".
_REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)(?:\[(?P<extras>[^]]*)\])?(?P<version>[^;]*)(?:;\s*extra == .(?P<extra>[\w-]+).)?$"
)


def requirements_of(extra: str) -> list[str]:
    """Return the packages that an optional part of trtconv needs, with their versions, as pip takes them."""
    found: list[str] = []
    for match in filter(None, map(_REQUIREMENT.match, _metadata())):
        if match["extra"] != extra:
            continue
        if match["name"] == "trtconv":  # other parts of it
            found += [each for part in match["extras"].split(",") for each in requirements_of(part.strip())]
        else:
            found.append(f"{match['name']}{match['version']}".strip())
    return list(dict.fromkeys(found))


def missing_of(extra: str) -> list[str]:
    """Return which of these packages are not installed."""
    return [each for each in requirements_of(extra) if _version(_distributions(each)) is None]


def install_hint(*extras: str) -> str:
    """Return the line to type for one of these optional parts, or the backends of these names.

    It names packages and not trtconv itself, which need not come from a package index.
    """
    lines = []
    for each in extras:
        extra = _EXTRA_OF_BACKEND.get(each, each)
        needed = missing_of(extra) or requirements_of(extra)
        packages = " ".join(map(shlex.quote, needed or [f"trtconv[{extra}]"]))
        lines.append(f"pip install {packages}{_NOTES.get(extra, '')}")
    return f"run: {' or '.join(lines)}"


def reinstall_hint() -> str:
    """Return how to install trtconv again from where it came: a folder or a wheel."""
    import importlib.metadata

    try:
        text = importlib.metadata.distribution("trtconv").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        text = None
    url = json.loads(text).get("url", "") if text else ""
    if url.startswith("file://"):
        return f"run: pip install --force-reinstall --no-deps {shlex.quote(unquote(urlsplit(url).path))}"
    return "install the wheel of trtconv again: pip install --force-reinstall --no-deps trtconv-VERSION.whl"


def installed_versions() -> dict[str, str | None]:
    """Return the version of each package that trtconv works with, None for one that is not installed."""
    return {name: _version(distributions) for name, distributions in DISTRIBUTIONS.items()}


def backend_version(backend: str) -> str | None:
    """Return the installed version of `tensorrt` or `tensorrt-rtx`, None where it is not installed."""
    return _version(DISTRIBUTIONS[backend])


def version_of(distribution: str) -> str | None:
    """Return the installed version of a distribution, None where it is not installed."""
    return _version((distribution,))


def _metadata() -> Sequence[str]:
    import importlib.metadata

    try:
        return importlib.metadata.requires("trtconv") or ()
    except importlib.metadata.PackageNotFoundError:
        return ()


def _distributions(requirement: str) -> Sequence[str]:
    match = _REQUIREMENT.match(requirement)
    name = match["name"] if match else requirement
    return DISTRIBUTIONS.get(name.lower(), (name,))


def _version(distributions: Sequence[str]) -> str | None:
    import importlib.metadata

    for distribution in distributions:
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None
