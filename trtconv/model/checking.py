"""Check an edited model with onnx.checker, in spite of its size and of tensors that lie outside."""

from __future__ import annotations

import onnx
import onnx.checker

from trtconv.errors import ModelError
from trtconv.model.external_data import all_tensors
from trtconv.model.light_copy import lacks_data, light_copy


def check(proto: onnx.ModelProto, original: onnx.ModelProto) -> str | None:
    """Check an edited model with onnx.checker; return a warning when `original` itself does not pass.

    Raises ModelError when the edit made a valid model invalid.
    """
    error = _checker_error(proto)
    if error is None:
        return None
    if _checker_error(original) is not None:
        return f"the model does not pass onnx.checker, before as after: {error}"
    raise ModelError(f"the rewritten model does not pass onnx.checker: {error}", hint="please report this model")


def _checker_error(proto: onnx.ModelProto) -> str | None:
    """Return the first line of what onnx.checker objects to; external tensors were checked when the model was read."""
    checkable = light_copy(proto)
    for tensor in all_tensors(checkable):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or lacks_data(tensor):
            tensor.ClearField("external_data")
            tensor.data_location = onnx.TensorProto.DEFAULT
            tensor.dims[:] = [0]
    try:
        onnx.checker.check_model(checkable)
    except (onnx.checker.ValidationError, ValueError) as error:
        return str(error).strip().splitlines()[0]
    return None
