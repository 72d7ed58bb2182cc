// Small helpers on TensorRT's shapes.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "abi/dimension_expressions.h"
#include "abi/tensor_types.h"
#include "common/plugin_error.h"
#include "gather/request.h"

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

// Returns the size of an axis that is upsampled and then padded, as an expression; one known only at run time is
// checked there. Throws PluginError where the pads do not fit axis number `axis`.
inline nvinfer1::IDimensionExpr const* mappedSize(nvinfer1::IDimensionExpr const& size, int32_t factor,
    int64_t padBegin, int64_t padEnd, PadMode mode, int32_t axis, nvinfer1::IExprBuilder& builder)
{
    using nvinfer1::DimensionOperation;

    nvinfer1::IDimensionExpr const* const upsampled =
        factor == 1 ? &size : builder.operation(DimensionOperation::kPROD, size, *builder.constant(factor));
    int64_t const known = upsampled->isConstant() ? upsampled->getConstantValue() : -1;
    require(known < 0 || padsFit(mode, known, std::max(padBegin, padEnd)), "pads ", padBegin, " and ", padEnd, " ",
        padRule(mode), ", axis ", axis, " has size ", known);
    return padBegin + padEnd == 0
        ? upsampled
        : builder.operation(DimensionOperation::kSUM, *upsampled, *builder.constant(padBegin + padEnd));
}

inline std::string toText(std::vector<int32_t> const& values)
{
    std::string result;
    for (int32_t const value : values)
    {
        result += (result.empty() ? "" : ", ") + std::to_string(value);
    }
    return "[" + result + "]";
}

} // namespace trtconv
