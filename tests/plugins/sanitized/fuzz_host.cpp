// Gives the plugins' host code, built with sanitizers and without CUDA, what a damaged engine or a careless caller would.
//   fuzz_host ITERATIONS SEED [FIRST]     prints counts as JSON; a finding ends the process, its iteration is printed
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <sanitizer/common_interface_defs.h>
#include <string>
#include <vector>

#include "abi/plugin_v3.h"
#include "common/export.h"
#include "common/kernel_launch.cuh"
#include "sanitized/random_values.h"
#include "trtconv_kernels.h"

using namespace nvinfer1;
using trtconv::Random;

TRTCONV_EXPORT IPluginCreatorInterface* const* getCreators(int32_t& numCreators);

namespace
{

struct Counts
{
    int64_t collections = 0;
    int64_t created = 0;
    int64_t calls = 0;
    int64_t taken = 0; // calls that were not refused
    int64_t enqueued = 0;
    int64_t launcherCalls = 0;
    int64_t launcherTaken = 0;
};

Counts counts;
int64_t iteration = 0;
int64_t seed = 0;

void reportPlace()
{
    std::fprintf(stderr, "found at iteration %lld of seed %lld\n", static_cast<long long>(iteration),
        static_cast<long long>(seed));
}

void expect(bool isRight, char const* what)
{
    if (!isRight)
    {
        std::fprintf(stderr, "wrong: %s\n", what);
        reportPlace();
        std::abort();
    }
}

bool took(int32_t status)
{
    ++counts.calls;
    counts.taken += status == 0 ? 1 : 0;
    return status == 0;
}

// A size that is constant, or known only at run time.
struct FuzzSize : apiv::VDimensionExpr, IDimensionExpr
{
    FuzzSize(int64_t size, bool known)
        : value(size)
        , isKnown(known)
    {
        mImpl = this;
    }
    bool isConstant() const override { return isKnown; }
    int64_t getConstantValue() const override { return isKnown ? value : INT32_MIN; } // as TensorRT documents it
    bool isSizeTensor() const override { return false; }

    int64_t value;
    bool isKnown;
};

// Computes with sizes as TensorRT does; the plugin must not ask for what overflows.
struct FuzzBuilder : apiv::VExprBuilder, IExprBuilder
{
    FuzzBuilder() { mImpl = this; }
    IDimensionExpr const* constant(int64_t value) override { return make(value, true); }
    IDimensionExpr const* operation(
        DimensionOperation op, IDimensionExpr const& left, IDimensionExpr const& right) override
    {
        auto const& first = static_cast<FuzzSize const&>(left);
        auto const& second = static_cast<FuzzSize const&>(right);
        if (!first.isKnown || !second.isKnown)
        {
            return make(0, false);
        }
        int64_t result = 0;
        bool const overflows = op == DimensionOperation::kSUM
            ? __builtin_add_overflow(first.value, second.value, &result)
            : __builtin_mul_overflow(first.value, second.value, &result);
        expect(!overflows, "a size beyond 64 bits");
        return make(result, true);
    }
    IDimensionExpr const* declareSizeTensor(int32_t, IDimensionExpr const&, IDimensionExpr const&) override
    {
        return nullptr;
    }
    IDimensionExpr const* make(int64_t value, bool isKnown)
    {
        sizes.push_back(std::make_unique<FuzzSize>(value, isKnown));
        return sizes.back().get();
    }

    std::vector<std::unique_ptr<FuzzSize>> sizes;
};

// A field whose data lies in memory of its own, so that a read beyond it is seen.
struct OwnedField
{
    std::string name;
    std::vector<char> data;
    PluginField field;
};

class Fields
{
public:
    Fields(Random& random, PluginFieldCollection const& wanted)
    {
        bool const isGood = random.isOneIn(2);
        for (int32_t i = 0; i < wanted.nbFields; ++i)
        {
            if (isGood || !random.isOneIn(12))
            {
                add(random, wanted.fields[i], isGood);
            }
        }
        if (!isGood && random.isOneIn(8))
        {
            add(random, wanted.fields[random.below(wanted.nbFields)], isGood);
        }
        for (auto& owned : mOwned)
        {
            mFields.push_back(owned->field);
        }
        mCollection = {static_cast<int32_t>(mFields.size()), mFields.data()};
        if (!isGood && random.isOneIn(64))
        {
            mCollection = {random.isOneIn(2) ? -1 : INT32_MAX, random.isOneIn(2) ? nullptr : mFields.data()};
        }
    }

