// What stands for TensorRT around a plugin: sizes and the builder of expressions, tensors, and the calls of its faces.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "abi/plugin_v3.h"

using namespace nvinfer1;

// Prints one answer.
inline void check(char const* name, bool isRight)
{
    std::printf("%s\t%s\n", name, isRight ? "ok" : "wrong");
}

// A size: constant, or known only at run time (then `value` is the one that it happens to have).
struct FakeSize : apiv::VDimensionExpr, IDimensionExpr
{
    FakeSize(int64_t size, bool isKnown)
        : value(size)
        , known(isKnown)
    {
        mImpl = this;
    }
    bool isConstant() const override { return known; }
    int64_t getConstantValue() const override { return value; }
    bool isSizeTensor() const override { return false; }

    int64_t value;
    bool known;
};

inline FakeSize const& fake(IDimensionExpr const& expression)
{
    return static_cast<FakeSize const&>(expression);
}

struct FakeBuilder : apiv::VExprBuilder, IExprBuilder
{
    FakeBuilder() { mImpl = this; }
    IDimensionExpr const* constant(int64_t value) override { return make(value, true); }
    IDimensionExpr const* operation(
        DimensionOperation op, IDimensionExpr const& first, IDimensionExpr const& second) override
    {
        return make(valueOf(op, fake(first).value, fake(second).value), fake(first).known && fake(second).known);
    }
    static int64_t valueOf(DimensionOperation op, int64_t first, int64_t second)
    {
        switch (op)
        {
        case DimensionOperation::kSUM: return first + second;
        case DimensionOperation::kPROD: return first * second;
        case DimensionOperation::kSUB: return first - second;
        case DimensionOperation::kFLOOR_DIV: return first / second;
        default: return -1;
        }
    }
    IDimensionExpr const* declareSizeTensor(int32_t, IDimensionExpr const&, IDimensionExpr const&) override
    {
        return nullptr;
    }
    IDimensionExpr const* make(int64_t value, bool isKnown)
    {
        sizes.push_back(std::make_unique<FakeSize>(value, isKnown));
        return sizes.back().get();
    }
    // Negative sizes are known only at run time.
    DimsExprs shape(std::vector<int64_t> const& values)
    {
        DimsExprs dims{static_cast<int32_t>(values.size()), {}};
        for (size_t i = 0; i < values.size(); ++i)
        {
            dims.d[i] = make(values[i] < 0 ? -values[i] : values[i], values[i] >= 0);
        }
        return dims;
    }

    std::vector<std::unique_ptr<FakeSize>> sizes;
};

inline PluginTensorDesc tensor(std::vector<int64_t> const& sizes, DataType type = DataType::kFLOAT)
{
    PluginTensorDesc result{{static_cast<int32_t>(sizes.size()), {}}, type, TensorFormat::kLINEAR, -1.0F};
    std::copy(sizes.begin(), sizes.end(), result.dims.d);
    return result;
}

inline DynamicPluginTensorDesc dynamicTensor(
    std::vector<int64_t> const& sizes, DataType type = DataType::kFLOAT, TensorFormat format = TensorFormat::kLINEAR)
{
    DynamicPluginTensorDesc result{tensor(sizes, type), {}, {}, {}};
    result.desc.format = format;
    result.min = result.max = result.opt = result.desc.dims;
    return result;
}

// A plugin through its four faces.
struct Faces
{
    explicit Faces(IPluginV3* owned)
        : plugin(owned)
        , core(static_cast<IPluginV3OneCore*>(owned->getCapabilityInterface(PluginCapabilityType::kCORE)))
        , build(static_cast<IPluginV3OneBuild*>(owned->getCapabilityInterface(PluginCapabilityType::kBUILD)))
        , runtime(static_cast<IPluginV3OneRuntime*>(owned->getCapabilityInterface(PluginCapabilityType::kRUNTIME)))
    {
    }

    // Says whether the runtime takes inputs of these shapes.
    bool takesShapes(std::vector<PluginTensorDesc> const& inputs)
    {
        return runtime->onShapeChange(inputs.data(), static_cast<int32_t>(inputs.size()), nullptr, 0) == 0;
    }

    // Returns the status, and the sizes that the output would have.
    int32_t outputShape(std::vector<std::vector<int64_t>> const& shapes, std::vector<int64_t>& sizes)
    {
        FakeBuilder builder;
        std::vector<DimsExprs> inputs;
        for (auto const& shape : shapes)
        {
            inputs.push_back(builder.shape(shape));
        }
        DimsExprs output{};
        int32_t const status =
            build->getOutputShapes(inputs.data(), static_cast<int32_t>(inputs.size()), nullptr, 0, &output, 1, builder);
        sizes.clear();
        for (int32_t i = 0; i < output.nbDims; ++i)
        {
            sizes.push_back(fake(*output.d[i]).value);
        }
        return status;
    }

    bool takes(int32_t position, std::vector<DynamicPluginTensorDesc> const& tensors)
    {
        return build->supportsFormatCombination(position, tensors.data(), static_cast<int32_t>(tensors.size()) - 1, 1);
    }

    std::unique_ptr<IPluginV3> plugin;
    IPluginV3OneCore* core;
    IPluginV3OneBuild* build;
    IPluginV3OneRuntime* runtime;
};
