"""ONNX models as protobuf and as files: read, checked, walked, written."""
