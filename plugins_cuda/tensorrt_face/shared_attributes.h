// Attributes that several ops have, read from a plugin's fields and checked. An absent field means what version 0.1.0
// did, which did not write it. All functions throw PluginError for a wrong value.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "abi/tensor_types.h"
#include "common/element_type.h"
#include "result/activation.h"
#include "result/output_map.h"
#include "tensorrt_face/field_reader.h"

namespace trtconv
{

// An enumerator and the name that a field gives it.
template <typename Value>
struct Named
{
    std::string name;
    Value value;
};

Named<Activation> readActivation(FieldReader& fields);
float readAlpha(FieldReader& fields);
Named<PadMode> readPadMode(FieldReader& fields);

// Returns the factors of "upsample", each at least 1: one for all axes, or one for each.
std::vector<int32_t> readUpsample(FieldReader& fields);

// Returns "to", a number of ONNX's element types; 0 stands for the type of X.
int32_t readElementType(FieldReader& fields);

// Returns the type that such a number stands for.
nvinfer1::DataType typeOf(int32_t onnxType, nvinfer1::DataType typeOfX);

// Returns the type that kernels compute on; throws PluginError for another one.
ElementType elementTypeOf(nvinfer1::DataType type);

bool isFloatingPoint(nvinfer1::DataType type);

// Returns one value for each of `count` axes or ends.
std::vector<int32_t> spread(std::vector<int32_t> const& values, int32_t count);

nvinfer1::PluginField fieldOf(char const* name, std::string const& value);
nvinfer1::PluginField fieldOf(char const* name, std::vector<int32_t> const& values);

} // namespace trtconv
