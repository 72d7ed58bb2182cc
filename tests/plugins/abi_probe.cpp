// Prints what the binary interface depends on as "key<tab>value" lines: enum values, sizes, offsets, and for each
// virtual function its place in the table and its type. Compiled once against plugins_cuda/abi, once against NVIDIA's
// headers.
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cxxabi.h>
#include <string>
#include <typeinfo>

#ifdef PROBE_OWN_HEADERS
#include "abi/host_interfaces.h"
#include "abi/plugin_v3.h"
#if PROBE_RELEASE == 10
namespace host = nvinfer1::release_10;
#else
namespace host = nvinfer1::release_11;
#endif
using HostSeverity = nvinfer1::Severity;
#else
#include <NvInferRuntime.h>
namespace host = nvinfer1;
using HostSeverity = nvinfer1::ILogger::Severity;
#endif

namespace
{

// The Itanium C++ ABI (Linux, all compilers) writes a pointer to a virtual function as 1 + its offset in the table.
template <typename Member>
long slotOf(Member member)
{
    std::ptrdiff_t representation = 0;
    std::memcpy(&representation, &member, sizeof representation);
    return (representation - 1) / static_cast<long>(sizeof(void*));
}

std::string replaceAll(std::string text, std::string const& from, std::string const& to)
{
    for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    {
        text.replace(at, from.size(), to);
    }
    return text;
}

template <typename Member>
std::string typeOf(Member)
{
    char* const demangled = abi::__cxa_demangle(typeid(Member).name(), nullptr, nullptr, nullptr);
    std::string name = demangled;
    std::free(demangled);
    // Names that releases moved between namespaces; a pointer is a pointer.
    for (char const* const moved : {"release_10::", "release_11::", "v_1_0::"})
    {
        name = replaceAll(name, moved, "");
    }
    return replaceAll(name, "ILogger::Severity", "Severity");
}

template <typename Interface>
nvinfer1::InterfaceInfo infoOf()
{
    alignas(16) char storage[64]{};
    return reinterpret_cast<Interface*>(storage)->Interface::getInterfaceInfo(); // not a virtual call: reads no member
}

} // namespace

#define VALUE(name) std::printf("value " #name "\t%ld\n", static_cast<long>(nvinfer1::name))
#define SIZE(name) std::printf("size " #name "\t%zu\n", sizeof(nvinfer1::name))
#define OFFSET(name, member) std::printf("offset " #name "." #member "\t%zu\n", offsetof(nvinfer1::name, member))
#define FUNCTION_OF(space, name, function, ...)                                                                        \
    std::printf("function " #name "::" #function "\t%ld %s\n", slotOf(__VA_ARGS__(&space::name::function)),            \
        typeOf(__VA_ARGS__(&space::name::function)).c_str())
#define FUNCTION(name, function) FUNCTION_OF(nvinfer1, name, function, )
#define HOST_FUNCTION(name, function) FUNCTION_OF(host, name, function, )
#define INFO(name)                                                                                                     \
    std::printf("info " #name "\t%s %d %d\n", infoOf<nvinfer1::name>().kind, infoOf<nvinfer1::name>().major,           \
        infoOf<nvinfer1::name>().minor)

