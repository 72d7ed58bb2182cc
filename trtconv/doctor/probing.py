"""Start probes and read what they tell."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trtconv import child_processes
from trtconv.doctor import probe

_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class ProbeResult:
    """What a probe told of each step, and how it ended: `crash` is None where it ended by itself."""

    steps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    crash: str | None = None

    def succeeded(self, step: str) -> bool:
        """Whether a step came to a good end."""
        told = self.steps.get(step, {})
        return "ok" in told or "value" in told

    def value(self, step: str) -> str | None:
        """What a step found out."""
        return self.steps.get(step, {}).get("value")

    def error(self, step: str) -> str | None:
        """Why a step failed, None where it did not."""
        if self.succeeded(step):
            return None
        return self.steps.get(step, {}).get("error") or self.crash


def run_probes(arguments: Mapping[str, Sequence[str]]) -> dict[str, ProbeResult]:
    """Run one probe for each name, all at the same time."""
    processes = {
        name: subprocess.Popen(
            child_processes.script_command(probe.__file__, *given),
            env=child_processes.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            errors="replace",
        )
        for name, given in arguments.items()
    }
    return {name: _result(process) for name, process in processes.items()}


def _result(process: subprocess.Popen[str]) -> ProbeResult:
    try:
        output, _ = process.communicate(timeout=_TIMEOUT_SECONDS)
        end = _end_of(process.returncode)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        end = f"gave no answer in {_TIMEOUT_SECONDS:.0f} s"
    except BaseException:
        process.kill()
        raise
    steps: dict[str, Mapping[str, Any]] = {}
    for line in output.splitlines():
        if line.startswith(probe.MARK):
            told = json.loads(line)
            steps[told["step"]] = told
    return ProbeResult(steps, end)


def _end_of(returncode: int) -> str | None:
    if returncode < 0:
        return f"ended by {signal.Signals(-returncode).name}"
    return f"ended with status {returncode}" if returncode else None