    PluginFieldCollection const& collection() const { return mCollection; }

private:
    void add(Random& random, PluginField const& wanted, bool isGood)
    {
        auto owned = std::make_unique<OwnedField>();
        owned->name = wanted.name;
        owned->data = trtconv::bytesOf(random, wanted, isGood);
        size_t const width = trtconv::widthOf(wanted.type);
        owned->field = {owned->name.c_str(), owned->data.data(), wanted.type,
            static_cast<int32_t>(owned->data.size() / width)};
        if (!isGood && random.isOneIn(10))
        {
            spoil(random, *owned);
        }
        mOwned.push_back(std::move(owned));
    }

    static void spoil(Random& random, OwnedField& owned)
    {
        PluginField& field = owned.field;
        switch (random.below(6))
        {
        case 0: field.name = nullptr; return;
        case 1: owned.name += "x"; return;
        case 2: field.data = nullptr; return;
        case 3: field.type = static_cast<PluginFieldType>(random.below(15)); field.length = 0; return;
        case 4: field.length = -1; return;
        default: field.length = static_cast<int32_t>(1000 + random.below(INT32_MAX - 1000)); // beyond the data
        }
    }

    std::vector<std::unique_ptr<OwnedField>> mOwned;
    std::vector<PluginField> mFields;
    PluginFieldCollection mCollection{};
};

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
                return 2 + static_cast<int32_t>(count / 2);
            }
        }
        size_t const factors = savedIntegers(saved, "upsample").size();
        return 2 + static_cast<int32_t>(factors > 1 ? factors : 1 + mRandom.below(4));
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
                residual.d[2 + axis] = trtconv::sumOrMost(x.d[2 + axis], around);
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
    auto* const runtime
        = static_cast<IPluginV3OneRuntime*>(plugin.getCapabilityInterface(PluginCapabilityType::kRUNTIME));
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
            && std::memcmp(a.data, b.data, static_cast<size_t>(a.length) * trtconv::widthOf(a.type)) == 0;
    }
    return result;
}

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

void countLauncher(int status)
{
    ++counts.launcherCalls;
    counts.launcherTaken += status == 0 ? 1 : 0;
}

trtconv_norm_place placeOf(Random& random)
{
    int64_t const rarity = random.isOneIn(2) ? 1 << 20 : 8; // half of all are meant to be right
    trtconv_norm_place place{};
    place.rank = static_cast<int32_t>(random.smallOrAny(1, rarity));
    for (int i = 0; i < 6; ++i)
    {
        place.sizes[i] = random.size();
        place.upsample[i] = random.smallOrAny(1, rarity);
    }
    for (int i = 0; i < 12; ++i)
    {
        place.pads[i] = random.smallOrAny(0, rarity);
        place.residual_pads[i] = random.smallOrAny(0, rarity);
    }
    place.pad_mode = static_cast<int32_t>(random.smallOrAny(0, rarity));
    place.output_dtype = static_cast<int32_t>(random.smallOrAny(0, rarity));
    return place;
}

// Returns the product of the place's sizes, as it must be.
int64_t sliceSizeOf(trtconv_norm_place const& place)
{
    int64_t product = 1;
    for (int i = 0; i < place.rank && i < 6; ++i)
    {
        product = trtconv::productOrMost(product, place.sizes[i]);
    }
    return product;
}

void fuzzNormLauncher(Random& random)
{
    trtconv_norm_place const place = placeOf(random);
    bool const isPlaced = random.isOneIn(2);
    int64_t const sliceSize = isPlaced && !random.isOneIn(16) ? sliceSizeOf(place) : random.size();
    trtconv_instance_norm_options options{};
    options.groups = random.isOneIn(2) ? 0 : random.smallOrAny(1, 8);
    options.is_affine_per_image = static_cast<int32_t>(random.below(2));
    options.activation = static_cast<int32_t>(random.below(8));
    options.residual = random.isOneIn(2) ? nullptr : random.address();
    options.slope = random.isOneIn(4) ? nullptr : random.address();
    options.place = isPlaced ? &place : nullptr;
    int64_t const batch = random.size();
    int64_t const channels = random.size();
    auto const dtype = static_cast<int32_t>(random.smallOrAny(0, 16));
    auto const format = static_cast<int32_t>(random.isOneIn(16) ? random.integer() : random.below(2));
    size_t const bytes = trtconv_instance_norm_workspace_bytes(
        batch, channels, sliceSize, dtype, format, options.groups, options.place);
    countLauncher(trtconv_instance_norm(random.address(), random.address(), random.address(), random.address(), batch,
        channels, sliceSize, 1e-5F, dtype, format, random.isOneIn(8) ? nullptr : &options, random.address(), bytes,
        nullptr));
}

