"""Numbers are read right to the last bit, fast where they are plain and by the cell elsewhere."""

from __future__ import annotations

import random
import struct
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daart_fast.errors import DataError
from daart_fast.readers import tables
from daart_fast.readers.tables import Table, read_table


def scan(text: bytes, columns: int, start: int = 0) -> list[list[float]] | None:
    _text = pytest.importorskip("daart_fast._text")
    found = _text.scan(text, start, columns)
    return None if found is None else found[0].tolist()


def spelled_numbers(n: int) -> list[str]:
    """Numbers as files spell them: of any size, with any number of digits, and close to ties."""
    draw = random.Random(0)

    def number() -> str:
        value = draw.random() * 10.0 ** draw.randrange(-12, 12)
        between = (Decimal(value) + Decimal(float(np.nextafter(value, np.inf)))) / 2
        return draw.choice(
            [
                repr(struct.unpack("d", draw.randbytes(8))[0]),
                repr(-value),
                str(between)[: draw.randrange(16, 24)],
                str(draw.randrange(10 ** draw.randrange(1, 25))),
                f"{draw.random() * 1000:.{draw.randrange(20)}f}",
                f"+{value:.{draw.randrange(20)}E}",
                f"{draw.getrandbits(54)}.5",
            ]
        )

    found = (number() for _ in range(n))
    return [cell for cell in found if "n" not in cell]


def test_every_number_is_the_nearest_double() -> None:
    cells = spelled_numbers(50_000)
    _text = pytest.importorskip("daart_fast._text")
    values, _ = _text.scan("\n".join(cells).encode(), 0, 1)
    assert [float(cell) for cell in cells] == values[:, 0].tolist()


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (b"0,1.5\n1,-2\n", [[0, 1.5], [1, -2]]),
        (b"0,1.5\n1,-2", [[0, 1.5], [1, -2]]),
        (b"0, +1e2 \n\n \n1,.5\n", [[0, 100], [1, 0.5]]),
        (b'"0","1"\n"1",2.\n', [[0, 1], [1, 2]]),
        (b"0,0\n,\n,\n", [[0, 0]]),
        (b"0,12345678901234567890.5\n", [[0, 12345678901234567890.5]]),
    ],
)
def test_plain_rows(text: bytes, rows: list[list[float]]) -> None:
    assert scan(text, 2) == rows
    assert scan(b"a,b\n" + text, 2, start=4) == rows


@pytest.mark.parametrize("cell", [b"", b'""', b"nan", b"NaN", b"NA", b"null", b"#N/A N/A", b" "])
def test_an_empty_cell_is_a_missing_number(cell: bytes) -> None:
    found = scan(b"0," + cell + b",3\n1,2," + cell, 3)
    assert found is not None
    assert np.isnan(found[0][1]) and np.isnan(found[1][2]) and found[0][2] == 3


@pytest.mark.parametrize(
    "row",
    [b"1", b"1,2,3", b"1,", b"1,x", b"1,2x", b"1,1_0", b"1,1e", b"1,inf", b"1,1e999", b"1,--2",
     b'1,"2', b'1,2"', b'1,"2"3', b'"1,2"', b"1,0x1", b"1,2\0", b"\0", b"1;2", b"1,1 2", b"1,-",
     b"1,nann", b"\xef\xbb\xbf1,2", b"1,1,", b"1,2\r"],
)  # fmt: skip
def test_whatever_else_there_is_the_scan_leaves_alone(row: bytes) -> None:
    if row != b"1,":  # which is an empty cell
        assert scan(b"0,0\n" + row + b"\n2,2", 2) is None
        assert scan(b"0,0\n" + row, 2) is None


def test_no_rows_is_nothing() -> None:
    assert scan(b"", 2) is None
    assert scan(b"\n\n ", 2) is None
    assert scan(b",\n,\n", 2) is None


def by_both_ways(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Table | str]:
    found: list[Table | str] = []
    for scanned in (tables._scanned, lambda *_: None):
        with monkeypatch.context() as patch:
            patch.setattr(tables, "_scanned", scanned)
            try:
                found.append(read_table(path))
            except DataError as error:
                found.append(str(error))
    return found


ODD_CELLS = ["", " ", "nan", "NULL", '"1"', "1e3", " -2.50 ", "1_0", "inf", "x", '"', "1,2"]
CELLS = st.one_of(
    st.sampled_from(ODD_CELLS),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(0, 9).map(str),
)


def test_both_ways_of_reading_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.csv"

    @settings(max_examples=300, deadline=None, database=None, derandomize=True)
    @given(st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=4), st.sampled_from("\n\r"))
    def agree(rows: list[list[str]], end: str) -> None:
        text = end.join(["a,b", *(",".join(row) for row in rows)])
        path.write_text(text, newline="")
        fast, slow = by_both_ways(path, monkeypatch)
        if isinstance(slow, str) or isinstance(fast, str):
            assert fast == slow
            return
        assert np.array_equal(fast.values, slow.values, equal_nan=True)
        assert fast.lines.tolist() == slow.lines.tolist()

    agree()
