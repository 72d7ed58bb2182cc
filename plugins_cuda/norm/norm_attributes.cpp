#include "norm/norm_attributes.h"

#include <algorithm>
#include <cmath>

#include "common/plugin_error.h"

namespace trtconv
{

namespace
{

void requireAll(char const* field, std::vector<int32_t> const& values, int32_t value)
{
    bool const areAll = std::all_of(values.begin(), values.end(), [&](int32_t each) { return each == value; });
    require(!values.empty() && areAll, "field \"", field, "\": this version carries out ", value, " only");
}

} // namespace

NormAttributes::NormAttributes(FieldReader& given)
    : epsilon(given.getFloat("epsilon"))
    , activation(readActivation(given))
    , alpha(readAlpha(given))
    , groups(given.getInteger("groups", 0))
    , upsample(given.getIntegers("upsample", {1}))
    , pads(given.getIntegers("pads", {0}))
    , padMode(readPadMode(given))
    , residualPads(given.getIntegers("residual_pads", {0}))
    , to(given.getInteger("to", 0))
{
    given.rejectUnread();
    require(std::isfinite(epsilon) && epsilon >= 0.0F,
        "field \"epsilon\": expected a finite number not below 0, given ", epsilon);
    require(groups >= 0, "field \"groups\": expected no negative number, given ", groups);
    requireAll("upsample", upsample, 1);
    requireAll("pads", pads, 0);
    requireAll("residual_pads", residualPads, 0);
    requireAll("to", {to}, 0);
}

std::vector<nvinfer1::PluginField> NormAttributes::fields() const
{
    using nvinfer1::PluginFieldType;
    return {{"epsilon", &epsilon, PluginFieldType::kFLOAT32, 1}, fieldOf("activation", activation.name),
        {"alpha", &alpha, PluginFieldType::kFLOAT32, 1}, {"groups", &groups, PluginFieldType::kINT32, 1},
        fieldOf("upsample", upsample), fieldOf("pads", pads), fieldOf("pad_mode", padMode.name),
        fieldOf("residual_pads", residualPads), {"to", &to, PluginFieldType::kINT32, 1}};
}

} // namespace trtconv
