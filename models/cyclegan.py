"""The CycleGAN generator with nine residual blocks: image to image, [N, 3, H, W] with values -1 to 1.

Zhu, Park, Isola, Efros: Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, 2017. In the
paper's words: c7s1-64, d128, d256, R256 nine times, u128, u64, c7s1-3; the authors' code writes u as a transposed
convolution with output padding.
"""

from __future__ import annotations

from models.network_builder import RELU_GAIN, NetworkBuilder, NetworkOptions, NetworkSpec, OpCounts, Tensor

NUM_RESIDUAL_BLOCKS = 9
TANH_GAIN = 0.5 * RELU_GAIN  # keeps the last layer's argument where tanh is not flat
MIN_SIZE = 5  # the first pad is 3 wide; those of the residual blocks need 2 elements after two halvings


def _add_layers(net: NetworkBuilder, x: Tensor) -> Tensor:
    channels = net.options.channels
    with net.scope("c7s1_first"):
        x = net.conv(net.reflect_pad(x, 3), channels, kernel=7)
        x = net.relu(net.instance_norm(x))
    for name, factor in (("down1", 2), ("down2", 4)):
        with net.scope(name):
            x = net.conv(x, factor * channels, kernel=3, stride=2, padding=1)
            x = net.relu(net.instance_norm(x))
    for index in range(NUM_RESIDUAL_BLOCKS):
        x = _residual_block(net, f"res{index + 1}", x)
    for name, factor in (("up1", 2), ("up2", 1)):
        with net.scope(name):
            x = net.conv_transpose(x, factor * channels, kernel=3, stride=2, padding=1, output_padding=1)
            x = net.relu(net.instance_norm(x))
    with net.scope("c7s1_last"):
        return net.tanh(net.conv(net.reflect_pad(x, 3), 3, kernel=7, gain=TANH_GAIN))


def _residual_block(net: NetworkBuilder, name: str, x: Tensor) -> Tensor:
    with net.scope(name):
        y = net.conv(net.reflect_pad(x, 1), x.channels, kernel=3)
        y = net.relu(net.instance_norm(y))
        y = net.conv(net.reflect_pad(y, 1), x.channels, kernel=3)
        return net.add(x, net.instance_norm(y))


def _check(options: NetworkOptions) -> None:
    if min(options.size) < MIN_SIZE:
        raise ValueError(f"height and width must be {MIN_SIZE} or more, got {options.size}")


SPEC = NetworkSpec(
    title="cyclegan",
    source="CycleGAN ResNet-9 generator after Zhu, Park, Isola, Efros 2017; random weights",
    input_name="image",
    input_channels=3,
    output_name="translated",
    axes=("height", "width"),
    default_size=(256, 256),
    default_channels=64,
    add_layers=_add_layers,
    output_size=lambda options: tuple(4 * -(-length // 4) for length in options.size),
    output_axes=("out_height", "out_width"),
    check=_check,
    count_ops=lambda _: OpCounts(instance_norms=5 + 2 * NUM_RESIDUAL_BLOCKS, reflect_pads=2 + 2 * NUM_RESIDUAL_BLOCKS),
)
