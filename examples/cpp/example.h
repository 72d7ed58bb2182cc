// What both examples need: checked calls, the plugin library, and the way from a network to a checked output.
//
// Both networks compute  y = relu(instance_norm(reflect_pad(x)))  on one fixed input.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <NvInfer.h>

namespace example
{

// x is [2, 3, 17, 23]; scale is c + 1 and bias c / 4 for channel c.
constexpr int32_t kBatch = 2;
constexpr int32_t kChannels = 3;
constexpr int32_t kHeight = 17;
constexpr int32_t kWidth = 23;
constexpr float kEpsilon = 1e-5F;
constexpr int32_t kPads[]{0, 0, 1, 2, 0, 0, 3, 4}; // ONNX's order: the begins of N, C, H, W, then their ends

// Throws std::runtime_error unless `isRight`. TensorRT answers most failures with a null pointer or false.
inline void require(bool isRight, std::string const& what)
{
    if (!isRight)
    {
        throw std::runtime_error(what);
    }
}

template <typename T>
std::unique_ptr<T> owned(T* made, char const* what)
{
    require(made != nullptr, std::string("TensorRT made no ") + what);
    return std::unique_ptr<T>(made);
}

nvinfer1::ILogger& logger();

// TensorRT ends the process where it finds no GPU: to be called first.
void requireGpu();

// Hands the library's plugin creators to TensorRT: before a network is made, and before an engine is loaded.
void loadPluginLibrary(char const* path);

// Builds the engine of `network` and writes it to `path`.
void buildAndSave(nvinfer1::IBuilder& builder, nvinfer1::INetworkDefinition& network, char const* path);

// Loads the engine in a runtime of its own, runs it and compares y with a loop on the CPU; returns main's exit code.
int loadRunAndCheck(char const* path);

} // namespace example
