#include "norm/channels_last/launch.cuh"

namespace trtconv::channels_last
{

template void prepareType<float>(DeviceLimits const& device);
template void launchType<float>(NormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream);

} // namespace trtconv::channels_last
