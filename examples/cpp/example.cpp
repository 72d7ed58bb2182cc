#include "example.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include <cuda_runtime_api.h>

namespace example
{

namespace
{

constexpr float kTolerance = 1e-5F; // of max|y|

class StderrLogger : public nvinfer1::ILogger
{
public:
    void log(Severity severity, char const* message) noexcept override
    {
        if (severity <= Severity::kWARNING)
        {
            std::fprintf(stderr, "%s\n", message);
        }
    }
};

void checkCuda(cudaError_t status, char const* what)
{
    require(status == cudaSuccess, std::string(what) + ": " + cudaGetErrorString(status));
}

struct CudaFree
{
    void operator()(void* memory) const { cudaFree(memory); }
};

std::unique_ptr<void, CudaFree> deviceMemory(size_t numBytes)
{
    void* memory = nullptr;
    checkCuda(cudaMalloc(&memory, numBytes), "cudaMalloc");
    return std::unique_ptr<void, CudaFree>(memory);
}

struct Stream
{
    Stream() { checkCuda(cudaStreamCreate(&stream), "cudaStreamCreate"); }
    ~Stream() { cudaStreamDestroy(stream); }
    Stream(Stream const&) = delete;
    Stream& operator=(Stream const&) = delete;

    cudaStream_t stream = nullptr;
};

constexpr int32_t kPaddedHeight = kPads[2] + kHeight + kPads[6];
constexpr int32_t kPaddedWidth = kPads[3] + kWidth + kPads[7];

std::vector<float> makeInput()
{
    std::vector<float> x(size_t{kBatch} * kChannels * kHeight * kWidth);
    for (size_t i = 0; i < x.size(); ++i)
    {
        x[i] = std::sin(0.7F * static_cast<float>(i)) * 3.0F + 1.0F;
    }
    return x;
}

// The element of an axis of `size` that stands `position` after its first, outside of it mirrored at its ends.
int32_t mirrored(int32_t position, int32_t size)
{
    int32_t const fromStart = std::abs(position);
    return fromStart < size ? fromStart : 2 * (size - 1) - fromStart;
}

std::vector<double> reflectPad(float const* plane)
{
    std::vector<double> padded;
    for (int32_t row = -kPads[2]; row < kHeight + kPads[6]; ++row)
    {
        for (int32_t column = -kPads[3]; column < kWidth + kPads[7]; ++column)
        {
            padded.push_back(plane[mirrored(row, kHeight) * kWidth + mirrored(column, kWidth)]);
        }
    }
    return padded;
}

std::vector<double> expectedOutput(std::vector<float> const& x)
{
    std::vector<double> y;
    for (int32_t slice = 0; slice < kBatch * kChannels; ++slice)
    {
        std::vector<double> const padded = reflectPad(x.data() + slice * kHeight * kWidth);
        double const count = static_cast<double>(padded.size());
        double mean = 0;
        double variance = 0;
        for (double const value : padded)
        {
            mean += value / count;
        }
        for (double const value : padded)
        {
            variance += (value - mean) * (value - mean) / count;
        }
        int32_t const channel = slice % kChannels;
        for (double const value : padded)
        {
            double const normalised = (value - mean) / std::sqrt(variance + kEpsilon);
            y.push_back(std::max((channel + 1) * normalised + channel / 4.0, 0.0));
        }
    }
    return y;
}

std::vector<char> readFile(char const* path)
{
    std::ifstream file(path, std::ios::binary);
    require(file.is_open(), std::string(path) + " cannot be read");
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<float> run(nvinfer1::ICudaEngine& engine, std::vector<float> const& x)
{
    auto const context = owned(engine.createExecutionContext(), "execution context");
    nvinfer1::Dims const shape = context->getTensorShape("y");
    require(shape.nbDims == 4 && shape.d[2] == kPaddedHeight && shape.d[3] == kPaddedWidth, "y has a wrong shape");
    std::vector<float> y(size_t{kBatch} * kChannels * kPaddedHeight * kPaddedWidth);
    auto const deviceX = deviceMemory(x.size() * sizeof(float));
    auto const deviceY = deviceMemory(y.size() * sizeof(float));
    require(context->setTensorAddress("x", deviceX.get()), "the engine has no tensor x");
    require(context->setTensorAddress("y", deviceY.get()), "the engine has no tensor y");
    Stream const own;
    checkCuda(cudaMemcpyAsync(deviceX.get(), x.data(), x.size() * sizeof(float), cudaMemcpyHostToDevice, own.stream),
        "copy of x");
    require(context->enqueueV3(own.stream), "the engine does not run");
    checkCuda(cudaMemcpyAsync(y.data(), deviceY.get(), y.size() * sizeof(float), cudaMemcpyDeviceToHost, own.stream),
        "copy of y");
    checkCuda(cudaStreamSynchronize(own.stream), "the engine's kernels");
    return y;
}

} // namespace

nvinfer1::ILogger& logger()
{
    static StderrLogger instance;
    return instance;
}

void requireGpu()
{
    int numDevices = 0;
    checkCuda(cudaGetDeviceCount(&numDevices), "there is no GPU");
}

void loadPluginLibrary(char const* path)
{
    // A library that is loaded stays loaded: an engine's plugins are its code.
    require(getPluginRegistry()->loadLibrary(path) != nullptr, std::string(path) + " is not loaded by TensorRT");
}

void buildAndSave(nvinfer1::IBuilder& builder, nvinfer1::INetworkDefinition& network, char const* path)
{
    auto const config = owned(builder.createBuilderConfig(), "builder configuration");
    auto const plan = owned(builder.buildSerializedNetwork(network, *config), "engine");
    std::ofstream file(path, std::ios::binary);
    file.write(static_cast<char const*>(plan->data()), static_cast<std::streamsize>(plan->size()));
    file.close();
    require(file.good(), std::string(path) + " cannot be written");
}

int loadRunAndCheck(char const* path)
{
    std::vector<char> const plan = readFile(path);
    auto const runtime = owned(nvinfer1::createInferRuntime(logger()), "runtime");
    auto const engine = owned(runtime->deserializeCudaEngine(plan.data(), plan.size()), "engine of the file");
    std::vector<float> const x = makeInput();
    std::vector<float> const y = run(*engine, x);
    std::vector<double> const expected = expectedOutput(x);
    double largest = 0;
    double error = 0;
    bool isFinite = true;
    for (size_t i = 0; i < y.size(); ++i)
    {
        largest = std::max(largest, std::abs(expected[i]));
        error = std::max(error, std::abs(y[i] - expected[i]));
        isFinite = isFinite && std::isfinite(y[i]);
    }
    bool const isRight = isFinite && error <= kTolerance * largest;
    std::printf("%s: max|error| %.2g, max|y| %.3g, tolerance %g\n", isRight ? "right" : "WRONG", error, largest,
        static_cast<double>(kTolerance));
    return isRight ? EXIT_SUCCESS : EXIT_FAILURE;
}

} // namespace example
