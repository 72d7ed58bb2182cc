#include "norm/linear/launch.cuh"

namespace trtconv::linear
{

template void prepareType<float>(DeviceLimits const& device);
template void launchType<float>(NormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream);

} // namespace trtconv::linear
