// Gives the plugins' host code, built with sanitizers and without CUDA, what a damaged engine or a careless caller
// would.
//   fuzz_host ITERATIONS SEED [FIRST]     prints counts as JSON; a finding ends the process, its iteration is printed
#include <csignal>
#include <cstdio>
#include <cstdlib>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

#include "abi/plugin_v3.h"
#include "common/export.h"
#include "common/kernel_launch.cuh"
#include "sanitized/findings.h"
#include "sanitized/random_values.h"

using namespace nvinfer1;
using namespace trtconv;

TRTCONV_EXPORT IPluginCreatorInterface* const* getCreators(int32_t& numCreators);

namespace trtconv
{

void fuzzPlugin(Random& random, IPluginCreatorV3One& creator);
void fuzzLaunchers(Random& random);

} // namespace trtconv

int main(int argc, char** argv)
{
    int64_t const iterations = argc > 1 ? std::atoll(argv[1]) : 1000;
    seed = argc > 2 ? std::atoll(argv[2]) : 1;
    iteration = argc > 3 ? std::atoll(argv[3]) : 0;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_set_death_callback(reportPlace); // the other sanitizer ends by abort()
#endif
    std::signal(SIGABRT, [](int) { reportPlace(); });
    std::signal(SIGFPE,
        [](int)
        {
            reportPlace();
            std::_Exit(1);
        });
    int32_t numCreators = 0;
    IPluginCreatorInterface* const* const creators = getCreators(numCreators);
    for (int64_t const end = iteration + iterations; iteration < end; ++iteration)
    {
        Random random(seed, iteration);
        hostDevice = random.device();
        auto& creator = *static_cast<IPluginCreatorV3One*>(creators[random.below(numCreators)]);
        fuzzPlugin(random, creator);
        fuzzLaunchers(random);
    }
    std::printf(
        "{\"collections\": %lld, \"plugins\": %lld, \"calls\": %lld, \"calls_taken\": %lld, \"enqueued\": %lld, "
        "\"launcher_calls\": %lld, \"launcher_calls_taken\": %lld, \"launches\": %lld}\n",
        static_cast<long long>(counts.collections), static_cast<long long>(counts.created),
        static_cast<long long>(counts.calls), static_cast<long long>(counts.taken),
        static_cast<long long>(counts.enqueued), static_cast<long long>(counts.launcherCalls),
        static_cast<long long>(counts.launcherTaken), static_cast<long long>(numHostLaunches));
    return 0;
}
