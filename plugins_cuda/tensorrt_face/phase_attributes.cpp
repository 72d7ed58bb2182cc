#include "tensorrt_face/phase_attributes.h"

#include <algorithm>

#include "common/integer_maths.h"
#include "common/plugin_error.h"
#include "gather/request.h"
#include "tensorrt_face/shapes.h"
#include "tensorrt_face/shared_attributes.h"

namespace trtconv
{

namespace
{

using nvinfer1::DimensionOperation;

void requireAtLeast(char const* field, std::vector<int32_t> const& values, int32_t smallest)
{
    bool const areGood = std::all_of(values.begin(), values.end(), [&](int32_t value) { return value >= smallest; });
    require(!values.empty() && areGood, "field \"", field, "\": expected values of at least ", smallest, ", given ",
        toText(values));
}

std::vector<int32_t> spreadOver(char const* field, std::vector<int32_t> const& values, int32_t count)
{
    require(values.size() == 1 || values.size() == static_cast<size_t>(count), "field \"", field, "\": X needs 1 or ",
        count, " values, given ", values.size());
    return spread(values, count);
}

void requireCrops(AxisPhases const& axes)
{
    for (size_t axis = 0; axis < axes.phases.size(); ++axis)
    {
        require(axes.crop[axis] < axes.phases[axis], "field \"crop\": expected fewer than the ", axes.phases[axis],
            " phases of axis ", axis, ", given ", axes.crop[axis]);
    }
}

int64_t productOf(std::vector<int32_t> const& values)
{
    int64_t product = 1;
    for (int32_t const value : values)
    {
        product = checkedProduct(product, value);
        require(product != kOverflow, "field \"phases\": their product is beyond 64 bits");
    }
    return product;
}

void requireChannels(int64_t channels, AxisPhases const& axes)
{
    int64_t const wanted = productOf(axes.phases);
    require(channels % wanted == 0, "phases ", toText(axes.phases), " need a multiple of ", wanted, " channels, X has ",
        channels);
}

void requireSize(int64_t size, AxisPhases const& axes, int32_t axis)
{
    auto const at = static_cast<size_t>(axis);
    require(arePhases(size, axes.phases[at], axes.crop[at]), "crop ", axes.crop[at], " leaves nothing of axis ", axis,
        " of X, which has ", axes.phases[at], " phases of size ", size);
}

} // namespace

PhaseAttributes::PhaseAttributes(FieldReader& fields)
    : phases(fields.getIntegers("phases", {1}))
    , crop(fields.getIntegers("crop", {0}))
{
    requireAtLeast("phases", phases, 1);
    requireAtLeast("crop", crop, 0);
}

bool PhaseAttributes::arePhased() const
{
    return std::any_of(phases.begin(), phases.end(), [](int32_t count) { return count > 1; });
}

AxisPhases PhaseAttributes::ofSpatialAxes(int32_t rank) const
{
    AxisPhases axes{spreadOver("phases", phases, rank - 2), spreadOver("crop", crop, rank - 2)};
    axes.phases.insert(axes.phases.begin(), 2, 1);
    axes.crop.insert(axes.crop.begin(), 2, 0);
    requireCrops(axes);
    return axes;
}

AxisPhases PhaseAttributes::ofAllAxes(int32_t rank) const
{
    AxisPhases const axes{spreadOver("phases", phases, rank), spreadOver("crop", crop, rank)};
    for (size_t axis = 0; axis < axes.phases.size(); ++axis)
    {
        bool const isSpatial = rank >= 3 && axis >= 2;
        require(isSpatial || axes.phases[axis] == 1, "field \"phases\": expected 1 for axis ", axis,
            ", which is not spatial, given ", axes.phases[axis]);
    }
    requireCrops(axes);
    return axes;
}

nvinfer1::Dims interleavedShape(nvinfer1::Dims const& x, AxisPhases const& axes)
{
    nvinfer1::Dims whole = x;
    if (productOf(axes.phases) == 1)
    {
        return whole;
    }
    requireChannels(x.d[1], axes);
    whole.d[1] = x.d[1] / productOf(axes.phases);
    for (int32_t axis = 2; axis < x.nbDims; ++axis)
    {
        requireSize(x.d[axis], axes, axis);
        auto const at = static_cast<size_t>(axis);
        whole.d[axis] = x.d[axis] * axes.phases[at] - axes.crop[at];
    }
    return whole;
}

nvinfer1::DimsExprs interleavedShape(
    nvinfer1::DimsExprs const& x, AxisPhases const& axes, nvinfer1::IExprBuilder& builder)
{
    nvinfer1::DimsExprs whole = x;
    if (productOf(axes.phases) == 1)
    {
        return whole;
    }
    if (x.d[1]->isConstant())
    {
        requireChannels(x.d[1]->getConstantValue(), axes);
    }
    whole.d[1] = builder.operation(DimensionOperation::kFLOOR_DIV, *x.d[1], *builder.constant(productOf(axes.phases)));
    for (int32_t axis = 2; axis < x.nbDims; ++axis)
    {
        if (x.d[axis]->isConstant())
        {
            requireSize(x.d[axis]->getConstantValue(), axes, axis);
        }
        auto const at = static_cast<size_t>(axis);
        if (axes.phases[at] != 1)
        {
            whole.d[axis] =
                builder.operation(DimensionOperation::kPROD, *x.d[axis], *builder.constant(axes.phases[at]));
        }
        if (axes.crop[at] != 0)
        {
            whole.d[axis] =
                builder.operation(DimensionOperation::kSUB, *whole.d[axis], *builder.constant(axes.crop[at]));
        }
    }
    return whole;
}

} // namespace trtconv
