"""The one table of tolerances: max|error| of an engine's output, as a fraction of max|reference output|.

The reference is the original model in ONNX Runtime in fp32 on the CPU.
"""

from __future__ import annotations

TOLERANCE: dict[str, float] = {
    "exact": 0.0,  # reflect pads alone: elements are copied
    "op": 1e-5,  # one InstanceNormalization in fp32, ONNX Runtime against itself through the custom op's function
    "fp32": 1e-4,  # whole networks without TF32: other summation orders, some hundred layers deep
    "tf32": 5e-3,  # TF32 keeps 10 bits of mantissa in convolutions: 2^-11 a product, accumulated over layers
    "bf16": 5e-2,  # bf16 tensors between all layers: 2^-8 a layer
    "fp16": 2e-2,  # fp16 tensors between all layers: 2^-11 a layer, and the reference itself is an fp16 model
}
