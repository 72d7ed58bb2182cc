// What all launches of the gathers of one operation have in common.
#pragma once

#include "common/kernel_launch.cuh"
#include "gather/choice.h"
#include "gather/gather.h"
#include "gather/operations.cuh"

namespace trtconv
{

template <typename Operation>
struct OperationLaunch
{
    using In = typename Operation::Input;
    using Out = typename Operation::Output;

    // Elements of 1 and of 8 bytes, which no network computes, are gathered one by one from phases and volumes.
    static constexpr bool kIsOfNetworks = sizeof(In) == 2 || sizeof(In) == 4;

    GatherArguments const& arguments;
    Operation operation;
    DeviceLimits const& device;
    cudaStream_t stream;

    In const* input() const { return static_cast<In const*>(arguments.input); }
    Out* output() const { return static_cast<Out*>(arguments.output); }

    KernelLaunch launchOf(int64_t numThreads) const
    {
        return {device, chooseGatherBlocks(numThreads), kGatherThreads, stream};
    }
};

} // namespace trtconv
