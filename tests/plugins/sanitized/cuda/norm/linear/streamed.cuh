// The kernel's face alone: its body is for a GPU.
#pragma once

#include "common/kernel_launch.cuh"
#include "norm/linear/tensors.cuh"

namespace trtconv::linear
{

struct StreamLayout
{
    int32_t blocksPerSlice;
    int32_t numGroups;
    int32_t numStages;
    int64_t vectorsPerBlock;
    SliceSums* partialSums;
    uint32_t* counters;
};

template <typename T, int VectorSize, ResultKind Kind>
void normaliseStreamedSlices(Tensors<T, Kind> const /*tensors*/, StreamLayout const /*layout*/)
{
}

} // namespace trtconv::linear
