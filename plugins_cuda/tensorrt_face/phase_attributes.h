// The attributes "phases" and "crop", which an X has that holds neighbours as channels, as for ONNX's DepthToSpace, and
// the shape of that X with its phases interleaved.
#pragma once

#include <cstdint>
#include <vector>

#include "abi/dimension_expressions.h"
#include "abi/tensor_types.h"
#include "tensorrt_face/field_reader.h"

namespace trtconv
{

// The phases of each axis of an X [N, C, D1..Dk], and how many elements are cropped of each.
struct AxisPhases
{
    std::vector<int32_t> phases;
    std::vector<int32_t> crop;
};

struct PhaseAttributes
{
    std::vector<int32_t> phases; // one value for all axes, or one for each
    std::vector<int32_t> crop; // likewise

    // Absent fields mean no phases. Throws PluginError for a wrong value.
    explicit PhaseAttributes(FieldReader& fields);

    // Whether an axis has more than one phase.
    bool arePhased() const;

    // Returns both for all axes of an X of that rank, where the lists speak of its spatial axes or of all axes. Throws
    // PluginError unless they fit.
    AxisPhases ofSpatialAxes(int32_t rank) const;
    AxisPhases ofAllAxes(int32_t rank) const;
};

// Returns the shape of X with its phases interleaved; the same where it has none. Both throw PluginError where the
// phases do not fit X, as far as its sizes are known.
nvinfer1::Dims interleavedShape(nvinfer1::Dims const& x, AxisPhases const& axes);
nvinfer1::DimsExprs interleavedShape(
    nvinfer1::DimsExprs const& x, AxisPhases const& axes, nvinfer1::IExprBuilder& builder);

} // namespace trtconv
