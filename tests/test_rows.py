"""Rows that are made in bulk are those that Python makes one by one."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from daart_fast.rows import csv_line, joined_rows, number_cells, share_cells, text_cells


def spelled(cells: np.ndarray) -> list[str]:
    return [bytes(row).replace(b"\0", b"").decode() for row in cells]


@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_numbers_are_rounded_and_have_no_zeros_at_the_end(decimals: int) -> None:
    draw = np.random.default_rng(0)
    numbers = np.round(draw.normal(0, 10.0 ** draw.integers(-3, 6, 500)), decimals)
    numbers[:4] = 0, 1, 10, -20
    plain = [f"{number:.{decimals}f}" for number in numbers + 0.0]
    if decimals:
        plain = [text.rstrip("0").rstrip(".") for text in plain]
    assert spelled(number_cells(numbers, decimals)) == ["0" if t == "-0" else t for t in plain]


def test_no_number_is_no_cell() -> None:
    assert spelled(number_cells(np.array([np.nan, 12.5]), 1)) == ["", "12.5"]
    assert len(number_cells(np.empty(0), 3)) == 0


def test_shares_of_a_row_stand_between_commas() -> None:
    shares = np.array([[0, 1, 0.5], [0.123456, 1e-7, np.nan]], dtype=np.float32)
    assert spelled(share_cells(shares)) == ["0,1,0.5", "0.12346,0,nan"]


def test_texts_are_quoted_where_csv_needs_it() -> None:
    texts = ["", "groom", "a,b", 'say "c"', "trotté", "two\nlines"]
    rows = joined_rows([number_cells(np.arange(len(texts))), text_cells(texts)]).decode()
    assert rows == "".join(csv_line([str(i), text]) for i, text in enumerate(texts))
    assert [row[1] for row in csv.reader(io.StringIO(rows, newline=""))] == texts
