"""What a conversion decides for each node; and the decision file: written by one run, edited, followed by the next.

    {"format": 1, "model": "model.onnx", "ops": "plugin", "decisions": [
        {"node": "/up/Pad", "op": "Pad(reflect)", "became": "trtconv::ReflectPad", "reason": "...", "choice": "plugin"},
        {"node": "/down/Pad", "op": "Pad(reflect)", "became": null, "reason": "slower as a plugin on this GPU"}]}

`became` null or `choice` "native" keeps a node native, with the file's reason. A `choice` of "plugin" keeps it out of
the plugin beside it, and one of "fused" keeps the convolution behind it from taking it. A node that the file does not
name is decided as usual, as `ops` says, which a build follows that is not told otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, Literal, get_args

from trtconv import files, reading, records
from trtconv.errors import ConfigError

FORMAT: Final = 1
Choice = Literal["native", "plugin", "fused", "rewritten"]  # in the order in which more is made of a node
CHOICES: Sequence[Choice] = get_args(Choice)
NATIVE: Final = "native"
PLUGIN: Final = "plugin"
FUSED: Final = "fused"
KEPT_FP32 = "fp32"
REWRITTEN: Final = "rewritten"  # a convolution that computes the same in another form, and what went into it
CONSTANT = "constant"  # a node that computes from constants alone was computed
CONSTANT_INPUT = "constant input"  # the same of what computes an input of a node
NOT_FUSED = "not fused: "  # how the reason begins of a node that does not become part of the custom op beside it
_FUSED = (", fused into ", ", part of ")  # in the reason of a node that became part of a custom op
_NO_PLUGIN = (None, KEPT_FP32, REWRITTEN, CONSTANT, CONSTANT_INPUT)


@dataclass(frozen=True)
class Decision:
    """What one node became, and why.

    `node` is its address: the name, else `Op(first output)`, inside branches with the path before it. `became` is what
    differs from the rest of the network: the custom op that stands for the node now, KEPT_FP32 where a change of
    precision left it alone, REWRITTEN where a convolution has another form now, CONSTANT or CONSTANT_INPUT where it or
    an input was computed for TensorRT, or None for a node that stays as it is. `figures` are the numbers behind the
    reason. `choice` is what a decision file says, of those written since it does.
    """

    node: str
    op: str
    became: str | None
    reason: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)
    choice: Choice | None = None

    @property
    def made(self) -> Choice | None:
        """What was made of the node; None where it was computed, or kept in fp32."""
        if self.became is None:
            return NATIVE
        if self.became == REWRITTEN:
            return REWRITTEN
        if not self.is_plugin:
            return None
        return FUSED if self.is_fused else PLUGIN

    @property
    def asked(self) -> Choice | None:
        """What a file that holds the decision asks for; None where it leaves open what the passes make of the node."""
        return NATIVE if self.became is None else self.choice

    @property
    def is_plugin(self) -> bool:
        """Whether the node is a custom op now."""
        return self.became not in _NO_PLUGIN

    @property
    def is_fused(self) -> bool:
        """Whether the node is part of the custom op that another node became."""
        return self.is_plugin and any(words in self.reason for words in _FUSED)

    @property
    def is_computed(self) -> bool:
        """Whether the node, or an input of it, was computed from constants."""
        return self.became in (CONSTANT, CONSTANT_INPUT)

    def to_json(self) -> dict[str, Any]:
        """Return the decision in the types of JSON, without the keys of figures and of a choice that it lacks."""
        document = records.as_object(self)
        for name in ("figures", "choice"):
            if not document[name]:
                del document[name]
        return document


@dataclass(frozen=True)
class DecisionFile:
    """The content of a decision file.

    `ops` is what the build was asked for that wrote it, as BuildConfig has it. `measured` is what it measured: the GPU,
    the backend, and the microseconds of the whole network for each candidate.
    """

    format: Literal[1]
    decisions: Sequence[Decision]
    model: str = ""
    ops: str | None = None
    measured: Mapping[str, Any] = field(default_factory=dict)

    @property
    def by_node(self) -> dict[str, Decision]:
        """The decisions by node address."""
        return {decision.node: decision for decision in self.decisions}

    def to_json(self) -> dict[str, Any]:
        """Return the content in the types of JSON, in the order in which people read it."""
        told: dict[str, Any] = {} if self.ops is None else {"ops": self.ops}
        if self.measured:
            told["measured"] = records.to_json(self.measured)
        return {"format": self.format, "model": self.model, **told, "decisions": records.to_json(self.decisions)}


def group_decisions(decisions: Iterable[Decision], *by: str) -> list[list[Decision]]:
    """Return the decisions that agree in all the fields `by` in a list each, in the order of the first of each."""
    groups: dict[Any, list[Decision]] = {}
    key_of = attrgetter(*by)
    for decision in decisions:
        groups.setdefault(key_of(decision), []).append(decision)
    return list(groups.values())


def read(path: Path) -> DecisionFile:
    """Return the content of a decision file. Raises ConfigError when it is none."""
    hint = "correct it, or name a file that does not exist yet: trtconv then writes it"
    data = reading.read_bytes(path, reading.DOCUMENT)
    try:
        return records.from_json(DecisionFile, records.parse_json(data))
    except ConfigError as error:
        raise ConfigError(f"is not a decision file: {error.what}", where=str(path), hint=hint) from None


def write(
    path: Path,
    model: Path,
    decisions: Sequence[Decision],
    ops: str | None = None,
    measured: Mapping[str, Any] | None = None,
) -> None:
    """Write what was decided for each node of `model`, in a build that was asked for `ops`, and what it measured."""
    told = [each if each.became is None else replace(each, choice=each.made) for each in decisions]
    document = DecisionFile(FORMAT, told, model.name, ops, measured or {}).to_json()
    files.write_atomically({path: (json.dumps(document, indent=2) + "\n").encode()})


def require_followed(path: Path, wanted: Mapping[str, Decision], made: Sequence[Decision]) -> None:
    """Raise ConfigError when the file names a node that is not there, or wants of one what cannot be made of it."""
    by_node = {decision.node: decision for decision in made}
    for node, decision in wanted.items():
        if node not in by_node:
            raise ConfigError(f"names the node {node}, which the model does not hold", where=str(path))
        found, wanted_became = by_node[node], None if decision.asked == NATIVE else decision.became
        if wanted_became != found.became:
            what = f"wants {wanted_became or 'nothing'} for {node}, which becomes {found.became or 'nothing'}"
            raise ConfigError(f"{what}: {found.reason}", where=str(path))
        if decision.asked not in (None, found.made):
            what = f"wants {node} {decision.asked}, which is {found.made or found.became}"
            raise ConfigError(f"{what}: {found.reason}", where=str(path))
