"""The picture of groups: names, and a point for each animal."""

from daart_fast.eval.group_picture import plot_groups
from daart_fast.eval.groups import summarise_groups

GROUPS = {"m1": "saline", "m2": "saline", "m3": "drug"}
ROWS = [
    {"animal": animal, "class": "walk", "next": None, "measure": "time", "unit": "%", "value": v}
    for animal, v in zip(GROUPS, (10.0, 20.0, None), strict=True)
]


def test_names_are_written_out_and_each_animal_is_a_point() -> None:
    figure = plot_groups(ROWS, summarise_groups(ROWS, GROUPS, "saline"), GROUPS)
    (panel,) = figure.axes
    assert [label.get_text() for label in panel.get_xticklabels()] == ["walk"]
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["saline (2 animals)", "drug (1 animal)"]
    saline, drug = panel.collections[0], panel.collections[-1]
    assert saline.get_offsets()[:, 1].tolist() == [10.0, 20.0]
    assert len(drug.get_offsets()) == 0
