// What both reflect pad plugins share: types, messages about pads, the launch.
#pragma once

#include <cstdint>
#include <vector>

#include <cuda_runtime_api.h>

#include "abi/tensor_types.h"
#include "common/device.h"

namespace trtconv
{

// Returns the bytes of an element, 0 for a type that cannot be padded.
int32_t paddableBytes(nvinfer1::DataType type);

// Throws PluginError unless each of `pads` (all begins, then all ends) is below the axis of X that it reflects.
void requirePadsWithin(nvinfer1::Dims const& x, std::vector<int64_t> const& pads);

// Enqueues the pads of X on `stream`; throws CudaError when the launch fails.
void launchPads(nvinfer1::PluginTensorDesc const& x, std::vector<int64_t> const& pads, void const* input, void* output,
    DeviceLimits const& device, cudaStream_t stream);

} // namespace trtconv
