"""How far an output may be from the reference: by precision, or as the user says, for all outputs or for one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from trtconv.errors import ConfigError

ALL_OUTPUTS = "*"

# The one table of tolerances: max|error| of an engine's output, as a fraction of max|reference output|, where the
# reference is the original model in ONNX Runtime in fp32 on the CPU.
TOLERANCE: dict[str, float] = {
    "exact": 0.0,  # reflect pads alone: elements are copied
    "op": 1e-5,  # one InstanceNormalization in fp32, ONNX Runtime against itself through the custom op's function
    "fp32": 1e-4,  # whole networks without TF32: other summation orders, some hundred layers deep
    "tf32": 5e-3,  # TF32 keeps 10 bits of mantissa in convolutions: 2^-11 a product, accumulated over layers
    "bf16": 5e-2,  # bf16 tensors between all layers: 2^-8 a layer
    "fp16": 2e-2,  # fp16 tensors between all layers: 2^-11 a layer, and the reference itself is an fp16 model
}


@dataclass(frozen=True)
class Tolerance:
    """An element y passes when |error| <= of_max * max|y of the output| + atol + rtol * |y|."""

    of_max: float = 0.0
    atol: float = 0.0
    rtol: float = 0.0

    def bound(self, magnitudes: npt.NDArray[Any], largest: float) -> Any:
        """Return what |error| may be, for elements of these magnitudes, `largest` being that of the whole output."""
        return self.of_max * largest + self.atol + self.rtol * magnitudes

    def __str__(self) -> str:
        terms = ((self.of_max, " max|y|"), (self.atol, ""), (self.rtol, " |y|"))
        return " + ".join(f"{value:g}{unit}" for value, unit in terms if value) or "0"


@dataclass(frozen=True)
class Tolerances:
    """The tolerance of each output. The mappings go from an output's name, or "*" for all others, to a value.

    What is given for an output, of any kind, takes the place of `default` for it.
    """

    default: Tolerance
    of_max: Mapping[str, float] = field(default_factory=dict)
    atol: Mapping[str, float] = field(default_factory=dict)
    rtol: Mapping[str, float] = field(default_factory=dict)

    def of(self, name: str) -> Tolerance:
        """Return the tolerance of one output."""
        kinds = {"of_max": self.of_max, "atol": self.atol, "rtol": self.rtol}
        given = {kind: values.get(name, values.get(ALL_OUTPUTS)) for kind, values in kinds.items()}
        chosen = {kind: value for kind, value in given.items() if value is not None}
        return Tolerance(**chosen) if chosen else self.default

    def require_known(self, names: Iterable[str]) -> None:
        """Raise ConfigError for a tolerance of an output that is not among `names`."""
        known = list(names)
        for option, values in (("--tolerance", self.of_max), ("--atol", self.atol), ("--rtol", self.rtol)):
            for name in values:
                if name != ALL_OUTPUTS and name not in known:
                    hint = f"the outputs are: {', '.join(known)}"
                    raise ConfigError(f"there is no output {name!r}", where=option, hint=hint)


def parse_tolerances(items: Iterable[str], option: str) -> dict[str, float]:
    """Read `1e-3` (all outputs) and `name=1e-3`, split at the last `=`."""
    parsed: dict[str, float] = {}
    for item in items:
        name, separator, text = item.rpartition("=")
        name = name if separator else ALL_OUTPUTS
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (0 <= value < math.inf) or not name:
            raise ConfigError(f"got {item!r}, expected a number of 0 or more, or NAME= before it", where=option)
        if name in parsed:
            raise ConfigError("is given twice", where=f"{option} {item}")
        parsed[name] = value
    return parsed
