"""The outcome of a rewrite in one line: how many norms and pads become plugins, how many convolutions are rewritten."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trtconv.decisions import REWRITTEN, Decision
from trtconv.model.native_norms import NORM_TITLES
from trtconv.ops import BY_ONNX_OP
from trtconv.ops.custom_op import DOMAIN

_CONVOLUTIONS = ("Conv", "ConvTranspose")


def describe_outcome(decisions: Iterable[Decision]) -> str:
    """Say how many of the norms and pads become plugins, and how many convolutions are rewritten, "" where none are.

    The decisions are those of the passes and those about norms that no pass took. Of convolutions those count that are
    rewritten and those that were left native for their predicted time.
    """
    made = list(decisions)
    norms_and_pads = [each for each in made if is_norm_or_pad(each.op)]
    convolutions = [each for each in made if each.op in _CONVOLUTIONS and _is_weighed(each)]
    told = [
        _become_plugins(norms_and_pads),
        _are_rewritten(convolutions),
        _were_plugins(sum(each.op.startswith(f"{DOMAIN}::") for each in made)),
    ]
    return ", ".join(filter(None, told))


def is_norm_or_pad(title: str) -> bool:
    """Say whether a node of this title is a norm or a pad, which a plugin may stand for."""
    return title in NORM_TITLES or title.partition("(")[0] in BY_ONNX_OP


def _is_weighed(convolution: Decision) -> bool:
    return convolution.became == REWRITTEN or "predicted_us" in convolution.figures


def _become_plugins(found: Sequence[Decision]) -> str:
    num_plugins = sum(each.is_plugin for each in found)
    if num_plugins:
        return f"{num_plugins} of {len(found)} norms and pads become plugins"
    if not found:
        return ""
    return f"{len(found)} norms and pads stay native" if len(found) > 1 else "1 norm or pad stays native"


def _are_rewritten(convolutions: Sequence[Decision]) -> str:
    if not convolutions:
        return ""
    num_rewritten = sum(each.became == REWRITTEN for each in convolutions)
    return f"{num_rewritten} of {len(convolutions)} convolutions are rewritten"


def _were_plugins(count: int) -> str:
    return f"{count} {'plugins were' if count > 1 else 'plugin was'} in the model before" if count else ""
