// Takes plugins made of random fields through what TensorRT does with them.
#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "abi/plugin_v3.h"
#include "sanitized/findings.h"
#include "sanitized/hostile_fields.h"
#include "sanitized/hostile_sizes.h"
#include "sanitized/random_values.h"

namespace trtconv
{

namespace
{

// The attributes of a plugin as it saves them.
std::vector<int32_t> savedIntegers(PluginFieldCollection const& saved, char const* name)
{
    for (int32_t i = 0; i < saved.nbFields; ++i)
    {
        PluginField const& field = saved.fields[i];
        if (std::strcmp(field.name, name) == 0 && field.type == PluginFieldType::kINT32)
        {
            auto const* const values = static_cast<int32_t const*>(field.data);
            return {values, values + field.length};
        }
    }
    return {};
}

int64_t at(std::vector<int32_t> const& values, size_t index)
{
    return values.empty() ? 0 : values.size() == 1 ? values.front() : index < values.size() ? values[index] : 0;
}

class PluginFuzz
{
public:
    PluginFuzz(Random& random, IPluginV3& plugin)
        : mRandom(random)
        , mCore(*static_cast<IPluginV3OneCore*>(plugin.getCapabilityInterface(PluginCapabilityType::kCORE)))
        , mBuild(*static_cast<IPluginV3OneBuild*>(plugin.getCapabilityInterface(PluginCapabilityType::kBUILD)))
        , mRuntime(*static_cast<IPluginV3OneRuntime*>(plugin.getCapabilityInterface(PluginCapabilityType::kRUNTIME)))
    {
    }

    void run()
    {
        makeTensors();
        askForOutput();
        askForFormats();
        mBuild.configurePlugin(mTensors.data(), numInputs(), mTensors.data() + numInputs(), 1);
        mBuild.getWorkspaceSize(mTensors.data(), numInputs(), mTensors.data() + numInputs(), 1);
        expect(mBuild.getTimingCacheID() != nullptr, "no timing cache id");
        if (tookShapes())
        {
            enqueue();
        }
    }

private:
    int32_t numInputs() const { return static_cast<int32_t>(mTensors.size()) - 1; }

    void makeTensors()
    {
        PluginFieldCollection const* const saved = mRuntime.getFieldsToSerialize();
        expect(saved != nullptr, "no fields to save");
        bool const isNorm = std::strcmp(mCore.getPluginName(), "InstanceNorm") == 0;
        bool const isDynamic = std::strcmp(mCore.getPluginName(), "DynamicReflectPad") == 0;
        auto const rank = isDynamic ? static_cast<int32_t>(at(savedIntegers(*saved, "rank"), 0))
            : isNorm                ? normRank(*saved)
                                    : static_cast<int32_t>(savedIntegers(*saved, "pads").size() / 2);
        Dims const x = mRandom.dims(rank);
        std::vector<Dims> shapes{x};
        if (isNorm)
        {
            addNormInputs(*saved, x, shapes);
        }
        else if (isDynamic)
        {
            shapes.push_back(mRandom.dims(rank));
            shapes.push_back(mRandom.dims(rank));
        }
        DataType const type = mRandom.type();
        TensorFormat const format = mRandom.format();
        for (Dims& dims : shapes)
        {
            if (mRandom.isOneIn(40))
            {
                dims = mRandom.dims(static_cast<int32_t>(mRandom.below(11)) - 1);
            }
            DataType const ownType = isDynamic && !mTensors.empty() ? DataType::kINT32 : type;
            bool const isOperand = !mTensors.empty() && dims.nbDims != x.nbDims;
            addTensor(dims, ownType, isOperand || isDynamic ? TensorFormat::kLINEAR : format);
        }
        std::vector<int32_t> const to = savedIntegers(*saved, "to");
        DataType const typeOfY = at(to, 0) == 1 ? DataType::kFLOAT
            : at(to, 0) == 10                   ? DataType::kHALF
            : at(to, 0) == 16                   ? DataType::kBF16
                                                : type;
        addTensor(x, typeOfY, mRandom.isOneIn(4) ? mRandom.format() : format);
    }

    int32_t normRank(PluginFieldCollection const& saved)
    {
        for (char const* const name : {"pads", "residual_pads"})
        {
            size_t const count = savedIntegers(saved, name).size();
            if (count > 1)
            {
                return 2 + static_cast<int32_t>(std::min<size_t>(count / 2, Dims::MAX_DIMS - 2));
            }
        }
        size_t const factors = savedIntegers(saved, "upsample").size();
        return 2
            + static_cast<int32_t>(factors > 1 ? std::min<size_t>(factors, Dims::MAX_DIMS - 2) : 1 + mRandom.below(4));
    }

