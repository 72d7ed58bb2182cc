"""Every error that trtconv raises on purpose, and the exit code that each one ends the command with."""

from __future__ import annotations


class TrtconvError(Exception):
    """What went wrong, where, and what to do next.

    `what` is one sentence with what was got and what was expected; `where` names the file, option or node; `hint` is
    the next step, a line to type where there is one.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


class ConfigError(TrtconvError):
    """Wrong usage or configuration: the command line has to change."""

    exit_code = 2


class AccuracyError(TrtconvError):
    """What was built does not compute what the model does."""

    exit_code = 1


class ModelError(TrtconvError):
    """The model is damaged, invalid, or holds something that the backend does not support."""

    exit_code = 3


class GraphEditError(TrtconvError):
    """A pass left a graph that cannot be written as a model: a defect of the pass, not of the model."""

    exit_code = 1


class BackendError(TrtconvError):
    """TensorRT, the GPU, the plugin library or the disk failed or is missing."""

    exit_code = 4


class MachineError(BackendError):
    """A disk is full or fails, or the system has no memory or open files left: no model and no option is at fault."""


class Interrupted(TrtconvError):
    """The user stopped the work; nothing was written."""

    exit_code = 130


def first_line(error: Exception) -> str:
    """Return the first line of what another library raised, its type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
