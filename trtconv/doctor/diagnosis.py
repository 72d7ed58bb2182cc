"""What is installed here, what works, and what to type where something is missing."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from trtconv.doctor.library_binary import LibraryBinary
from trtconv.errors import BackendError
from trtconv.gpu.driver import Gpu
from trtconv.ops import list_titles
from trtconv.reports.layout import render
from trtconv.reports.tables import DEFAULT_WIDTH, Block, Column, Facts, Table


@dataclass(frozen=True)
class BackendState:
    """One of the two backends: whether it can build engines here, and if not why."""

    name: str
    version: str | None
    can_build: bool
    detail: str
    takes_plugins: bool | None


@dataclass(frozen=True)
class LibraryState:
    """The plugin library: `problem` is None where it is there and loads."""

    path: str | None
    version: str | None
    sha256: str | None
    binary: LibraryBinary | None
    code_for_gpu: str | None
    problem: str | None


@dataclass(frozen=True)
class ExtraState:
    """An optional part of trtconv: what it is for, and the packages that it still needs."""

    name: str
    purpose: str
    missing: Sequence[str]
    hint: str | None


@dataclass(frozen=True)
class Finding:
    """Something to know or to mend; `hint` is the line to type."""

    level: Literal["error", "warning"]
    what: str
    hint: str | None = None


@dataclass(frozen=True)
class Diagnosis:
    """The result of `examine`."""

    packages: Mapping[str, str | None]
    extras: Sequence[ExtraState]
    gpu: Gpu | None
    backends: Sequence[BackendState]
    auto: str | None
    auto_reason: str
    library: LibraryState
    findings: Sequence[Finding]

    @property
    def can_build(self) -> bool:
        """Whether some backend can build an engine here."""
        return any(backend.can_build for backend in self.backends)

    @property
    def exit_code(self) -> int:
        """0, or 4 where nothing can build."""
        return 0 if self.can_build else BackendError.exit_code

    @property
    def verdict(self) -> tuple[str, str]:
        """The answer in a line, and whether it is good: "ready", "limited" or "not ready"."""
        errors = [finding for finding in self.findings if finding.level == "error"]
        if not self.can_build or errors:
            return "not ready", errors[0].what if errors else "no backend can build an engine here"
        if self.auto is None:
            return "limited", "choose a backend: --backend auto finds none"
        kind = "with plugins" if self.auto == "tensorrt" else f"for RTX GPUs, with {list_titles()} native"
        if self.findings:
            return "limited", f"trtconv build makes engines {kind}; see the findings"
        return "ready", f"trtconv build makes engines {kind}"

    def to_json(self) -> dict[str, Any]:
        """Return the diagnosis in the types of JSON, as docs/inspect.md describes it."""
        return {
            "kind": "doctor",
            "can_build": self.can_build,
            "verdict": ": ".join(self.verdict),
            "python": platform.python_version(),
            "platform": _platform(),
            **asdict(self),
        }

    def render(self, width: int = DEFAULT_WIDTH, color: bool = False) -> str:
        """Return the diagnosis as text for a terminal of this width."""
        blocks = [self._system(), *self._tables()]
        return render(blocks, width, color) + "\n\n" + render([Facts([self.verdict])], width, color)

    def _system(self) -> Facts:
        gpu = self.gpu
        return Facts(
            [
                ("python", f"{platform.python_version()} ({sys.executable}), {_platform()}"),
                (
                    "GPU",
                    f"{gpu.name} ({gpu.arch}), its driver runs CUDA {gpu.driver}" if gpu else "no CUDA device found",
                ),
                (
                    "default",
                    f"backend {self.auto} ({self.auto_reason})" if self.auto else f"no backend: {self.auto_reason}",
                ),
            ]
        )

    def _tables(self) -> list[Block]:
        packages = [(name, version or "not installed") for name, version in self.packages.items()]
        extras = [(each.name, each.purpose, _yes(not each.missing), each.hint or "") for each in self.extras]
        backends = [
            (each.name, each.version or "-", _yes(each.can_build), _yes(each.takes_plugins), each.detail)
            for each in self.backends
        ]
        findings = [(finding.level, finding.what, finding.hint or "") for finding in self.findings]
        return [
            Table("Packages", [Column("package"), Column("version")], packages),
            Table(
                "Optional parts",
                [Column("part"), Column("for", "text"), Column("installed"), Column("what to do", "text")],
                extras,
            ),
            Table(
                "Backends",
                [Column("backend"), Column("version"), Column("builds"), Column("plugins"), Column("detail", "text")],
                backends,
            ),
            Table("Plugin library", [Column(""), Column("", "text")], _library_rows(self.library)),
            Table("Findings", [Column(""), Column("what", "text"), Column("what to do", "text")], findings),
        ]


def _library_rows(library: LibraryState) -> list[tuple[str, str]]:
    if library.path is None:
        return [("not found", library.problem or "")]
    rows = [("file", library.path), ("loads", f"no: {library.problem}" if library.problem else "yes")]
    rows.append(("version", library.version or "unknown"))
    if library.binary is not None:
        binary = library.binary
        machine_code = ", ".join(binary.machine_code) or "none"
        ptx = f"; PTX for {', '.join(binary.ptx)} and later" if binary.ptx else ""
        rows += [("code for", machine_code + ptx), ("compiled by", f"nvcc {binary.nvcc}" if binary.nvcc else "unknown")]
        rows.append(("exports", ", ".join(binary.symbols)))
    if library.code_for_gpu is not None:
        rows.append(("on this GPU", library.code_for_gpu))
    return rows


def _yes(value: bool | None) -> str:
    return "-" if value is None else ("yes" if value else "no")


def _platform() -> str:
    libc = " ".join(platform.libc_ver()).strip()
    return ", ".join(filter(None, (f"{platform.system()} {platform.machine()}", libc)))
