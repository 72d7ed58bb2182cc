"""The decoder of a GAN without norms: features in, image out, [N, 64, H, W] to [N, 3, 32 H, 32 W] with pixels -1 to 1.

Nearest upsampling by 2 and a convolution, five times, as Odena et al. (Deconvolution and Checkerboard Artifacts, 2016)
advise it; batch normalisation is folded into the weights, as an export does.
"""

from __future__ import annotations

from models.network_builder import NetworkBuilder, NetworkOptions, NetworkSpec, OpCounts, Tensor, leaky_relu_gain

NUM_STAGES = 5
SLOPE = 0.2
MAX_CHANNELS_FACTOR = 16


def _add_layers(net: NetworkBuilder, x: Tensor) -> Tensor:
    for stage in range(NUM_STAGES):
        channels = net.options.channels * min(2 ** (NUM_STAGES - 1 - stage), MAX_CHANNELS_FACTOR)
        with net.scope(f"up{stage + 1}"):
            x = net.conv(net.upsample(x, 2), channels, kernel=3, padding=1, gain=leaky_relu_gain(SLOPE))
            x = net.leaky_relu(x, SLOPE)
    with net.scope("last"):
        return net.tanh(net.conv(x, 3, kernel=3, padding=1, gain=0.5 * leaky_relu_gain(SLOPE)))


def _check(options: NetworkOptions) -> None:
    if min(options.size) < 1:
        raise ValueError(f"height and width must be 1 or more, got {options.size}")


SPEC = NetworkSpec(
    title="gan_decoder",
    source="Decoder of a GAN by nearest upsampling and convolutions after Odena et al. 2016; random weights",
    input_name="features",
    input_channels=64,
    output_name="image",
    axes=("height", "width"),
    default_size=(8, 8),
    default_channels=32,
    add_layers=_add_layers,
    output_size=lambda options: tuple(2**NUM_STAGES * length for length in options.size),
    output_axes=("out_height", "out_width"),
    check=_check,
    count_ops=lambda _: OpCounts(instance_norms=0, reflect_pads=0),
)
