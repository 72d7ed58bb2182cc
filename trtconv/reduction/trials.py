"""Try parts of a model: write each, make its candidate, and compare the two."""

from __future__ import annotations

from dataclasses import dataclass

from trtconv import files
from trtconv.comparison.comparing import CompareConfig, compare
from trtconv.comparison.report import ComparisonReport
from trtconv.errors import BackendError, ConfigError, MachineError, ModelError
from trtconv.inputs.array_files import npz_bytes
from trtconv.model import model_io
from trtconv.progress import Progress, announce
from trtconv.reduction.candidates import Candidates, PartFiles
from trtconv.reduction.subgraph import Part, Parts


@dataclass(frozen=True)
class Trial:
    """A part that was tried, the tensor that it gives, and how it compares with its candidate."""

    part: Part
    tensor: str
    comparison: ComparisonReport


class Trials:
    """Compares parts with their candidates, with the tolerance that the whole model missed.

    `files` hold the part that was tried last, `failures` why parts did not run.
    """

    def __init__(
        self,
        parts: Parts,
        candidates: Candidates,
        files: PartFiles,
        whole: ComparisonReport,
        progress: Progress | None = None,
    ) -> None:
        self.files = files
        self.tolerance = whole.worst.tolerance
        self.last: Trial | None = None
        self.failures: list[str] = []
        self._parts = parts
        self._candidates = candidates
        self._progress = progress

    def differs(self, tensor: str, part: Part) -> bool:
        """Say whether a part alone, given what the whole model gives it, differs from its candidate.

        One that does not run does not differ. Raises MachineError.
        """
        announce(f"comparing a part of {len(part)} nodes")
        try:
            self.last = Trial(part, tensor, self._compare(tensor, part))
        except MachineError:  # which says nothing of the part
            raise
        except (BackendError, ConfigError, ModelError) as error:
            self.failures.append(str(error).replace(f"{self.files.model.parent}/", ""))  # a temporary folder
            return False
        return not self.last.comparison.passed

    def _compare(self, tensor: str, part: Part) -> ComparisonReport:
        model, candidate, inputs = self.files.model, self.files.candidate, self.files.inputs
        proto, values = self._parts.extract(part, tensor)
        files.write_atomically({model: model_io.to_bytes(proto, model), inputs: npz_bytes(values)})
        self._candidates.make(model, candidate, calibration=[inputs], progress=self._progress)
        allowed = self.tolerance
        config = CompareConfig(
            inputs=[inputs], tolerance={"*": allowed.of_max}, atol={"*": allowed.atol}, rtol={"*": allowed.rtol}
        )
        return compare(model, candidate, config, progress=self._progress)
