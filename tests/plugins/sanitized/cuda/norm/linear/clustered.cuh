// The kernel's face alone: its body is for a GPU.
#pragma once

#include "common/kernel_launch.cuh"
#include "norm/linear/tensors.cuh"

namespace trtconv::linear
{

template <typename T, int VectorSize, ResultKind Kind>
struct SharedPart
{
    using PartTensors = Tensors<T, Kind>;
};

template <typename T, int VectorSize, int NumTiles, ResultKind Kind>
struct RegisterPart
{
    using PartTensors = Tensors<T, Kind>;
};

template <typename Part>
void normaliseClusteredSlices(typename Part::PartTensors const /*tensors*/, int32_t /*vectorsPerBlock*/)
{
}

} // namespace trtconv::linear
