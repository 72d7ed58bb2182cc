// InstanceNorm of inputs of phases, and results that are upsampled, padded or of another type.
#pragma once

#include <vector>

#include "fakes.h"
#include "fields.h"

// A norm of an input of phases.
inline void checkPhasedNorm(IPluginCreatorV3One& creator)
{
    NormFields fields;
    fields.groups = 2;
    fields.upsample = 2;
    fields.phases = {2};
    fields.crop = {0, 1};
    Faces norm(fields.plugin(creator, "phased_norm"));
    std::vector<int64_t> sizes;
    check("shape of a norm of phases",
        norm.outputShape({{2, 16, 9, -7}, {4}, {4}, {2, 4, 18, 13}}, sizes) == 0
            && sizes == std::vector<int64_t>{2, 4, 36, 26});
    check("scales of as many channels as X", norm.outputShape({{2, 16, 9, 7}, {16}, {16}}, sizes) != 0);
    check("groups of a phase", norm.outputShape({{2, 12, 9, 7}, {3}, {3}}, sizes) != 0);
    check("residual of the shape of X", norm.outputShape({{2, 16, 9, 7}, {4}, {4}, {2, 16, 9, 7}}, sizes) != 0);
    check("crops of two axes of three", norm.outputShape({{2, 32, 9, 7, 5}, {4}, {4}}, sizes) != 0);
    PluginTensorDesc const channels = tensor({4});
    check("norm of phases runs", norm.takesShapes({tensor({2, 16, 9, 7}), channels, channels, tensor({2, 4, 18, 13})}));
    check("norm of phases refuses a residual like X",
        !norm.takesShapes({tensor({2, 16, 9, 7}), channels, channels, tensor({2, 16, 9, 7})}));
    check("norm refuses channels that phases do not divide",
        !norm.takesShapes({tensor({2, 18, 9, 7}), channels, channels}));

    DynamicPluginTensorDesc const parameter = dynamicTensor({4}, DataType::kHALF);
    auto const takesFirst = [&](std::vector<int64_t> const& sizes, TensorFormat format)
    {
        auto const x = dynamicTensor(sizes, DataType::kHALF, format);
        return norm.takes(0, {x, parameter, parameter, x});
    };
    check("phases of open channels are read from linear tensors alone",
        takesFirst({2, -1, 9, 7}, TensorFormat::kLINEAR) && !takesFirst({2, -1, 9, 7}, TensorFormat::kHWC8)
            && takesFirst({-1, 16, 9, -1}, TensorFormat::kHWC8));

    fields.groups = 0;
    auto const workspace = [&](std::vector<int32_t> const& crop, DynamicPluginTensorDesc const& image)
    {
        fields.phases = {2, 2};
        fields.crop = crop;
        Faces plugin(fields.plugin(creator, "phased_norm"));
        DynamicPluginTensorDesc const parameter = dynamicTensor({8}, image.desc.type);
        std::vector const inputs{image, parameter, parameter};
        return plugin.build->getWorkspaceSize(inputs.data(), 3, inputs.data(), 1);
    };
    auto const small = dynamicTensor({1, 32, 6, 6}, DataType::kHALF, TensorFormat::kHWC8);
    check("phases that a norm reads need no memory", workspace({0}, small) == 0);
    check("cropped phases are interleaved in memory", workspace({0, 1}, small) == (2 * 8 * 12 * 11 + 255) / 256 * 256);
    check("other phases are interleaved in Y",
        workspace({0}, dynamicTensor({1, 32, 6, 6}, DataType::kHALF)) == 2 * 8 * 12 * 12);
    size_t const forSums = 33024; // of 8 slices and 2048 blocks, 16 bytes each, rounded up
    auto large = dynamicTensor({1, 32, 1000, 1000}, DataType::kFLOAT);
    check("large results are scattered", workspace({0}, large) == forSums);
    large.min.d[2] = 999;
    check("smaller ones may not be", workspace({0}, large) == forSums + size_t{32} * 1000 * 1000 * 4);
}

