#include "scan.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace daart_fast {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();
constexpr uint64_t kExact = uint64_t(1) << 53;  // up to here every integer is a double
constexpr int64_t kMostDigits = 19;             // as many always fit in 64 bits
constexpr int64_t kMostPower = 22;              // 10^22 is the last that is a double
constexpr double kPowers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                              1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                              1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

inline bool is_digit(char c) {
    return static_cast<unsigned char>(c - '0') < 10;
}

inline bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r' && c != '\n');
}

// Rounds digits * 10^exponent to the nearest double; false if it cannot be sure which that is.
inline bool round_to_double(uint64_t digits, int64_t exponent, double& value) {
    if (exponent < -kMostPower || exponent > kMostPower) return false;
    const double power = kPowers[exponent < 0 ? -exponent : exponent];
    if (digits <= kExact) {  // both are exact, and one operation rounds once
        value = exponent < 0 ? double(digits) / power : double(digits) * power;
        return true;
    }
    if (exponent > 0) return false;
    const double high = double(digits);
    const double low = double(int64_t(digits - uint64_t(high)));
    const double quotient = high / power;
    // what the quotient lacks, itself right to 52 bits: is the sum the same at both of its bounds?
    const double rest = (std::fma(-quotient, power, high) + low) / power;
    constexpr double kError = 1.0 / (uint64_t(1) << 50);
    value = quotient + rest * (1 - kError);
    return value == quotient + rest * (1 + kError);
}

struct Number {
    uint64_t digits = 0;
    int64_t exponent = 0;
    int64_t n_digits = 0;
};

inline const char* read_digits(const char* p, uint64_t& digits) {
    for (; is_digit(*p); p++) digits = 10 * digits + uint64_t(*p - '0');
    return p;
}

// Eight digits at once, for numbers that have many (the processor is little-endian).
inline const char* read_many_digits(const char* p, const char* end, uint64_t& digits) {
    while (end - p >= 8) {
        uint64_t chars;
        std::memcpy(&chars, p, 8);
        chars ^= 0x3030303030303030;
        if (((chars + 0x7676767676767676) | chars) & 0x8080808080808080) break;
        chars = chars * 10 + (chars >> 8);
        const uint64_t low = (chars & 0x000000ff000000ff) * 0x000f424000000064;
        const uint64_t high = ((chars >> 16) & 0x000000ff000000ff) * 0x0000271000000001;
        digits = digits * 100000000 + ((low + high) >> 32);
        p += 8;
    }
    return read_digits(p, digits);
}

// Reads digits with or without a point and an exponent. Returns what follows; p if it is no number.
inline const char* read_number(const char* p, const char* end, Number& number) {
    const char* const begin = p;
    const char* stop = read_digits(p, number.digits);
    number.n_digits = stop - p;
    if (*stop == '.') {
        p = stop + 1;
        stop = read_many_digits(p, end, number.digits);
        number.n_digits += stop - p;
        number.exponent = p - stop;
    }
    if (number.n_digits == 0) return begin;
    if (*stop == 'e' || *stop == 'E') {
        p = stop + 1;
        const bool negative = *p == '-';
        p += negative || *p == '+';
        uint64_t power = 0;
        stop = read_digits(p, power);
        if (stop == p) return begin;
        if (stop - p > 4) power = 9999;  // round_to_double refuses it
        number.exponent += negative ? -int64_t(power) : int64_t(power);
    }
    return stop;
}

// What daart_fast/readers/tables.py takes for a missing number too; none begins as a later one
// does.
constexpr const char* kMissingNames[] = {"nan",  "NaN", "NA",  "-nan", "-NaN",     "NULL", "null",
                                         "None", "N/A", "n/a", "<NA>", "#N/A N/A", "#N/A", "#NA"};

// Reads an empty cell, or a name for a missing number. Returns what follows.
inline const char* read_missing(const char* p) {
    if (*p == ',' || *p == '\n') return p;
    for (const char* name : kMissingNames) {
        const size_t length = std::strlen(name);
        if (std::strncmp(p, name, length) == 0) return p + length;
    }
    return p;
}

// Reads one cell of a row. Returns what follows: if that is no end of a cell, this is no number.
inline const char* read_cell(const char* p, const char* end, int64_t place, double* values,
                             Rows& rows) {
    while (*p == ' ') p++;
    const bool quoted = *p == '"';
    p += quoted;
    const char* const begin = p;
    const bool negative = *p == '-';
    p += negative || *p == '+';
    Number number;
    double& value = values[place];
    const char* stop = read_number(p, end, number);
    if (stop == p) {
        value = kMissing;
        stop = read_missing(begin);
    } else if (number.n_digits <= kMostDigits &&
               round_to_double(number.digits, number.exponent, value)) {
        if (negative) value = -value;
    } else {
        rows.long_numbers.push_back({place, begin, stop});
    }
    if (quoted) {
        if (*stop != '"') return begin - 1;
        stop++;
    }
    while (*stop == ' ') stop++;
    return stop;
}

// Whether the cells of a row, from begin to end, hold nothing at all.
bool holds_nothing(const char* begin, const char* end) {
    return std::all_of(begin, end, [](char c) { return c == ',' || c == ' ' || c == '"'; });
}

}  // namespace

int64_t most_rows(const char* text, int64_t size, int64_t columns) {
    const int64_t lines = std::count(text, text + size, '\n') + 1;
    return std::min(lines, (size + 1) / columns);  // a cell takes the byte that ends it
}

bool scan_rows(const char* text, int64_t size, int64_t columns, int64_t capacity, double* values,
               int64_t* lines, Rows& rows) {
    const char* const end = text + size;
    const char* p = text;
    int64_t row = 0;
    for (int64_t line = 0; p < end; line++) {
        const char* start = p;
        while (is_space(*p)) p++;
        if (*p == '\n') {  // a blank line
            p++;
            continue;
        }
        if (p == end) break;
        if (row == capacity) return false;
        p = start;
        for (int64_t column = 0; column < columns; column++) {
            p = read_cell(p, end, row * columns + column, values, rows);
            const bool last = column + 1 == columns;
            if (*p != (last ? '\n' : ',') && !(last && p == end)) return false;
            p++;
        }
        lines[row++] = line;
        if (*start == ',' || *start == '"' || *start == ' ') {
            if (holds_nothing(start, p - 1)) continue;
        }
        rows.count = row;
    }
    return true;
}

}  // namespace daart_fast
