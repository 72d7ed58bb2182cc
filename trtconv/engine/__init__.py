"""All that touches TensorRT: backends, parsing, building, loading and reading engines; every version difference."""
