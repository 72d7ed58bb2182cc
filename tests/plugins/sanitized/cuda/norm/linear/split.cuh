// The kernels' faces alone: their bodies are for a GPU.
#pragma once

#include "common/kernel_launch.cuh"
#include "norm/linear/tensors.cuh"

namespace trtconv::linear
{

template <typename T, int VectorSize, ResultKind Kind>
void sumSliceParts(
    Tensors<T, Kind> /*tensors*/, SliceSums* /*partialSums*/, int32_t /*blocksPerSlice*/, int64_t /*vectorsPerBlock*/)
{
}

template <typename T, int VectorSize, ResultKind Kind>
void normaliseSliceParts(Tensors<T, Kind> /*tensors*/, SliceSums const* /*partialSums*/, int32_t /*blocksPerSlice*/,
    int64_t /*vectorsPerBlock*/)
{
}

} // namespace trtconv::linear
