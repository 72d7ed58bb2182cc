"""The manifest beside an engine: `model.engine.json` says what is in it, what it needs, and how it came about."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from trtconv import files, records
from trtconv.config import BuildConfig, EngineOptions
from trtconv.decisions import Decision
from trtconv.errors import ConfigError, ModelError
from trtconv.shapes import ShapeRange

FORMAT: Final = 1
_HINT = "build the engine again, or move its manifest away"
_NAMED_DIGITS = 12  # of the sha256, in the name that a manifest has first
_MAX_STEM_BYTES = 200  # of that name: 255 bytes are all that a file system takes
_ATTEMPTS = 2
# Without these nobody can tell how an engine was built.
_NEEDED = ("model", "backend", "gpu_arch", "options", "profiles", "decisions", "kept_fp32")


@dataclass(frozen=True)
class ModelIdentity:
    """The model that an engine was built from."""

    file: str
    sha256: str
    opset: int


@dataclass(frozen=True)
class EngineIdentity:
    """The engine that a manifest belongs to."""

    sha256: str | None = None
    bytes: int | None = None


@dataclass(frozen=True)
class LibraryIdentity:
    """The plugin library that an engine was built with."""

    file: str
    sha256: str


@dataclass(frozen=True)
class IoTensor:
    """An input or output of an engine; `dtype` is its type, such as float32, -1 a dynamic dimension."""

    name: str
    dtype: str
    shape: Sequence[int]


@dataclass(frozen=True)
class Verified:
    """How an engine compared with its model when it was built with `verify`."""

    input_sets: Sequence[str]
    worst_output: str
    max_abs_error: float
    relative_error: float
    tolerance: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What trtconv knows of an engine that it built. What a manifest leaves out is None or empty.

    `options` are those that shaped the engine: `ops` is what became of the operators, not what was asked for.
    """

    format: Literal[1] = FORMAT
    trtconv: str
    created: str | None = None
    model: ModelIdentity | None = None
    engine: EngineIdentity = field(default_factory=EngineIdentity)
    backend: Literal["tensorrt", "tensorrt-rtx"] | None = None
    backend_version: str | None = None
    gpu: str | None = None
    gpu_arch: str | None = None
    plugin_library: LibraryIdentity | None = None
    plugins: Sequence[str] = ()
    options: EngineOptions = field(default_factory=EngineOptions)
    profiles: Sequence[Mapping[str, ShapeRange]] = ()
    inputs: Sequence[IoTensor] = ()
    outputs: Sequence[IoTensor] = ()
    decisions: Sequence[Decision] = ()
    kept_fp32: Sequence[Decision] = ()
    verified: Verified | None = None

    @classmethod
    def from_json(cls, content: Any, where: str | None = None) -> Manifest:
        """Check and read the types of JSON. Raises ConfigError where a value is not what this format holds."""
        try:
            return records.from_json(cls, content)
        except ConfigError as error:
            raise ConfigError(
                f"does not have the format that this trtconv writes: {error.what}", where=where, hint=_HINT
            ) from None

    def to_json(self) -> dict[str, Any]:
        """Return the manifest in the types of JSON."""
        return records.as_object(self)

    def __getitem__(self, key: str) -> Any:
        """Return one value of the JSON document, as a report's manifest was read when it was a dict."""
        return self.to_json()[key]

    def to_text(self) -> str:
        """Return the manifest as the text of its file."""
        return json.dumps(self.to_json(), indent=2) + "\n"

    def config(self) -> BuildConfig:
        """Return the options of the build, for an engine that holds its weights and is not written to a file.

        Raises ConfigError where a manifest, edited by hand, holds options that BuildConfig refuses.
        """
        is_rtx = self.backend == "tensorrt-rtx"
        options = vars(self.options) | {"strip_weights": False, "embed_plugins": False}
        if is_rtx:
            options["ops"] = None  # there is nothing to choose
        return BuildConfig(
            profiles=self.profiles,
            backend=self.backend or "auto",
            gpu_arch=self.gpu_arch if is_rtx else None,
            **options,
        )


def manifest_path(engine_path: Path) -> Path:
    """Return where the manifest of an engine is."""
    return Path(f"{engine_path}.json")


