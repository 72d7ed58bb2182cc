"""What `trtconv build --tune` measured, as a table for people and as a part of the JSON document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from trtconv import records


@dataclass(frozen=True)
class TriedCandidate:
    """One candidate: its median time and that of the best one so far, which were timed in turn, in microseconds.

    `nodes` are those that it changes in the best one so far, to `choice`; `problem` is why it was not taken where no
    time says so.
    """

    name: str
    median_us: float | None = None
    best: str | None = None
    best_median_us: float | None = None
    problem: str | None = None
    nodes: Sequence[str] = ()
    choice: str | None = None


@dataclass(frozen=True)
class TuningReport:
    """All candidates, the one that was taken, and why no others were tried."""

    candidates: Sequence[TriedCandidate]
    best: str
    seconds: float
    ended: str
    is_interrupted: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the report in the types of JSON."""
        return records.as_object(self)

    def lines(self) -> Iterator[str]:
        """Yield a line for each candidate, and one for the end."""
        for each in self.candidates:
            if each.median_us is None:
                yield f"{each.name}: {each.problem}"
                continue
            beside = "" if each.best_median_us is None else f", {each.best} {each.best_median_us / 1000:.3f} ms"
            problem = "" if each.problem is None else f": {each.problem}"
            yield f"{each.name}: {each.median_us / 1000:.3f} ms{beside}{problem}"
        yield f"{self.best} is the best of {len(self.candidates)} candidates; {self.ended} after {self.seconds:.0f} s"
