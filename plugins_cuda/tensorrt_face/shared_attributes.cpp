#include "tensorrt_face/shared_attributes.h"

#include <algorithm>
#include <cmath>

#include "common/plugin_error.h"

namespace trtconv
{

namespace
{

using nvinfer1::DataType;

// In the order of the enumerators.
constexpr char const* kActivations[]{"none", "relu", "leaky_relu", "prelu", "silu", "elu", "tanh"};
constexpr char const* kPadModes[]{"reflect", "edge", "zero"};

// The numbers of ONNX's TensorProto.DataType.
constexpr int32_t kOnnxFloat = 1;
constexpr int32_t kOnnxFloat16 = 10;
constexpr int32_t kOnnxBFloat16 = 16;

template <typename Value, size_t Size>
Named<Value> named(char const* field, std::string const& name, char const* const (&names)[Size])
{
    std::string expected;
    for (size_t i = 0; i < Size; ++i)
    {
        if (name == names[i])
        {
            return {name, static_cast<Value>(i)};
        }
        expected += std::string(i == 0 ? "" : ", ") + names[i];
    }
    throw PluginError(text("field \"", field, "\": expected one of ", expected, ", given \"", name, "\""));
}

} // namespace

Named<Activation> readActivation(FieldReader& fields)
{
    return named<Activation>("activation", fields.getText("activation", "none"), kActivations);
}

float readAlpha(FieldReader& fields)
{
    float const alpha = fields.getFloat("alpha", 0.0F);
    require(std::isfinite(alpha), "field \"alpha\": expected a finite number, given ", alpha);
    return alpha;
}

Named<PadMode> readPadMode(FieldReader& fields)
{
    return named<PadMode>("pad_mode", fields.getText("pad_mode", "reflect"), kPadModes);
}

std::vector<int32_t> readUpsample(FieldReader& fields)
{
    std::vector<int32_t> const factors = fields.getIntegers("upsample", {1});
    bool const areFactors = std::all_of(factors.begin(), factors.end(), [](int32_t factor) { return factor >= 1; });
    require(!factors.empty() && areFactors, "field \"upsample\": expected factors of at least 1");
    return factors;
}

int32_t readElementType(FieldReader& fields)
{
    int32_t const type = fields.getInteger("to", 0);
    require(type == 0 || type == kOnnxFloat || type == kOnnxFloat16 || type == kOnnxBFloat16,
        "field \"to\": expected 0, ", kOnnxFloat, " (float32), ", kOnnxFloat16, " (float16) or ", kOnnxBFloat16,
        " (bfloat16), given ", type);
    return type;
}

DataType typeOf(int32_t onnxType, DataType typeOfX)
{
    switch (onnxType)
    {
    case kOnnxFloat: return DataType::kFLOAT;
    case kOnnxFloat16: return DataType::kHALF;
    case kOnnxBFloat16: return DataType::kBF16;
    default: return typeOfX;
    }
}

ElementType elementTypeOf(DataType type)
{
    switch (type)
    {
    case DataType::kFLOAT: return ElementType::kFloat32;
    case DataType::kHALF: return ElementType::kFloat16;
    case DataType::kBF16: return ElementType::kBFloat16;
    default: throw PluginError(text("data type ", static_cast<int32_t>(type), " is not supported"));
    }
}

bool isFloatingPoint(DataType type)
{
    return type == DataType::kFLOAT || type == DataType::kHALF || type == DataType::kBF16;
}

std::vector<int32_t> spread(std::vector<int32_t> const& values, int32_t count)
{
    return values.size() == 1 ? std::vector<int32_t>(static_cast<size_t>(count), values.front()) : values;
}

nvinfer1::PluginField fieldOf(char const* name, std::string const& value)
{
    return {name, value.data(), nvinfer1::PluginFieldType::kCHAR, static_cast<int32_t>(value.size())};
}

nvinfer1::PluginField fieldOf(char const* name, std::vector<int32_t> const& values)
{
    return {name, values.data(), nvinfer1::PluginFieldType::kINT32, static_cast<int32_t>(values.size())};
}

} // namespace trtconv
