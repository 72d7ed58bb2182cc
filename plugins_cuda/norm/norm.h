// InstanceNorm on the GPU: y = scale * (x - mean) / sqrt(variance + epsilon) + bias, over each (n, c) slice.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

#include "common/device.h"
#include "common/element_type.h"

namespace trtconv
{

struct InstanceNormArguments
{
    void const* input; // [numSlices / channels, channels, sliceSize], contiguous
    void const* scale; // [channels]
    void const* bias; // [channels]
    void* output; // like input, not overlapping it
    void* workspace; // linear::workspaceBytes(numSlices, sliceSize) bytes, aligned to 16
    int64_t numSlices;
    int64_t channels;
    int64_t sliceSize;
    float epsilon;
    ElementType type;
};

// Readies the kernels for the current device and returns its limits: to be called once there, before the first launch.
DeviceLimits prepareInstanceNorm();

// Enqueues on `stream`; throws CudaError when a launch fails. Nothing is launched for an empty tensor.
void launchInstanceNorm(InstanceNormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream);

} // namespace trtconv
