// Structs that Python fills by name. DAART_FAST_STRUCT(Name, Type, a, b) makes a C++ struct of the
// fields a and b, all of one type; define<Name>(m) gives Python the named tuple `_native.Name` of
// the same fields, and functions take only that for it.
#pragma once

#include <pybind11/pybind11.h>

#include <cstring>
#include <type_traits>

#define DAART_FAST_STRUCT(Name, Type, ...)                   \
    struct Name {                                            \
        using Field = Type;                                  \
        Type __VA_ARGS__;                                    \
        static constexpr const char* kName = #Name;          \
        static constexpr const char* kFields = #__VA_ARGS__; \
    }

namespace daart_fast {

template <typename S>
inline PyTypeObject* python_type = nullptr;

template <typename S>
void define(pybind11::module_& m) {
    if (!python_type<S>) {
        namespace py = pybind11;
        const auto make = py::module_::import("collections").attr("namedtuple");
        const py::object type = make(S::kName, S::kFields, py::arg("module") = m.attr("__name__"));
        python_type<S> = reinterpret_cast<PyTypeObject*>(type.inc_ref().ptr());
    }
    m.attr(S::kName) = pybind11::handle(reinterpret_cast<PyObject*>(python_type<S>));
}

}  // namespace daart_fast

namespace pybind11::detail {

template <typename S>
struct type_caster<S, std::enable_if_t<std::is_convertible_v<decltype(S::kFields), const char*>>> {
    PYBIND11_TYPE_CASTER(S, const_name("named tuple"));

    bool load(handle source, bool) {
        using Field = typename S::Field;
        constexpr Py_ssize_t n = sizeof(S) / sizeof(Field);
        if (Py_TYPE(source.ptr()) != daart_fast::python_type<S>) return false;
        if (PyTuple_GET_SIZE(source.ptr()) != n) return false;
        Field fields[n];
        for (Py_ssize_t i = 0; i < n; i++) {
            make_caster<Field> field;
            if (!field.load(PyTuple_GET_ITEM(source.ptr(), i), true)) return false;
            fields[i] = cast_op<Field>(field);
        }
        std::memcpy(&value, fields, sizeof value);
        return true;
    }
};

}  // namespace pybind11::detail
