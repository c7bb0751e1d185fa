"""From collected models to one html file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from datetime import date
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daart_fast import __version__
from daart_fast.errors import DataError
from daart_fast.files import replacing
from daart_fast.report.collect import collect

if TYPE_CHECKING:
    from daart_fast.eval.new_sessions import NewSessions

__all__ = ["check_output", "write_report"]

#: The parts of the page's script, in the order in which they run.
SCRIPTS = ("data", "plot", "input", "tables", "begin")


def write_report(
    model_dirs: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    results: Mapping[Path, Path] | None = None,
    new: NewSessions | None = None,
) -> None:
    """Write a report on finished models into one html file without links to anything outside.

    Parameters
    ----------
    model_dirs
        version folders with hparams.yaml, states and summary.json (see
        `daart_fast.eval.summarise`)
    output
        the html file, which ends in .html or .htm
    data_dir
        where the data are, if not where hparams.yaml says. Where labels cannot be read, the report
        is without them; where they have changed since, it says so.
    results
        for some version folders, a folder with a summary.json of the data as they are now, and
        with states where the version folder's are not of these data
    new
        the new sessions that `results` are of, which one version folder has predicted

    Raises
    ------
    DataError
        a folder has no summary.json or no states, or the output is called as no html file is
    """
    check_output(output)
    models: list[dict[str, Any]] = []
    texts: dict[str, str] = {}
    for number, folder in enumerate(model_dirs):
        model, fine = collect(Path(folder), data_dir, (results or {}).get(Path(folder)), new)
        models.append(model)
        texts |= {f"fine-{number}-{i}": text for i, text in enumerate(fine)}
    if len(models) > 1:
        for model, name in zip(models, _distinct_names(model_dirs), strict=True):
            model["name"] = name
    with replacing(output) as temporary:
        temporary.write_text(_page(models, texts), encoding="utf-8")


def check_output(output: str | os.PathLike[str]) -> None:
    """Refuse a name that another kind of file may have, as labels.

    Raises
    ------
    DataError
        it ends in neither .html nor .htm
    """
    ending = Path(output).suffix
    if ending.lower() not in (".html", ".htm"):
        raise DataError(f"{output}: expected a name that ends in .html or .htm, found {ending!r}")


def _distinct_names(folders: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Name each of several models by the parts of its path that are not those of all others."""
    paths = [Path(folder).absolute().parts for folder in folders]
    first = min(len(os.path.commonprefix(paths)), min(map(len, paths)) - 1)
    last = len(os.path.commonprefix([path[:first:-1] for path in paths]))
    return ["/".join(path[first : len(path) - last]) for path in paths]


def _page(models: Sequence[dict[str, Any]], texts: dict[str, str]) -> str:
    """Fill the template: style, scripts, what is known of all models, and fine probabilities."""
    files = resources.files("daart_fast.report")
    content = {"models": models, "made": f"{date.today():%Y-%m-%d}", "version": __version__}
    filling = {
        "css": (files / "page.css").read_text("utf-8"),
        # a name must not end the script element, nor open a comment in it; json keeps ASCII
        "data": json.dumps(content, allow_nan=False).replace("<", r"\u003c"),
        "fine": "\n".join(
            f'<script type="text/plain" id="{name}">{text}</script>' for name, text in texts.items()
        ),
        "js": "\n".join((files / "scripts" / f"{name}.js").read_text("utf-8") for name in SCRIPTS),
    }
    template = (files / "page.html").read_text("utf-8")
    return re.sub(r"/\*(css|data|fine|js)\*/", lambda match: filling[match[1]], template)
