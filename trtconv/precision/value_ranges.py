"""Find the range of every tensor by running a model on input sets.

A tensor that is NaN for every input set, or finite only for zeros, has no known range and stays fp32. A branch that the
data do not take is measured by inverting its condition. Where made-up inputs give NaN, inputs in [0, 1] are tried too:
many inputs are magnitudes, levels or masks.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from trtconv.errors import ModelError
from trtconv.precision.calibration import Calibration, InputSet, Range, in_unit_interval
from trtconv.precision.float_graph import FloatGraph
from trtconv.precision.op_kinds import SELECTIONS
from trtconv.precision.probes import turning_input
from trtconv.precision.rules import sensitive_arguments
from trtconv.precision.scopes import MAIN
from trtconv.progress import NoProgress, Progress, phase

_MAX_TURNS = 8  # each runs the network once more on every input set
UNIT_INTERVAL = "inputs in [0, 1]"
_NAN_FOR_ALL = "it is NaN for every input set"
_NAN_BUT_FOR_ZEROS = "it is NaN for every made-up input set except zeros"
_NEVER_RUN = "no input set runs its branch or body"


@dataclass(frozen=True)
class Observed:
    """The range of each tensor, and warnings about the input sets."""

    ranges: Mapping[str, Range]
    warnings: Sequence[str] = ()


def observe(
    graph: FloatGraph, input_sets: Sequence[InputSet], *, are_made: bool, progress: Progress | None = None
) -> Observed:
    """Return the range of every float32 tensor that is an input or the output of a node.

    `are_made` says that nobody gave the input sets, so that others may be tried. `progress` is told of each run. Raises
    ModelError when ONNX Runtime cannot run the model on them.
    """
    names = _tensors(graph)
    if not names:
        return Observed({})
    arguments = [name for _, name in sensitive_arguments(graph)]
    progress = progress or NoProgress()
    calibration = Calibration(graph.proto, graph.folder, names, arguments, progress)
    roots = _of_roots_alone(graph, arguments)
    seen = []
    with phase(progress, "Running calibration inputs", len(input_sets)) as advance:
        for each in input_sets:
            seen.append((each, _without_zeros(each, calibration.see(each.arrays), roots)))
            advance()
    ranges = _merge(seen)
    if are_made and any(found.unknown for each, run in seen if each.proves for found in run.values()):
        unit = InputSet(UNIT_INTERVAL, in_unit_interval(input_sets[0].arrays))
        with (
            phase(progress, f"Running {UNIT_INTERVAL}"),
            suppress(ModelError),
        ):  # the model may run on one input set and not on another
            seen.append((unit, calibration.see(unit.arrays)))
        ranges = _merge(seen)
    warnings = _warnings(graph, seen, ranges, are_made)
    was_run = {name for each, run in seen if each.proves for name in run}
    with phase(progress, "Running branches that no input takes"):
        _turn_branches(graph, calibration, names, [each for each, _ in seen if each.proves], ranges, was_run)
    _pass_on(graph, ranges)
    for name in names:
        if name not in ranges:
            is_nan = _NAN_BUT_FOR_ZEROS if are_made else _NAN_FOR_ALL
            ranges[name] = Range(np.inf, 0.0, is_nan if name in was_run else _NEVER_RUN)
    return Observed(ranges, warnings)


def _tensors(graph: FloatGraph) -> list[str]:
    """Return the tensors to measure, in the order in which they are computed."""
    made = [*graph.inputs, *graph.entering, *(name for node in graph.nodes for name in node.output)]
    return [name for name in dict.fromkeys(made) if name and graph.is_variable(name)]


def _of_roots_alone(graph: FloatGraph, arguments: Iterable[str]) -> set[str]:
    """Return the arguments that no node but Sqrt is sensitive to."""
    others = {name for index, name in sensitive_arguments(graph) if graph.nodes[index].op_type != "Sqrt"}
    return set(arguments) - others


def _without_zeros(given: InputSet, run: Mapping[str, Range], roots: Container[str]) -> dict[str, Range]:
    """Ignore that the argument of a root is all zeros for made-up zeros: its root is 0 in any type."""
    is_root = {name: not given.proves and found == Range(0.0, 0.0) and name in roots for name, found in run.items()}
    return {name: Range(0.0) if is_root[name] else found for name, found in run.items()}


def _merge(seen: Iterable[tuple[InputSet, Mapping[str, Range]]]) -> dict[str, Range]:
    """Return the range over all input sets of each tensor that is finite for one that proves something."""
    ranges: dict[str, Range] = {}
    for each, run in sorted(seen, key=lambda item: not item[0].proves):
        for name, found in run.items():
            if not found.unknown and (name in ranges or each.proves):
                ranges[name] = ranges[name] | found if name in ranges else found
    return ranges


def _warnings(
    graph: FloatGraph, seen: Sequence[tuple[InputSet, Mapping[str, Range]]], ranges: Mapping[str, Range], are_made: bool
) -> list[str]:
    """Name the input sets that give NaN or infinity, and the first tensor that does."""
    found: dict[tuple[str, str], list[str]] = {}
    for each, run in seen:
        began = _beginning(graph, run)
        if began is not None:
            found.setdefault(began, []).append(each.name)
    if are_made and not any(each.proves and each.name in names for names in found.values() for each, _ in seen):
        return []
    return [_warning(graph, began, sets, began[0] in ranges, are_made) for began, sets in found.items()]


def _warning(graph: FloatGraph, began: tuple[str, str], sets: Sequence[str], is_known: bool, are_made: bool) -> str:
    name, what = began
    place = f"{name} ({graph.addresses[graph.producer[name]]})" if name in graph.producer else f"the input {name}"
    verb = "gives" if len(sets) == 1 and sets != [UNIT_INTERVAL] else "give"
    judged = (
        f"judged by {UNIT_INTERVAL if are_made else 'the other input sets'}" if is_known else "unknown and stays fp32"
    )
    step = "give real inputs with --calibration" if are_made else "check these inputs"
    made = "made-up " if are_made else ""
    listed = " and ".join(filter(None, (", ".join(sets[:-1]), sets[-1])))
    return f"{made}{listed} {verb} {what} from {place} on, so what follows is {judged}: {step}"


def _beginning(graph: FloatGraph, run: Mapping[str, Range]) -> tuple[str, str] | None:
    """Return the first non-finite tensor whose producer reads only finite ones, and what it is."""
    for name, found in run.items():
        if np.isfinite(found.max_abs):
            continue
        reads = graph.nodes[graph.producer[name]].input if name in graph.producer else ()
        is_outer = name in graph.entering or (name in graph.producer and graph.producer[name] in graph.leaving)
        if not is_outer and all(_is_finite(graph, each, run) for each in reads):
            return name, "NaN" if found.unknown else "infinity"
    return None


def _is_finite(graph: FloatGraph, name: str, run: Mapping[str, Range]) -> bool:
    if name in graph.constants and graph.is_float(name):
        return bool(np.isfinite(graph.value(name)).all())
    return name not in run or bool(np.isfinite(run[name].max_abs))


def _turn_branches(
    graph: FloatGraph,
    calibration: Calibration,
    names: Sequence[str],
    sets: Sequence[InputSet],
    ranges: dict[str, Range],
    was_run: set[str],
) -> None:
    """Run the branches that no input set takes by inverting their conditions, and add what they show to `ranges`."""
    tried: set[int] = set()
    while len(tried) < _MAX_TURNS:
        known = dict(ranges)
        _pass_on(graph, known)
        owners = (_untaken(graph, name, was_run) for name in names if name not in known and name not in was_run)
        owner = next((each for each in owners if each is not None and each not in tried), None)
        if owner is None:
            return
        tried.add(owner)
        runs = []
        for each in sets:
            try:
                runs.append((each, calibration.see(each.arrays, turned={turning_input(owner)})))
            except ModelError:  # what the branch wants does not fit these inputs
                continue
        was_run.update(name for _, run in runs for name in run)
        for name, found in _merge(runs).items():
            ranges[name] = ranges[name] | found if name in ranges else found


def _untaken(graph: FloatGraph, name: str, was_run: Container[str]) -> int | None:
    """Return the outermost If around a tensor whose branch was never taken."""
    owner, scope = None, graph.scope_of(name)
    while scope != MAIN:
        within = graph.flat.scopes[scope]
        is_branch = within.owner is not None and graph.nodes[within.owner].op_type == "If"
        if is_branch and not any(own in was_run for own in graph.names_in(scope)):
            owner = within.owner
        scope = within.outer
    return owner


def _pass_on(graph: FloatGraph, ranges: dict[str, Range]) -> None:
    """Add the range of each output that only selects among values whose range is known."""
    for index, node in enumerate(graph.nodes):
        outputs = [name for name in graph.float_outputs(index) if name not in ranges]
        if not outputs or (node.op_type not in SELECTIONS and index not in graph.leaving):
            continue
        read = [name for name in graph.leaving.get(index, tuple(node.input)) if graph.is_float(name)]
        largest = [_largest(graph, name, ranges) for name in read]
        if largest and all(each is not None for each in largest):
            ranges |= dict.fromkeys(outputs, Range(max(each for each in largest if each is not None), 0.0))


def _largest(graph: FloatGraph, name: str, ranges: Mapping[str, Range]) -> float | None:
    if name in graph.constants:
        return float(np.abs(graph.value(name)).max(initial=0.0))
    return ranges[name].max_abs if name in ranges else None
