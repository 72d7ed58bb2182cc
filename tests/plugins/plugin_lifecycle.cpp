// Takes both plugins through what TensorRT does with them, up to where a GPU is needed, and checks each answer.
//   plugin_lifecycle LIBRARY     prints "check<tab>ok" or "check<tab>wrong" lines
// Refusals are logged to standard error.
#include <cstdio>
#include <dlfcn.h>

#include "lifecycle/instance_norm.h"
#include "lifecycle/placed_norm.h"
#include "lifecycle/reflect_pad.h"
#include "lifecycle/refused_fields.h"

int main(int /*argc*/, char** argv)
{
    void* const library = dlopen(argv[1], RTLD_NOW);
    if (library == nullptr)
    {
        std::fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    using GetCreators = IPluginCreatorInterface* const* (*)(int32_t&);
    int32_t numCreators = 0;
    auto* const* const creators = reinterpret_cast<GetCreators>(dlsym(library, "getCreators"))(numCreators);
    check("three creators", numCreators == 3);
    checkInstanceNorm(*static_cast<IPluginCreatorV3One*>(creators[0]));
    checkFusedNorm(*static_cast<IPluginCreatorV3One*>(creators[0]));
    checkPlacedNorm(*static_cast<IPluginCreatorV3One*>(creators[0]));
    checkPhasedNorm(*static_cast<IPluginCreatorV3One*>(creators[0]));
    checkReflectPad(*static_cast<IPluginCreatorV3One*>(creators[1]));
    checkMappedPad(*static_cast<IPluginCreatorV3One*>(creators[1]));
    checkPhasedPad(*static_cast<IPluginCreatorV3One*>(creators[1]));
    checkRefusedFields(
        *static_cast<IPluginCreatorV3One*>(creators[0]), *static_cast<IPluginCreatorV3One*>(creators[1]));
}
