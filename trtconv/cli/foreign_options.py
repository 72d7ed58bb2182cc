"""Options of trtexec and polygraphy, and what they are called here."""

from __future__ import annotations

import click

_SHAPES = "--shape NAME=MIN:OPT:MAX, such as --shape x=1x3x256x256:1x3x720x1280:4x3x1080x1920"
_QUANTISED = "--precision fp16 or bf16; a model that is quantised already (Q/DQ nodes) stays as it is"
_PLUGINS = "trtconv loads its own plugins by itself; a library in their place: TRTCONV_PLUGIN_LIBRARY=PATH"
_TYPED = "nothing: networks are always strongly typed"
_FIRST = "the model as the first argument: trtconv build model.onnx"
# By the option in lower case, without dashes and underscores.
_OURS = {
    "onnx": _FIRST,
    "model": _FIRST,
    "input": _FIRST,
    "saveengine": "-o model.engine",
    "engine": "-o model.engine",
    "loadengine": "the engine as an argument: trtconv inspect model.engine, or trtconv compare model.onnx model.engine",
    "fp16": "--precision fp16",
    "half": "--precision fp16",
    "bf16": "--precision bf16",
    "int8": _QUANTISED,
    "fp8": _QUANTISED,
    "int4": _QUANTISED,
    "best": _QUANTISED,
    "fp32": "nothing: without --precision the types of the model are kept",
    "shapes": "--shape NAME=AxBxC, once for each input",
    "minshapes": _SHAPES,
    "optshapes": _SHAPES,
    "maxshapes": _SHAPES,
    "trtminshapes": _SHAPES,
    "trtoptshapes": _SHAPES,
    "trtmaxshapes": _SHAPES,
    "inputshapes": "--shape NAME=AxBxC, once for each input",
    "batch": _SHAPES,
    "batchsize": _SHAPES,
    "maxbatch": _SHAPES,
    "mempoolsize": "--workspace 2GiB",
    "poollimit": "--workspace 2GiB",
    "timingcachefile": "--timing-cache FILE",
    "builderoptimizationlevel": "--opt-level 0..5",
    "optimizationlevel": "--opt-level 0..5",
    "notf32": "--no-tf32",
    "versioncompatible": "--version-compatible",
    "excludeleanruntime": "--exclude-lean-runtime",
    "hardwarecompatibilitylevel": "--hardware-compatible",
    "refit": "--refittable",
    "refittable": "--refittable",
    "stripweights": "--strip-weights",
    "stripplan": "--strip-weights",
    "stronglytyped": _TYPED,
    "explicitbatch": _TYPED,
    "plugins": _PLUGINS,
    "dynamicplugins": _PLUGINS,
    "staticplugins": _PLUGINS,
    "setpluginstoserialize": "--embed-plugins",
    "device": "CUDA_VISIBLE_DEVICES=N before the command",
    "skipinference": "nothing: trtconv build does not run the engine, but with --verify",
    "inputiofmts": "--io-types fp16, with --precision",
    "inputioformats": "--io-types fp16, with --precision",
    "outputioformats": "--io-types fp16, with --precision",
    "layerprecisions": "--keep-fp32 PATTERN, with --precision",
    "calib": "--calibration FILE",
    "exportlayerinfo": "trtconv inspect model.engine --json",
    "dumplayerinfo": "trtconv inspect model.engine",
}


def hint_for(error: click.UsageError) -> str | None:
    """Return what an unknown option is called here, or None for one that neither tool has."""
    if not isinstance(error, click.NoSuchOption):
        return None
    ours = _OURS.get(error.option_name.lower().replace("-", "").replace("_", ""))
    if ours is None or ours == _PLUGINS:
        return ours
    return f"leave it out: {ours.removeprefix('nothing: ')}" if ours.startswith("nothing") else f"use {ours}"
