// The kernel's face alone: its body is for a GPU.
#pragma once

#include "common/kernel_launch.cuh"
#include "norm/linear/tensors.cuh"

namespace trtconv::linear
{

template <typename T, int VectorSize, int NumVectors, bool AreFull, ResultKind Kind>
void normaliseResidentSlices(Tensors<T, Kind> const /*tensors*/, int32_t /*log2Lanes*/)
{
}

} // namespace trtconv::linear
