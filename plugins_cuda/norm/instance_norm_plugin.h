// InstanceNorm as TensorRT sees it.
//   (X [N, C, D1..Dk], scale, bias [, residual like X] [, slope [C]]) -> Y
// scale and bias are [C] or [N, C]; there is a slope where the activation is a PRelu. Y is X's shape upsampled and then
// padded; the residual may be padded, of which the inside is added. An X of phases has more channels, and all of this
// speaks of X with its phases interleaved.
#pragma once

#include "norm/norm.h"
#include "norm/norm_attributes.h"
#include "tensorrt_face/plugin_shell.h"

namespace trtconv
{

class InstanceNormPlugin : public PluginShell<InstanceNormPlugin>
{
public:
    static constexpr char const* kName = "InstanceNorm";
    static constexpr int32_t kNumInputs = 3; // at least
    static constexpr nvinfer1::PluginField kFields[]{
        {"epsilon", nullptr, nvinfer1::PluginFieldType::kFLOAT32, 1},
        {"activation", nullptr, nvinfer1::PluginFieldType::kCHAR, 0},
        {"alpha", nullptr, nvinfer1::PluginFieldType::kFLOAT32, 1},
        {"groups", nullptr, nvinfer1::PluginFieldType::kINT32, 1},
        {"upsample", nullptr, nvinfer1::PluginFieldType::kINT32, 0},
        {"pads", nullptr, nvinfer1::PluginFieldType::kINT32, 0},
        {"pad_mode", nullptr, nvinfer1::PluginFieldType::kCHAR, 0},
        {"residual_pads", nullptr, nvinfer1::PluginFieldType::kINT32, 0},
        {"to", nullptr, nvinfer1::PluginFieldType::kINT32, 1},
        {"phases", nullptr, nvinfer1::PluginFieldType::kINT32, 0},
        {"crop", nullptr, nvinfer1::PluginFieldType::kINT32, 0},
    };

    InstanceNormPlugin(std::string const& nodeName, FieldReader& fields);

    std::vector<nvinfer1::PluginField> fields() const;
    int32_t minInputs() const;
    int32_t maxInputs() const;
    bool isLikeX(int32_t input, int32_t numInputs) const;
    bool supports(nvinfer1::PluginTensorDesc const& x) const;
    bool supportsOutput(nvinfer1::PluginTensorDesc const& x, nvinfer1::PluginTensorDesc const& y) const;
    nvinfer1::DataType outputType(nvinfer1::DataType typeOfX) const;
    nvinfer1::DimsExprs outputShape(nvinfer1::DimsExprs const* inputs, nvinfer1::IExprBuilder& builder) const;
    void checkShapes(nvinfer1::PluginTensorDesc const* inputs) const;
    static DeviceLimits prepareDevice();
    size_t workspaceBytes(nvinfer1::DynamicPluginTensorDesc const* inputs) const;
    void launch(nvinfer1::PluginTensorDesc const* inputDesc, void const* const* inputs, void* output, void* workspace,
        cudaStream_t stream) const;

private:
    nvinfer1::DimsExprs placedShape(nvinfer1::DimsExprs const& x, nvinfer1::IExprBuilder& builder) const;
    NormArguments argumentsOf(
        nvinfer1::PluginTensorDesc const& x, nvinfer1::Dims const& dims, NormPlace const& place) const;
    bool hasResidual() const { return isLikeX(kResidual, numInputs()); }

    static constexpr int32_t kResidual = 3; // the input that it is, if there is one

    NormAttributes mAttributes;
};

} // namespace trtconv