trtconv_output_map mapOf(Random& random, int64_t rarity)
{
    trtconv_output_map map{};
    for (int64_t& factor : map.upsample)
    {
        factor = random.isOneIn(2) ? 1 : random.smallOrAny(1, rarity);
    }
    map.upsample[1] = random.isOneIn(16) ? 2 : 1;
    map.pad_mode = static_cast<int32_t>(random.smallOrAny(0, rarity));
    map.output_format = static_cast<int32_t>(random.smallOrAny(0, rarity));
    bool const isMoved = random.isOneIn(2);
    map.input_dtype = isMoved ? TRTCONV_WORDS : static_cast<int32_t>(random.smallOrAny(0, rarity));
    map.output_dtype = isMoved ? TRTCONV_WORDS : static_cast<int32_t>(random.smallOrAny(0, rarity));
    map.activation = isMoved ? TRTCONV_ACTIVATION_NONE : static_cast<int32_t>(random.below(8));
    return map;
}

void fuzzPadLauncher(Random& random)
{
    int64_t const rarity = random.isOneIn(2) ? 1 << 20 : 8;
    trtconv_output_map const map = mapOf(random, rarity);
    int64_t sizes[8];
    int64_t pads[16];
    for (int64_t& size : sizes)
    {
        size = random.size();
    }
    for (int64_t& pad : pads)
    {
        pad = random.isOneIn(2) ? 0 : random.smallOrAny(0, rarity);
    }
    auto const rank = static_cast<int32_t>(random.isOneIn(32) ? random.integer() : 1 + random.below(8));
    bool const hasChannels = rank >= 3 && rank <= 8 && !random.isOneIn(16);
    pads[1] = hasChannels ? 0 : pads[1];
    pads[hasChannels ? rank + 1 : 1] = 0;
    auto const format = random.isOneIn(2) ? map.output_format : static_cast<int32_t>(random.below(5));
    int32_t const bytes = map.input_dtype == TRTCONV_FLOAT32 ? 4 : map.input_dtype > 0 ? 2 : 1 << random.below(5);
    countLauncher(trtconv_reflect_pad(random.address(), random.address(), rank, sizes, pads, bytes, format,
        random.isOneIn(3) ? nullptr : &map, nullptr));
}

} // namespace

int main(int argc, char** argv)
{
    int64_t const iterations = argc > 1 ? std::atoll(argv[1]) : 1000;
    seed = argc > 2 ? std::atoll(argv[2]) : 1;
    iteration = argc > 3 ? std::atoll(argv[3]) : 0;
    __sanitizer_set_death_callback(reportPlace); // of AddressSanitizer; the other one ends by abort()
    std::signal(SIGABRT, [](int) { reportPlace(); });
    std::signal(SIGFPE, [](int) { reportPlace(); std::_Exit(1); });
    int32_t numCreators = 0;
    IPluginCreatorInterface* const* const creators = getCreators(numCreators);
    for (int64_t const end = iteration + iterations; iteration < end; ++iteration)
    {
        Random random(seed, iteration);
        hostDevice = random.device();
        auto& creator = *static_cast<IPluginCreatorV3One*>(creators[random.below(numCreators)]);
        fuzzPlugin(random, creator);
        fuzzNormLauncher(random);
        fuzzPadLauncher(random);
    }
    std::printf("{\"collections\": %lld, \"plugins\": %lld, \"calls\": %lld, \"calls_taken\": %lld, \"enqueued\": %lld, "
                "\"launcher_calls\": %lld, \"launcher_calls_taken\": %lld, \"launches\": %lld}\n",
        static_cast<long long>(counts.collections), static_cast<long long>(counts.created),
        static_cast<long long>(counts.calls), static_cast<long long>(counts.taken),
        static_cast<long long>(counts.enqueued), static_cast<long long>(counts.launcherCalls),
        static_cast<long long>(counts.launcherTaken), static_cast<long long>(trtconv::numHostLaunches));
    return 0;
}
