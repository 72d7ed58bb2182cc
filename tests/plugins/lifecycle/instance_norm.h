// InstanceNorm: shapes, types, formats and memory; residual, slope, groups and scales of each image.
#pragma once

#include <string>
#include <vector>

#include "fields.h"
#include "formats_and_copies.h"

inline void checkInstanceNorm(IPluginCreatorV3One& creator)
{
    float const epsilon = 3e-4F;
    PluginField const field{"epsilon", &epsilon, PluginFieldType::kFLOAT32, 1};
    PluginFieldCollection const fields{1, &field};
    NormFields const all;
    std::vector<PluginField> const list = all.list();
    checkCopies("InstanceNorm", creator, {static_cast<int32_t>(list.size()), list.data()});
    PluginFieldCollection const& names = *creator.getFieldNames();
    bool areNamed = names.nbFields == static_cast<int32_t>(list.size());
    for (int32_t i = 0; areNamed && i < names.nbFields; ++i)
    {
        areNamed = std::string(names.fields[i].name) == list[i].name && names.fields[i].type == list[i].type;
    }
    check("norm names its fields", areNamed);
    Faces norm(creator.createPlugin("first_norm", &fields, TensorRTPhase::kBUILD));
    Faces old(creator.createPlugin("an old engine", &fields, TensorRTPhase::kRUNTIME));
    check("norm of an old engine",
        areEqual(*old.runtime->getFieldsToSerialize(), {static_cast<int32_t>(list.size()), list.data()}));

    std::vector<int64_t> sizes;
    check("norm shape",
        norm.outputShape({{-2, 3, 9, -7}, {3}, {3}}, sizes) == 0 && sizes == std::vector<int64_t>{2, 3, 9, 7});
    check("norm of rank 2", norm.outputShape({{2, 3}, {3}, {3}}, sizes) != 0);
    check("norm with scale of rank 4", norm.outputShape({{2, 3, 4}, {1, 3, 1, 1}, {3}}, sizes) != 0);
    check("norm without bias", norm.outputShape({{2, 3, 4}, {3}}, sizes) != 0);
    check("norm with a scale too short", norm.outputShape({{2, 3, 4}, {2}, {3}}, sizes) != 0);
    check("norm with a bias too long", norm.outputShape({{-2, 3, -4}, {3}, {6}}, sizes) != 0);
    check("norm with a scale of one", norm.outputShape({{2, 3, 4}, {1}, {3}}, sizes) != 0);
    check("norm with unknown channels", norm.outputShape({{2, -3, 4}, {3}, {3}}, sizes) == 0);
    check("norm with a scale of unknown length", norm.outputShape({{2, 3, 4}, {-4}, {3}}, sizes) == 0);

    DataType output{};
    DataType const halves[]{DataType::kHALF, DataType::kHALF, DataType::kHALF};
    DataType const mixed[]{DataType::kHALF, DataType::kFLOAT, DataType::kFLOAT};
    check("norm type", norm.build->getOutputDataTypes(&output, 1, halves, 3) == 0 && output == DataType::kHALF);
    check("norm of mixed types", norm.build->getOutputDataTypes(&output, 1, mixed, 3) != 0);
    DataType const mixedBias[]{DataType::kHALF, DataType::kHALF, DataType::kFLOAT};
    check("norm of a bias of another type", norm.build->getOutputDataTypes(&output, 1, mixedBias, 3) != 0);
    for (DataType const type : {DataType::kFLOAT, DataType::kHALF, DataType::kBF16})
    {
        auto const x = dynamicTensor({1, 8, 9, 9}, type);
        auto const channels = dynamicTensor({8}, type);
        std::vector const all{x, channels, channels, x};
        check(
            "norm takes a type", norm.takes(0, all) && norm.takes(1, all) && norm.takes(2, all) && norm.takes(3, all));
    }
    checkFormats("norm", norm, 3, kFloatFormats);
    checkFormats("norm", norm, 3, kVolumeFormats);
    std::vector mixedTensors(4, dynamicTensor({1, 8, 9, 9}, DataType::kHALF));
    mixedTensors[1] = mixedTensors[2] = dynamicTensor({8}, DataType::kFLOAT);
    check("norm takes no scale of another type", !norm.takes(1, mixedTensors) && !norm.takes(2, mixedTensors));
    auto const integers = dynamicTensor({1, 8, 9, 9}, DataType::kINT32);
    check("norm refuses integers", !norm.takes(0, {integers, integers, integers, integers}));

    auto const workspace = [&](std::vector<int64_t> const& shape)
    {
        std::vector const inputs{dynamicTensor(shape), dynamicTensor({shape[1]}), dynamicTensor({shape[1]})};
        return norm.build->getWorkspaceSize(inputs.data(), 3, inputs.data(), 1);
    };
    check("norm workspace", workspace({1, 512, 32, 32}) == 0 && workspace({1, 3, 512, 512}) > 0);
    auto const channelsLastWorkspace = [&](std::vector<int64_t> const& shape)
    {
        auto const x = dynamicTensor(shape, DataType::kHALF, TensorFormat::kHWC8);
        std::vector const inputs{x, dynamicTensor({shape[1]}), dynamicTensor({shape[1]})};
        return norm.build->getWorkspaceSize(inputs.data(), 3, inputs.data(), 1);
    };
    check("channels-last norm workspace",
        channelsLastWorkspace({1, 512, 8, 8}) == 0 && channelsLastWorkspace({1, 3, 512, 512}) > 0);

    std::vector const configured{dynamicTensor({2, 3, 4, 4}), dynamicTensor({3}), dynamicTensor({3})};
    check("norm is configured", norm.build->configurePlugin(configured.data(), 3, configured.data(), 1) == 0);
    check("norm configured with two inputs", norm.build->configurePlugin(configured.data(), 2, nullptr, 0) != 0);
    check("norm has one tactic", norm.runtime->setTactic(0) == 0);

    std::vector const wrongChannels{tensor({2, 3, 8}), tensor({4}), tensor({3})};
    check("norm with 4 scales for 3 channels", norm.runtime->onShapeChange(wrongChannels.data(), 3, nullptr, 0) != 0);
    std::vector const wrongBias{tensor({2, 3, 8}), tensor({3}), tensor({2})};
    check("norm with 2 biases for 3 channels", norm.runtime->onShapeChange(wrongBias.data(), 3, nullptr, 0) != 0);
    std::vector const right{tensor({2, 3, 8}), tensor({3}), tensor({3})};
    check("norm with a scale and a bias a channel", norm.runtime->onShapeChange(right.data(), 3, nullptr, 0) == 0);
    std::vector const empty{tensor({2, 3, 0}), tensor({3}), tensor({3})};
    void const* inputs[]{nullptr, nullptr, nullptr};
    void* outputs[]{nullptr};
    check("norm of nothing", norm.runtime->enqueue(empty.data(), nullptr, inputs, outputs, nullptr, nullptr) == 0);
}

