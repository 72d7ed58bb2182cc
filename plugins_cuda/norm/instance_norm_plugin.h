// InstanceNorm as TensorRT sees it.  (X [N, C, D1..Dk], scale [C], bias [C]) -> Y like X; attribute epsilon.
#pragma once

#include "tensorrt_face/plugin_shell.h"

namespace trtconv
{

class InstanceNormPlugin : public PluginShell<InstanceNormPlugin>
{
public:
    static constexpr char const* kName = "InstanceNorm";
    static constexpr int32_t kNumInputs = 3;
    static constexpr nvinfer1::PluginField kFields[]{{"epsilon", nullptr, nvinfer1::PluginFieldType::kFLOAT32, 1}};

    InstanceNormPlugin(std::string const& nodeName, FieldReader& fields);

    std::vector<nvinfer1::PluginField> fields() const;
    bool supports(nvinfer1::PluginTensorDesc const& x) const;
    nvinfer1::DimsExprs outputShape(nvinfer1::DimsExprs const* inputs, nvinfer1::IExprBuilder& builder) const;
    void checkShapes(nvinfer1::PluginTensorDesc const* inputs) const;
    static DeviceLimits prepareDevice();
    size_t workspaceBytes(nvinfer1::DynamicPluginTensorDesc const* inputs) const;
    void launch(nvinfer1::PluginTensorDesc const* inputDesc, void const* const* inputs, void* output, void* workspace,
        cudaStream_t stream) const;

private:
    float mEpsilon;
};

} // namespace trtconv
