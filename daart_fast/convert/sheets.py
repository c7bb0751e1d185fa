"""Files of annotations -> text or rows of cells: encodings, separators, workbooks."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from daart_fast.errors import DataError, unreadable

__all__ = ["WORKBOOKS", "Sheet", "read_sheets"]

#: endings of workbooks, and the module that reads them
WORKBOOKS = {".xlsx": "openpyxl", ".xlsm": "openpyxl", ".ods": "odf", ".xls": "xlrd"}

#: the name of a sheet (none of a text), its lines, its rows of cells, how numbers are written
Sheet = tuple[str, list[str], list[list[str]], str]


def read_sheets(path: Path) -> list[Sheet]:
    """Read the sheets of a workbook, or the one table that a text is."""
    if path.suffix.lower() in WORKBOOKS:
        return _workbook(path)
    text = _text(path)
    said = re.match(r'"?sep=([;,\t])"?[;,\t]*\n', text, re.IGNORECASE)
    text = text[said.end() :] if said else text
    lines = text.splitlines()
    delimiter = said[1] if said else _delimiter(lines)
    try:
        table = list(csv.reader(io.StringIO(text), delimiter=delimiter))
    except csv.Error as error:
        raise DataError(f"{path}: expected a table or a text: {error}") from None
    rows = [[cell.strip() for cell in row] for row in table]
    return [("", lines, rows, "," if delimiter == ";" else ".")]


def _text(path: Path) -> str:
    """Read UTF-8, or UTF-16 where a mark at the beginning says so."""
    try:
        data = path.read_bytes()
        wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(unreadable(path, error, "a text file in UTF-8")) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _delimiter(lines: Sequence[str]) -> str:
    """Return what separates cells; a semicolon, as in Excel in Europe, only where it is clear."""
    first = next(filter(str.strip, lines), "")
    if ";" in first and not {",", "\t"} & set(first):
        return ";"
    head = lines[:60]
    tabs, commas = (sum(line.count(mark) for line in head) for mark in "\t,")
    return "\t" if tabs > commas else ","


def _workbook(path: Path) -> list[Sheet]:
    import pandas as pd  # late: other files need none of it

    try:
        import_module(WORKBOOKS[path.suffix.lower()])
    except ImportError:
        raise DataError(
            f"{path}: to read {path.suffix}, pip install 'daart_fast[excel]'; or save the sheet "
            "as csv"
        ) from None
    try:
        tables = pd.read_excel(path, sheet_name=None, header=None, dtype=object)
    except Exception as error:  # of a zip file that may hold anything
        raise DataError(unreadable(path, error, "a workbook")) from error
    sheets: list[Sheet] = []
    for name, table in tables.items():
        rows = [[_spelled(cell) for cell in row] for row in table.to_numpy().tolist()]
        sheets.append((str(name), ["\t".join(row) for row in rows], rows, "."))
    return sheets


def _spelled(cell: Any) -> str:
    """Spell a cell as a csv would have it."""
    if cell is None or cell != cell:  # NaN
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, bool):
        return str(int(cell))
    return str(cell).strip()