// Residual, slope, groups and scales of each image.
inline void checkFusedNorm(IPluginCreatorV3One& creator)
{
    NormFields plain;
    Faces norm(plain.plugin(creator, "plain_norm"));
    std::vector<int64_t> sizes;
    check("norm with a residual",
        norm.outputShape({{2, 3, 9, -7}, {3}, {3}, {2, 3, 9, 7}}, sizes) == 0
            && sizes == std::vector<int64_t>{2, 3, 9, 7});
    check("norm with another residual", norm.outputShape({{2, 3, 9, 7}, {3}, {3}, {2, 3, 9, 8}}, sizes) != 0);
    check("norm with a flat residual", norm.outputShape({{2, 3, 9, 7}, {3}, {3}, {2, 3, 63}}, sizes) != 0);
    check("norm with five inputs", norm.outputShape({{2, 3, 9}, {3}, {3}, {2, 3, 9}, {3}}, sizes) != 0);
    check("norm with scales of each image", norm.outputShape({{2, 3, 9}, {2, 3}, {-2, 3}}, sizes) == 0);
    check("norm with scales of too many images", norm.outputShape({{2, 3, 9}, {3, 3}, {2, 3}}, sizes) != 0);
    check("norm with a bias of each image", norm.outputShape({{2, 3, 9}, {3}, {2, 3}}, sizes) != 0);
    PluginTensorDesc const x = tensor({2, 3, 8});
    check("norm runs with scales of each image", norm.takesShapes({x, tensor({2, 3}), tensor({2, 3})}));
    check("norm refuses scales of one image", !norm.takesShapes({x, tensor({1, 3}), tensor({1, 3})}));
    check("norm runs with a residual", norm.takesShapes({x, tensor({3}), tensor({3}), x}));
    check("norm refuses another residual", !norm.takesShapes({x, tensor({3}), tensor({3}), tensor({2, 3, 9})}));

    auto const channelsLast = dynamicTensor({1, 8, 9, 9}, DataType::kHALF, TensorFormat::kHWC8);
    auto const linear = dynamicTensor({1, 8, 9, 9}, DataType::kHALF);
    auto const channels = dynamicTensor({8}, DataType::kHALF);
    check("norm takes a residual of its format", norm.takes(3, {channelsLast, channels, channels, channelsLast, {}}));
    check("norm refuses a linear residual", !norm.takes(3, {channelsLast, channels, channels, linear, {}}));
    check("norm takes the output after a residual",
        norm.takes(4, {channelsLast, channels, channels, channelsLast, channelsLast}));

    NormFields fused;
    fused.activation = "prelu";
    fused.groups = 4;
    Faces prelu(fused.plugin(creator, "prelu_norm"));
    check("prelu without a slope", prelu.outputShape({{2, 8, 9}, {8}, {8}}, sizes) != 0);
    check("prelu with a slope", prelu.outputShape({{2, 8, 9}, {8}, {8}, {8}}, sizes) == 0);
    check("prelu with a slope too short", prelu.outputShape({{2, 8, 9}, {8}, {8}, {7}}, sizes) != 0);
    check("prelu with a residual", prelu.outputShape({{2, 8, 9}, {8}, {8}, {2, 8, 9}, {8}}, sizes) == 0);
    check("prelu takes a linear slope", prelu.takes(3, {channelsLast, channels, channels, channels, {}}));
    check("prelu takes a slope after a residual",
        prelu.takes(3, {channelsLast, channels, channels, channelsLast, channels, {}})
            && prelu.takes(4, {channelsLast, channels, channels, channelsLast, channels, {}}));
    check("groups that do not divide", prelu.outputShape({{2, 6, 9}, {6}, {6}, {6}}, sizes) != 0);
    std::vector const uneven{tensor({2, 6, 9}), tensor({6}), tensor({6}), tensor({6})};
    check("groups that do not divide at run time", prelu.runtime->onShapeChange(uneven.data(), 4, nullptr, 0) != 0);
    check("what changes the time is in the cache id",
        std::string(prelu.build->getTimingCacheID()) != norm.build->getTimingCacheID());
}
