// DynamicReflectPad as TensorRT sees it.  (X, begins, ends) -> Y, each axis longer by its two pads, which are known at
// run time only: they are the dimensions of the tensors `begins` and `ends`, whose values nobody reads. TensorRT hands
// a plugin the dimensions of its inputs when they are known, but not the values of a shape tensor.
#pragma once

#include <cuda_runtime_api.h>

#include "tensorrt_face/plugin_shell.h"

namespace trtconv
{

class DynamicReflectPadPlugin : public PluginShell<DynamicReflectPadPlugin>
{
public:
    static constexpr char const* kName = "DynamicReflectPad";
    static constexpr int32_t kNumInputs = 3;
    static constexpr nvinfer1::PluginField kFields[]{{"rank", nullptr, nvinfer1::PluginFieldType::kINT32, 1}};

    DynamicReflectPadPlugin(std::string const& nodeName, FieldReader& fields);

    std::vector<nvinfer1::PluginField> fields() const;
    bool supports(nvinfer1::PluginTensorDesc const& x) const;
    static nvinfer1::DataType typeOfInput(int32_t input, nvinfer1::DataType typeOfX);
    nvinfer1::DimsExprs outputShape(nvinfer1::DimsExprs const* inputs, nvinfer1::IExprBuilder& builder) const;
    void checkShapes(nvinfer1::PluginTensorDesc const* inputs) const;
    static DeviceLimits prepareDevice();
    size_t workspaceBytes(nvinfer1::DynamicPluginTensorDesc const* inputs) const;
    void launch(nvinfer1::PluginTensorDesc const* inputDesc, void const* const* inputs, void* output, void* workspace,
        cudaStream_t stream) const;

private:
    std::vector<int32_t> mRank; // one value: how many axes X has
};

} // namespace trtconv
