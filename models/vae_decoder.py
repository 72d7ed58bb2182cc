"""The decoder of a diffusion model's VAE: latent in, image out, [N, 4, H, W] to [N, 3, 8 H, 8 W].

Rombach et al.: High-Resolution Image Synthesis with Latent Diffusion Models, 2022: residual blocks of group norm, SiLU
and a convolution, nearest upsampling by 2 and a convolution between them. Its one attention layer is left out.
"""

from __future__ import annotations

import math

from models.network_builder import LINEAR_GAIN, NetworkBuilder, NetworkOptions, NetworkSpec, OpCounts, Tensor

CHANNEL_FACTORS = (4, 4, 2, 1)
BLOCKS_OF_A_STAGE = 3
NUM_GROUPS = 32
SILU_GAIN = 1.68  # keeps the variance behind a SiLU of a normal distribution
HALF_POWER = math.sqrt(0.5)


def _add_layers(net: NetworkBuilder, x: Tensor) -> Tensor:
    with net.scope("first"):
        x = net.conv(x, net.options.channels * CHANNEL_FACTORS[0], kernel=3, padding=1, gain=LINEAR_GAIN)
    for stage, factor in enumerate(CHANNEL_FACTORS):
        for block in range(BLOCKS_OF_A_STAGE):
            x = _residual_block(net, f"stage{stage + 1}/block{block + 1}", x, net.options.channels * factor)
        if stage < len(CHANNEL_FACTORS) - 1:
            with net.scope(f"up{stage + 1}"):
                x = net.conv(net.upsample(x, 2), x.channels, kernel=3, padding=1, gain=LINEAR_GAIN)
    with net.scope("last"):
        return net.conv(_norm_silu(net, x), 3, kernel=3, padding=1, gain=LINEAR_GAIN)


def _residual_block(net: NetworkBuilder, name: str, x: Tensor, channels: int) -> Tensor:
    with net.scope(name):
        y = net.conv(_norm_silu(net, x), channels, kernel=3, padding=1, gain=SILU_GAIN)
        y = net.conv(_norm_silu(net, y), channels, kernel=3, padding=1, gain=HALF_POWER * SILU_GAIN)
        shortcut = x if x.channels == channels else net.conv(x, channels, kernel=1, gain=HALF_POWER)
        return net.add(shortcut, y)


def _norm_silu(net: NetworkBuilder, x: Tensor) -> Tensor:
    return net.silu(net.group_norm(x, math.gcd(NUM_GROUPS, x.channels)))


def _check(options: NetworkOptions) -> None:
    if math.prod(options.size) < 2:
        raise ValueError(f"height times width must be 2 or more, got {options.size}")


SPEC = NetworkSpec(
    title="vae_decoder",
    source="Decoder of a latent diffusion model after Rombach et al. 2022, without attention; random weights",
    input_name="latent",
    input_channels=4,
    output_name="image",
    axes=("height", "width"),
    default_size=(64, 64),
    default_channels=128,
    add_layers=_add_layers,
    output_size=lambda options: tuple(8 * length for length in options.size),
    output_axes=("out_height", "out_width"),
    check=_check,
    count_ops=lambda _: OpCounts(instance_norms=2 * BLOCKS_OF_A_STAGE * len(CHANNEL_FACTORS) + 1, reflect_pads=0),
)
