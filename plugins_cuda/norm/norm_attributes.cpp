#include "norm/norm_attributes.h"

#include <algorithm>
#include <cmath>

#include "common/plugin_error.h"

namespace trtconv
{

namespace
{

void requireNotNegative(char const* field, std::vector<int32_t> const& values)
{
    bool const areGood = std::all_of(values.begin(), values.end(), [](int32_t value) { return value >= 0; });
    bool const isKnownCount = values.size() == 1 || (!values.empty() && values.size() % 2 == 0);
    require(areGood && isKnownCount, "field \"", field,
        "\": expected one value, or two for each spatial axis, none negative");
}

} // namespace

NormAttributes::NormAttributes(FieldReader& given)
    : epsilon(given.getFloat("epsilon"))
    , activation(readActivation(given))
    , alpha(readAlpha(given))
    , groups(given.getInteger("groups", 0))
    , upsample(readUpsample(given))
    , pads(given.getIntegers("pads", {0}))
    , padMode(readPadMode(given))
    , residualPads(given.getIntegers("residual_pads", {0}))
    , to(readElementType(given))
    , input(given)
{
    given.rejectUnread();
    require(std::isfinite(epsilon) && epsilon >= 0.0F,
        "field \"epsilon\": expected a finite number not below 0, given ", epsilon);
    require(groups >= 0, "field \"groups\": expected no negative number, given ", groups);
    requireNotNegative("pads", pads);
    requireNotNegative("residual_pads", residualPads);
}

std::vector<nvinfer1::PluginField> NormAttributes::fields() const
{
    using nvinfer1::PluginFieldType;
    return {{"epsilon", &epsilon, PluginFieldType::kFLOAT32, 1}, fieldOf("activation", activation.name),
        {"alpha", &alpha, PluginFieldType::kFLOAT32, 1}, {"groups", &groups, PluginFieldType::kINT32, 1},
        fieldOf("upsample", upsample), fieldOf("pads", pads), fieldOf("pad_mode", padMode.name),
        fieldOf("residual_pads", residualPads), {"to", &to, PluginFieldType::kINT32, 1},
        fieldOf("phases", input.phases), fieldOf("crop", input.crop)};
}

void NormAttributes::requireSpatialAxes(int32_t count) const
{
    auto const requireCount = [](char const* field, std::vector<int32_t> const& values, int32_t wanted)
    {
        require(values.size() == 1 || values.size() == static_cast<size_t>(wanted), "field \"", field,
            "\": X needs 1 or ", wanted, " values, given ", values.size());
    };
    requireCount("upsample", upsample, count);
    requireCount("pads", pads, 2 * count);
    requireCount("residual_pads", residualPads, 2 * count);
}

NormPlace NormAttributes::placeOf(nvinfer1::Dims const& x, ElementType outputType) const
{
    int32_t const count = x.nbDims - 2;
    auto const widened = [](std::vector<int32_t> const& values, int32_t wanted)
    {
        std::vector<int32_t> const all = spread(values, wanted);
        return std::vector<int64_t>(all.begin(), all.end());
    };
    AxisPhases const axes = input.ofSpatialAxes(x.nbDims);
    auto const spatial = [](std::vector<int32_t> const& all)
    { return std::vector<int64_t>(all.begin() + 2, all.end()); };
    return {std::vector<int64_t>(x.d + 2, x.d + x.nbDims), widened(upsample, count), widened(pads, 2 * count),
        padMode.value, widened(residualPads, 2 * count), outputType, spatial(axes.phases), spatial(axes.crop)};
}

} // namespace trtconv
