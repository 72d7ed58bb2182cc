#include "norm/channels_last/launch.cuh"

namespace trtconv::channels_last
{

template void prepareType<__half>(DeviceLimits const& device);
template void launchType<__half>(NormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream);

} // namespace trtconv::channels_last
