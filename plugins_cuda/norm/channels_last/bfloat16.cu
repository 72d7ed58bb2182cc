#include "norm/channels_last/launch.cuh"

namespace trtconv::channels_last
{

template void prepareType<__nv_bfloat16>(DeviceLimits const& device);
template void launchType<__nv_bfloat16>(
    NormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream);

} // namespace trtconv::channels_last
