// A TensorRT that is loaded into this process, and how to call it: its releases differ in the layout of what they
// offer.
#pragma once

#include <optional>

#include "abi/host_interfaces.h"

namespace trtconv
{

enum class HostRelease
{
    k10, // TensorRT 10.x
    k11, // TensorRT 11.x, TensorRT-RTX 1.7 and later 1.x
};

// Returns the release that reports `libraryVersion` (getInferLibVersion), none for one whose layout is not known.
constexpr std::optional<HostRelease> hostReleaseOf(int32_t libraryVersion)
{
    int32_t const major = libraryVersion / 10000;
    if (major == 10)
    {
        return HostRelease::k10;
    }
    bool const isKnownRtx = major == 1 && libraryVersion >= 10700;
    return major == 11 || isKnownRtx ? std::optional(HostRelease::k11) : std::nullopt;
}

static_assert(hostReleaseOf(100600) == HostRelease::k10); // TensorRT 10.6.0
static_assert(hostReleaseOf(110201) == HostRelease::k11); // TensorRT 11.2.1
static_assert(hostReleaseOf(10701) == HostRelease::k11); // TensorRT-RTX 1.7.1
static_assert(!hostReleaseOf(8601)); // TensorRT 8.6.1
static_assert(!hostReleaseOf(120000)); // not published yet: a wrong guess would end the process

constexpr char const* kTensorRtSonames[]{"libnvinfer.so.10", "libnvinfer.so.11", "libtensorrt_rtx.so.1"};

class TensorRtHost
{
public:
    // Returns the TensorRT library of file name `soname`, if the process has loaded it. Never loads one.
    static std::optional<TensorRtHost> loadedAs(char const* soname);

    // Returns the TensorRT that the module at `address` is or links.
    static std::optional<TensorRtHost> behindCode(void const* address);

    // Returns the TensorRT that defines the class of `object`, which must have virtual functions.
    static std::optional<TensorRtHost> behindObject(void const* object);

    HostRelease release() const { return mRelease; }
    bool registerCreator(nvinfer1::IPluginCreatorInterface& creator, char const* pluginNamespace) const;
    bool deregisterCreator(nvinfer1::IPluginCreatorInterface const& creator) const;
    bool hasCreator(char const* name, char const* version, char const* pluginNamespace) const;

    // Returns false when this TensorRT has no logger yet.
    bool log(nvinfer1::Severity severity, char const* message) const;

private:
    TensorRtHost(void* module, HostRelease release);
    static std::optional<TensorRtHost> ofModule(void* module);

    void* mModule; // as dlopen returned it; stays loaded
    HostRelease mRelease;
};

} // namespace trtconv
