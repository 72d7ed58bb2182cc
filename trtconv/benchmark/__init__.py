"""Time kernels and engines on the GPU at hand, side by side with TensorRT's own layers: `trtconv bench`."""
