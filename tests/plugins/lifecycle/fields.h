// The fields that both plugins are made from.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "abi/plugin_v3.h"

using namespace nvinfer1;

// The fields of a ReflectPad, in the order of the creator.
struct PadFields
{
    std::vector<int32_t> pads{0, 0, 1, 2, 0, 0, 3, 4};
    std::string activation = "none";
    float alpha = 0.0F;
    std::vector<int32_t> upsample{1};
    std::string padMode = "reflect";
    int32_t to = 0;
    std::vector<int32_t> phases{1};
    std::vector<int32_t> crop{0};

    std::vector<PluginField> list() const
    {
        auto const integers = [](char const* name, std::vector<int32_t> const& values)
        { return PluginField{name, values.data(), PluginFieldType::kINT32, static_cast<int32_t>(values.size())}; };
        auto const word = [](char const* name, std::string const& value)
        { return PluginField{name, value.data(), PluginFieldType::kCHAR, static_cast<int32_t>(value.size())}; };
        return {integers("pads", pads), word("activation", activation), {"alpha", &alpha, PluginFieldType::kFLOAT32, 1},
            integers("upsample", upsample), word("pad_mode", padMode), {"to", &to, PluginFieldType::kINT32, 1},
            integers("phases", phases), integers("crop", crop)};
    }

    IPluginV3* plugin(IPluginCreatorV3One& creator, char const* name) const
    {
        std::vector<PluginField> const all = list();
        PluginFieldCollection const fields{static_cast<int32_t>(all.size()), all.data()};
        return creator.createPlugin(name, &fields, TensorRTPhase::kBUILD);
    }
};

// The fields of an InstanceNorm, in the order of the creator.
struct NormFields
{
    float epsilon = 3e-4F;
    std::string activation = "none";
    float alpha = 0.0F;
    int32_t groups = 0;
    int32_t upsample = 1;
    int32_t pads = 0;
    std::string padMode = "reflect";
    int32_t residualPads = 0;
    int32_t to = 0;
    std::vector<int32_t> phases{1};
    std::vector<int32_t> crop{0};

    std::vector<PluginField> list() const
    {
        auto const integer = [](char const* name, int32_t const& value)
        { return PluginField{name, &value, PluginFieldType::kINT32, 1}; };
        auto const integers = [](char const* name, std::vector<int32_t> const& values)
        { return PluginField{name, values.data(), PluginFieldType::kINT32, static_cast<int32_t>(values.size())}; };
        auto const word = [](char const* name, std::string const& value)
        { return PluginField{name, value.data(), PluginFieldType::kCHAR, static_cast<int32_t>(value.size())}; };
        return {{"epsilon", &epsilon, PluginFieldType::kFLOAT32, 1}, word("activation", activation),
            {"alpha", &alpha, PluginFieldType::kFLOAT32, 1}, integer("groups", groups), integer("upsample", upsample),
            integer("pads", pads), word("pad_mode", padMode), integer("residual_pads", residualPads), integer("to", to),
            integers("phases", phases), integers("crop", crop)};
    }

    IPluginV3* plugin(IPluginCreatorV3One& creator, char const* name) const
    {
        std::vector<PluginField> const all = list();
        PluginFieldCollection const fields{static_cast<int32_t>(all.size()), all.data()};
        return creator.createPlugin(name, &fields, TensorRTPhase::kBUILD);
    }
};
