// InstanceNorm on the GPU: y = scale * (x - mean) / sqrt(variance + epsilon) + bias, over each (n, c) slice.
//
// This is the one door to the kernels of all layouts: norm/linear and norm/channels_last.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

#include "common/device.h"
#include "common/element_type.h"
#include "common/layout.h"

namespace trtconv
{

// A tensor [batch, channels, D1..Dk], the product of D1..Dk being sliceSize.
struct NormShape
{
    int64_t batch;
    int64_t channels;
    int64_t sliceSize;

    constexpr int64_t numSlices() const { return batch * channels; }
    constexpr bool isEmpty() const { return batch == 0 || channels == 0 || sliceSize == 0; }
};

struct NormArguments
{
    void const* input; // contiguous in its layout; aligned to 16 bytes where that is channels-last
    void const* scale; // [channels]
    void const* bias; // [channels]
    void* output; // like input, not overlapping it
    void* workspace; // normWorkspaceBytes, aligned to 16 bytes
    NormShape shape;
    float epsilon;
    ElementType type;
    Layout layout; // of input and output
};

// Whether there are kernels for tensors in this layout.
constexpr bool canNormIn(Layout layout)
{
    return layout == Layout::kLinear || layout == Layout::kChannelsLast;
}

// Returns the bytes of workspace that tensors of at most this shape need, on any GPU.
int64_t normWorkspaceBytes(Layout layout, NormShape const& largest);

// Readies the kernels for the current device and returns its limits. Must be called once there, before the first
// launch.
DeviceLimits prepareNorm();

// Enqueues on `stream`; throws CudaError when a launch fails. Nothing is launched for an empty tensor. What lies
// between the channels of a channels-last tensor and whole vectors is not looked at, and becomes zero in the output.
void launchNorm(NormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream);

} // namespace trtconv
