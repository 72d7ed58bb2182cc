#include "norm/instance_norm_plugin.h"

#include "common/version.h"
#include "norm/channels_last/choice.h"
#include "norm/channels_last/launch.h"
#include "norm/linear/choice.h"
#include "norm/norm.h"
#include "tensorrt_face/shapes.h"
#include "tensorrt_face/tensor_formats.h"

namespace trtconv
{

namespace
{

using nvinfer1::DataType;

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

// Slices and their size, of X [N, C, D1..Dk].
int64_t countSlices(nvinfer1::Dims const& dims)
{
    return product(dims, 0, 2);
}

int64_t sliceSize(nvinfer1::Dims const& dims)
{
    return product(dims, 2, dims.nbDims);
}

} // namespace

InstanceNormPlugin::InstanceNormPlugin(std::string const& nodeName, FieldReader& fields)
    : PluginShell(nodeName)
    , mEpsilon(fields.getFloat("epsilon"))
{
    fields.rejectUnread();
    require(mEpsilon >= 0.0F, "field \"epsilon\": expected a number not below 0, given ", mEpsilon);
    setTimingCacheId(kLibraryVersion); // epsilon does not change how long it takes
}

std::vector<nvinfer1::PluginField> InstanceNormPlugin::fields() const
{
    return {{"epsilon", &mEpsilon, nvinfer1::PluginFieldType::kFLOAT32, 1}};
}

bool InstanceNormPlugin::supports(nvinfer1::PluginTensorDesc const& x) const
{
    bool const hasType = x.type == DataType::kFLOAT || x.type == DataType::kHALF || x.type == DataType::kBF16;
    return hasType && layoutOf(x).has_value(); // for these types: linear or channels-last
}

nvinfer1::DimsExprs InstanceNormPlugin::outputShape(
    nvinfer1::DimsExprs const* inputs, nvinfer1::IExprBuilder& /*builder*/) const
{
    require(inputs[0].nbDims >= 3, "X must have rank 3 or more, got ", inputs[0].nbDims);
    require(inputs[1].nbDims == 1 && inputs[2].nbDims == 1, "scale and bias must have rank 1, got ", inputs[1].nbDims,
        " and ", inputs[2].nbDims);
    return inputs[0];
}

void InstanceNormPlugin::checkShapes(nvinfer1::PluginTensorDesc const* inputs)
{
    int64_t const channels = inputs[0].dims.d[1];
    require(inputs[1].dims.d[0] == channels && inputs[2].dims.d[0] == channels, "X ", toText(inputs[0].dims), " has ",
        channels, " channels, scale ", toText(inputs[1].dims), ", bias ", toText(inputs[2].dims));
    if (mDevice.numProcessors == 0)
    {
        mDevice = prepareInstanceNorm();
    }
}

size_t InstanceNormPlugin::workspaceBytes(nvinfer1::DynamicPluginTensorDesc const* inputs) const
{
    nvinfer1::Dims const& largest = inputs[0].max;
    bool const isLinear = inputs[0].desc.format == nvinfer1::TensorFormat::kLINEAR;
    int64_t const numBytes = isLinear ? linear::workspaceBytes(countSlices(largest), sliceSize(largest))
                                      : channels_last::workspaceBytes(sliceSize(largest));
    return static_cast<size_t>(numBytes);
}

void InstanceNormPlugin::launch(nvinfer1::PluginTensorDesc const* inputDesc, void const* const* inputs, void* output,
    void* workspace, cudaStream_t stream) const
{
    nvinfer1::Dims const& dims = inputDesc[0].dims;
    bool const isLinear = inputDesc[0].format == nvinfer1::TensorFormat::kLINEAR;
    auto const launchIn = isLinear ? launchInstanceNorm : channels_last::launchInstanceNormChannelsLast;
    launchIn({inputs[0], inputs[1], inputs[2], output, workspace, countSlices(dims), dims.d[1], sliceSize(dims),
                 mEpsilon, elementTypeOf(inputDesc[0].type)},
        mDevice, stream);
}

} // namespace trtconv
