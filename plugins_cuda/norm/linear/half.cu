#include "norm/linear/launch.cuh"

namespace trtconv::linear
{

template void prepareType<__half>(DeviceLimits const& device);
template void launchType<__half>(NormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream);

} // namespace trtconv::linear
