// Small helpers on TensorRT's shapes.
#pragma once

#include <string>

#include "abi/tensor_types.h"

namespace trtconv
{

// Returns the product of the sizes of the axes [begin, end).
inline int64_t product(nvinfer1::Dims const& dims, int32_t begin, int32_t end)
{
    int64_t result = 1;
    for (int32_t axis = begin; axis < end; ++axis)
    {
        result *= dims.d[axis];
    }
    return result;
}

inline std::string toText(nvinfer1::Dims const& dims)
{
    std::string result = "[";
    for (int32_t axis = 0; axis < dims.nbDims; ++axis)
    {
        result += (axis == 0 ? "" : ", ") + std::to_string(dims.d[axis]);
    }
    return result + "]";
}

} // namespace trtconv
