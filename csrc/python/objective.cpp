// A segmenter's whole loss for Python.
#include "../training/objective.h"

#include <pybind11/stl.h>

#include <array>
#include <vector>

#include "losses.h"
#include "register.h"
#include "stacks.h"

namespace py = pybind11;

namespace daart_fast {

DAART_FAST_STRUCT(ObjectiveSizes, int64_t, batch, frames, inputs, classes, first, scored, heads,
                  activation, ignored);
// mask, class_weights and the dropout masks may be null.
DAART_FAST_STRUCT(ObjectiveTensors, uintptr_t, x, mask, labels_strong, labels_weak, class_weights,
                  encoder_masks, predictor_masks, decoder_masks, values, saved);

namespace {

using Numbers = std::vector<int64_t>;
using Addresses = std::vector<uintptr_t>;

ObjectiveShape objective_shape(const ObjectiveSizes& n, const Numbers& encoder,
                               const Numbers& decoder) {
    check_frames(n.batch, n.frames, n.inputs, n.first, n.scored, 0);
    require(n.classes >= 1 && n.classes <= kMostChannels, "there must be at least one class");
    require(n.scored >= 1, "there must be a frame to score");
    require(n.heads >= 1 && n.heads < 1 << kHeads, "heads must name at least one head");
    ObjectiveShape s{n.batch,
                     n.frames,
                     n.inputs,
                     n.classes,
                     n.first,
                     n.scored,
                     int(n.heads),
                     layers_of(encoder),
                     layers_of(decoder),
                     activation_of(n.activation),
                     n.ignored,
                     {}};
    require(!s.encoder.empty(), "the encoder must have a block");
    const bool decodes = (s.heads & (kPredictor | kDecoder)) != 0;
    require(!decodes || (!s.decoder.empty() && s.decoder.back().channels_out == s.inputs),
            "a decoder must have a block, and make what the encoder gets");
    check_stack_sizes(s.batch, s.frames, s.inputs, s.encoder);
    check_stack_sizes(s.batch, s.frames, s.encoder.back().channels_out, s.decoder);
    check_elements(s.batch, s.frames, s.classes);
    return s;
}

int64_t objective_saved(bool is_double, const ObjectiveSizes& sizes, const Numbers& encoder,
                        const Numbers& decoder) {
    const ObjectiveShape s = objective_shape(sizes, encoder, decoder);
    return is_double ? objective_saved_size<double>(s) : objective_saved_size<float>(s);
}

template <typename T>
ObjectiveInputs<T> objective_inputs(const ObjectiveTensors& t) {
    return {pointer<T>(t.x),
            pointer<bool>(t.mask),
            pointer<int64_t>(t.labels_strong),
            pointer<int64_t>(t.labels_weak),
            pointer<T>(t.class_weights),
            pointer<T>(t.encoder_masks),
            pointer<T>(t.predictor_masks),
            pointer<T>(t.decoder_masks)};
}

template <typename P>
std::vector<P> pointers(const Addresses& addresses) {
    std::vector<P> all;
    for (const uintptr_t address : addresses) all.push_back(reinterpret_cast<P>(address));
    return all;
}

void check_parameters(const ObjectiveShape& s, const Addresses& parameters) {
    require(int64_t(parameters.size()) == objective_parameters(s),
            "there are more or fewer parameters than the network has");
    const uintptr_t* p = parameters.data();
    check_stack(s.encoder, s.inputs, p);
    p += s.encoder.size() * kBlockParameters;
    for (int i = 0; i < kHeads; i++) {
        if (!(s.heads & 1 << i)) continue;
        if (i >= 2) {
            check_stack(s.decoder, s.encoder.back().channels_out, p);
            p += s.decoder.size() * kBlockParameters;
        }
        require(p[0], "the weights must not be null");
        p += 2;
    }
}

template <typename T>
void both_passes(const ObjectiveShape& s, const ObjectiveTensors& t, const Addresses& parameters,
                 const Addresses& gradients, int threads) {
    const auto inputs = objective_inputs<T>(t);
    const auto from = pointers<const T*>(parameters);
    const int64_t wrong =
        objective_forward<T>(s, inputs, from, pointer<T>(t.values), pointer<T>(t.saved), threads);
    if (wrong >= 0) throw no_such_class(wrong, s.classes);
    objective_backward<T>(s, inputs, from, pointer<T>(t.saved), T(1), pointers<T*>(gradients),
                          threads);
}

void objective_gradients(const CpuCall& call, const ObjectiveSizes& sizes, const Numbers& encoder,
                         const Numbers& decoder, const std::array<double, kHeads>& weights,
                         const ObjectiveTensors& t, const Addresses& parameters,
                         const Addresses& gradients) {
    ObjectiveShape s = objective_shape(sizes, encoder, decoder);
    s.weights = weights;
    check_threads(call.threads);
    check_parameters(s, parameters);
    check_gradients(gradients, parameters);
    require(s.batch == 0 || (t.x && t.labels_strong && t.labels_weak),
            "x and the labels must not be null");
    require(t.values && t.saved, "values and saved must not be null");
    (call.is_double ? both_passes<double> : both_passes<float>)(s, t, parameters, gradients,
                                                                int(call.threads));
}

}  // namespace

void register_objective(py::module_& m) {
    define<CpuCall>(m);
    define<ObjectiveSizes>(m);
    define<ObjectiveTensors>(m);
    m.def("objective_saved", &objective_saved, py::arg("is_double"), py::arg("sizes"),
          py::arg("encoder"), py::arg("decoder"), "Elements that a forward pass keeps.");
    m.def("objective_gradients", &objective_gradients, py::call_guard<py::gil_scoped_release>(),
          py::kw_only(), py::arg("call"), py::arg("sizes"), py::arg("encoder"), py::arg("decoder"),
          py::arg("weights"), py::arg("tensors"), py::arg("parameters"), py::arg("gradients"));
}

}  // namespace daart_fast
