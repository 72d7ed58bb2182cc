"""The files that `trtconv bench` writes: the JSON document, and a plot."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trtconv import files
from trtconv.benchmark import network_plot, roofline
from trtconv.benchmark.model_report import ModelReport
from trtconv.benchmark.ops_report import OpsReport
from trtconv.comparison.plot import require_plot
from trtconv.errors import ConfigError


@dataclass(frozen=True)
class ReportFiles:
    """Where a report goes, besides standard output: `out` holds its JSON, `plot` draws it."""

    out: Path | None = None
    plot: Path | None = None

    @property
    def paths(self) -> Sequence[Path]:
        """The files that are written."""
        return [path for path in (self.out, self.plot) if path is not None]

    def require_possible(self) -> None:
        """Raise a TrtconvError where both are one file, or no plot can be drawn."""
        if self.plot is not None:
            require_plot(self.plot, roofline.SUFFIXES)
        if self.out is not None and self.plot is not None and os.path.realpath(self.out) == os.path.realpath(self.plot):
            raise ConfigError("is also the file of --plot", where=f"--out {self.out}")

    def write(self, report: ModelReport | OpsReport) -> None:
        """Write all files, or none."""
        contents: dict[Path, bytes] = {}
        if self.out is not None:
            contents[self.out] = (json.dumps(report.to_json(), indent=1) + "\n").encode()
        if self.plot is not None:
            suffix = self.plot.suffix
            if isinstance(report, OpsReport):
                contents[self.plot] = roofline.draw(report, suffix)
            else:
                contents[self.plot] = network_plot.draw(report, suffix)
        files.write_atomically(contents)
