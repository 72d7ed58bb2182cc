// The kernels' faces alone: their bodies are for a GPU.
#pragma once

#include "norm/linear/split.cuh"

namespace trtconv::linear
{

template <typename T>
using PlacedTensors = Tensors<T, ResultKind::kPlaced>;

template <typename T, int VectorSize>
void sumPlaneParts(
    PlacedTensors<T> /*tensors*/, SliceSums* /*partialSums*/, int32_t /*blocksPerSlice*/, int64_t /*elementsPerBlock*/)
{
}

template <typename T>
void scatterPlaneParts(PlacedTensors<T> /*tensors*/, SliceSums const* /*partialSums*/, int32_t /*blocksPerSlice*/,
    int64_t /*elementsPerBlock*/, bool /*areWhole*/)
{
}

} // namespace trtconv::linear
