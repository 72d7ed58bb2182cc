// The plugins in a network that is written by hand, layer by layer.
//
//   hand_written "$(trtconv plugins --path)" block.engine
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "example.h"

using namespace nvinfer1;
using namespace example;

namespace
{

// Creates a plugin from its fields. Names, types and lengths must be those of the op; what is wrong is refused, and
// TensorRT's log says which field was given and what is expected. A field with a default may be left out.
std::unique_ptr<IPluginV3> makePlugin(char const* name, std::vector<PluginField> const& given, char const* nodeName)
{
    IPluginCreatorInterface* const found = getPluginRegistry()->getCreator(name, "1", "trtconv");
    require(found != nullptr, std::string("there is no creator of trtconv::") + name);
    require(std::strcmp(found->getInterfaceInfo().kind, "PLUGIN CREATOR_V3ONE") == 0, "the creator is of another kind");
    auto* const creator = static_cast<IPluginCreatorV3One*>(found);
    PluginFieldCollection const fields{static_cast<int32_t>(given.size()), given.data()};
    return owned(creator->createPlugin(nodeName, &fields, TensorRTPhase::kBUILD), name);
}

// TensorRT copies the plugin into the layer, so the caller's own is destroyed as soon as it was added.
ITensor& addReflectPad(INetworkDefinition& network, ITensor& x)
{
    PluginField const pads{"pads", kPads, PluginFieldType::kINT32, static_cast<int32_t>(std::size(kPads))};
    auto const plugin = makePlugin("ReflectPad", {pads}, "pad");
    std::array<ITensor*, 1> const inputs{&x};
    IPluginV3Layer* const layer = network.addPluginV3(inputs.data(), 1, nullptr, 0, *plugin);
    require(layer != nullptr, "TensorRT takes no ReflectPad");
    layer->setName("pad");
    return *layer->getOutput(0);
}

// Scale and bias are inputs of the plugin, here constants; they could as well be computed. The activation is a text:
// its length is that of the word, without a zero at the end.
ITensor& addInstanceNorm(INetworkDefinition& network, ITensor& x, ITensor& scale, ITensor& bias)
{
    PluginField const epsilon{"epsilon", &kEpsilon, PluginFieldType::kFLOAT32, 1};
    std::string_view const relu{"relu"};
    PluginField const activation{"activation", relu.data(), PluginFieldType::kCHAR, static_cast<int32_t>(relu.size())};
    auto const plugin = makePlugin("InstanceNorm", {epsilon, activation}, "norm");
    std::array<ITensor*, 3> const inputs{&x, &scale, &bias};
    IPluginV3Layer* const layer = network.addPluginV3(inputs.data(), 3, nullptr, 0, *plugin);
    require(layer != nullptr, "TensorRT takes no InstanceNorm");
    layer->setName("norm");
    return *layer->getOutput(0);
}

// TensorRT reads `values` when it builds the engine: they must live until then.
ITensor& addConstant(INetworkDefinition& network, std::array<float, kChannels> const& values)
{
    Weights const weights{DataType::kFLOAT, values.data(), kChannels};
    IConstantLayer* const layer = network.addConstant(Dims{1, {kChannels}}, weights);
    require(layer != nullptr, "TensorRT takes no constant");
    return *layer->getOutput(0);
}

int runExample(char const* libraryPath, char const* enginePath)
{
    requireGpu();
    loadPluginLibrary(libraryPath);
    auto const builder = owned(createInferBuilder(logger()), "builder");
    // Strongly typed: the tensors have the types that are written here. TensorRT 11 has no other networks.
    auto const flags = 1U << static_cast<uint32_t>(NetworkDefinitionCreationFlag::kSTRONGLY_TYPED);
    auto const network = owned(builder->createNetworkV2(flags), "network");
    std::array<float, kChannels> const scale{1.0F, 2.0F, 3.0F};
    std::array<float, kChannels> const bias{0.0F, 0.25F, 0.5F};

    ITensor* const x = network->addInput("x", DataType::kFLOAT, Dims{4, {kBatch, kChannels, kHeight, kWidth}});
    require(x != nullptr, "TensorRT takes no input");
    ITensor& padded = addReflectPad(*network, *x);
    ITensor& y = addInstanceNorm(*network, padded, addConstant(*network, scale), addConstant(*network, bias));
    y.setName("y");
    network->markOutput(y);

    buildAndSave(*builder, *network, enginePath);
    return loadRunAndCheck(enginePath);
}

} // namespace

int main(int argc, char** argv)
{
    if (argc != 3)
    {
        std::fprintf(stderr, "usage: %s PLUGIN_LIBRARY ENGINE\n", argv[0]);
        return 2;
    }
    try
    {
        return runExample(argv[1], argv[2]);
    }
    catch (std::exception const& error)
    {
        std::fprintf(stderr, "error: %s\n", error.what());
        return EXIT_FAILURE;
    }
}
