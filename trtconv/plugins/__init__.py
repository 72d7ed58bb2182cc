"""The plugin library: where it is, how it is loaded, and its plugins in networks that are written by hand."""

from __future__ import annotations

from trtconv.plugins.network import add_instance_norm, add_reflect_pad

__all__ = ["add_instance_norm", "add_reflect_pad"]
