"""Load the plugin library in a fresh process, and print what TensorRT's registry then holds.

    registration_scenario.py MODULE STEP...

MODULE is tensorrt or tensorrt_rtx. Steps: dlopen, load_library, deregister, import (happens before the first other step
if not given), create (tries good and bad fields), fields (what each creator takes). Each step prints one JSON line.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.gpu.kernel_library import library_path

INT32_PADS = np.array([0, 0, 3, 0, 0, 2], dtype=np.int32)
EPSILON = np.array([1e-5], dtype=np.float32)

# name of the case: plugin, fields as (name, values, PluginFieldType)
FIELD_CASES: dict[str, tuple[str, list[tuple[str, Any, str]]]] = {
    "good epsilon": ("InstanceNorm", [("epsilon", EPSILON, "FLOAT32")]),
    "no field": ("InstanceNorm", []),
    "wrong name": ("InstanceNorm", [("eps", EPSILON, "FLOAT32")]),
    "wrong type": ("InstanceNorm", [("epsilon", EPSILON.astype(np.float64), "FLOAT64")]),
    "wrong length": ("InstanceNorm", [("epsilon", np.array([1, 2], dtype=np.float32), "FLOAT32")]),
    "unknown field": ("InstanceNorm", [("epsilon", EPSILON, "FLOAT32"), ("alfa", EPSILON, "FLOAT32")]),
    "repeated field": ("InstanceNorm", [("epsilon", EPSILON, "FLOAT32"), ("epsilon", EPSILON, "FLOAT32")]),
    "negative epsilon": ("InstanceNorm", [("epsilon", -EPSILON, "FLOAT32")]),
    "infinite epsilon": ("InstanceNorm", [("epsilon", EPSILON * np.inf, "FLOAT32")]),
    "nan epsilon": ("InstanceNorm", [("epsilon", EPSILON * np.nan, "FLOAT32")]),
    "good pads": ("ReflectPad", [("pads", INT32_PADS, "INT32")]),
    "good int64 pads": ("ReflectPad", [("pads", INT32_PADS.astype(np.int64), "INT64")]),
    "float pads": ("ReflectPad", [("pads", INT32_PADS.astype(np.float32), "FLOAT32")]),
    "odd pads": ("ReflectPad", [("pads", INT32_PADS[:5].copy(), "INT32")]),
    "negative pads": ("ReflectPad", [("pads", -INT32_PADS, "INT32")]),
    "too many pads": ("ReflectPad", [("pads", np.zeros(18, dtype=np.int32), "INT32")]),
    "huge int64 pads": ("ReflectPad", [("pads", np.array([1 << 40, 0], dtype=np.int64), "INT64")]),
}


def main(module_name: str, steps: list[str]) -> None:
    if steps[0] != "import" and "import" in steps:
        ctypes.CDLL(str(library_path()))  # before TensorRT is there
    trt = importlib.import_module(module_name)
    registry = trt.get_plugin_registry()
    handle = None
    for step in steps:
        result: Any = None
        if step == "dlopen":
            ctypes.CDLL(str(library_path()))
        elif step == "load_library":
            handle = registry.load_library(str(library_path())) or handle
        elif step == "deregister":
            registry.deregister_library(handle)
        elif step == "create":
            result = {case: create(trt, registry, *fields) for case, fields in FIELD_CASES.items()}
        elif step == "fields":
            result = {creator.name: fields_of(creator) for creator in own(registry)}
        print(json.dumps({"step": step, "creators": own_creators(registry), "result": result}), flush=True)


def own_creators(registry: Any) -> list[str]:
    return sorted(f"{creator.plugin_namespace}::{creator.name} {creator.plugin_version}" for creator in own(registry))


def own(registry: Any) -> list[Any]:
    return [creator for creator in registry.all_creators if creator.plugin_namespace == "trtconv"]


def fields_of(creator: Any) -> dict[str, str]:
    return {field.name: field.type.name for field in creator.field_names}


def create(trt: Any, registry: Any, plugin: str, fields: list[tuple[str, Any, str]]) -> bool:
    """Return whether the plugin was created, in either phase."""
    collection = trt.PluginFieldCollection(
        [trt.PluginField(name, values, getattr(trt.PluginFieldType, kind)) for name, values, kind in fields]
    )
    creator = registry.get_creator(plugin, "1", "trtconv")
    created = [
        creator.create_plugin("some_node", collection, phase) is not None
        for phase in (trt.TensorRTPhase.BUILD, trt.TensorRTPhase.RUNTIME)
    ]
    assert created[0] == created[1]
    return created[0]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
