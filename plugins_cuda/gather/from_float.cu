#include "gather/launch.cuh"

namespace trtconv
{

template <>
void launchConverted<float>(GatherArguments const& arguments, DeviceLimits const& device, cudaStream_t stream)
{
    dispatchConverted<float>(arguments, device, stream);
}

} // namespace trtconv
