"""What a worker may take, and the words for one that took more."""

from __future__ import annotations

from dataclasses import dataclass

from trtconv.errors import BackendError, ConfigError, ModelError, TrtconvError
from trtconv.progress import START, Step
from trtconv.reports.text import format_size
from trtconv.units import format_seconds
from trtconv.workers import family

# More would have the system end processes, and not always the right one.
_DEFAULT_PART_OF_MEMORY = 0.9


@dataclass(frozen=True)
class Limits:
    """What a worker and the processes that it starts may take, all of them together.

    `memory_bytes` counts what the system cannot take back (no pages of mapped files); by default it is nine tenths of
    the machine's memory, or of the control group's. `seconds` is None for no limit. Raises ConfigError when a limit is
    not positive.
    """

    memory_bytes: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.memory_bytes is not None and self.memory_bytes <= 0:
            raise ConfigError(f"must be positive, got {self.memory_bytes} bytes", where="--limit-memory")
        if self.seconds is not None and self.seconds <= 0:
            raise ConfigError(f"must be positive, got {self.seconds:g} seconds", where="--limit-time")

    @property
    def bytes_to_watch(self) -> int:
        """The limit of memory that holds."""
        return self.memory_bytes or int(family.machine_bytes() * _DEFAULT_PART_OF_MEMORY)


@dataclass
class Meter:
    """Compares what a worker takes with its limits, and with the bounds of the step that it is in."""

    limits: Limits
    bytes_to_watch: int
    began: float
    step: Step = START
    step_began: float = 0.0
    bytes_before: int = 0
    held: int = 0

    def hold_to(self, limits: Limits) -> None:
        """Take these limits from now on; the time counts from the beginning."""
        self.limits, self.bytes_to_watch = limits, limits.bytes_to_watch

    def enter(self, step: Step, now: float) -> None:
        """Begin a step, in which the worker holds what was measured last."""
        self.step, self.step_began, self.bytes_before = step, now, self.held

    def excess(self, held: int, now: float) -> TrtconvError | None:
        """Return the error of a worker that holds `held` bytes at the time `now`, or None while all is well."""
        self.held, step = held, self.step
        if held > self.bytes_to_watch:
            what = f"more than {format_size(self.bytes_to_watch)} of memory were taken while {step.name}"
            hint = "use smaller shapes, a machine with more memory, or a larger --limit-memory"
            return BackendError(what, where="--limit-memory" if self.limits.memory_bytes else None, hint=hint)
        if self.limits.seconds is not None and now - self.began > self.limits.seconds:
            what = f"{format_seconds(self.limits.seconds)} had passed while {step.name}"
            return BackendError(what, where="--limit-time", hint="give it more time, or a smaller model")
        if step.max_bytes is not None and held - self.bytes_before > step.max_bytes:
            return _out_of_bounds(step, f"{format_size(step.max_bytes)} of memory")
        if step.max_seconds is not None and now - self.step_began > step.max_seconds:
            return _out_of_bounds(step, f"{step.max_seconds:.0f} s")
        return None


def _out_of_bounds(step: Step, taken: str) -> ModelError:
    hint = "its shapes or constants are too large: correct them where the model is exported, or use --no-isolate"
    return ModelError(f"took more than {taken}, the limit of this step, while {step.name}", hint=hint)