static void probePluginInterface()
{
    using namespace nvinfer1;
    VALUE(DataType::kFLOAT);
    VALUE(DataType::kHALF);
    VALUE(DataType::kINT8);
    VALUE(DataType::kINT32);
    VALUE(DataType::kBOOL);
    VALUE(DataType::kUINT8);
    VALUE(DataType::kFP8);
    VALUE(DataType::kBF16);
    VALUE(DataType::kINT64);
    VALUE(TensorFormat::kLINEAR);
    VALUE(TensorFormat::kHWC8);
    VALUE(TensorFormat::kCHW4);
    VALUE(TensorFormat::kCHW32);
    VALUE(TensorFormat::kDHWC8);
    VALUE(TensorFormat::kCDHW32);
    VALUE(TensorFormat::kHWC);
    VALUE(TensorFormat::kHWC16);
    VALUE(TensorFormat::kDHWC);
    VALUE(PluginFieldType::kFLOAT16);
    VALUE(PluginFieldType::kFLOAT32);
    VALUE(PluginFieldType::kFLOAT64);
    VALUE(PluginFieldType::kINT8);
    VALUE(PluginFieldType::kINT16);
    VALUE(PluginFieldType::kINT32);
    VALUE(PluginFieldType::kCHAR);
    VALUE(PluginFieldType::kDIMS);
    VALUE(PluginFieldType::kUNKNOWN);
    VALUE(PluginFieldType::kBF16);
    VALUE(PluginFieldType::kINT64);
    VALUE(PluginFieldType::kFP8);
    VALUE(PluginFieldType::kINT4);
    VALUE(TensorRTPhase::kBUILD);
    VALUE(TensorRTPhase::kRUNTIME);
    VALUE(PluginCapabilityType::kCORE);
    VALUE(PluginCapabilityType::kBUILD);
    VALUE(PluginCapabilityType::kRUNTIME);
    VALUE(APILanguage::kCPP);
    VALUE(APILanguage::kPYTHON);
    VALUE(DimensionOperation::kSUM);
    VALUE(DimensionOperation::kPROD);
    VALUE(DimensionOperation::kMAX);
    VALUE(DimensionOperation::kMIN);
    VALUE(DimensionOperation::kSUB);
    VALUE(DimensionOperation::kEQUAL);
    VALUE(DimensionOperation::kLESS);
    VALUE(DimensionOperation::kFLOOR_DIV);
    VALUE(DimensionOperation::kCEIL_DIV);
    VALUE(Dims::MAX_DIMS);
    VALUE(IPluginV3OneBuild::kDEFAULT_FORMAT_COMBINATION_LIMIT);

    SIZE(Dims);
    OFFSET(Dims, nbDims);
    OFFSET(Dims, d);
    SIZE(PluginTensorDesc);
    OFFSET(PluginTensorDesc, dims);
    OFFSET(PluginTensorDesc, type);
    OFFSET(PluginTensorDesc, format);
    OFFSET(PluginTensorDesc, scale);
    SIZE(DynamicPluginTensorDesc);
    OFFSET(DynamicPluginTensorDesc, desc);
    OFFSET(DynamicPluginTensorDesc, min);
    OFFSET(DynamicPluginTensorDesc, max);
    OFFSET(DynamicPluginTensorDesc, opt);
    SIZE(PluginField);
    OFFSET(PluginField, name);
    OFFSET(PluginField, data);
    OFFSET(PluginField, type);
    OFFSET(PluginField, length);
    SIZE(PluginFieldCollection);
    OFFSET(PluginFieldCollection, nbFields);
    OFFSET(PluginFieldCollection, fields);
    SIZE(InterfaceInfo);
    OFFSET(InterfaceInfo, kind);
    OFFSET(InterfaceInfo, major);
    OFFSET(InterfaceInfo, minor);
    SIZE(DimsExprs);
    OFFSET(DimsExprs, nbDims);
    OFFSET(DimsExprs, d);
    SIZE(IDimensionExpr);
    SIZE(IExprBuilder);
    SIZE(IVersionedInterface);
    SIZE(IPluginV3);
    SIZE(IPluginV3OneCore);
    SIZE(IPluginV3OneBuild);
    SIZE(IPluginV3OneRuntime);
    SIZE(IPluginCreatorV3One);

    INFO(IPluginV3);
    INFO(IPluginV3OneCore);
    INFO(v_1_0::IPluginV3OneBuild);
    INFO(IPluginV3OneRuntime);
    INFO(IPluginCreatorV3One);

    FUNCTION(IVersionedInterface, getAPILanguage);
    FUNCTION(IVersionedInterface, getInterfaceInfo);
    FUNCTION(IPluginV3, getCapabilityInterface);
    FUNCTION(IPluginV3, clone);
    FUNCTION(IPluginV3OneCore, getPluginName);
    FUNCTION(IPluginV3OneCore, getPluginVersion);
    FUNCTION(IPluginV3OneCore, getPluginNamespace);
    FUNCTION(IPluginV3OneBuild, configurePlugin);
    FUNCTION(IPluginV3OneBuild, getOutputDataTypes);
    FUNCTION(IPluginV3OneBuild, getOutputShapes);
    FUNCTION(IPluginV3OneBuild, supportsFormatCombination);
    FUNCTION(IPluginV3OneBuild, getNbOutputs);
    FUNCTION(IPluginV3OneBuild, getWorkspaceSize);
    FUNCTION(IPluginV3OneBuild, getValidTactics);
    FUNCTION(IPluginV3OneBuild, getNbTactics);
    FUNCTION(IPluginV3OneBuild, getTimingCacheID);
    FUNCTION(IPluginV3OneBuild, getFormatCombinationLimit);
    FUNCTION(IPluginV3OneBuild, getMetadataString);
    FUNCTION(IPluginV3OneRuntime, setTactic);
    FUNCTION(IPluginV3OneRuntime, onShapeChange);
    FUNCTION(IPluginV3OneRuntime, enqueue);
    FUNCTION(IPluginV3OneRuntime, attachToContext);
    FUNCTION(IPluginV3OneRuntime, getFieldsToSerialize);
    FUNCTION(IPluginCreatorV3One, createPlugin);
    FUNCTION(IPluginCreatorV3One, getFieldNames);
    FUNCTION(IPluginCreatorV3One, getPluginName);
    FUNCTION(IPluginCreatorV3One, getPluginVersion);
    FUNCTION(IPluginCreatorV3One, getPluginNamespace);
    FUNCTION(IPluginResourceContext, getGpuAllocator);
    FUNCTION(IPluginResourceContext, getErrorRecorder);
    FUNCTION(apiv::VDimensionExpr, isConstant);
    FUNCTION(apiv::VDimensionExpr, getConstantValue);
    FUNCTION(apiv::VDimensionExpr, isSizeTensor);
    FUNCTION(apiv::VExprBuilder, constant);
    FUNCTION(apiv::VExprBuilder, operation);
    FUNCTION(apiv::VExprBuilder, declareSizeTensor);
}

static void probeHostInterfaces()
{
    using nvinfer1::IPluginCreatorInterface;
    using Register = bool (host::IPluginRegistry::*)(IPluginCreatorInterface&, char const*) noexcept;
    using Deregister = bool (host::IPluginRegistry::*)(IPluginCreatorInterface const&) noexcept;
    HOST_FUNCTION(ILogger, log);
    HOST_FUNCTION(ILoggerFinder, findLogger);
    HOST_FUNCTION(IPluginRegistry, getAllCreators);
    FUNCTION_OF(host, IPluginRegistry, registerCreator, static_cast<Register>);
    FUNCTION_OF(host, IPluginRegistry, deregisterCreator, static_cast<Deregister>);
    std::printf("value Severity::kERROR\t%ld\n", static_cast<long>(HostSeverity::kERROR));
    std::printf("value Severity::kVERBOSE\t%ld\n", static_cast<long>(HostSeverity::kVERBOSE));
}

int main()
{
    probePluginInterface();
    probeHostInterfaces();
}