    void addNormInputs(PluginFieldCollection const& saved, Dims const& x, std::vector<Dims>& shapes)
    {
        bool const isPerImage = mRandom.isOneIn(3);
        Dims const channels = isPerImage ? Dims{2, {x.d[0], x.d[1]}} : Dims{1, {x.d[1]}};
        shapes.push_back(channels);
        shapes.push_back(channels);
        if (mRandom.isOneIn(2))
        {
            std::vector<int32_t> const pads = savedIntegers(saved, "residual_pads");
            Dims residual = x;
            int32_t const count = x.nbDims - 2;
            for (int32_t axis = 0; axis < count; ++axis)
            {
                int64_t const around = at(pads, axis) + at(pads, count + axis);
                residual.d[2 + axis] = sumOrMost(x.d[2 + axis], around);
            }
            shapes.push_back(residual);
        }
        for (int32_t i = 0; i < saved.nbFields; ++i)
        {
            PluginField const& field = saved.fields[i];
            bool const isPRelu = std::strcmp(field.name, "activation") == 0
                && std::string(static_cast<char const*>(field.data), static_cast<size_t>(field.length)) == "prelu";
            if (isPRelu)
            {
                shapes.push_back({1, {x.d[1]}});
            }
        }
    }

    void addTensor(Dims const& dims, DataType type, TensorFormat format)
    {
        DynamicPluginTensorDesc tensor{{dims, type, format, 1.0F}, dims, dims, dims};
        mTensors.push_back(tensor);
    }

    void askForOutput()
    {
        std::vector<DataType> types;
        FuzzBuilder builder;
        std::vector<DimsExprs> shapes;
        for (int32_t i = 0; i < numInputs(); ++i)
        {
            Dims const& dims = mTensors[i].desc.dims;
            types.push_back(mTensors[i].desc.type);
            DimsExprs shape{dims.nbDims, {}};
            for (int32_t axis = 0; axis < Dims::MAX_DIMS; ++axis)
            {
                shape.d[axis] = builder.make(dims.d[axis], dims.d[axis] >= 0 && !mRandom.isOneIn(4));
            }
            shapes.push_back(shape);
        }
        DataType outputType{};
        took(mBuild.getOutputDataTypes(&outputType, 1, types.data(), numInputs()));
        DimsExprs output{};
        took(mBuild.getOutputShapes(shapes.data(), numInputs(), nullptr, 0, &output, 1, builder));
    }

    void askForFormats()
    {
        mAreTaken = true;
        for (int32_t position = 0; position <= numInputs(); ++position)
        {
            ++counts.calls;
            bool const isTaken = mBuild.supportsFormatCombination(position, mTensors.data(), numInputs(), 1);
            counts.taken += isTaken ? 1 : 0;
            mAreTaken = mAreTaken && isTaken;
        }
    }

    bool tookShapes()
    {
        for (DynamicPluginTensorDesc const& tensor : mTensors)
        {
            mDescs.push_back(tensor.desc);
        }
        return took(mRuntime.onShapeChange(mDescs.data(), numInputs(), mDescs.data() + numInputs(), 1));
    }

    // As TensorRT does: only with formats and shapes that the plugin has taken.
    void enqueue()
    {
        if (!mAreTaken)
        {
            return;
        }
        std::vector<void const*> inputs;
        for (int32_t i = 0; i < numInputs(); ++i)
        {
            inputs.push_back(mRandom.address());
        }
        void* outputs[]{mRandom.address()};
        ++counts.enqueued;
        took(mRuntime.enqueue(
            mDescs.data(), mDescs.data() + numInputs(), inputs.data(), outputs, mRandom.address(), nullptr));
    }

    Random& mRandom;
    IPluginV3OneCore& mCore;
    IPluginV3OneBuild& mBuild;
    IPluginV3OneRuntime& mRuntime;
    std::vector<DynamicPluginTensorDesc> mTensors; // the inputs, then the output
    std::vector<PluginTensorDesc> mDescs;
    bool mAreTaken = false;
};

PluginFieldCollection const& savedBy(IPluginV3& plugin)
{
    auto* const runtime =
        static_cast<IPluginV3OneRuntime*>(plugin.getCapabilityInterface(PluginCapabilityType::kRUNTIME));
    return *runtime->getFieldsToSerialize();
}

bool areEqual(PluginFieldCollection const& left, PluginFieldCollection const& right)
{
    bool result = left.nbFields == right.nbFields;
    for (int32_t i = 0; result && i < left.nbFields; ++i)
    {
        PluginField const& a = left.fields[i];
        PluginField const& b = right.fields[i];
        result = std::strcmp(a.name, b.name) == 0 && a.type == b.type && a.length == b.length
            && std::memcmp(a.data, b.data, static_cast<size_t>(a.length) * widthOf(a.type)) == 0;
    }
    return result;
}

} // namespace

void fuzzPlugin(Random& random, IPluginCreatorV3One& creator)
{
    Fields const fields(random, *creator.getFieldNames());
    TensorRTPhase const phase = random.isOneIn(2) ? TensorRTPhase::kBUILD : TensorRTPhase::kRUNTIME;
    ++counts.collections;
    std::unique_ptr<IPluginV3> const plugin(creator.createPlugin("fuzzed", &fields.collection(), phase));
    if (plugin == nullptr)
    {
        return;
    }
    ++counts.created;
    std::unique_ptr<IPluginV3> const again(creator.createPlugin("again", &savedBy(*plugin), TensorRTPhase::kRUNTIME));
    expect(again != nullptr, "what a plugin saves is refused");
    expect(areEqual(savedBy(*plugin), savedBy(*again)), "what a plugin saves is read as something else");
    std::unique_ptr<IPluginV3> const copy(plugin->clone());
    expect(copy != nullptr && areEqual(savedBy(*plugin), savedBy(*copy)), "a clone differs");
    PluginFuzz(random, *copy).run();
}

} // namespace trtconv
