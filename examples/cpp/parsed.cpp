// The plugins in a network that TensorRT's ONNX parser reads from a model that trtconv has rewritten.
//
//   python make_model.py rewritten.onnx
//   parsed "$(trtconv plugins --path)" rewritten.onnx block.engine
#include <cstdio>
#include <cstdlib>

#include <NvOnnxParser.h>

#include "example.h"

using namespace nvinfer1;
using namespace example;

namespace
{

// The parser owns the weights, which the network only points to: it has to live until the engine is built.
std::unique_ptr<nvonnxparser::IParser> parse(INetworkDefinition& network, char const* modelPath)
{
    auto parser = owned(nvonnxparser::createParser(network, logger()), "parser");
    if (parser->parseFromFile(modelPath, static_cast<int>(ILogger::Severity::kWARNING)))
    {
        return parser;
    }
    std::string errors = std::string(modelPath) + " cannot be parsed";
    for (int32_t i = 0; i < parser->getNbErrors(); ++i)
    {
        errors += std::string("\n  ") + parser->getError(i)->desc();
    }
    throw std::runtime_error(errors);
}

int32_t countPlugins(INetworkDefinition const& network)
{
    int32_t count = 0;
    for (int32_t i = 0; i < network.getNbLayers(); ++i)
    {
        count += network.getLayer(i)->getType() == LayerType::kPLUGIN_V3 ? 1 : 0;
    }
    return count;
}

int runExample(char const* libraryPath, char const* modelPath, char const* enginePath)
{
    requireGpu();
    loadPluginLibrary(libraryPath); // before the parser asks for the creators
    auto const builder = owned(createInferBuilder(logger()), "builder");
    auto const flags = 1U << static_cast<uint32_t>(NetworkDefinitionCreationFlag::kSTRONGLY_TYPED);
    auto const network = owned(builder->createNetworkV2(flags), "network");
    auto const parser = parse(*network, modelPath);
    // Parsers before 10.7 take a node's ONNX function and not the plugin of its name, so the model must hold none.
    require(countPlugins(*network) == 2, "the parser took ONNX functions for the plugins");

    buildAndSave(*builder, *network, enginePath);
    return loadRunAndCheck(enginePath);
}

} // namespace

int main(int argc, char** argv)
{
    if (argc != 4)
    {
        std::fprintf(stderr, "usage: %s PLUGIN_LIBRARY MODEL ENGINE\n", argv[0]);
        return 2;
    }
    try
    {
        return runExample(argv[1], argv[2], argv[3]);
    }
    catch (std::exception const& error)
    {
        std::fprintf(stderr, "error: %s\n", error.what());
        return EXIT_FAILURE;
    }
}
