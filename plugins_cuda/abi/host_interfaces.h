// What TensorRT implements and this library calls: logger, logger finder, plugin registry.
//
// Unlike the plugin interface these differ between releases: TensorRT 11 and TensorRT-RTX 1.7 put the version functions
// in front of the logger's and finder's own, and dropped the registry's functions for V2 plugins. So there are two
// layouts of each; tensorrt_face/tensorrt_host.h decides which one a loaded TensorRT has.
#pragma once

#include "abi/plugin_v3.h"

namespace nvinfer1
{

class IPluginCreator;
class IPluginResource;

enum class Severity : int32_t // ILogger::Severity
{
    kINTERNAL_ERROR = 0,
    kERROR = 1,
    kWARNING = 2,
    kINFO = 3,
    kVERBOSE = 4,
};

// Functions that this library does not call are declared with as much of their type as their place in the table needs.

namespace release_10
{

class ILogger
{
public:
    virtual void log(Severity severity, AsciiChar const* msg) noexcept = 0;
    virtual ~ILogger() = default;
};

class ILoggerFinder
{
public:
    virtual ILogger* findLogger() = 0;

protected:
    virtual ~ILoggerFinder() = default;
};

class IPluginRegistry
{
public:
    virtual bool registerCreator(IPluginCreator& creator, AsciiChar const* pluginNamespace) noexcept = 0;
    virtual IPluginCreator* const* getPluginCreatorList(int32_t* numCreators) const noexcept = 0;
    virtual IPluginCreator* getPluginCreator(
        AsciiChar const* pluginName, AsciiChar const* pluginVersion, AsciiChar const* pluginNamespace) noexcept = 0;

protected:
    virtual ~IPluginRegistry() noexcept = default;

public:
    virtual void setErrorRecorder(IErrorRecorder* recorder) noexcept = 0;
    virtual IErrorRecorder* getErrorRecorder() const noexcept = 0;
    virtual bool deregisterCreator(IPluginCreator const& creator) noexcept = 0;
    virtual bool isParentSearchEnabled() const = 0;
    virtual void setParentSearchEnabled(bool enabled) = 0;
    virtual void* loadLibrary(AsciiChar const* pluginPath) noexcept = 0;
    virtual void deregisterLibrary(void* handle) noexcept = 0;
    virtual bool registerCreator(IPluginCreatorInterface& creator, AsciiChar const* pluginNamespace) noexcept = 0;
    virtual IPluginCreatorInterface* const* getAllCreators(int32_t* numCreators) const noexcept = 0;
    virtual IPluginCreatorInterface* getCreator(
        AsciiChar const* pluginName, AsciiChar const* pluginVersion, AsciiChar const* pluginNamespace) noexcept = 0;
    virtual bool deregisterCreator(IPluginCreatorInterface const& creator) noexcept = 0;
};

} // namespace release_10

namespace release_11
{

class ILogger : public IVersionedInterface
{
public:
    InterfaceInfo getInterfaceInfo() const noexcept override { return {"ILogger", 1, 0}; }
    virtual void log(Severity severity, AsciiChar const* msg) noexcept = 0;
};

class ILoggerFinder : public IVersionedInterface
{
public:
    InterfaceInfo getInterfaceInfo() const noexcept override { return {"ILoggerFinder", 1, 0}; }
    virtual ILogger* findLogger() = 0;
};

class IPluginRegistry
{
protected:
    virtual ~IPluginRegistry() noexcept = default;

public:
    virtual void setErrorRecorder(IErrorRecorder* recorder) noexcept = 0;
    virtual IErrorRecorder* getErrorRecorder() const noexcept = 0;
    virtual bool isParentSearchEnabled() const = 0;
    virtual void setParentSearchEnabled(bool enabled) = 0;
    virtual void* loadLibrary(AsciiChar const* pluginPath) noexcept = 0;
    virtual void deregisterLibrary(void* handle) noexcept = 0;
    virtual bool registerCreator(IPluginCreatorInterface& creator, AsciiChar const* pluginNamespace) noexcept = 0;
    virtual IPluginCreatorInterface* const* getAllCreators(int32_t* numCreators) const noexcept = 0;
    virtual IPluginCreatorInterface* getCreator(
        AsciiChar const* pluginName, AsciiChar const* pluginVersion, AsciiChar const* pluginNamespace) noexcept = 0;
    virtual bool deregisterCreator(IPluginCreatorInterface const& creator) noexcept = 0;
};

} // namespace release_11

} // namespace nvinfer1
