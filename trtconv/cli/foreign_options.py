"""Options and commands of trtexec, polygraphy, torch2trt and other converters, and what they are called here."""

from __future__ import annotations

import re

import click

_SHAPES = "--shape NAME=MIN:OPT:MAX, such as --shape x=1x3x256x256:1x3x720x1280:4x3x1080x1920"
_QUANTISED = "--precision fp16 or bf16; a model that is quantised already (Q/DQ nodes) stays as it is"
_PLUGINS = "trtconv loads its own plugins by itself; a library in their place: TRTCONV_PLUGIN_LIBRARY=PATH"
_TYPED = "nothing: networks are always strongly typed"
_NO_DLA = "nothing: trtconv builds for GPUs, not for DLA"
_NO_SPARSITY = "nothing: trtconv does not ask for sparse weights"
_TIMES = "trtconv bench model.onnx, or trtconv run model.engine INPUT --latency"
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
    "bestprecision": _QUANTISED,
    "fp16mode": "--precision fp16",
    "int8mode": _QUANTISED,
    "enabledprecisions": "--precision fp16 or bf16",
    "dtype": "--precision fp16 or bf16",
    "quantize": _QUANTISED,
    "calibrationcache": "--calibration FILE, with the inputs themselves",
    "calibcache": "--calibration FILE, with the inputs themselves",
    "dataloaderscript": "--calibration FILE.npz, with the inputs themselves",
    "precisionconstraints": _TYPED,
    "layeroutputtypes": "--keep-fp32 PATTERN, with --precision",
    "dynamic": _SHAPES,
    "imgsz": _SHAPES,
    "maxbatchsize": _SHAPES,
    "calibshapes": _SHAPES,
    "maxworkspacesize": "--workspace 2GiB",
    "workspacesize": "--workspace 2GiB",
    "loadtimingcache": "--timing-cache FILE, which is read and written",
    "savetimingcache": "--timing-cache FILE, which is read and written",
    "timingcache": "--timing-cache FILE",
    "errorontimingcachemiss": "nothing: --timing-cache measures what the file does not hold",
    "versioncompat": "--version-compatible",
    "hardwarecompatible": "--hardware-compatible",
    "stripallweights": "--strip-weights",
    "weightless": "--strip-weights",
    "usedlacore": _NO_DLA,
    "usedla": _NO_DLA,
    "dlacore": _NO_DLA,
    "allowgpufallback": _NO_DLA,
    "builddlastandalone": _NO_DLA,
    "sparsity": _NO_SPARSITY,
    "sparseweights": _NO_SPARSITY,
    "simplify": "nothing: TensorRT simplifies the graph itself",
    "opset": "nothing: models of any opset are taken",
    "useonnx": "nothing: the model is ONNX",
    "convertto": "nothing: an engine is what trtconv build makes",
    "modeltype": "nothing: the model is ONNX",
    "trt": "nothing: an engine is what trtconv build makes",
    "onnxrt": "trtconv compare model.onnx model.engine, which runs both",
    "validate": "--verify",
    "checker": "--verify",
    "warmup": _TIMES,
    "iterations": _TIMES,
    "duration": _TIMES,
    "avgruns": _TIMES,
    "streams": _TIMES,
    "usecudagraph": _TIMES,
    "nodatatransfers": _TIMES,
    "dumpprofile": "trtconv bench model.onnx --layers",
    "separateprofilerun": "trtconv bench model.onnx --layers",
    "exportprofile": "trtconv bench model.onnx --layers --out FILE",
    "exporttimes": "trtconv bench model.onnx --out FILE",
    "loadinputs": "trtconv run model.engine inputs.npz -o outputs.npz",
    "dumpoutput": "trtconv run model.engine inputs.npz",
    "exportoutput": "trtconv run model.engine inputs.npz -o outputs.npz",
    "saveoutputs": "trtconv run model.engine inputs.npz -o outputs.npz",
    "profilingverbosity": "nothing: the engine tells its layers by name",
    "exportlayerinfo": "trtconv inspect model.engine --json",
    "dumplayerinfo": "trtconv inspect model.engine",
}


# The commands of other tools, in lower case.
_COMMANDS = {
    **dict.fromkeys(("convert", "export", "compile", "onnx2trt", "trtexec", "torch2trt", "onnx"), "build MODEL"),
    **dict.fromkeys(("benchmark", "profile", "time", "perf"), "bench MODEL"),
    **dict.fromkeys(("info", "show", "summary", "list"), "inspect FILE"),
    **dict.fromkeys(("infer", "predict", "exec"), "run ENGINE INPUT"),
    **dict.fromkeys(("verify", "diff", "validate"), "compare MODEL ENGINE"),
    **dict.fromkeys(("surgeon", "optimize", "simplify"), "rewrite MODEL -o FILE"),
    **dict.fromkeys(("check", "env", "version"), "doctor"),
    "help": "--help",
}
_MODEL_SUFFIXES = (".onnx", ".onnxtxt")


def hint_for(error: click.UsageError) -> str | None:
    """Return what an unknown option or command is called here, or None for one that no other tool has."""
    if isinstance(error, click.NoSuchOption):
        return _option_hint(error)
    if (match := re.match(r"No such command '([^']+)'", error.format_message())) is None:
        return None
    if match[1].lower().endswith(_MODEL_SUFFIXES):
        return f"run: trtconv build {match[1]}"
    command = _COMMANDS.get(match[1].lower())
    return None if command is None else f"run: trtconv {command}"


def _option_hint(error: click.NoSuchOption) -> str | None:
    ours = _OURS.get(error.option_name.lower().replace("-", "").replace("_", ""))
    if ours is None or ours == _PLUGINS:
        return ours
    if ours.startswith("nothing"):
        return f"leave it out: {ours.removeprefix('nothing: ')}"
    option = ours.partition(" ")[0]
    known = {name for param in (error.ctx.command.params if error.ctx else ()) for name in param.opts}
    is_builds = option.startswith("-") and option not in known
    return f"trtconv build has {ours}" if is_builds else f"use {ours}"
