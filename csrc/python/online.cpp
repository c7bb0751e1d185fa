// The Python face of the online engine. Frames come as NumPy arrays, are checked, and are answered
// into an array of the caller's or a new one.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "../online/engine.h"
#include "arguments.h"
#include "register.h"

namespace py = pybind11;

namespace daart_fast {
namespace {

using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;
using Output = py::array_t<float, py::array::c_style>;

// A step of more multiply-adds than this takes tens of microseconds: long enough that another
// thread of Python may well run meanwhile. A shorter one would wait longer for the lock's return
// than it takes.
constexpr int64_t kWorthReleasing = 2'000'000;

template <typename Call>
void without_lock(bool worth, const Call& call) {
    if (!worth) return call();
    py::gil_scoped_release release;
    call();
}

std::string shape_of(const py::array& a) {
    std::string text = "(";
    for (py::ssize_t i = 0; i < a.ndim(); i++) {
        text += (i ? ", " : "") + std::to_string(a.shape(i));
    }
    return text + (a.ndim() == 1 ? ",)" : ")");
}

void check_count(const py::array& a, int64_t count, const char* what, const std::string& expected) {
    if (a.size() == count) return;
    throw std::invalid_argument(std::string(what) + ": expected " + expected + ", got shape " +
                                shape_of(a));
}

std::vector<float> vector_of(const Floats& a) {
    return {a.data(), a.data() + a.size()};
}

OnlineLayer layer_of(const py::dict& d) {
    const auto number = [&](const char* name) { return d[name].cast<int64_t>(); };
    const auto activation = [&](const char* name) { return activation_of(number(name)); };
    const auto weight = d["weight"].cast<Floats>();
    const auto bias = d["bias"].cast<Floats>();
    if (weight.ndim() != 3) throw std::invalid_argument("weight: expected three dimensions");
    return {number("source"),    weight.shape(2),        number("dilation"),
            number("lag"),       weight.shape(1),        weight.shape(0),
            number("residual"),  number("residual_lag"), activation("activation"),
            activation("outer"), vector_of(weight),      vector_of(bias)};
}

std::unique_ptr<OnlineEngine> make(const std::vector<py::dict>& layers, int64_t raw_channels,
                                   std::vector<int64_t> source, std::vector<int64_t> likelihood,
                                   float threshold, const Floats& mean, const Floats& scale,
                                   bool sigmoid, int64_t streams, int64_t hold) {
    std::vector<OnlineLayer> all;
    for (const py::dict& layer : layers) all.push_back(layer_of(layer));
    OnlineIntake intake{raw_channels, std::move(source), std::move(likelihood),
                        threshold,    vector_of(mean),   vector_of(scale)};
    return std::make_unique<OnlineEngine>(std::move(intake), std::move(all),
                                          sigmoid ? OnlineHead::sigmoid : OnlineHead::softmax,
                                          streams, hold);
}

std::string frame_shape(const OnlineEngine& e) {
    const std::string n = std::to_string(e.raw_channels());
    return e.streams() == 1
               ? n + " channels"
               : "(" + std::to_string(e.streams()) + ", " + n + ") of streams and channels";
}

Output answer_array(const OnlineEngine& e, const py::object& out) {
    if (out.is_none()) return Output({e.streams(), e.classes()});
    if (!Output::check_(out)) {
        throw std::invalid_argument("out: expected a contiguous float32 array");
    }
    auto array = py::reinterpret_borrow<Output>(out);
    check_count(array, e.streams() * e.classes(), "out",
                std::to_string(e.streams() * e.classes()) + " numbers");
    return array;
}

// raw of None: the frame is missing.
Output step(OnlineEngine& e, const py::object& raw, const py::object& out) {
    Output answer = answer_array(e, out);
    float* to = answer.mutable_data();
    const bool worth = e.work() > kWorthReleasing;
    if (raw.is_none()) {
        without_lock(worth, [&] { e.step(nullptr, to); });
        return answer;
    }
    const auto frame = Floats::ensure(raw);
    if (!frame) {
        PyErr_Clear();
        throw std::invalid_argument("frame: expected numbers");
    }
    check_count(frame, e.streams() * e.raw_channels(), "frame", frame_shape(e));
    if (e.streams() > 1 && frame.shape(0) != e.streams()) {
        throw std::invalid_argument("frame: expected " + frame_shape(e) + ", got shape " +
                                    shape_of(frame));
    }
    const float* from = frame.data();
    without_lock(worth, [&] { e.step(from, to); });
    return answer;
}

// frames (T, streams * raw_channels) -> (T, streams, classes)
Output run(OnlineEngine& e, const Floats& frames) {
    const int64_t size = e.streams() * e.raw_channels(), size_out = e.streams() * e.classes();
    const int64_t n = frames.ndim() > 0 ? frames.shape(0) : 0;
    if (frames.ndim() < 2 || frames.size() != n * size) {
        throw std::invalid_argument("frames: expected frames of " + frame_shape(e) +
                                    ", got shape " + shape_of(frames));
    }
    Output answer({n, e.streams(), e.classes()});
    const float* from = frames.data();
    float* to = answer.mutable_data();
    without_lock(n * e.work() > kWorthReleasing, [&] {
        for (int64_t t = 0; t < n; t++) e.step(from + t * size, to + t * size_out);
    });
    return answer;
}

Output run_beyond(OnlineEngine& e, int64_t frames) {
    if (frames < 0) throw std::invalid_argument("frames must not be negative");
    Output answer({frames, e.streams(), e.classes()});
    float* to = answer.mutable_data();
    for (int64_t t = 0; t < frames; t++) e.step_beyond(to + t * e.streams() * e.classes());
    return answer;
}

void load_state(OnlineEngine& e, const Floats& state, uint64_t frames) {
    check_count(state, e.state_size(), "state", std::to_string(e.state_size()) + " numbers");
    e.load_state(state.data(), frames);
}

}  // namespace

void register_online(py::module_& m) {
    py::class_<OnlineEngine>(m, "OnlineEngine",
                             "A network that takes one frame of each stream at a time. Use "
                             "daart_fast.online.")
        .def(py::init(&make), py::kw_only(), py::arg("layers"), py::arg("raw_channels"),
             py::arg("source"), py::arg("likelihood"), py::arg("threshold"), py::arg("mean"),
             py::arg("scale"), py::arg("sigmoid"), py::arg("streams"), py::arg("hold"))
        .def("step", &step, py::arg("frame"), py::arg("out") = py::none())
        .def("run", &run, py::arg("frames"))
        .def("run_beyond", &run_beyond, py::arg("frames"))
        .def("prepare", &OnlineEngine::prepare)
        .def("reset", &OnlineEngine::reset)
        .def("state", [](const OnlineEngine& e) { return Floats(e.state_size(), e.state()); })
        .def("load_state", &load_state, py::arg("state"), py::arg("frames"))
        .def_property_readonly("frames", &OnlineEngine::frames)
        .def_property_readonly("held", &OnlineEngine::held)
        .def_property_readonly("work", &OnlineEngine::work);
}

}  // namespace daart_fast
