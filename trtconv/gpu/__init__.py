"""The CUDA driver, device memory and times on the GPU."""
