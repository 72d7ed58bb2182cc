#include "norm/instance_norm_plugin.h"

#include <cmath>

#include "common/version.h"
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

// Returns the shape of X [N, C, D1..Dk].
NormShape shapeOf(nvinfer1::Dims const& dims)
{
    return {dims.d[0], dims.d[1], product(dims, 2, dims.nbDims)};
}

// Returns the layout of a tensor that `supports` has taken.
Layout takenLayoutOf(nvinfer1::PluginTensorDesc const& x)
{
    return x.format == nvinfer1::TensorFormat::kLINEAR ? Layout::kLinear : Layout::kChannelsLast;
}

} // namespace

InstanceNormPlugin::InstanceNormPlugin(std::string const& nodeName, FieldReader& fields)
    : PluginShell(nodeName)
    , mEpsilon(fields.getFloat("epsilon"))
{
    fields.rejectUnread();
    require(std::isfinite(mEpsilon) && mEpsilon >= 0.0F,
        "field \"epsilon\": expected a finite number not below 0, given ", mEpsilon);
    setTimingCacheId(kLibraryVersion); // epsilon does not change how long it takes
}

std::vector<nvinfer1::PluginField> InstanceNormPlugin::fields() const
{
    return {{"epsilon", &mEpsilon, nvinfer1::PluginFieldType::kFLOAT32, 1}};
}

bool InstanceNormPlugin::supports(nvinfer1::PluginTensorDesc const& x) const
{
    bool const hasType = x.type == DataType::kFLOAT || x.type == DataType::kHALF || x.type == DataType::kBF16;
    std::optional<Layout> const layout = layoutOf(x);
    return hasType && layout && canNormIn(*layout);
}

nvinfer1::DimsExprs InstanceNormPlugin::outputShape(
    nvinfer1::DimsExprs const* inputs, nvinfer1::IExprBuilder& /*builder*/) const
{
    require(inputs[0].nbDims >= 3, "X must have rank 3 or more, got ", inputs[0].nbDims);
    require(inputs[1].nbDims == 1 && inputs[2].nbDims == 1, "scale and bias must have rank 1, got ", inputs[1].nbDims,
        " and ", inputs[2].nbDims);
    nvinfer1::IDimensionExpr const& channels = *inputs[0].d[1];
    for (int32_t i = 1; i < kNumInputs; ++i)
    {
        // A size known only at run time is checked then, by checkShapes.
        nvinfer1::IDimensionExpr const& size = *inputs[i].d[0];
        require(!size.isConstant() || !channels.isConstant() || size.getConstantValue() == channels.getConstantValue(),
            "X has ", channels.getConstantValue(), " channels, ", i == 1 ? "scale " : "bias ", "has ",
            size.getConstantValue(), " elements");
    }
    return inputs[0];
}

void InstanceNormPlugin::checkShapes(nvinfer1::PluginTensorDesc const* inputs) const
{
    int64_t const channels = inputs[0].dims.d[1];
    require(inputs[1].dims.d[0] == channels && inputs[2].dims.d[0] == channels, "X ", toText(inputs[0].dims), " has ",
        channels, " channels, scale ", toText(inputs[1].dims), ", bias ", toText(inputs[2].dims));
}

DeviceLimits InstanceNormPlugin::prepareDevice()
{
    return prepareNorm();
}

size_t InstanceNormPlugin::workspaceBytes(nvinfer1::DynamicPluginTensorDesc const* inputs) const
{
    return static_cast<size_t>(normWorkspaceBytes(takenLayoutOf(inputs[0].desc), shapeOf(inputs[0].max)));
}

void InstanceNormPlugin::launch(nvinfer1::PluginTensorDesc const* inputDesc, void const* const* inputs, void* output,
    void* workspace, cudaStream_t stream) const
{
    nvinfer1::PluginTensorDesc const& x = inputDesc[0];
    launchNorm({inputs[0], inputs[1], inputs[2], output, workspace, shapeOf(x.dims), mEpsilon, elementTypeOf(x.type),
                   takenLayoutOf(x)},
        device(), stream);
}

} // namespace trtconv
