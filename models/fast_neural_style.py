"""The fast-neural-style transformer: image in, painted image out, [N, 3, H, W] with pixels 0 to 255.

Johnson, Alahi, Fei-Fei: Perceptual Losses for Real-Time Style Transfer and Super-Resolution, 2016, in the form in
which it is commonly exported: InstanceNormalization for the paper's BatchNormalization (Ulyanov 2016), reflection
padding before every convolution, nearest upsampling before a convolution for the paper's strided one.
"""

from __future__ import annotations

from models.network_builder import (
    RELU_GAIN,
    NetworkBuilder,
    NetworkOptions,
    NetworkSpec,
    OpCounts,
    Tensor,
)

NUM_RESIDUAL_BLOCKS = 5
PIXEL_STD = 50.0  # what the last convolution gives, which nothing bounds
MIN_SIZE = 5  # the first and last pads are 4 wide


def _add_layers(net: NetworkBuilder, x: Tensor) -> Tensor:
    channels = net.options.channels
    x = _conv_norm_relu(net, "conv1", x, channels, kernel=9)
    x = _conv_norm_relu(net, "conv2", x, 2 * channels, kernel=3, stride=2)
    x = _conv_norm_relu(net, "conv3", x, 4 * channels, kernel=3, stride=2)
    for index in range(NUM_RESIDUAL_BLOCKS):
        x = _residual_block(net, f"res{index + 1}", x)
    x = _conv_norm_relu(net, "deconv1", x, 2 * channels, kernel=3, upsample=2)
    x = _conv_norm_relu(net, "deconv2", x, channels, kernel=3, upsample=2)
    with net.scope("deconv3"):
        return net.conv(net.reflect_pad(x, 4), 3, kernel=9, gain=RELU_GAIN * PIXEL_STD)


def _conv_norm_relu(
    net: NetworkBuilder, name: str, x: Tensor, channels: int, *, kernel: int, stride: int = 1, upsample: int = 1
) -> Tensor:
    with net.scope(name):
        if upsample > 1:
            x = net.upsample(x, upsample)
        x = net.conv(net.reflect_pad(x, kernel // 2), channels, kernel, stride=stride)
        return net.relu(net.instance_norm(x))


def _residual_block(net: NetworkBuilder, name: str, x: Tensor) -> Tensor:
    with net.scope(name):
        y = net.conv(net.reflect_pad(x, 1), x.channels, kernel=3)
        y = net.relu(net.instance_norm(y))
        y = net.conv(net.reflect_pad(y, 1), x.channels, kernel=3)
        return net.add(net.instance_norm(y), x)


def _check(options: NetworkOptions) -> None:
    if min(options.size) < MIN_SIZE:
        raise ValueError(f"height and width must be {MIN_SIZE} or more, got {options.size}")


SPEC = NetworkSpec(
    title="fast_neural_style",
    source="Fast neural style transformer after Johnson, Alahi, Fei-Fei 2016; random weights",
    input_name="image",
    input_channels=3,
    output_name="styled",
    axes=("height", "width"),
    default_size=(256, 256),
    default_channels=32,
    add_layers=_add_layers,
    output_size=lambda options: tuple(4 * -(-length // 4) for length in options.size),
    output_axes=("out_height", "out_width"),
    check=_check,
    count_ops=lambda _: OpCounts(instance_norms=5 + 2 * NUM_RESIDUAL_BLOCKS, reflect_pads=6 + 2 * NUM_RESIDUAL_BLOCKS),
)
