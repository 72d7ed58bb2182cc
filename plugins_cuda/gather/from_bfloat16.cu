#include "gather/launch.cuh"

namespace trtconv
{

template <>
void launchConverted<__nv_bfloat16>(GatherArguments const& arguments, DeviceLimits const& device, cudaStream_t stream)
{
    dispatchConverted<__nv_bfloat16>(arguments, device, stream);
}

} // namespace trtconv
