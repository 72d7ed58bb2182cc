"""A 3-D U-Net as nnU-Net configures it: volume in, class logits out, [N, 1, D, H, W] to [N, 2, D, H, W].

Isensee, Jaeger, Kohl, Petersen, Maier-Hein: nnU-Net: a self-configuring method for deep learning-based biomedical image
segmentation, 2021. Every stage is two times convolution, InstanceNormalization, LeakyRelu; channels double from 32 up
to 320; strided convolutions go down, transposed ones up. Only the head of full resolution is there, as at inference.
"""

from __future__ import annotations

from models.network_builder import (
    LINEAR_GAIN,
    NetworkBuilder,
    NetworkOptions,
    NetworkSpec,
    OpCounts,
    Tensor,
    leaky_relu_gain,
)

SLOPE = 0.01
MAX_CHANNELS_FACTOR = 10  # 32 to 320
NUM_CLASSES = 2


def _add_layers(net: NetworkBuilder, x: Tensor) -> Tensor:
    num_stages = net.options.stages
    stage_channels = [net.options.channels * min(2**stage, MAX_CHANNELS_FACTOR) for stage in range(num_stages)]
    skips: list[Tensor] = []
    for stage, channels in enumerate(stage_channels):
        with net.scope(f"encoder{stage}"):
            x = _conv_norm_activation(net, x, channels, stride=1 if stage == 0 else 2)
            x = _conv_norm_activation(net, x, channels)
        skips.append(x)
    for stage in reversed(range(num_stages - 1)):
        with net.scope(f"decoder{stage}"):
            channels = stage_channels[stage]
            x = net.conv_transpose(x, channels, kernel=2, stride=2, gain=leaky_relu_gain(SLOPE))
            x = net.concat(x, skips[stage])
            x = _conv_norm_activation(net, x, channels)
            x = _conv_norm_activation(net, x, channels)
    with net.scope("head"):
        return net.conv(x, NUM_CLASSES, kernel=1, gain=LINEAR_GAIN)


def _conv_norm_activation(net: NetworkBuilder, x: Tensor, channels: int, *, stride: int = 1) -> Tensor:
    x = net.conv(x, channels, kernel=3, stride=stride, padding=1, gain=leaky_relu_gain(SLOPE))
    return net.leaky_relu(net.instance_norm(x), SLOPE)


def _check(options: NetworkOptions) -> None:
    if options.stages < 2:
        raise ValueError(f"stages must be 2 or more, got {options.stages}")
    multiple = 2 ** (options.stages - 1)
    given = f"{options.stages} stages and {options.size}"
    if any(length % multiple for length in options.size):
        raise ValueError(f"every size must be a multiple of {multiple}, got {given}")
    if max(options.size) == multiple:  # a norm over one element gives but its bias, and TensorRT-RTX refuses it
        raise ValueError(f"one size must be {2 * multiple} or more, got {given}")


SPEC = NetworkSpec(
    title="unet3d",
    source="3-D U-Net in the manner of nnU-Net (Isensee et al. 2021); random weights",
    input_name="volume",
    input_channels=1,
    output_name="logits",
    axes=("depth", "height", "width"),
    default_size=(128, 128, 128),
    default_channels=32,
    default_stages=6,
    add_layers=_add_layers,
    output_size=lambda options: options.size,
    output_axes=("depth", "height", "width"),
    check=_check,
    count_ops=lambda options: OpCounts(instance_norms=4 * options.stages - 2, reflect_pads=0),
)
