// The module daart_fast._text: daart_fast/_text.pyi describes it, daart_fast/readers/tables.py uses
// it. It is not part of _native, as commands that only read files do without torch.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cmath>
#include <stdexcept>
#include <string>

#include "../text/scan.h"

namespace py = pybind11;

namespace daart_fast {
namespace {

// As Python rounds it. False if it is too large.
bool round_long_number(const LongNumber& number, double* values) {
    const std::string digits(number.begin, number.end);
    double& value = values[number.place];
    value = PyOS_string_to_double(digits.c_str(), nullptr, nullptr);
    if (value == -1.0 && PyErr_Occurred()) throw py::error_already_set();
    return std::isfinite(value);
}

py::object scan(const py::bytes& text, int64_t start, int64_t columns) {
    char* data = nullptr;
    Py_ssize_t length = 0;
    if (PyBytes_AsStringAndSize(text.ptr(), &data, &length)) throw py::error_already_set();
    if (start < 0 || start > length) throw std::invalid_argument("start must lie within the text");
    if (columns < 1) throw std::invalid_argument("columns must be at least 1");
    const char* body = data + start;
    const int64_t size = length - start;
    const int64_t capacity = most_rows(body, size, columns);
    py::array_t<double> values({capacity, columns});
    py::array_t<int64_t> lines(capacity);
    double* const numbers = values.mutable_data();
    int64_t* const places = lines.mutable_data();
    Rows rows;
    bool plain = false;
    {
        py::gil_scoped_release release;
        plain = scan_rows(body, size, columns, capacity, numbers, places, rows);
    }
    if (!plain || rows.count == 0) return py::none();
    for (const LongNumber& number : rows.long_numbers) {
        if (!round_long_number(number, numbers)) return py::none();
    }
    const py::slice filled(0, rows.count, 1);
    return py::make_tuple(values[filled], lines[filled]);
}

}  // namespace

PYBIND11_MODULE(_text, m) {
    m.doc() = "Native code for text files. Use daart_fast.readers.";
    m.def("scan", &scan, py::arg("text"), py::arg("start"), py::arg("columns"),
          "Rows of plain numbers in a csv from a byte on; None if anything else is there.");
}

}  // namespace daart_fast