def first_manifest_path(engine_path: Path, engine_sha256: str) -> Path:
    """Return where the manifest of an engine is until the engine is there too."""
    stem = os.fsdecode(os.fsencode(engine_path.name)[:_MAX_STEM_BYTES])
    return engine_path.with_name(f"{stem}.{engine_sha256[:_NAMED_DIGITS]}.json")


def first_manifest_paths(engine_path: Path) -> list[Path]:
    """Return the manifests beside an engine that builds of it, finished or not, put there before their engines."""
    stem = first_manifest_path(engine_path, "").name.removesuffix("..json")
    pattern = re.compile(re.escape(stem) + rf"\.([0-9a-f]{{{_NAMED_DIGITS}}})\.json")
    try:
        found = [match for match in map(pattern.fullmatch, os.listdir(engine_path.parent)) if match]
    except OSError:
        return []
    paths = {engine_path.with_name(match[0]): match[1] for match in found}
    return [path for path, digits in paths.items() if (_engine_sha256(path) or "").startswith(digits)]


def read_manifest(engine_path: Path, *, sha256: str | None = None, trust: bool = False) -> Manifest | None:
    """Return an engine's manifest, or None where there is none: no file, no JSON, or another program's.

    `sha256` is the engine's, where it is known already. Raises ConfigError for one of trtconv that does not hold what a
    manifest holds, ModelError for that of another engine, which `trust` takes all the same.
    """
    path = _belonging(engine_path, sha256, trust)
    try:
        content = records.read_json(path)
    except ConfigError:
        return None
    if not isinstance(content, dict) or "trtconv" not in content:
        return None
    return Manifest.from_json(content, str(path))


def require_manifest(engine_path: Path, purpose: str, *, trust: bool = False) -> Manifest:
    """Return an engine's manifest, or raise as `read_manifest`, and ConfigError where there is none.

    `purpose` is what it would have said.
    """
    path = _belonging(engine_path, None, trust)
    if not os.path.exists(path):
        what = f"there is no manifest, which says {purpose}"
        raise ConfigError(what, where=str(path), hint="build the engine with trtconv")
    content = records.read_json(path)
    if not isinstance(content, dict) or "trtconv" not in content:
        raise ConfigError(f"is not a manifest of trtconv, which says {purpose}", where=str(path), hint=_HINT)
    missing = [key for key in _NEEDED if key not in content]
    if missing:
        raise ConfigError(f"lacks {', '.join(missing)}, and so does not say {purpose}", where=str(path), hint=_HINT)
    manifest = Manifest.from_json(content, str(path))
    try:
        manifest.config()
    except ConfigError as error:
        raise ConfigError(f"its options do not fit together: {error}", where=str(path), hint=_HINT) from None
    return manifest


def _belonging(engine_path: Path, sha256: str | None, trust: bool) -> Path:
    """Return the manifest that fits an engine, under either name; the usual one where nothing says what fits.

    A build may replace both files meanwhile: only what does not fit twice is another engine's.
    """
    usual, said, found = manifest_path(engine_path), None, ""
    for _ in range(_ATTEMPTS):
        said = _engine_sha256(usual)
        others = first_manifest_paths(engine_path)
        if not os.path.exists(engine_path) or (said is None and not others):
            return usual
        found = sha256 or files.sha256(engine_path)
        for path, engine in ((usual, said), *((path, _engine_sha256(path)) for path in others)):
            if engine == found:
                return path
        if said is None or trust:
            return usual
    assert said is not None
    differ = f"sha256 {said[:_NAMED_DIGITS]} there, {found[:_NAMED_DIGITS]} here"
    what = f"does not fit its manifest ({differ}): it is damaged, or {usual.name} belongs to another engine"
    hint = "copy both again, build again, or take them as they are with --trust (in Python trust=True)"
    raise ModelError(what, where=str(engine_path), hint=hint)


def _engine_sha256(path: Path) -> str | None:
    """Return the engine's sha256 that a manifest names; None where it names none, or is none."""
    try:
        content = records.read_json(path)
    except ConfigError:
        return None
    engine = content.get("engine") if isinstance(content, dict) else None
    sha256 = engine.get("sha256") if isinstance(engine, dict) and "trtconv" in content else None
    return sha256 if isinstance(sha256, str) else None
