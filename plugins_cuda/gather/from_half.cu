#include "gather/launch.cuh"

namespace trtconv
{

template <>
void launchConverted<__half>(GatherArguments const& arguments, DeviceLimits const& device, cudaStream_t stream)
{
    dispatchConverted<__half>(arguments, device, stream);
}

} // namespace trtconv
