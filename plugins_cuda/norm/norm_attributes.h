// The attributes of InstanceNorm, read from a plugin's fields and checked.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "abi/tensor_types.h"
#include "norm/place.h"
#include "tensorrt_face/field_reader.h"
#include "tensorrt_face/phase_attributes.h"
#include "tensorrt_face/shared_attributes.h"

namespace trtconv
{

struct NormAttributes
{
    float epsilon;
    Named<Activation> activation;
    float alpha;
    int32_t groups;
    std::vector<int32_t> upsample;
    std::vector<int32_t> pads;
    Named<PadMode> padMode;
    std::vector<int32_t> residualPads;
    int32_t to;
    PhaseAttributes input;

    // A field that version 0.1.0 did not write may be absent, and means what that version did. Throws PluginError for a
    // wrong value.
    explicit NormAttributes(FieldReader& fields);

    // Returns all fields, which point into this object.
    std::vector<nvinfer1::PluginField> fields() const;

    // Throws PluginError unless the lists have as many values as an X of that many spatial axes needs.
    void requireSpatialAxes(int32_t count) const;

    // Returns where the results of an X go whose shape is known.
    NormPlace placeOf(nvinfer1::Dims const& x, ElementType outputType) const;

    bool isPRelu() const { return activation.value == Activation::kPRelu; }
};

} // namespace trtconv
