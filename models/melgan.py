"""The MelGAN vocoder: mel spectrogram in, waveform out, [N, 80, T] to [N, 1, 256 T].

Kumar et al.: MelGAN: Generative Adversarial Networks for Conditional Waveform Synthesis, 2019. Transposed convolutions
by 8, 8, 2, 2, each with three residual blocks of dilation 1, 3, 9; reflection padding before every wide convolution.
The weight normalisation of training is folded into the weights, as an export does.
"""

from __future__ import annotations

import math

from models.network_builder import (
    LINEAR_GAIN,
    NetworkBuilder,
    NetworkOptions,
    NetworkSpec,
    OpCounts,
    Tensor,
    leaky_relu_gain,
)

NUM_MELS = 80
UPSAMPLING_RATES = (8, 8, 2, 2)
DILATIONS = (1, 3, 9)
SLOPE = 0.2
HALF_POWER = math.sqrt(0.5)  # the two arms of a residual block bring half of the variance each
MIN_FRAMES = 4  # the first pad is 3 wide


def _add_layers(net: NetworkBuilder, x: Tensor) -> Tensor:
    channels = net.options.channels * 2 ** len(UPSAMPLING_RATES)
    with net.scope("first"):
        x = net.conv(net.reflect_pad(x, 3), channels, kernel=7, gain=LINEAR_GAIN)
    for index, rate in enumerate(UPSAMPLING_RATES):
        channels //= 2
        with net.scope(f"up{index + 1}"):
            x = _upsample(net, x, channels, rate)
        for dilation in DILATIONS:
            x = _residual_block(net, f"up{index + 1}/dilation{dilation}", x, dilation)
    with net.scope("last"):
        x = net.reflect_pad(net.leaky_relu(x, SLOPE), 3)
        return net.tanh(net.conv(x, 1, kernel=7, gain=0.5 * leaky_relu_gain(SLOPE)))  # tanh is not flat there


def _upsample(net: NetworkBuilder, x: Tensor, channels: int, rate: int) -> Tensor:
    return net.conv_transpose(
        net.leaky_relu(x, SLOPE),
        channels,
        kernel=2 * rate,
        stride=rate,
        padding=rate // 2,
        gain=leaky_relu_gain(SLOPE),
    )


def _residual_block(net: NetworkBuilder, name: str, x: Tensor, dilation: int) -> Tensor:
    with net.scope(name):
        y = net.reflect_pad(net.leaky_relu(x, SLOPE), dilation)
        y = net.conv(y, x.channels, kernel=3, dilation=dilation, gain=leaky_relu_gain(SLOPE))
        y = net.conv(net.leaky_relu(y, SLOPE), x.channels, kernel=1, gain=HALF_POWER * leaky_relu_gain(SLOPE))
        shortcut = net.conv(x, x.channels, kernel=1, gain=HALF_POWER)
        return net.add(shortcut, y)


def _check(options: NetworkOptions) -> None:
    if options.size[0] < MIN_FRAMES:
        raise ValueError(f"frames must be {MIN_FRAMES} or more, got {options.size[0]}")


SPEC = NetworkSpec(
    title="melgan",
    source="MelGAN vocoder after Kumar et al. 2019; random weights",
    input_name="mel",
    input_channels=NUM_MELS,
    output_name="waveform",
    axes=("frames",),
    default_size=(128,),
    default_channels=32,
    add_layers=_add_layers,
    output_size=lambda options: (options.size[0] * math.prod(UPSAMPLING_RATES),),
    output_axes=("samples",),
    check=_check,
    count_ops=lambda _: OpCounts(instance_norms=0, reflect_pads=2 + len(UPSAMPLING_RATES) * len(DILATIONS)),
)
