// The norm on linear tensors: [N, C, D1..Dk].
#pragma once

#include "norm/norm.h"

namespace trtconv::linear
{

// Readies the kernels for the current device. Must be called once there, before the first launch.
void prepare(DeviceLimits const& device);

// Whether results are scattered to the planes of the arguments. The tensor is not empty.
bool isScattered(NormArguments const& arguments);

// Returns the bytes of the largest tensor of at most this shape whose results are not scattered.
int64_t maxHeldBytes(NormArguments const& largest);

// Enqueues on `stream`; throws CudaError when a launch fails. The tensor is not empty.
void launch(NormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream);

// The same of tensors of one type, whose kernels one file compiles.
template <typename T>
void prepareType(DeviceLimits const& device);

template <typename T>
void launchType(NormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream);

// The same where results are scattered.
template <typename T>
void prepareScattered(DeviceLimits const& device);

template <typename T>
void launchScattered(NormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream);

} // namespace trtconv::linear
