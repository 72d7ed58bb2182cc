// The norm on channels-last tensors: [N, pixels, C], C rounded up to whole vectors of 16 bytes.
#pragma once

#include "norm/norm.h"

namespace trtconv::channels_last
{

// Readies the kernels for the current device. Must be called once there, before the first launch.
void prepare(DeviceLimits const& device);

// Enqueues on `stream`; throws CudaError when a launch fails. The tensor is not empty.
void launch(NormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream);

// The same of tensors of one type, whose kernels one file compiles.
template <typename T>
void prepareType(DeviceLimits const& device);

template <typename T>
void launchType(NormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream);

} // namespace trtconv::channels_last
