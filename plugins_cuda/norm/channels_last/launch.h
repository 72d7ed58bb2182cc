// InstanceNorm on channels-last tensors: [N, pixels, C], C rounded up to whole vectors of 16 bytes.
#pragma once

#include "norm/norm.h"

namespace trtconv::channels_last
{

// Readies the kernels for the current device: to be called once there, before the first launch.
void prepareInstanceNormChannelsLast(DeviceLimits const& device);

// Enqueues on `stream`; throws CudaError when a launch fails. Nothing is launched for an empty tensor. Input and output
// are aligned to 16 bytes; the workspace has workspaceBytes. What lies between the channels and whole
// vectors is not looked at, and becomes zero in the output.
void launchInstanceNormChannelsLast(
    InstanceNormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream);

} // namespace trtconv::channels_last
