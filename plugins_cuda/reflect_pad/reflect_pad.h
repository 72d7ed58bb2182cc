// ReflectPad on the GPU: pads any axes with the reflection of what is inside, the border not repeated.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

#include "common/device.h"
#include "gather/gather.h"
#include "reflect_pad/choice.h"

namespace trtconv
{

struct ReflectPadArguments
{
    void const* input; // contiguous in its layout
    void* output; // contiguous in the same layout, not overlapping the input
    PadShape shape; // makePadShape of that layout
    int32_t elementBytes; // 1, 2, 4 or 8: elements are copied, so their type does not matter
    int64_t channels; // channelsToMask of that layout: what lies between them and whole vectors becomes zero
};

// Readies the kernels for the current device and returns its limits. Must be called once there, before the first
// launch.
DeviceLimits prepareReflectPad();

// Enqueues any pad on `stream`, by the kernels for reflect pads alone where those are asked for; throws CudaError when
// the launch fails. Nothing is launched for an empty output.
void launchPad(GatherArguments const& arguments, DeviceLimits const& device, cudaStream_t stream);

// The same for reflect pads that move elements alone.
void launchReflectPad(ReflectPadArguments const& arguments, DeviceLimits const& device, cudaStream_t stream);

} // namespace trtconv
