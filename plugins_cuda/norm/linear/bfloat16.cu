#include "norm/linear/launch.cuh"

namespace trtconv::linear
{

template void prepareType<__nv_bfloat16>(DeviceLimits const& device);
template void launchType<__nv_bfloat16>(
    NormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream);

} // namespace trtconv::linear
