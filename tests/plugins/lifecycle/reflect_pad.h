// ReflectPad: shapes, types and formats; what it does besides reflecting; inputs of phases.
#pragma once

#include <string>
#include <vector>

#include "fields.h"
#include "formats_and_copies.h"

inline void checkReflectPad(IPluginCreatorV3One& creator)
{
    int32_t const pads[]{0, 0, 1, 2, 0, 0, 3, 4};
    PluginField const field{"pads", pads, PluginFieldType::kINT32, 8};
    PluginFieldCollection const fields{1, &field};
    PadFields const all;
    std::vector<PluginField> const list = all.list();
    PluginFieldCollection const allFields{static_cast<int32_t>(list.size()), list.data()};
    checkCopies("ReflectPad", creator, allFields);
    PluginFieldCollection const& names = *creator.getFieldNames();
    bool areNamed = names.nbFields == allFields.nbFields;
    for (int32_t i = 0; areNamed && i < names.nbFields; ++i)
    {
        areNamed = std::string(names.fields[i].name) == list[i].name && names.fields[i].type == list[i].type;
    }
    check("pad names its fields", areNamed);
    Faces old(creator.createPlugin("an old engine", &fields, TensorRTPhase::kRUNTIME));
    check("pad of an old engine", areEqual(*old.runtime->getFieldsToSerialize(), allFields));
    Faces pad(creator.createPlugin("middle_pad", &fields, TensorRTPhase::kBUILD));

    std::vector<int64_t> sizes;
    check("pad shape", pad.outputShape({{-2, 3, -9, 10}}, sizes) == 0 && sizes == std::vector<int64_t>{2, 3, 13, 16});
    check("pad shape of wrong rank", pad.outputShape({{3, 9, 10}}, sizes) != 0);
    check("pad beyond a constant size", pad.outputShape({{2, 3, 9, 4}}, sizes) != 0);
    check("pad beyond an unknown size", pad.outputShape({{2, 3, 9, -4}}, sizes) == 0);
    check("pad with two inputs", pad.outputShape({{2, 3, 9, 9}, {1}}, sizes) != 0);

    PluginTensorDesc const good = tensor({2, 3, 4, 5});
    PluginTensorDesc const bad = tensor({2, 3, 3, 5});
    check("pad below the run-time size", pad.runtime->onShapeChange(&good, 1, nullptr, 0) == 0);
    check("pad beyond the run-time size", pad.runtime->onShapeChange(&bad, 1, nullptr, 0) != 0);
    PluginTensorDesc const empty = tensor({0, 3, 9, 9});
    void const* inputs[]{nullptr};
    void* outputs[]{nullptr};
    check("pad of nothing", pad.runtime->enqueue(&empty, &empty, inputs, outputs, nullptr, nullptr) == 0);

    for (DataType const type : {DataType::kFLOAT, DataType::kHALF, DataType::kBF16, DataType::kINT8, DataType::kINT32,
             DataType::kINT64, DataType::kBOOL, DataType::kUINT8, DataType::kFP8})
    {
        auto const both = std::vector{dynamicTensor({1, 1, 9, 9}, type), dynamicTensor({1, 1, 13, 15}, type)};
        check("pad takes a type", pad.takes(0, both) && pad.takes(1, both));
    }
    check("pad refuses int4", !pad.takes(0, {dynamicTensor({1, 1, 9, 9}, static_cast<DataType>(9)), {}}));
    check("pad refuses a change of type",
        !pad.takes(1, {dynamicTensor({1, 1, 9, 9}), dynamicTensor({1, 1, 13, 15}, DataType::kHALF)}));
    checkFormats("pad", pad, 1, kFloatFormats);
    checkFormats("pad", pad, 1, kByteFormats);

    int32_t const channelPads[]{0, 1, 0, 0, 0, 0, 0, 0};
    PluginField const channelField{"pads", channelPads, PluginFieldType::kINT32, 8};
    PluginFieldCollection const channelFields{1, &channelField};
    Faces channelPad(creator.createPlugin("channel_pad", &channelFields, TensorRTPhase::kBUILD));
    auto const channelsLast = dynamicTensor({1, 8, 9, 9}, DataType::kHALF, TensorFormat::kHWC8);
    check("pad of channels takes linear", channelPad.takes(0, {dynamicTensor({1, 8, 9, 9}), {}}));
    check("pad of channels refuses channels-last", !channelPad.takes(0, {channelsLast, {}}));
}

