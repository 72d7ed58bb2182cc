// Which formats a plugin takes, and that its copies are the same plugin.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "fakes.h"

struct FormatCase
{
    DataType type;
    TensorFormat format;
    std::vector<int64_t> sizes;
    bool isTaken;
};

inline std::vector<FormatCase> const kFloatFormats{
    {DataType::kHALF, TensorFormat::kLINEAR, {1, 3, 9, 9}, true},
    {DataType::kHALF, TensorFormat::kHWC8, {1, 3, 9, 9}, true},
    {DataType::kBF16, TensorFormat::kHWC8, {-1, -1, 9, 9}, true},
    {DataType::kFLOAT, TensorFormat::kHWC8, {1, 8, 9, 9}, false},
    {DataType::kFLOAT, TensorFormat::kHWC, {1, 8, 9, 9}, true},
    {DataType::kFLOAT, TensorFormat::kHWC, {1, 6, 9, 9}, false}, // channels that fill no vectors
    {DataType::kFLOAT, TensorFormat::kHWC, {1, -1, 9, 9}, false},
    {DataType::kHALF, TensorFormat::kHWC, {1, 8, 9, 9}, false},
    {DataType::kHALF, TensorFormat::kDHWC8, {1, 8, 9, 9}, false}, // its channels would be the batch
    {DataType::kHALF, TensorFormat::kCHW32, {1, 32, 9, 9}, false},
    {DataType::kHALF, static_cast<TensorFormat>(1), {1, 8, 9, 9}, false},
};
inline std::vector<FormatCase> const kByteFormats{
    {DataType::kINT8, TensorFormat::kLINEAR, {1, 3, 9, 9}, true},
    {DataType::kINT8, TensorFormat::kCHW4, {1, 3, 9, 9}, true},
    {DataType::kINT8, TensorFormat::kCHW32, {1, 3, 9, 9}, true},
    {DataType::kINT8, TensorFormat::kHWC16, {1, 3, 9, 9}, true},
    {DataType::kINT8, TensorFormat::kCDHW32, {1, 3, 9, 9}, false},
    {DataType::kINT8, TensorFormat::kHWC8, {1, 8, 9, 9}, false},
    {DataType::kUINT8, TensorFormat::kCHW4, {1, 4, 9, 9}, false},
};
inline std::vector<FormatCase> const kVolumeFormats{
    {DataType::kHALF, TensorFormat::kDHWC8, {1, 3, 5, 9, 9}, true},
    {DataType::kHALF, TensorFormat::kHWC8, {1, 8, 5, 9, 9}, false}, // its channels would be the depth
    {DataType::kFLOAT, TensorFormat::kDHWC, {1, 4, 5, 9, 9}, true},
    {DataType::kHALF, TensorFormat::kHWC8, {1, 8, 9}, false}, // its channels would be the batch
};

// The first tensor and the last have the format, those between are linear.
inline void checkFormats(
    std::string const& name, Faces& plugin, int32_t numInputs, std::vector<FormatCase> const& cases)
{
    for (FormatCase const& each : cases)
    {
        std::string const label = name + " in format " + std::to_string(static_cast<int32_t>(each.format)) + " of type "
            + std::to_string(static_cast<int32_t>(each.type)) + " and rank " + std::to_string(each.sizes.size());
        auto const tensor = dynamicTensor(each.sizes, each.type, each.format);
        std::vector all(numInputs + 1, dynamicTensor({8}, each.type));
        all.front() = all.back() = tensor;
        check(label.c_str(), plugin.takes(0, all) == each.isTaken);
        check((label + " to the same").c_str(), plugin.takes(numInputs, all));
        all.back() = dynamicTensor(each.sizes, each.type, TensorFormat::kCHW4);
        bool const isSame = each.format == TensorFormat::kCHW4;
        check((label + " to another").c_str(), plugin.takes(numInputs, all) == isSame);
        if (numInputs > 1)
        {
            check((label + " with linear scale").c_str(), plugin.takes(1, all));
            all[1].desc.format = TensorFormat::kHWC8;
            check((label + " with another scale").c_str(), !plugin.takes(1, all));
        }
    }
}

inline bool areEqual(PluginField const& a, PluginField const& b)
{
    size_t const elementBytes = a.type == PluginFieldType::kCHAR ? 1 : sizeof(int32_t);
    return std::string(a.name) == b.name && a.type == b.type && a.length == b.length
        && std::memcmp(a.data, b.data, a.length * elementBytes) == 0;
}

inline bool areEqual(PluginFieldCollection const& left, PluginFieldCollection const& right)
{
    bool areAll = left.nbFields == right.nbFields;
    for (int32_t i = 0; areAll && i < left.nbFields; ++i)
    {
        areAll = areEqual(left.fields[i], right.fields[i]);
    }
    return areAll;
}

inline void checkCopies(std::string const& name, IPluginCreatorV3One& creator, PluginFieldCollection const& fields)
{
    auto original = std::make_unique<Faces>(creator.createPlugin("a node", &fields, TensorRTPhase::kBUILD));
    Faces clone(original->plugin->clone());
    Faces attached(clone.runtime->attachToContext(nullptr));
    std::string const cacheId = original->build->getTimingCacheID();
    original.reset();
    check((name + " clone keeps its state").c_str(), areEqual(*clone.runtime->getFieldsToSerialize(), fields));
    check((name + " attached keeps its state").c_str(), areEqual(*attached.runtime->getFieldsToSerialize(), fields));
    check((name + " clone keeps its cache id").c_str(), attached.build->getTimingCacheID() == cacheId);

    Faces reloaded(creator.createPlugin("a node", attached.runtime->getFieldsToSerialize(), TensorRTPhase::kRUNTIME));
    check((name + " reloads").c_str(), areEqual(*reloaded.runtime->getFieldsToSerialize(), fields));
    check((name + " is called so").c_str(),
        reloaded.core->getPluginName() == name && std::string(reloaded.core->getPluginNamespace()) == "trtconv"
            && std::string(reloaded.core->getPluginVersion()) == "1");
    check((name + " has one output").c_str(), reloaded.build->getNbOutputs() == 1);
}
