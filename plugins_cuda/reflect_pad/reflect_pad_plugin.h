// ReflectPad as TensorRT sees it.  (X) -> Y, each axis longer by its two pads; attribute pads, begins then ends.
#pragma once

#include <cuda_runtime_api.h>

#include "tensorrt_face/plugin_shell.h"

namespace trtconv
{

class ReflectPadPlugin : public PluginShell<ReflectPadPlugin>
{
public:
    static constexpr char const* kName = "ReflectPad";
    static constexpr int32_t kNumInputs = 1;
    static constexpr nvinfer1::PluginField kFields[]{{"pads", nullptr, nvinfer1::PluginFieldType::kINT32, 0}};

    ReflectPadPlugin(std::string const& nodeName, FieldReader& fields);

    std::vector<nvinfer1::PluginField> fields() const;
    bool supports(nvinfer1::PluginTensorDesc const& x) const;
    nvinfer1::DimsExprs outputShape(nvinfer1::DimsExprs const* inputs, nvinfer1::IExprBuilder& builder) const;
    void checkShapes(nvinfer1::PluginTensorDesc const* inputs) const;
    static DeviceLimits prepareDevice();
    size_t workspaceBytes(nvinfer1::DynamicPluginTensorDesc const* inputs) const;
    void launch(nvinfer1::PluginTensorDesc const* inputDesc, void const* const* inputs, void* output, void* workspace,
        cudaStream_t stream) const;

private:
    int32_t rank() const { return static_cast<int32_t>(mPads.size() / 2); }

    std::vector<int32_t> mPads; // ONNX order: all begins, then all ends
};

} // namespace trtconv
