"""The native module for text files (csrc/python/text.cpp)."""

import numpy as np

def scan(text: bytes, start: int, columns: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Read the rows of numbers in a csv, cells separated by commas, lines ended by newlines.

    Parameters
    ----------
    text
        the file
    start
        the byte where its first row begins
    columns
        how many cells each row has

    Returns
    -------
    tuple of np.ndarray or None
        (T, columns) float64, each right to the last bit, NaN where a cell is empty, nan, NaN or NA;
        and (T,) int64, the rows' lines, from 0 where the first row begins. Blank lines, and rows
        at the end that hold nothing, are left out. None if there is no row, or if anything but
        finite numbers, bare or in quotes, stands there.
    """
