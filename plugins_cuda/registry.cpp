// What TensorRT finds in this library: the list of creators, and the door for its logger.
//
// registry.load_library calls setLoggerFinder and getCreators, and registers what it is given. Programs that only
// dlopen the library (ctypes.CDLL, trtexec --staticPlugins, LD_PRELOAD) call neither: for them, loading registers.
#include <dlfcn.h>
#include <vector>

#include "common/export.h"
#include "common/version.h"
#include "norm/instance_norm_plugin.h"
#include "reflect_pad/dynamic_reflect_pad_plugin.h"
#include "reflect_pad/reflect_pad_plugin.h"
#include "tensorrt_face/log.h"
#include "tensorrt_face/tensorrt_host.h"

namespace
{

using namespace trtconv;
using nvinfer1::IPluginCreatorInterface;

__attribute__((used)) constexpr auto const& kCompilerInFile = kCompiler;
using nvinfer1::IPluginCreatorV3One;

// One line an op. Never destroyed: TensorRT may ask for a creator until the process ends.
std::vector<IPluginCreatorV3One*> const& creators()
{
    static auto const& all = *new std::vector<IPluginCreatorV3One*>{
        new CreatorShell<InstanceNormPlugin>,
        new CreatorShell<ReflectPadPlugin>,
        new CreatorShell<DynamicReflectPadPlugin>,
    };
    return all;
}

// Keeps the library in memory: a registry that holds its creators must not outlive them.
void stayLoaded()
{
    Dl_info self{};
    if (dladdr(reinterpret_cast<void const*>(&stayLoaded), &self) != 0)
    {
        dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
    }
}

void registerAt(TensorRtHost const& host)
{
    for (auto* const creator : creators())
    {
        bool const isTaken = host.hasCreator(creator->getPluginName(), creator->getPluginVersion(), kPluginNamespace);
        if (!isTaken && host.registerCreator(*creator, kPluginNamespace))
        {
            stayLoaded();
        }
    }
}

__attribute__((constructor)) void registerOnLoad()
{
    for (char const* const soname : kTensorRtSonames)
    {
        if (std::optional<TensorRtHost> const host = TensorRtHost::loadedAs(soname))
        {
            registerAt(*host);
        }
    }
}

} // namespace

TRTCONV_EXPORT void setLoggerFinder(void* finder)
{
    trtconv::logThrough(finder);
}

TRTCONV_EXPORT IPluginCreatorInterface* const* getCreators(int32_t& numCreators)
{
    static auto const& all = *new std::vector<IPluginCreatorInterface*>(creators().begin(), creators().end());
    // The caller is about to register them: make room for that where loading has already done so.
    if (std::optional<TensorRtHost> const host = TensorRtHost::behindCode(__builtin_return_address(0)))
    {
        for (auto* const creator : creators())
        {
            // A host without them logs an error for each one that it is asked to drop.
            if (host->hasCreator(creator->getPluginName(), creator->getPluginVersion(), kPluginNamespace))
            {
                host->deregisterCreator(*creator);
            }
        }
    }
    numCreators = static_cast<int32_t>(all.size());
    return all.data();
}
