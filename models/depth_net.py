"""Depth of a picture by the decoder of Monodepth2: [N, 3, H, W], 0 to 1, to disparities [N, 1, H, W], 0 to 1.

Godard et al.: Digging into Self-Supervised Monocular Depth Prediction, 2019: at each scale reflection padding, a
convolution and an ELU, nearest upsampling by 2, the encoder's features of that scale, and the same again. The encoder
is a strided convolution a scale, far smaller than the published one: what is measured is the decoder.
"""

from __future__ import annotations

from models.network_builder import LINEAR_GAIN, NetworkBuilder, NetworkOptions, NetworkSpec, OpCounts, Tensor

ENCODER_FACTORS = (4, 4, 8, 16)
DECODER_FACTORS = (8, 4, 2, 1)
ELU_GAIN = 1.25  # keeps the variance behind an ELU of a normal distribution
MULTIPLE = 2 ** len(ENCODER_FACTORS)


def _add_layers(net: NetworkBuilder, x: Tensor) -> Tensor:
    features: list[Tensor] = []
    for scale, factor in enumerate(ENCODER_FACTORS):
        with net.scope(f"encoder{scale}"):
            x = net.elu(net.conv(x, factor * net.options.channels, kernel=3, stride=2, padding=1, gain=ELU_GAIN))
        features.append(x)
    for scale in reversed(range(len(DECODER_FACTORS))):
        channels = DECODER_FACTORS[len(DECODER_FACTORS) - 1 - scale] * net.options.channels
        with net.scope(f"decoder{scale}"):
            x = net.upsample(_conv_elu(net, x, channels), 2)
            if scale > 0:
                x = net.concat(x, features[scale - 1])
            x = _conv_elu(net, x, channels)
    with net.scope("disparity"):
        return net.sigmoid(net.conv(net.reflect_pad(x, 1), 1, kernel=3, gain=LINEAR_GAIN))


def _conv_elu(net: NetworkBuilder, x: Tensor, channels: int) -> Tensor:
    return net.elu(net.conv(net.reflect_pad(x, 1), channels, kernel=3, gain=ELU_GAIN))


def _check(options: NetworkOptions) -> None:
    if any(length % MULTIPLE or length < 2 * MULTIPLE for length in options.size):
        raise ValueError(f"height and width must be multiples of {MULTIPLE} from {2 * MULTIPLE} on, got {options.size}")


SPEC = NetworkSpec(
    title="depth_net",
    source="Depth decoder of Monodepth2 (Godard et al. 2019) on a small encoder; random weights",
    input_name="image",
    input_channels=3,
    output_name="disparity",
    axes=("height", "width"),
    default_size=(320, 1024),
    default_channels=16,
    add_layers=_add_layers,
    output_size=lambda options: options.size,
    output_axes=("height", "width"),
    check=_check,
    count_ops=lambda _: OpCounts(instance_norms=0, reflect_pads=2 * len(DECODER_FACTORS) + 1),
)
