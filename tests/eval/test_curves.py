"""metrics.csv, of daart or daart_fast, is read and drawn, however short."""

from pathlib import Path

import pytest

from daart_fast.eval import load_metrics_csv_as_df, plot_training_curves
from daart_fast.eval.curves import plot_curves

HEADER = "epoch,batch,trial,dataset,best_val_epoch,tr_loss,tr_loss_strong,val_loss,val_loss_strong"


def write_metrics(path: Path, n_epochs: int, n_sessions: int = 2) -> Path:
    """Write the metrics of so many epochs; epoch 0, untrained, is the first."""
    lines = [HEADER]
    for epoch in range(n_epochs):
        if epoch > 0:
            for session in range(-1, n_sessions):
                lines.append(f"{epoch},8,-1,{session},{epoch},,,{1 / epoch},{2 / epoch}")
        lines.append(f"{epoch},8,-1,-1,,{2 / (epoch + 1)},{1 / (epoch + 1)},,")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["train", "val", "test"])
@pytest.mark.parametrize("n_epochs", [0, 1, 2, 11, 12])
def test_failure_06_curves_are_drawn_for_any_number_of_epochs(tmp_path, n_epochs, dtype):
    metrics = write_metrics(tmp_path / "metrics.csv", n_epochs)
    plot_training_curves(str(metrics), dtype, ["a", "b"], str(tmp_path / "curves"), "png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_curves_of_one_session_and_of_too_many_to_tell_apart_are_drawn(tmp_path):
    for n_sessions in (1, 40):
        metrics = write_metrics(tmp_path / "metrics.csv", 3, n_sessions)
        names = [f"session{i}" for i in range(n_sessions)]
        plot_training_curves(metrics, "val", names, tmp_path / f"of_{n_sessions}", "png")
        assert (tmp_path / f"of_{n_sessions}.png").stat().st_size > 0


@pytest.mark.slow
def test_drawing_leaves_the_users_figures_alone(tmp_path):
    import matplotlib.pyplot as plt

    plot_training_curves(write_metrics(tmp_path / "metrics.csv", 3), save_file=tmp_path / "curves")
    assert plt.get_fignums() == []
    assert (tmp_path / "curves.pdf").exists()


def texts(figure) -> list[str]:
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_training_and_validation_are_in_one_picture_and_the_best_epoch_is_marked(tmp_path):
    metrics = write_metrics(tmp_path / "metrics.csv", 6, 1)
    figure = plot_curves(metrics)
    loss, strong = figure.axes
    assert loss.get_ylabel() == "loss" and strong.get_ylabel() == "cross-entropy"
    assert texts(figure) == ["training", "validation", "lowest validation loss: epoch 5"]
    training, validation, best = loss.lines
    assert training.get_xdata().tolist() == [0, 1, 2, 3, 4, 5]
    assert validation.get_ydata().tolist() == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5])
    assert list(best.get_xdata()) == [5, 5]


def test_terms_with_the_same_curves_are_drawn_once(tmp_path):
    path = tmp_path / "metrics.csv"
    rows = [f"{i},8,-1,-1,,{x},{x},," for i, x in enumerate((3, 2))]
    rows += ["1,8,-1,-1,1,,,4,4", "2,8,-1,-1,1,,,5,5"]
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    (panel,) = plot_curves(path).axes
    assert panel.get_title() == "all terms = hand labels"
    assert list(panel.lines[-1].get_xdata()) == [1, 1]  # the first validation was the best


def test_a_training_without_validation_has_no_best_epoch(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,batch,trial,dataset,tr_loss\n0,0,-1,-1,3\n1,0,-1,-1,2\n")
    assert texts(plot_curves(path)) == ["training"]


@pytest.mark.slow
def test_a_legend_of_long_names_lies_inside_the_picture(tmp_path):
    metrics = write_metrics(tmp_path / "metrics.csv", 3, 5)
    names = [f"rat_2{i}DLC_dlcrnetms5_ratJan24shuffle1_5000_el_filtered" for i in range(5)]
    figure = plot_curves(metrics, names)
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1
    assert texts(figure)[0] == "rat_20DLC_dlcrne…iltered (validation)"


def test_metrics_become_one_row_for_each_number(tmp_path):
    metrics = write_metrics(tmp_path / "metrics.csv", 3)
    table = load_metrics_csv_as_df(metrics, ["loss", "loss_weak"], expt_ids=["a", "b"])
    assert set(table["loss"]) == {"loss"}  # there is no loss_weak
    assert table[table["dtype"] == "train"]["val"].tolist() == pytest.approx([2, 1, 2 / 3])
    validation = table[table["dtype"] == "val"]
    assert set(validation["dataset"]) == {"all", "a", "b"}
    assert validation[validation["dataset"] == "a"]["epoch"].tolist() == [1, 2]


def test_the_test_splits_numbers_come_alone(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text(
        "epoch,batch,trial,dataset,tr_loss,test_loss\n1,0,-1,-1,0.5,\n1,0,-1,-1,,0.25\n"
    )
    table = load_metrics_csv_as_df(path, ["loss"], test=True)
    assert table["val"].tolist() == [0.25]
    assert table["dtype"].tolist() == ["test"]


@pytest.mark.slow
def test_daarts_own_metrics_are_read_and_drawn(shared_dir, tmp_path):
    metrics = shared_dir / "compat" / "models" / "dtcn_semi" / "metrics.csv"
    table = load_metrics_csv_as_df(metrics, ["loss", "fc"])
    assert table[(table["dtype"] == "val") & (table["loss"] == "fc")].shape[0] == 12 * 3
    plot_training_curves(metrics, "train", save_file=tmp_path / "curves", format="png")
    assert (tmp_path / "curves.png").exists()