// Upsampling, other modes, activation, another type and other formats of the output.
inline void checkMappedPad(IPluginCreatorV3One& creator)
{
    PadFields fields;
    fields.upsample = {1, 1, 2, 2};
    fields.padMode = "edge";
    Faces edge(fields.plugin(creator, "edge_pad"));
    std::vector<int64_t> sizes;
    check("upsampled shape",
        edge.outputShape({{-2, 3, -9, 10}}, sizes) == 0 && sizes == std::vector<int64_t>{2, 3, 22, 26});
    check("edge pads may be longer than the axis", edge.outputShape({{2, 3, 1, 1}}, sizes) == 0);
    check("edge pads need an edge", edge.outputShape({{2, 3, 0, 1}}, sizes) != 0);
    fields.padMode = "reflect";
    Faces reflected(fields.plugin(creator, "upsampled_pad"));
    check("pads below the upsampled size", reflected.outputShape({{2, 3, 2, 3}}, sizes) == 0);
    check("pads beyond the upsampled size", reflected.outputShape({{2, 3, 2, 2}}, sizes) != 0);
    PluginTensorDesc const small = tensor({2, 3, 2, 2});
    check("pads beyond the upsampled run-time size", reflected.runtime->onShapeChange(&small, 1, nullptr, 0) != 0);

    PadFields first;
    first.to = 10;
    first.activation = "relu";
    Faces cast(first.plugin(creator, "first_pad"));
    DataType output{};
    DataType const wide = DataType::kFLOAT;
    DataType const whole = DataType::kINT32;
    check("type of a cast", cast.build->getOutputDataTypes(&output, 1, &wide, 1) == 0 && output == DataType::kHALF);
    check("a cast of integers", cast.build->getOutputDataTypes(&output, 1, &whole, 1) != 0);
    auto const x = dynamicTensor({1, 3, 9, 9});
    auto const y = [](DataType type, TensorFormat format) { return dynamicTensor({1, 3, 13, 15}, type, format); };
    check(
        "cast to channels-last", cast.takes(0, {x, {}}) && cast.takes(1, {x, y(DataType::kHALF, TensorFormat::kHWC8)}));
    check("cast to linear", cast.takes(1, {x, y(DataType::kHALF, TensorFormat::kLINEAR)}));
    check("cast to another type", !cast.takes(1, {x, y(DataType::kFLOAT, TensorFormat::kLINEAR)}));
    check("cast to blocks", !cast.takes(1, {x, y(DataType::kHALF, TensorFormat::kCHW32)}));
    check("cast from integers", !cast.takes(0, {dynamicTensor({1, 3, 9, 9}, whole), {}}));
    check("cast from channels-last",
        cast.takes(1,
            {dynamicTensor({1, 3, 9, 9}, DataType::kBF16, TensorFormat::kHWC8),
                y(DataType::kHALF, TensorFormat::kLINEAR)}));
    fields.upsample = {1, 2, 2, 2};
    Faces channels(fields.plugin(creator, "upsampled_channels"));
    check("upsampled channels are linear",
        channels.takes(0, {x, {}})
            && !channels.takes(0, {dynamicTensor({1, 8, 9, 9}, DataType::kHALF, TensorFormat::kHWC8), {}}));
    check("what changes the time is in the cache id",
        std::string(edge.build->getTimingCacheID()) != reflected.build->getTimingCacheID());
}

// Pads of an input of phases.
inline void checkPhasedPad(IPluginCreatorV3One& creator)
{
    PadFields fields;
    fields.upsample = {1, 1, 2, 1};
    fields.phases = {1, 1, 2, 3};
    fields.crop = {0, 0, 1, 0};
    Faces pad(fields.plugin(creator, "phased_pad"));
    std::vector<int64_t> sizes;
    check("shape of phases",
        pad.outputShape({{2, 18, -9, 10}}, sizes) == 0 && sizes == std::vector<int64_t>{2, 3, 38, 36});
    check("shape of phases of unknown channels",
        pad.outputShape({{2, -18, 9, 10}}, sizes) == 0 && sizes == std::vector<int64_t>{2, 3, 38, 36});
    check("channels that phases do not divide", pad.outputShape({{2, 8, 9, 10}}, sizes) != 0);
    check("pads beyond an axis of phases", pad.outputShape({{2, 6, 9, 1}}, sizes) != 0);
    check("a crop of nothing", pad.outputShape({{2, 6, 0, 9}}, sizes) != 0);
    auto const changes = [&](std::vector<int64_t> const& shape)
    {
        PluginTensorDesc const x = tensor(shape);
        return pad.runtime->onShapeChange(&x, 1, nullptr, 0) == 0;
    };
    check("phases at run time", changes({2, 6, 9, 10}));
    check("channels that phases do not divide at run time", !changes({2, 8, 9, 10}));
    check("pads beyond an axis of phases at run time", !changes({2, 6, 9, 1}));
    auto const x = dynamicTensor({1, 48, 9, 9}, DataType::kHALF, TensorFormat::kHWC8);
    check("phases are channels-last or linear",
        pad.takes(0, {dynamicTensor({1, 48, 9, 9}), {}}) && pad.takes(0, {x, {}}));
    check("channels-last phases become linear", pad.takes(1, {x, dynamicTensor({1, 8, 38, 33}, DataType::kHALF)}));
    check("phases are not blocks",
        !pad.takes(0, {dynamicTensor({1, 96, 9, 9}, DataType::kINT8, TensorFormat::kCHW32), {}}));
}
