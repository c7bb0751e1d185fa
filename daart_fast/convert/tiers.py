"""Annotations on a time line: ELAN (.eaf, tab-delimited text) and VIA 3 (csv) -> bouts."""

from __future__ import annotations

import json
from xml.etree import ElementTree

from daart_fast.convert.annotation import Annotation, Source, column_of, stem_of
from daart_fast.errors import DataError

__all__ = [
    "looks_like_eaf",
    "looks_like_elan",
    "looks_like_via",
    "read_eaf",
    "read_elan",
    "read_via",
]


def _add(
    source: Source, annotation: Annotation, tier: str, label: str, start: float, stop: float
) -> None:
    """Add a bout in seconds; a tier is chosen by --subject."""
    annotation.all_subjects.add(tier)
    if source.subject in (None, tier):
        rate = source.rate()
        annotation.bouts.append((label, round(start * rate), round(stop * rate)))
        annotation.subjects.append(tier)


# ------------------------------------------------------------------------------ ELAN


def looks_like_eaf(source: Source) -> bool:
    """Whether the file is ELAN's own (.eaf)."""
    return any("<ANNOTATION_DOCUMENT" in line for line in source.lines[:20])


def read_eaf(source: Source) -> list[Annotation]:
    """Read the aligned annotations of every tier; a bout's class is its text, else the tier."""
    text = "\n".join(source.lines)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataError(f"{source.path}: expected a plain .eaf file, found a DOCTYPE")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise DataError(f"{source.path}: expected an .eaf file of ELAN: {error}") from None
    times = {slot.get("TIME_SLOT_ID"): slot.get("TIME_VALUE") for slot in root.iter("TIME_SLOT")}
    media = [one.get("MEDIA_URL", "") for one in root.iter("MEDIA_DESCRIPTOR")]
    names = [source.path.stem, *(stem_of(url) for url in media if url)]
    annotation = Annotation(names, [], fps=source.rate())
    for tier in root.iter("TIER"):
        name = tier.get("TIER_ID", "")
        for item in tier.iter("ALIGNABLE_ANNOTATION"):
            ends = [times.get(item.get(f"TIME_SLOT_REF{n}")) for n in (1, 2)]
            if ends[0] is None or ends[1] is None:
                raise DataError(
                    f"{source.path}, tier {name}: annotation {item.get('ANNOTATION_ID')} has no "
                    "start or end; align it in ELAN and save again"
                )
            start, stop = (_milliseconds(source, name, str(end)) / 1000 for end in ends)
            label = (item.findtext("ANNOTATION_VALUE") or "").strip() or name
            _add(source, annotation, name, label, start, stop)
    return [annotation]


def _milliseconds(source: Source, tier: str, text: str) -> int:
    if not text.isdecimal() or len(text) > 11:
        raise DataError(
            f"{source.path}, tier {tier}: expected a time in milliseconds, found {text!r}"
        )
    return int(text)


_BEGIN = ("begin time - ss.msec", "begin time - msec", "begin time - hh:mm:ss.ms", "begin time")
_END = ("end time - ss.msec", "end time - msec", "end time - hh:mm:ss.ms", "end time")


def looks_like_elan(source: Source) -> bool:
    """Whether the file is a tab-delimited text that ELAN exported with column names."""
    header = source.rows[0] if source.rows else []
    return None not in (
        column_of(header, "tier"),
        column_of(header, *_BEGIN),
        column_of(header, *_END),
    )


def read_elan(source: Source) -> list[Annotation]:
    """Read a bout a row; its class is the annotation's text, else its tier."""
    header = source.header()
    tier_at, begin_at, end_at = (
        column_of(header, *names) or 0 for names in (("tier",), _BEGIN, _END)
    )
    label_at = column_of(header, "annotation", "value", "default", "annotation value")
    scale = 1000 if header[begin_at].lower().endswith("- msec") else 1
    annotation = Annotation([source.path.stem], [], fps=source.rate())
    for i, row in source.body(header):
        label = row[label_at] if label_at is not None else ""
        start, stop = (source.seconds(i, row[at]) / scale for at in (begin_at, end_at))
        _add(source, annotation, row[tier_at], label or row[tier_at], start, stop)
    return [annotation]


# ------------------------------------------------------------------------------ VIA


def _via_header(source: Source) -> list[str] | None:
    """Return the column names, which VIA 3 writes in a comment."""
    for line in source.lines[:20]:
        if line.startswith("#") and "CSV_HEADER" in line:
            return [name.strip() for name in line.partition("=")[2].split(",")]
    return None


def looks_like_via(source: Source) -> bool:
    """Whether the file is a csv of VIA 3 with temporal segments."""
    header = _via_header(source)
    return header is not None and "temporal_coordinates" in header


def read_via(source: Source) -> list[Annotation]:
    """Read the temporal segments of each file; a bout's class is the first attribute's value."""
    header = _via_header(source) or []
    missing = [n for n in ("file_list", "temporal_coordinates", "metadata") if n not in header]
    if missing:
        raise DataError(f"{source.path}: expected a column {missing[0]} in '# CSV_HEADER ='")
    places = [header.index(name) for name in ("file_list", "temporal_coordinates", "metadata")]
    found: dict[str, Annotation] = {}
    for i, row in enumerate(source.rows):
        if not any(row) or row[0].startswith("#"):
            continue
        if len(row) != len(header):
            raise source.fail(i, f"expected {len(header)} cells, found {len(row)}")
        files, times, said = (_json(source, i, row[at]) for at in places)
        if not isinstance(times, list) or len(times) != 2:
            continue  # a region or a still frame, no segment
        name = stem_of(str(files[0] if isinstance(files, list) and files else files))
        annotation = found.setdefault(name, Annotation([name], [], fps=source.rate()))
        label = str(next(iter(said.values()), "")) if isinstance(said, dict) else ""
        if not label:
            raise source.fail(i, "expected a class in the segment's metadata, found nothing")
        start, stop = (source.number(i, str(time)) for time in times)
        _add(source, annotation, "", label, start, stop)
    return list(found.values()) or [Annotation([source.path.stem], [])]


def _json(source: Source, i: int, cell: str) -> object:
    try:
        return json.loads(cell)
    except ValueError:
        raise source.fail(i, f"expected JSON, found {cell!r}") from None
