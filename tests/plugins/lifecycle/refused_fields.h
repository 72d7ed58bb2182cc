// Fields that no plugin is made from.
#pragma once

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "fakes.h"
#include "fields.h"

// What a program in C++ may get wrong: each is refused in both phases, with a message of what was expected and given.
inline void checkRefusedFields(IPluginCreatorV3One& norm, IPluginCreatorV3One& pad)
{
    double const wide = 1e-5;
    float const epsilons[]{1e-5F, 1e-5F};
    int32_t const pads[]{1, 1, 1, 1};
    auto const refuses = [](IPluginCreatorV3One& creator, std::vector<PluginField> const& fields)
    {
        PluginFieldCollection const collection{static_cast<int32_t>(fields.size()), fields.data()};
        return creator.createPlugin("from_cpp", &collection, TensorRTPhase::kBUILD) == nullptr
            && creator.createPlugin("from_cpp", &collection, TensorRTPhase::kRUNTIME) == nullptr;
    };
    check("norm refuses no fields", norm.createPlugin("from_cpp", nullptr, TensorRTPhase::kBUILD) == nullptr);
    check("norm refuses a name", refuses(norm, {{"Epsilon", epsilons, PluginFieldType::kFLOAT32, 1}}));
    check("norm refuses no name", refuses(norm, {{nullptr, epsilons, PluginFieldType::kFLOAT32, 1}}));
    check("norm refuses a type", refuses(norm, {{"epsilon", &wide, PluginFieldType::kFLOAT64, 1}}));
    check("norm refuses no type", refuses(norm, {{"epsilon", epsilons}}));
    check("norm refuses a length", refuses(norm, {{"epsilon", epsilons, PluginFieldType::kFLOAT32, 2}}));
    for (float const epsilon : {-1e-5F, -INFINITY, INFINITY, NAN})
    {
        check("norm refuses an epsilon", refuses(norm, {{"epsilon", &epsilon, PluginFieldType::kFLOAT32, 1}}));
    }
    auto const refusesAmong =
        [&](IPluginCreatorV3One& creator, std::vector<PluginField> fields, PluginField const& wrong)
    {
        for (PluginField& field : fields)
        {
            field = std::string(field.name) == wrong.name ? wrong : field;
        }
        return refuses(creator, fields);
    };
    NormFields const norms;
    auto const refusesField = [&](PluginField const& wrong) { return refusesAmong(norm, norms.list(), wrong); };
    int32_t const two = 2;
    int32_t const factors[]{2, 2, 0};
    int32_t const negative = -1;
    float const infinite = INFINITY;
    check("norm refuses an activation", refusesField({"activation", "gelu", PluginFieldType::kCHAR, 4}));
    check("norm refuses a number as activation", refusesField({"activation", &two, PluginFieldType::kINT32, 1}));
    check("norm refuses an alpha", refusesField({"alpha", &infinite, PluginFieldType::kFLOAT32, 1}));
    check("norm refuses negative groups", refusesField({"groups", &negative, PluginFieldType::kINT32, 1}));
    check("norm refuses two groups", refusesField({"groups", pads, PluginFieldType::kINT32, 2}));
    check("norm refuses a pad mode", refusesField({"pad_mode", "wrap", PluginFieldType::kCHAR, 4}));
    check("norm refuses negative pads", refusesField({"pads", &negative, PluginFieldType::kINT32, 1}));
    check("norm refuses three pads", refusesField({"residual_pads", factors, PluginFieldType::kINT32, 3}));
    check("norm refuses a factor of nothing", refusesField({"upsample", &factors[2], PluginFieldType::kINT32, 1}));
    check("norm refuses an element type", refusesField({"to", &two, PluginFieldType::kINT32, 1}));
    check("norm refuses no phase", refusesField({"phases", &factors[2], PluginFieldType::kINT32, 1}));
    check("norm refuses a negative crop", refusesField({"crop", &negative, PluginFieldType::kINT32, 1}));
    int64_t const wideGroups = 0;
    PluginField const counted[]{{"epsilon", epsilons, PluginFieldType::kFLOAT32, 1},
        {"activation", "relu\0", PluginFieldType::kCHAR, 5}, {"groups", &wideGroups, PluginFieldType::kINT64, 1}};
    PluginFieldCollection const countedFields{3, counted};
    Faces relu(norm.createPlugin("from_cpp", &countedFields, TensorRTPhase::kBUILD));
    PluginField const activation = relu.runtime->getFieldsToSerialize()->fields[1];
    check("norm takes a counted zero", activation.length == 4 && std::memcmp(activation.data, "relu", 4) == 0);
    check("norm refuses no data", refuses(norm, {{"epsilon", nullptr, PluginFieldType::kFLOAT32, 1}}));
    check("pad refuses a type", refuses(pad, {{"pads", pads, PluginFieldType::kINT8, 4}}));
    check("pad refuses a length", refuses(pad, {{"pads", pads, PluginFieldType::kINT32, 3}}));
    check("pad refuses a negative length", refuses(pad, {{"pads", pads, PluginFieldType::kINT32, -4}}));
    check("pad refuses no values", refuses(pad, {{"pads", nullptr, PluginFieldType::kINT32, 0}}));
    PadFields const good;
    auto const refusesPad = [&](PluginField const& wrong) { return refusesAmong(pad, good.list(), wrong); };
    check("pad refuses a slope for each channel", refusesPad({"activation", "prelu", PluginFieldType::kCHAR, 5}));
    check("pad refuses a mode", refusesPad({"pad_mode", "constant", PluginFieldType::kCHAR, 8}));
    check("pad refuses a factor of nothing", refusesPad({"upsample", &factors[2], PluginFieldType::kINT32, 1}));
    check("pad refuses factors of other axes", refusesPad({"upsample", factors, PluginFieldType::kINT32, 2}));
    check("pad refuses an element type", refusesPad({"to", factors, PluginFieldType::kINT32, 1}));
    check("pad refuses phases of the batch", refusesPad({"phases", &two, PluginFieldType::kINT32, 1}));
    check("pad refuses phases of other axes", refusesPad({"phases", factors, PluginFieldType::kINT32, 2}));
    check("pad refuses a crop without phases", refusesPad({"crop", &two, PluginFieldType::kINT32, 1}));
}
