"""The decision file: what each node becomes, written by one run, edited by hand if need be, and obeyed by the next.

    {"format": 1, "model": "model.onnx", "decisions": [
        {"node": "/up/Pad", "op": "Pad(reflect)", "became": "trtconv::ReflectPad", "reason": "..."},
        {"node": "/down/Pad", "op": "Pad(reflect)", "became": null, "reason": "slower as a plugin on this GPU"}]}

`became` null keeps a node native, with the file's reason. A node that the file does not name is decided as usual.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from trtconv import files
from trtconv.errors import ConfigError

FORMAT = 1


def read(path: Path) -> dict[str, Decision]:
    """Return the decisions of a file by node address. Raises ConfigError when it is no decision file."""
    try:
        content = json.loads(path.read_text())
        entries = content["decisions"]
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']}, expected {FORMAT}")
        decisions = [
            Decision(str(entry["node"]), str(entry["op"]), entry["became"], str(entry.get("reason", "")))
            for entry in entries
        ]
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path)) from None
    except (ValueError, KeyError, TypeError) as error:
        what = f"is no decision file: {type(error).__name__}: {error}"
        raise ConfigError(what, where=str(path), hint="name a file that is not there, and it is written") from None
    return {decision.node: decision for decision in decisions}


def write(path: Path, model: Path, decisions: Sequence[Decision]) -> None:
    """Write what was decided for each node of `model`."""
    document = {"format": FORMAT, "model": model.name, "decisions": [asdict(decision) for decision in decisions]}
    files.write_atomically({path: (json.dumps(document, indent=2) + "\n").encode()})


def require_obeyed(path: Path, wanted: Mapping[str, Decision], made: Sequence[Decision]) -> None:
    """Raise ConfigError when the file names a node that is not there, or a plugin for a node that cannot be one."""
    by_node = {decision.node: decision for decision in made}
    for node, decision in wanted.items():
        if node not in by_node:
            raise ConfigError(f"names the node {node}, which the model does not hold", where=str(path))
        if decision.became != by_node[node].became:
            what = f"wants {decision.became} for {node}, which becomes {by_node[node].became or 'nothing'}"
            raise ConfigError(f"{what}: {by_node[node].reason}", where=str(path))


@dataclass(frozen=True)
class Decision:
    """What one node became, and why.

    `node` is its address: the name, else `Op(first output)`, inside branches with the path before it. `became` names
    the custom op, or is None for a node that stays as it is.
    """

    node: str
    op: str
    became: str | None
    reason: str
