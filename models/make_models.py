"""Write networks by code and seed, so that no large file needs to be kept: the same arguments give the same bytes.

    python -m models.make_models fast_neural_style --height 720 --width 1280 --dtype fp16
    python -m models.make_models cyclegan --dynamic --output cyclegan.onnx

The weights are random, scaled so that activations keep their magnitude in fp16 too: the networks compute what trained
ones compute, at the same cost, but their pictures mean nothing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import onnx

from models import cyclegan, depth_net, fast_neural_style, gan_decoder, melgan, unet3d, vae_decoder
from models.fetch import DEFAULT_OUTPUT_DIR, write_atomically
from models.network_builder import DTYPES, PADS_STYLES, NetworkBuilder, NetworkOptions, NetworkSpec, OpCounts, Tensor

NETWORKS: dict[str, NetworkSpec] = {
    spec.title: spec
    for spec in (
        fast_neural_style.SPEC,
        cyclegan.SPEC,
        unet3d.SPEC,
        melgan.SPEC,
        gan_decoder.SPEC,
        vae_decoder.SPEC,
        depth_net.SPEC,
    )
}
AXES = ("depth", "height", "width", "frames")

EXAMPLES = """examples:
  python -m models.make_models fast_neural_style --height 720 --width 1280 --dtype fp16
  python -m models.make_models cyclegan --dynamic --output cyclegan.onnx
  python -m models.make_models unet3d --depth 64 --height 64 --width 64 --stages 4
  python -m models.make_models melgan --frames 800 --pads-style computed
"""


def make(
    network: str,
    *,
    depth: int | None = None,
    height: int | None = None,
    width: int | None = None,
    frames: int | None = None,
    batch: int = 1,
    channels: int | None = None,
    stages: int | None = None,
    dtype: str = "fp32",
    dynamic: bool = False,
    opset: int = 17,
    pads_style: str = "initializer",
    seed: int = 0,
) -> onnx.ModelProto:
    """Return one of NETWORKS as a checked model; what is left out takes the published network's value.

    `channels` are those of the first layer, the others follow; `stages` belongs to unet3d alone. `pads_style` says how
    the pads reach a Pad: as an initializer, from a Constant node, or through the chain of nodes that PyTorch exports
    (before opset 11 they are an attribute). ValueError where an option does not fit the network.
    """
    spec = find_network(network)
    given_size = {"depth": depth, "height": height, "width": width, "frames": frames}
    foreign = [axis for axis, length in given_size.items() if length is not None and axis not in spec.axes]
    if stages is not None and not spec.default_stages:
        foreign.append("stages")
    if foreign:
        raise ValueError(f"{network} has no {' and no '.join(foreign)}")
    defaults = dict(zip(spec.axes, spec.default_size, strict=True))
    options = NetworkOptions(
        size=tuple(defaults[axis] if (given := given_size[axis]) is None else given for axis in spec.axes),
        channels=spec.default_channels if channels is None else channels,
        stages=spec.default_stages if stages is None else stages,
        batch=batch,
        dtype=dtype,
        dynamic=dynamic,
        opset=opset,
        pads_style=pads_style,
        seed=seed,
    )
    return _make(spec, options)


def expected_counts(network: str, *, stages: int | None = None) -> OpCounts:
    """Return how many InstanceNormalization and Pad(mode=reflect) nodes a network holds."""
    spec = find_network(network)
    stages = spec.default_stages if stages is None else stages
    return spec.count_ops(NetworkOptions(size=spec.default_size, channels=spec.default_channels, stages=stages))


def count_ops(model: onnx.ModelProto) -> OpCounts:
    """Return how many InstanceNormalization and Pad(mode=reflect) nodes the model's main graph holds."""
    nodes = model.graph.node
    return OpCounts(
        instance_norms=sum(node.op_type == "InstanceNormalization" for node in nodes),
        reflect_pads=sum(
            node.op_type == "Pad" and any(a.name == "mode" and a.s == b"reflect" for a in node.attribute)
            for node in nodes
        ),
    )


def find_network(name: str) -> NetworkSpec:
    """Return the network of that name."""
    if name not in NETWORKS:
        raise ValueError(f"no network {name!r}; there are: {', '.join(NETWORKS)}")
    return NETWORKS[name]


def _make(spec: NetworkSpec, options: NetworkOptions) -> onnx.ModelProto:
    spec.check(options)
    builder = NetworkBuilder(options)
    output = spec.add_layers(builder, Tensor(spec.input_name, spec.input_channels))
    model = builder.finish(output, spec)
    onnx.checker.check_model(model, full_check=True)
    return model


def _default_output(model: onnx.ModelProto, options: argparse.Namespace) -> Path:
    dims = model.graph.input[0].type.tensor_type.shape.dim
    size = "dynamic" if options.dynamic else "x".join(str(dim.dim_value) for dim in dims)
    return DEFAULT_OUTPUT_DIR / f"{options.network}_{size}_{options.dtype}.onnx"


def _parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m models.make_models",
        description="Write a network with seeded random weights as ONNX.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("network", choices=NETWORKS, metavar="NETWORK", help=", ".join(NETWORKS))
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: models/build/NETWORK_SIZE_DTYPE.onnx")
    for axis in AXES:
        having = ", ".join(
            f"{name} {size}"
            for name, spec in NETWORKS.items()
            for a, size in zip(spec.axes, spec.default_size, strict=True)
            if a == axis
        )
        parser.add_argument(f"--{axis}", type=int, metavar=axis[0].upper(), help=f"defaults: {having}")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="default: 1")
    parser.add_argument("--channels", type=int, metavar="C", help="of the first layer; default: as published")
    parser.add_argument("--stages", type=int, metavar="S", help="unet3d only; default: 6")
    parser.add_argument("--dtype", choices=DTYPES, default="fp32", help="of weights, input and output; default: fp32")
    parser.add_argument("--dynamic", action="store_true", help="leave batch and spatial sizes open")
    parser.add_argument("--opset", type=int, default=17, help="default: 17; below 11 pads are attributes")
    parser.add_argument("--pads-style", choices=PADS_STYLES, default="initializer", help="default: initializer")
    parser.add_argument("--seed", type=int, default=0, help="of the weights; default: 0")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parse_arguments(arguments)
    choices = {name: value for name, value in vars(options).items() if name not in ("network", "output")}
    try:
        model = make(options.network, **choices)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    path = options.output or _default_output(model, options)
    try:
        write_atomically(path, model.SerializeToString(deterministic=True))
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    counts = count_ops(model)
    print(
        f"{path}: {path.stat().st_size} bytes, "
        f"{counts.instance_norms} InstanceNormalization, {counts.reflect_pads} reflect Pad"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
