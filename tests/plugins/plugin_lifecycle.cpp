// Takes both plugins through what TensorRT does with them, up to where a GPU is needed, and checks each answer.
//   plugin_lifecycle LIBRARY     prints "check<tab>ok" or "check<tab>wrong" lines; refusals are logged to standard
//   error
#include <cmath>
#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#include <memory>
#include <string>
#include <vector>

#include "abi/plugin_v3.h"

using namespace nvinfer1;

namespace
{

void check(char const* name, bool isRight)
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

FakeSize const& fake(IDimensionExpr const& expression)
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

PluginTensorDesc tensor(std::vector<int64_t> const& sizes, DataType type = DataType::kFLOAT)
{
    PluginTensorDesc result{{static_cast<int32_t>(sizes.size()), {}}, type, TensorFormat::kLINEAR, -1.0F};
    std::copy(sizes.begin(), sizes.end(), result.dims.d);
    return result;
}

DynamicPluginTensorDesc dynamicTensor(
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

struct FormatCase
{
    DataType type;
    TensorFormat format;
    std::vector<int64_t> sizes;
    bool isTaken;
};

std::vector<FormatCase> const kFloatFormats{
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
std::vector<FormatCase> const kByteFormats{
    {DataType::kINT8, TensorFormat::kLINEAR, {1, 3, 9, 9}, true},
    {DataType::kINT8, TensorFormat::kCHW4, {1, 3, 9, 9}, true},
    {DataType::kINT8, TensorFormat::kCHW32, {1, 3, 9, 9}, true},
    {DataType::kINT8, TensorFormat::kHWC16, {1, 3, 9, 9}, true},
    {DataType::kINT8, TensorFormat::kCDHW32, {1, 3, 9, 9}, false},
    {DataType::kINT8, TensorFormat::kHWC8, {1, 8, 9, 9}, false},
    {DataType::kUINT8, TensorFormat::kCHW4, {1, 4, 9, 9}, false},
};
std::vector<FormatCase> const kVolumeFormats{
    {DataType::kHALF, TensorFormat::kDHWC8, {1, 3, 5, 9, 9}, true},
    {DataType::kHALF, TensorFormat::kHWC8, {1, 8, 5, 9, 9}, false}, // its channels would be the depth
    {DataType::kFLOAT, TensorFormat::kDHWC, {1, 4, 5, 9, 9}, true},
    {DataType::kHALF, TensorFormat::kHWC8, {1, 8, 9}, false}, // its channels would be the batch
};

// The first tensor and the last have the format, those between are linear.
void checkFormats(std::string const& name, Faces& plugin, int32_t numInputs, std::vector<FormatCase> const& cases)
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

bool areEqual(PluginField const& a, PluginField const& b)
{
    size_t const elementBytes = a.type == PluginFieldType::kCHAR ? 1 : sizeof(int32_t);
    return std::string(a.name) == b.name && a.type == b.type && a.length == b.length
        && std::memcmp(a.data, b.data, a.length * elementBytes) == 0;
}

bool areEqual(PluginFieldCollection const& left, PluginFieldCollection const& right)
{
    bool areAll = left.nbFields == right.nbFields;
    for (int32_t i = 0; areAll && i < left.nbFields; ++i)
    {
        areAll = areEqual(left.fields[i], right.fields[i]);
    }
    return areAll;
}

void checkCopies(std::string const& name, IPluginCreatorV3One& creator, PluginFieldCollection const& fields)
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

// Upsampling, other modes, activation, another type and other formats of the output.
void checkMappedPad(IPluginCreatorV3One& creator)
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
void checkPhasedPad(IPluginCreatorV3One& creator)
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
    check("phases are no blocks",
        !pad.takes(0, {dynamicTensor({1, 96, 9, 9}, DataType::kINT8, TensorFormat::kCHW32), {}}));
}

void checkReflectPad(IPluginCreatorV3One& creator)
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

// Residual, slope, groups and scales of each image.
void checkFusedNorm(IPluginCreatorV3One& creator)
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
    auto const changes = [&](std::vector<PluginTensorDesc> const& inputs)
    { return norm.runtime->onShapeChange(inputs.data(), static_cast<int32_t>(inputs.size()), nullptr, 0) == 0; };
    PluginTensorDesc const x = tensor({2, 3, 8});
    check("norm runs with scales of each image", changes({x, tensor({2, 3}), tensor({2, 3})}));
    check("norm refuses scales of one image", !changes({x, tensor({1, 3}), tensor({1, 3})}));
    check("norm runs with a residual", changes({x, tensor({3}), tensor({3}), x}));
    check("norm refuses another residual", !changes({x, tensor({3}), tensor({3}), tensor({2, 3, 9})}));

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

// A norm of an input of phases.
void checkPhasedNorm(IPluginCreatorV3One& creator)
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
    auto const changes = [&](std::vector<PluginTensorDesc> const& inputs)
    { return norm.runtime->onShapeChange(inputs.data(), static_cast<int32_t>(inputs.size()), nullptr, 0) == 0; };
    PluginTensorDesc const channels = tensor({4});
    check("norm of phases runs", changes({tensor({2, 16, 9, 7}), channels, channels, tensor({2, 4, 18, 13})}));
    check("norm of phases refuses a residual like X",
        !changes({tensor({2, 16, 9, 7}), channels, channels, tensor({2, 16, 9, 7})}));
    check("norm refuses channels that phases do not divide", !changes({tensor({2, 18, 9, 7}), channels, channels}));

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

// Results that are upsampled, padded or of another type, and the inside of a padded residual.
void checkPlacedNorm(IPluginCreatorV3One& creator)
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
    auto const changes = [&](std::vector<PluginTensorDesc> const& inputs)
    { return norm.runtime->onShapeChange(inputs.data(), static_cast<int32_t>(inputs.size()), nullptr, 0) == 0; };
    PluginTensorDesc const channels = tensor({3});
    check("placed norm runs", changes({tensor({2, 3, 9, 7}), channels, channels, tensor({2, 3, 10, 8})}));
    check("placed norm refuses another residual",
        !changes({tensor({2, 3, 9, 7}), channels, channels, tensor({2, 3, 9, 8})}));
    check("placed norm refuses pads beyond an axis", !changes({tensor({2, 3, 9, 2}), channels, channels}));

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

void checkInstanceNorm(IPluginCreatorV3One& creator)
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

// What a program in C++ may get wrong: each is refused in both phases, with a message of what was expected and given.
void checkRefusedFields(IPluginCreatorV3One& norm, IPluginCreatorV3One& pad)
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
    NormFields const norms;
    auto const refusesField = [&](PluginField const& wrong)
    {
        std::vector<PluginField> fields = norms.list();
        for (PluginField& field : fields)
        {
            field = std::string(field.name) == wrong.name ? wrong : field;
        }
        return refuses(norm, fields);
    };
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
    auto const refusesPad = [&](PluginField const& wrong)
    {
        std::vector<PluginField> fields = good.list();
        for (PluginField& field : fields)
        {
            field = std::string(field.name) == wrong.name ? wrong : field;
        }
        return refuses(pad, fields);
    };
    check("pad refuses a slope for each channel", refusesPad({"activation", "prelu", PluginFieldType::kCHAR, 5}));
    check("pad refuses a mode", refusesPad({"pad_mode", "constant", PluginFieldType::kCHAR, 8}));
    check("pad refuses a factor of nothing", refusesPad({"upsample", &factors[2], PluginFieldType::kINT32, 1}));
    check("pad refuses factors of other axes", refusesPad({"upsample", factors, PluginFieldType::kINT32, 2}));
    check("pad refuses an element type", refusesPad({"to", factors, PluginFieldType::kINT32, 1}));
    check("pad refuses phases of the batch", refusesPad({"phases", &two, PluginFieldType::kINT32, 1}));
    check("pad refuses phases of other axes", refusesPad({"phases", factors, PluginFieldType::kINT32, 2}));
    check("pad refuses a crop without phases", refusesPad({"crop", &two, PluginFieldType::kINT32, 1}));
}

} // namespace

int main(int /*argc*/, char** argv)
{
    void* const library = dlopen(argv[1], RTLD_NOW);
    if (library == nullptr)
    {
        std::fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    using GetCreators = IPluginCreatorInterface* const* (*)(int32_t&);
    int32_t numCreators = 0;
    auto* const* const creators = reinterpret_cast<GetCreators>(dlsym(library, "getCreators"))(numCreators);
    check("three creators", numCreators == 3);
    checkInstanceNorm(*static_cast<IPluginCreatorV3One*>(creators[0]));
    checkFusedNorm(*static_cast<IPluginCreatorV3One*>(creators[0]));
    checkPlacedNorm(*static_cast<IPluginCreatorV3One*>(creators[0]));
    checkPhasedNorm(*static_cast<IPluginCreatorV3One*>(creators[0]));
    checkReflectPad(*static_cast<IPluginCreatorV3One*>(creators[1]));
    checkMappedPad(*static_cast<IPluginCreatorV3One*>(creators[1]));
    checkPhasedPad(*static_cast<IPluginCreatorV3One*>(creators[1]));
    checkRefusedFields(
        *static_cast<IPluginCreatorV3One*>(creators[0]), *static_cast<IPluginCreatorV3One*>(creators[1]));
}