// An upsampled or padded result, one of another type, and a residual of which only the inside is read.
inline void checkPlacedNorm(IPluginCreatorV3One& creator)
{
    int32_t const two = 2;
    int32_t const pads[]{1, 2, 3, 4};
    int32_t const residualPads[]{0, 1, 1, 0};
    int32_t const half = 10;
    float const epsilon = 1e-5F;
    PluginField const list[]{{"epsilon", &epsilon, PluginFieldType::kFLOAT32, 1},
        {"upsample", &two, PluginFieldType::kINT32, 1}, {"pads", pads, PluginFieldType::kINT32, 4},
        {"residual_pads", residualPads, PluginFieldType::kINT32, 4}, {"to", &half, PluginFieldType::kINT32, 1}};
    PluginFieldCollection const all{5, list};
    PluginFieldCollection const withoutType{4, list};
    Faces norm(creator.createPlugin("placed_norm", &all, TensorRTPhase::kBUILD));
    std::vector<int64_t> sizes;
    check("placed shape",
        norm.outputShape({{2, 3, 9, -7}, {3}, {3}, {2, 3, 10, 8}}, sizes) == 0
            && sizes == std::vector<int64_t>{2, 3, 22, 20});
    check("placed norm with a residual without its pads",
        norm.outputShape({{2, 3, 9, 7}, {3}, {3}, {2, 3, 9, 7}}, sizes) != 0);
    check("pads of two axes around three", norm.outputShape({{2, 3, 9, 7, 5}, {3}, {3}}, sizes) != 0);
    check("pads beyond an upsampled axis", norm.outputShape({{2, 3, 9, 2}, {3}, {3}}, sizes) != 0);
    PluginTensorDesc const channels = tensor({3});
    check("placed norm runs", norm.takesShapes({tensor({2, 3, 9, 7}), channels, channels, tensor({2, 3, 10, 8})}));
    check("placed norm refuses another residual",
        !norm.takesShapes({tensor({2, 3, 9, 7}), channels, channels, tensor({2, 3, 9, 8})}));
    check("placed norm refuses pads beyond an axis", !norm.takesShapes({tensor({2, 3, 9, 2}), channels, channels}));

    DataType output{};
    DataType const floats[]{DataType::kFLOAT, DataType::kFLOAT, DataType::kFLOAT};
    DataType const brains[]{DataType::kBF16, DataType::kBF16, DataType::kBF16};
    check("type of a norm with a cast",
        norm.build->getOutputDataTypes(&output, 1, floats, 3) == 0 && output == DataType::kHALF);
    check("a norm casts from float32 alone", norm.build->getOutputDataTypes(&output, 1, brains, 3) != 0);
    auto const x = dynamicTensor({1, 8, 9, 9}, DataType::kFLOAT, TensorFormat::kHWC);
    auto const y = dynamicTensor({1, 8, 22, 24}, DataType::kHALF, TensorFormat::kHWC8);
    auto const linear = dynamicTensor({1, 8, 22, 24}, DataType::kHALF);
    auto const parameter = dynamicTensor({8});
    check("a norm casts within its layout",
        norm.takes(3, {x, parameter, parameter, y}) && !norm.takes(3, {x, parameter, parameter, linear}));

    Faces plain(creator.createPlugin("placed_norm", &withoutType, TensorRTPhase::kBUILD));
    auto const workspace = [&](Faces& plugin, DataType type, TensorFormat format)
    {
        auto const image = dynamicTensor({1, 8, 6, 6}, type, format);
        std::vector const inputs{image, dynamicTensor({8}, type), dynamicTensor({8}, type)};
        return plugin.build->getWorkspaceSize(inputs.data(), 3, inputs.data(), 1);
    };
    size_t const likeX = 768; // 8 * 6 * 6 halves, rounded up
    check("scattered results need no workspace", workspace(plain, DataType::kHALF, TensorFormat::kHWC8) == 0);
    check("other results and padded residuals go through the workspace",
        workspace(plain, DataType::kHALF, TensorFormat::kLINEAR) == 2 * likeX);
}
