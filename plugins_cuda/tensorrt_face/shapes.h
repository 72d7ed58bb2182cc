// Small helpers on TensorRT's shapes.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "abi/dimension_expressions.h"
#include "abi/tensor_types.h"
#include "common/integer_maths.h"
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

template <typename Number>
std::string toText(std::vector<Number> const& values)
{
    std::string result;
    for (Number const value : values)
    {
        result += (result.empty() ? "" : ", ") + std::to_string(value);
    }
    return "[" + result + "]";
}

inline void requireRank(int32_t rank)
{
    constexpr int32_t kMax = nvinfer1::Dims::MAX_DIMS;
    require(rank >= 0 && rank <= kMax, "an input has rank ", rank, ", expected 0 to ", kMax);
}

// Throws PluginError unless a tensor has a rank that TensorRT knows and sizes that launch choices can count with.
inline void requireCountable(char const* name, nvinfer1::Dims const& dims)
{
    requireRank(dims.nbDims);
    require(isCountable(dims.d, dims.nbDims), name, " ", toText(dims), " has a negative size or more than ",
        kMaxElements, " elements");
}

// Throws PluginError unless X and what becomes of it have such sizes.
inline void requireCountable(MapRequest const& request, nvinfer1::Dims const& x)
{
    require(isCountable(request), "X ", toText(x), " or its output has a negative size or more than ", kMaxElements,
        " elements");
}

// Return the sum or the product of two sizes of an axis. Throw PluginError where both are known and the result is not.
inline nvinfer1::IDimensionExpr const* sumOf(nvinfer1::IDimensionExpr const& left,
    nvinfer1::IDimensionExpr const& right, int32_t axis, nvinfer1::IExprBuilder& builder)
{
    bool const areKnown = left.isConstant() && right.isConstant();
    require(!areKnown || checkedSum(left.getConstantValue(), right.getConstantValue()) != kOverflow, "axis ", axis,
        " of the output has a negative size or one beyond 64 bits");
    return builder.operation(nvinfer1::DimensionOperation::kSUM, left, right);
}

inline nvinfer1::IDimensionExpr const* productOf(
    nvinfer1::IDimensionExpr const& size, int64_t factor, int32_t axis, nvinfer1::IExprBuilder& builder)
{
    require(!size.isConstant() || checkedProduct(size.getConstantValue(), factor) != kOverflow, "axis ", axis,
        " of the output has a negative size or one beyond 64 bits");
    return builder.operation(nvinfer1::DimensionOperation::kPROD, size, *builder.constant(factor));
}

// Returns the size of an axis that is upsampled and then padded, as an expression; one known only at run time is
// checked there. Throws PluginError where the pads do not fit axis number `axis`.
inline nvinfer1::IDimensionExpr const* mappedSize(nvinfer1::IDimensionExpr const& size, int32_t factor,
    int64_t padBegin, int64_t padEnd, PadMode mode, int32_t axis, nvinfer1::IExprBuilder& builder)
{
    nvinfer1::IDimensionExpr const* const upsampled = factor == 1 ? &size : productOf(size, factor, axis, builder);
    int64_t const known = upsampled->isConstant() ? upsampled->getConstantValue() : -1;
    require(known < 0 || padsFit(mode, known, std::max(padBegin, padEnd)), "pads ", padBegin, " and ", padEnd, " ",
        padRule(mode), ", axis ", axis, " has size ", known);
    return padBegin + padEnd == 0 ? upsampled : sumOf(*upsampled, *builder.constant(padBegin + padEnd), axis, builder);
}

} // namespace trtconv
