#include "norm/norm_attributes.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "common/plugin_error.h"

namespace trtconv
{

namespace
{

// In the order of the enumerators.
constexpr char const* kActivations[]{"none", "relu", "leaky_relu", "prelu", "silu", "elu", "tanh"};
constexpr char const* kPadModes[]{"reflect", "edge", "zero"};

// Returns the place of `name` among `names`.
template <size_t Size>
int32_t indexOf(char const* field, std::string const& name, char const* const (&names)[Size])
{
    std::string expected;
    for (size_t i = 0; i < Size; ++i)
    {
        if (name == names[i])
        {
            return static_cast<int32_t>(i);
        }
        expected += std::string(i == 0 ? "" : ", ") + names[i];
    }
    throw PluginError(text("field \"", field, "\": expected one of ", expected, ", given \"", name, "\""));
}

void requireAll(char const* field, std::vector<int32_t> const& values, int32_t value)
{
    bool const areAll = std::all_of(values.begin(), values.end(), [&](int32_t each) { return each == value; });
    require(!values.empty() && areAll, "field \"", field, "\": this version carries out ", value, " only");
}

nvinfer1::PluginField fieldOf(char const* name, std::string const& value)
{
    return {name, value.data(), nvinfer1::PluginFieldType::kCHAR, static_cast<int32_t>(value.size())};
}

nvinfer1::PluginField fieldOf(char const* name, std::vector<int32_t> const& values)
{
    return {name, values.data(), nvinfer1::PluginFieldType::kINT32, static_cast<int32_t>(values.size())};
}

} // namespace

NormAttributes::NormAttributes(FieldReader& given)
    : epsilon(given.getFloat("epsilon"))
    , activationName(given.getText("activation", "none"))
    , activation(static_cast<Activation>(indexOf("activation", activationName, kActivations)))
    , alpha(given.getFloat("alpha", 0.0F))
    , groups(given.getInteger("groups", 0))
    , upsample(given.getIntegers("upsample", {1}))
    , pads(given.getIntegers("pads", {0}))
    , padMode(given.getText("pad_mode", "reflect"))
    , residualPads(given.getIntegers("residual_pads", {0}))
    , to(given.getInteger("to", 0))
{
    given.rejectUnread();
    require(std::isfinite(epsilon) && epsilon >= 0.0F,
        "field \"epsilon\": expected a finite number not below 0, given ", epsilon);
    require(std::isfinite(alpha), "field \"alpha\": expected a finite number, given ", alpha);
    require(groups >= 0, "field \"groups\": expected no negative number, given ", groups);
    indexOf("pad_mode", padMode, kPadModes);
    requireAll("upsample", upsample, 1);
    requireAll("pads", pads, 0);
    requireAll("residual_pads", residualPads, 0);
    requireAll("to", {to}, 0);
}

std::vector<nvinfer1::PluginField> NormAttributes::fields() const
{
    using nvinfer1::PluginFieldType;
    return {{"epsilon", &epsilon, PluginFieldType::kFLOAT32, 1}, fieldOf("activation", activationName),
        {"alpha", &alpha, PluginFieldType::kFLOAT32, 1}, {"groups", &groups, PluginFieldType::kINT32, 1},
        fieldOf("upsample", upsample), fieldOf("pads", pads), fieldOf("pad_mode", padMode),
        fieldOf("residual_pads", residualPads), {"to", &to, PluginFieldType::kINT32, 1}};
}

} // namespace trtconv
