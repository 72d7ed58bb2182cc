#include "tensorrt_face/tensorrt_host.h"

#include <algorithm>
#include <dlfcn.h>
#include <string_view>

namespace trtconv
{

namespace
{

template <typename Function>
Function findFunction(void* module, char const* name)
{
    return reinterpret_cast<Function>(dlsym(module, name));
}

void* callFactory(void* module, char const* name)
{
    auto const factory = findFunction<void* (*)()>(module, name);
    return factory == nullptr ? nullptr : factory();
}

// Calls `body` with the registry of `module` in the layout of its release; false when it has none.
template <typename Body>
bool withRegistry(void* module, HostRelease release, Body const& body)
{
    void* const registry = callFactory(module, "getPluginRegistry");
    if (registry == nullptr)
    {
        return false;
    }
    return release == HostRelease::k10 ? body(*static_cast<nvinfer1::release_10::IPluginRegistry*>(registry))
                                       : body(*static_cast<nvinfer1::release_11::IPluginRegistry*>(registry));
}

bool isCalled(nvinfer1::IPluginCreatorInterface& creator, std::string_view name, std::string_view version,
    std::string_view pluginNamespace)
{
    if (std::string_view(creator.getInterfaceInfo().kind) != "PLUGIN CREATOR_V3ONE")
    {
        return false;
    }
    auto& creatorV3 = static_cast<nvinfer1::IPluginCreatorV3One&>(creator);
    return creatorV3.getPluginName() == name && creatorV3.getPluginVersion() == version
        && creatorV3.getPluginNamespace() == pluginNamespace;
}

} // namespace

TensorRtHost::TensorRtHost(void* module, HostRelease release)
    : mModule(module)
    , mRelease(release)
{
}

std::optional<TensorRtHost> TensorRtHost::ofModule(void* module)
{
    auto const libraryVersion = findFunction<int32_t (*)()>(module, "getInferLibVersion");
    if (libraryVersion == nullptr)
    {
        return std::nullopt;
    }
    std::optional<HostRelease> const release = hostReleaseOf(libraryVersion());
    return release ? std::optional(TensorRtHost(module, *release)) : std::nullopt;
}

std::optional<TensorRtHost> TensorRtHost::loadedAs(char const* soname)
{
    void* const module = dlopen(soname, RTLD_LAZY | RTLD_NOLOAD);
    return module == nullptr ? std::nullopt : ofModule(module);
}

std::optional<TensorRtHost> TensorRtHost::behindCode(void const* address)
{
    Dl_info module{};
    if (dladdr(address, &module) == 0)
    {
        return std::nullopt;
    }
    void* const handle = dlopen(module.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    return ofModule(handle == nullptr ? RTLD_DEFAULT : handle); // an executable cannot be opened by its name
}

std::optional<TensorRtHost> TensorRtHost::behindObject(void const* object)
{
    return behindCode(*static_cast<void const* const*>(object)); // the vtable
}

bool TensorRtHost::registerCreator(nvinfer1::IPluginCreatorInterface& creator, char const* pluginNamespace) const
{
    return withRegistry(
        mModule, mRelease, [&](auto& registry) { return registry.registerCreator(creator, pluginNamespace); });
}

bool TensorRtHost::deregisterCreator(nvinfer1::IPluginCreatorInterface const& creator) const
{
    return withRegistry(mModule, mRelease, [&](auto& registry) { return registry.deregisterCreator(creator); });
}

// Not through getCreator: that logs an error when there is none.
bool TensorRtHost::hasCreator(char const* name, char const* version, char const* pluginNamespace) const
{
    return withRegistry(mModule, mRelease,
        [&](auto& registry)
        {
            int32_t numCreators = 0;
            auto* const* const creators = registry.getAllCreators(&numCreators);
            return std::any_of(creators, creators + numCreators,
                [&](auto* creator) { return isCalled(*creator, name, version, pluginNamespace); });
        });
}

bool TensorRtHost::log(nvinfer1::Severity severity, char const* message) const
{
    void* const logger = callFactory(mModule, "getLogger");
    if (logger == nullptr)
    {
        return false;
    }
    if (mRelease == HostRelease::k10)
    {
        static_cast<nvinfer1::release_10::ILogger*>(logger)->log(severity, message);
    }
    else
    {
        static_cast<nvinfer1::release_11::ILogger*>(logger)->log(severity, message);
    }
    return true;
}

} // namespace trtconv
