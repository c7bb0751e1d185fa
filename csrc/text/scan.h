// Rows of numbers in a csv, at the speed at which their bytes can be looked at.
#pragma once

#include <cstdint>
#include <vector>

namespace daart_fast {

// A number with more digits than plain arithmetic can round: to be rounded by another way.
struct LongNumber {
    int64_t place;  // in the values
    const char* begin;
    const char* end;
};

struct Rows {
    int64_t count = 0;
    std::vector<LongNumber> long_numbers;
};

// The most rows of this many columns that a text can have.
int64_t most_rows(const char* text, int64_t size, int64_t columns);

// Reads rows of plain numbers, empty cells (or nan, NaN, NA) as NaN, each right to the last bit;
// blank lines, and rows at the end whose cells are all empty, are left out. False if the text holds
// anything else, whatever it is.
//
// text: lines that end with '\n' (the last may not), and '\0' behind them: text[size]
// capacity: most_rows
// values: (capacity, columns), of which rows.count rows are filled
// lines: (capacity,), the line that each row stands in, from 0
bool scan_rows(const char* text, int64_t size, int64_t columns, int64_t capacity, double* values,
               int64_t* lines, Rows& rows);

}  // namespace daart_fast
