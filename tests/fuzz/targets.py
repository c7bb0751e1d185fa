"""What is fuzzed: of each reader good files, how it is read, and what must hold of the answer.

A reader takes the path of a file that may hold anything. It returns nothing if what it read is
right, raises the documented error, or fails an assertion.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import gzip
import io
import itertools
import pickle
import re
import shutil
import tempfile
import zipfile
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from daart_fast.api import Model
from daart_fast.cli import online
from daart_fast.config import KEYS, load_config
from daart_fast.convert import one_hot, one_hot_text, read_annotations
from daart_fast.data import DataGenerator
from daart_fast.data.cache import Cached, cached
from daart_fast.errors import ConfigError, DataError
from daart_fast.eval.smoothing import Smoother
from daart_fast.experiment.folders import get_expt_dir
from daart_fast.experiment.stored import CHECKPOINT, export_hparams
from daart_fast.models import Segmenter
from daart_fast.online import OnlineSegmenter
from daart_fast.readers.inputs import Inputs, read_inputs
from daart_fast.readers.labels import read_labels
from daart_fast.train import Trainer
from daart_fast.train.callbacks import BaseCallback

Read = Callable[[Path], object]


@dataclass(frozen=True)
class Target:
    """A reader and what it is given.

    Attributes
    ----------
    file
        what a file of it is called
    seeds
        makes good files, in an empty folder
    read
        see above
    words
        what such files are made of
    pack
        makes a file of the bytes that are changed, where a checksum stands between them and it
    """

    file: str
    seeds: Callable[[Path], Sequence[bytes]]
    read: Read
    words: Sequence[bytes] = ()
    pack: Callable[[bytes], bytes] = bytes


def check(target: Target, path: Path, data: bytes) -> bool:
    """Give a reader a file that holds `data`; whether it was taken.

    Raises
    ------
    AssertionError
        it was read wrong, the error does not name the file, or memory ran out before it was raised
    Exception
        any error but the documented ones
    """
    path.write_bytes(target.pack(data))
    try:
        target.read(path)
    except (ConfigError, DataError) as error:
        assert path.name in str(error), f"the error names no file: {error}"
        cause: BaseException | None = error
        while (cause := cause and cause.__context__) is not None:
            assert not isinstance(cause, MemoryError), f"too much memory asked for: {error}"
        return False
    return True


def texts(*seeds: str) -> Callable[[Path], Sequence[bytes]]:
    return lambda folder: [text.encode() for text in seeds]


# ------------------------------------------------------------------------- inputs and labels

MARKERS = "scorer,m,m,m\nbodyparts,nose,nose,nose\ncoords,x,y,likelihood\n0,1,2,1\n1,3,4,0.5\n"
ANIMALS = "scorer,m,m,m,m\nindividuals,a,a,b,b\nbodyparts,p,p,p,p\ncoords,x,y,x,y\n0,1,2,3,4\n"
FEATURES = ",speed,angle\n0,1.5,2\n1,,4\n2,5,6\n"
LABELS = ",background,walk\n0,1,0\n1,0,1\n2,1,0\n"
TABLE_WORDS = (b'"', b'""', b"\n", b"\r\n", b"nan", b"-inf", b"1e999", b"NA", b"\xef\xbb\xbf",
               b"0x1", b"1_0", b"1.0", b"\0", b"scorer", b"individuals", b"bodyparts", b"coords",
               b"likelihood")  # fmt: skip


def read_any_inputs(path: Path) -> Inputs:
    values, names = found = read_inputs(path)
    assert values.dtype == np.float32 and values.ndim == 2 and len(values)
    assert len(names) == len(set(names)) == values.shape[1]
    assert np.isfinite(values).all()
    return found


def read_csv_inputs(path: Path) -> None:
    values, names = read_any_inputs(path)
    rows = plain_rows(path)
    header = [row for row in rows if row[0] in ("scorer", "individuals", "bodyparts", "coords")]
    table = numbers(rows[len(header) or 1 :])
    assert_counts_up(table[:, 0])
    owners = ["-".join(cells[1:-1]) for cells in zip(*header, strict=True)]
    for i, name in enumerate(names):
        column = i + 1
        if header:
            part, axis = name[:-2], name[-1]
            (column,) = [
                c for c, own in enumerate(owners) if c and own == part and header[-1][c] == axis
            ]
        else:
            assert name == rows[0][column]
        assert_same_where_known(values[:, i], table[:, column])


def plain_rows(path: Path) -> list[list[str]]:
    """A csv as Python's own module reads it, without the rows that are empty at its end."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    text = data.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")
    rows = csv.reader(io.StringIO(text, newline=""))
    stripped = [
        [cell.strip() for cell in row] for row in rows if len(row) > 1 or any(map(str.strip, row))
    ]
    while not any(stripped[-1]):
        stripped.pop()
    return stripped


def numbers(rows: list[list[str]]) -> np.ndarray:
    """Cells as float64; NaN for what is no number."""
    values = np.full((len(rows), len(rows[0])), np.nan)
    for place in np.ndindex(values.shape):
        with contextlib.suppress(ValueError):
            values[place] = float(rows[place[0]][place[1]])
    return values


def assert_counts_up(frames: np.ndarray) -> None:
    """Frame numbers are each one more than the one before, or there are none."""
    steps = [after - before for before, after in itertools.pairwise(frames.tolist())]
    assert np.isnan(frames).all() or all(step == 1 for step in steps)


def assert_same_where_known(found: np.ndarray, expected: np.ndarray) -> None:
    assert len(found) == len(expected)
    known = np.isfinite(expected)
    np.testing.assert_allclose(found[known], expected[known].astype(np.float32), rtol=1e-6)


def read_any_labels(path: Path) -> None:
    for kind in ("multiclass", "multibinary", "binary"):
        try:
            values, names = read_labels(path, kind)
        except DataError:
            if kind == "binary":
                raise
            continue
        assert len(set(names)) == len(names) > 0 and all(isinstance(name, str) for name in names)
        if kind == "multibinary":
            assert values.dtype == np.float32 and values.shape[1:] == (len(names),)
            assert np.isin(values, (0, 1)).all()
        else:
            assert values.dtype == np.int64 and values.ndim == 1
            assert len(values) == 0 or (values.min() >= 0 and values.max() < len(names))


def read_label_table(path: Path) -> None:
    read_any_labels(path)
    assert_counts_up(numbers(plain_rows(path)[1:])[:, 0])


def npy_files(folder: Path) -> Sequence[bytes]:
    return [_npy(np.arange(6.0).reshape(3, 2)), _npy(np.ones((2, 1), np.int8))]


def _npy(values: np.ndarray) -> bytes:
    with io.BytesIO() as file:
        np.save(file, values)
        return file.getvalue()


def pickles(folder: Path) -> Sequence[bytes]:
    content = {"states": np.array([0, 1, 1]), "state_labels": ["rest", "walk"]}
    mapped = {"states": [0, 1.0], "state_mapping": {"rest": 0, "walk": 1}}
    return [pickle.dumps(content), pickle.dumps(content, 0), pickle.dumps(mapped, 2)]


def h5_files(folder: Path) -> Sequence[bytes]:
    import pandas as pd

    columns = pd.MultiIndex.from_product([["m"], ["nose"], ["x", "y", "likelihood"]])
    table = pd.DataFrame(np.arange(6.0).reshape(2, 3), columns=columns)
    seeds = [sleap_analysis(folder)]
    for kind in ("table", "fixed"):
        table.to_hdf(folder / f"{kind}.h5", key="df", format=kind)
        seeds.append((folder / f"{kind}.h5").read_bytes())
    return seeds


def sleap_analysis(folder: Path) -> bytes:
    with h5py.File(folder / "sleap.h5", "w") as file:
        file["tracks"] = np.arange(12.0).reshape(1, 2, 2, 3)
        file["node_names"] = [b"nose", b"tail"]
        file["track_names"] = [b"mouse"]
    return (folder / "sleap.h5").read_bytes()


def slp_files(folder: Path) -> Sequence[bytes]:
    import sleap_io as sio

    skeleton = sio.Skeleton(["head", "tail"])
    track = sio.Track("fly")
    points = np.arange(4.0).reshape(2, 2)
    instance = sio.PredictedInstance.from_numpy(
        points, skeleton=skeleton, point_scores=np.ones(2), track=track
    )
    video = sio.Video("video.mp4")
    frames = [sio.LabeledFrame(video=video, frame_idx=i, instances=[instance]) for i in range(2)]
    labels = sio.Labels(frames, videos=[video], skeletons=[skeleton], tracks=[track])
    sio.save_slp(labels, str(folder / "seed.slp"))
    return [(folder / "seed.slp").read_bytes()]


# ------------------------------------------------------------------------- other programs' labels

ANNOTATIONS = (
    "Observation id,mouse1\nTime,Media file path,Total length,FPS,Subject,Behavior,Status\n"
    "0.5,/v/mouse1.mp4,4.0,10,m,walk,START\n1.0,/v/mouse1.mp4,4.0,10,m,walk,STOP\n"
    "3.2,/v/mouse1.mp4,4.0,10,m,sneeze,POINT\n",
    "Observation id\tFPS\tSubject\tBehavior\tBehavior type\tStart (s)\tStop (s)\n"
    "mouse1\t10\tmouse\twalk\tSTATE\t0.5\t1.0\nmouse1\t10\tmouse\tsneeze\tPOINT\t3.2\t3.2\n",
    "Caltech Behavior Annotator - Annotation File\n\nConfiguration file:\nother\to\nwalk\tw\n\n"
    "S1:\tstart\tend\ttype\n-----------\n\t1\t5\tother\n\t6\t10\twalk\n",
    ",background,walk,groom\n0,1,0,0\n1,0,1,0\n2,0,0,1\n3,-1,-1,-1\n",
    ",nose_x,speed,walk,groom\n0,1.5,0.5,0,0\n1,1.6,0.5,1,0\n2,1.7,0.7,0,1\n",
    "class,start,stop,session\nwalk,1,3,a\ngroom,3,5,a\n",
    "behavior,onset,duration\nwalk,1,3\n",
    "Bento annotation file\nAnnotation start frame: 1\nAnnotation framerate: 10\n\n"
    "List of channels:\nCh1\n\nCh1-----\n>walk\nStart\tStop\tDuration\n0.5\t1.0\t0.6\n",
    "Time_Relative_sf,Observation,Subject,Behavior,Event_Type\n1,a,m,walk,State start\n"
    "2,a,m,walk,State stop\n2.5,a,m,jump,Point\n",
    '"Number of header lines:";"4"\n"Video file";"a.mpg"\n"Trial time";"walk"\n"s";""\n'
    '"0.0";"0"\n"0.1";"1"\n"0.2";"-"\n',
    "Time,Behaviour\n0.0,\n0.2,walk\n0.4,groom\n",
    "time\twalk\tgroom\n0.0\t0\t0\n0.5\t1\t0\n1.0\t0\t1\n",
    "frame,behavior\n0,walk\n1,\n2,groom\n",
    "Tier\tBegin Time - ss.msec\tEnd Time - ss.msec\tAnnotation\nrat\t1.0\t2.5\twalk\n",
    '<ANNOTATION_DOCUMENT><TIME_SLOT TIME_SLOT_ID="a" TIME_VALUE="100"/><TIME_SLOT '
    'TIME_SLOT_ID="b" TIME_VALUE="900"/><TIER TIER_ID="rat"><ALIGNABLE_ANNOTATION '
    'TIME_SLOT_REF1="a" TIME_SLOT_REF2="b"/></TIER></ANNOTATION_DOCUMENT>\n',
    "# CSV_HEADER = metadata_id,file_list,temporal_coordinates,metadata\n"
    '"1","[""a.mp4""]","[1.0,2.5]","{""1"":""walk""}"\n',
)
N_FRAMES = 50


def read_any_annotations(path: Path) -> None:
    for annotation in read_annotations(path, fps=10):
        assert annotation.names and annotation.source == str(path)
        classes = sorted({bout[0] for bout in annotation.bouts} | set(annotation.classes))
        if not classes or "background" in classes:
            continue
        n_frames = (annotation.a_row_a_frame and annotation.n_frames) or N_FRAMES
        table = one_hot(annotation, classes, n_frames, "last")
        assert table.shape == (n_frames, 1 + len(classes)) and (table.sum(1) == 1).all()
        names = ["background", *classes]
        written = path.with_name("written.csv")
        written.write_text(one_hot_text(table, names), encoding="utf-8", newline="")
        values, found = read_labels(written)
        assert found == names and np.array_equal(values, table.argmax(1))


# ------------------------------------------------------------------------- settings

CONFIG = "expt_ids: [a, b]\ndata_dir: data\nresults_dir: results\nlearning_rate: 1e-4\n"
SEARCH = "expt_ids: a;b\ndata_dir: <demo>\nresults_dir: r\nn_lags: [1, 2]\ndevice: cpu\n"
YAML_WORDS = (b": ", b"- ", b"&a ", b"*a", b"<<: ", b"!!python/tuple ", b"!!binary ", b"!!float ",
              b"!!timestamp ", b"2001-01-01", b"[", b"]", b"{", b"}", b"|\n", b"null", b".inf",
              b".nan", b"0x10", b"1:30", b"!!set ", b"!!omap ", b"---\n", b"%YAML 1.1\n", b"? ",
              b"1e-4", b"1_0", b"true", b"\0", b"../x")  # fmt: skip


def read_any_config(path: Path) -> None:
    found = load_config(path)
    assert set(KEYS) <= set(found)


@functools.cache
def _model() -> Model:
    """A small causal model that takes frames as they come."""
    config = {
        "backbone": "dtcn",
        "input_size": 3,
        "output_size": 2,
        "n_hid_layers": 1,
        "n_hid_units": 4,
        "n_lags": 1,
        "activation": "lrelu",
        "causal": True,
        "lambda_strong": 1,
        "dropout": 0.1,
        "sequence_length": 20,
        "sequence_pad": 2,
        "normalization": "train",
        "input_mean": [0.0, 1.0, 2.0],
        "input_std": [1.0, 1.0, 2.0],
        "input_names": ["x", "y", "z"],
        "label_names": ["background", "walk"],
        "fps": 30.0,
        "device": "cpu",
    }
    return Model(Segmenter(config).eval(), config)


@functools.cache
def _session() -> Path:
    path = Path(tempfile.mkdtemp()) / "session.csv"
    path.write_text(",x,y,z\n0,1,2,3\n1,4,5,6\n2,7,8,9\n")
    return path


def hparams_files(folder: Path) -> Sequence[bytes]:
    export_hparams(_model().config, folder / "hparams.yaml")
    daart = b"note: !!python/tuple [1, 2]\nmodel_type: dtcn\n"
    return [(folder / "hparams.yaml").read_bytes(), daart + (folder / "hparams.yaml").read_bytes()]


def weight_files(folder: Path) -> Sequence[bytes]:
    _model().model.save(folder / "weights.pt")
    return [(folder / "weights.pt").read_bytes()]


def read_model(path: Path) -> None:
    """Read a model folder of which the other file is good."""
    weights = path.with_name("best_val_model.pt")
    hparams = path.with_name("hparams.yaml")
    if path == weights:
        export_hparams(_model().config, hparams)
    else:
        _model().model.save(weights)
    try:
        model = Model.from_dir(path.parent)
        states = model.predict(_session())
    except DataError as error:  # it may be the other file or the session that it names
        others = (weights.name, hparams.name, _session().name)
        assert any(name in str(error) for name in others), error
        raise DataError(f"{path}: {error}") from error
    assert states.shape == (3, model.config["output_size"])


def unpack_pickle(data: bytes) -> bytes:
    """The pickle in a file of torch's."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        (name,) = [name for name in file.namelist() if name.endswith("/data.pkl")]
        return file.read(name)


def packing(original: Callable[[], bytes]) -> Callable[[bytes], bytes]:
    """What puts another pickle into a file of torch's, its checksum right."""

    def pack(data: bytes) -> bytes:
        with (
            io.BytesIO() as out,
            zipfile.ZipFile(io.BytesIO(original())) as old,
            zipfile.ZipFile(out, "w") as new,
        ):
            for name in old.namelist():
                new.writestr(name, data if name.endswith("/data.pkl") else old.read(name))
            new.close()
            return out.getvalue()

    return pack


@functools.cache
def _seed_of(name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return TARGETS[name].seeds(Path(folder))[0]


# ------------------------------------------------------------------------- what training leaves


class _Stop(BaseCallback):
    """Ends a training within its second epoch, as a signal would."""

    active = False

    def on_val_check(self, **_: Any) -> None:
        if self.active:
            raise KeyboardInterrupt


class Training:
    """A training of a few batches that writes its state after each."""

    def __init__(self) -> None:
        folder = Path(tempfile.mkdtemp())
        draw = np.random.default_rng(0)
        np.save(folder / "inputs.npy", draw.standard_normal((60, 3)))
        rows = [f"{i},{1 - i // 6 % 2},{i // 6 % 2}" for i in range(60)]
        (folder / "labels.csv").write_text("\n".join([",background,walk", *rows]) + "\n")
        self.generator = DataGenerator(
            ["s"],
            [["markers", "labels_strong"]],
            [[None, None]],
            [[folder / "inputs.npy", folder / "labels.csv"]],
            sequence_length=10,
            batch_size=2,
            sequence_pad=2,
            trial_splits="4;1;0;0",
        )
        self.unbroken = self.run(folder / "unbroken")

    def run(self, folder: Path, stop: bool = False) -> bytes:
        """Train, or go on with a training; return the weights that it ends with."""
        model = Segmenter(_model().config)
        self.generator.load_state_dict({split: [0, 0] for split in self.generator.state_dict()})
        callback = _Stop()
        callback.active = stop
        trainer = Trainer(max_epochs=2, min_epochs=0, checkpoint_interval=0.0, callbacks=[callback])
        with contextlib.suppress(KeyboardInterrupt), contextlib.redirect_stderr(io.StringIO()):
            trainer.fit(model, self.generator, folder)
        return b"".join(tensor.numpy().tobytes() for tensor in model.state_dict().values())


@functools.cache
def _training() -> Training:
    return Training()


def checkpoints(folder: Path) -> Sequence[bytes]:
    _training().run(folder, stop=True)
    return [(folder / CHECKPOINT).read_bytes()]


def read_checkpoint(path: Path) -> None:
    """A training goes on from it, or, if it is damaged, starts over: the end is the same."""
    assert _training().run(path.parent) == _training().unbroken


def read_changed_checkpoint(path: Path) -> None:
    """Where its checksums are right but its content isn't, a training still comes to its end."""
    _training().run(path.parent)


@functools.cache
def _made() -> Cached:
    return Cached(np.arange(6, dtype=np.float32).reshape(3, 2), {"names": ["a", "b"]})


def _entry(path: Path) -> tuple[Path, Path]:
    """The two files of a cache's good entry, made again in a folder beside the path."""
    folder = path.with_name("cache")
    for file in folder.glob("*"):
        file.unlink()
    cached(_session(), {}, _made, folder)
    (values,), (about,) = folder.glob("*.npy"), folder.glob("*.json")
    return values, about


def cache_values(folder: Path) -> Sequence[bytes]:
    return [_entry(folder / "x")[0].read_bytes()]


def cache_about(folder: Path) -> Sequence[bytes]:
    return [_entry(folder / "x")[1].read_bytes()]


def reading_entry(which: int) -> Read:
    """What reads a cache of which one of two files holds something else."""

    def read(path: Path) -> None:
        path.replace(_entry(path)[which])
        values, about = cached(_session(), {}, _made, path.with_name("cache"))
        assert values.shape == (3, 2) and values.dtype == np.float32
        assert about == _made().metadata
        path.touch()

    return read


def smoothers(folder: Path) -> Sequence[bytes]:
    shares = {"prior": [0.5, 0.5], "transitions": [[0.9, 0.1], [0.1, 0.9]]}
    smoother = Smoother("semi-markov", **shares, durations=[[2.0, 1.0], [2.0, 1.0]])
    seeds = []
    for method in ("semi-markov", "hmm", "median", "bouts"):
        replace(smoother, method=method, n_frames=3).save(folder / "smoothing.json")
        seeds.append((folder / "smoothing.json").read_bytes())
    return seeds


def read_smoother(path: Path) -> None:
    states = np.linspace(0, 1, 20).reshape(10, 2)
    classes = Smoother.load(path)(states)
    assert classes.shape in ((10,), (10, 2)) and np.isin(classes, (0, 1)).all()


def read_expt_info(path: Path) -> None:
    folder = Path(get_expt_dir(path.parent.parent, ["a", "b"]))
    assert folder.parent == path.parent.parent
    if folder != path.parent:
        shutil.rmtree(folder)


# ------------------------------------------------------------------------- frame by frame


def run_online(path: Path, binary: bool) -> None:
    """As ``daart-fast online MODEL --input FILE``; an answer for every frame."""
    options = Namespace(
        input=path, binary=binary, mode=None, stats=None, layout=None, keypoints=None, fps=None
    )
    answers, messages = io.StringIO(), io.StringIO()
    with (
        open(path, "rb") as stream,
        contextlib.redirect_stdout(answers),
        contextlib.redirect_stderr(messages),
    ):
        online._answer_all(_model(), stream, options)
    header, *rows = answers.getvalue().splitlines()
    assert header == "frame,class,background,walk"
    numbers = [int(row.split(",")[0]) for row in rows]
    steps = np.diff(numbers)  # all frames are answered, of a long gap only the first hundred
    assert (steps > 0).all() and len(rows) >= 100 * np.sum(steps > 1)
    for row in rows:
        probabilities = [float(cell) for cell in row.split(",")[2:]]
        assert abs(sum(probabilities) - 1) < 1e-4 and min(probabilities) >= 0
    counted = re.findall(r"^(\d+) frames; latency", messages.getvalue(), re.MULTILINE)
    assert counted == ([str(len(rows))] if rows else [])
    if binary:
        assert numbers == list(range(path.stat().st_size // 12))


def frames(folder: Path) -> Sequence[bytes]:
    return [
        np.arange(12, dtype="<f4").tobytes(),
        np.array([np.nan, np.inf, 3e38], "<f4").tobytes(),
    ]


@functools.cache
def _online() -> OnlineSegmenter:
    return OnlineSegmenter(_model())


def online_states(folder: Path) -> Sequence[bytes]:
    _online().reset()
    _online().step(np.ones(3))
    return [_online().save_state()]


def read_online_state(path: Path) -> None:
    try:
        _online().load_state(path.read_bytes())
    except DataError as error:
        raise DataError(f"{path}: {error}") from error  # it was given bytes
    assert np.isfinite(_online().step(np.ones(3))).all()


ONLINE = (
    "0.5,1,2\n1,,3\n1,x,2\n",
    "frame,z,y,x\n0,1,2,3\n1,nan,inf,1e39\n",
    ",x,y,z\n7,1,2,3\n9,4,5,6\n",
)

TARGETS: dict[str, Target] = {
    "markers": Target("s.csv", texts(MARKERS, ANIMALS), read_csv_inputs, TABLE_WORDS),
    "features": Target("s.csv", texts(FEATURES), read_csv_inputs, TABLE_WORDS),
    "gzip": Target(
        "s.csv.gz",
        lambda folder: [gzip.compress(text.encode()) for text in (FEATURES, MARKERS)],
        read_csv_inputs,
        TABLE_WORDS,
    ),
    "h5": Target("s.h5", h5_files, read_any_inputs),
    "slp": Target("s.slp", slp_files, read_any_inputs),
    "npy": Target("s.npy", npy_files, read_any_inputs, (b"<f8", b"|O", b"True", b"'shape': (")),
    "labels": Target("s.csv", texts(LABELS), read_label_table, TABLE_WORDS),
    "label-pickle": Target("s.pkl", pickles, read_any_labels),
    "annotations": Target("mouse1.csv", texts(*ANNOTATIONS), read_any_annotations, TABLE_WORDS),
    "config": Target("data.yaml", texts(CONFIG, SEARCH), read_any_config, YAML_WORDS),
    "hparams": Target("hparams.yaml", hparams_files, read_model, YAML_WORDS),
    "weights": Target("best_val_model.pt", weight_files, read_model),
    "weights-content": Target(
        "best_val_model.pt",
        lambda folder: [unpack_pickle(_seed_of("weights"))],
        read_model,
        pack=packing(lambda: _seed_of("weights")),
    ),
    "checkpoint": Target(CHECKPOINT, checkpoints, read_checkpoint),
    "checkpoint-content": Target(
        CHECKPOINT,
        lambda folder: [unpack_pickle(_seed_of("checkpoint"))],
        read_changed_checkpoint,
        pack=packing(lambda: _seed_of("checkpoint")),
    ),
    "cache-values": Target("x", cache_values, reading_entry(0)),
    "cache-about": Target("x", cache_about, reading_entry(1)),
    "smoothing": Target("smoothing.json", smoothers, read_smoother),
    "expt-info": Target("expt_info.csv", texts("expt\na\nb\n"), read_expt_info, TABLE_WORDS),
    "online": Target("frames.csv", texts(*ONLINE), functools.partial(run_online, binary=False)),
    "online-binary": Target("frames", frames, functools.partial(run_online, binary=True)),
    "online-state": Target("state", online_states, read_online_state),
}
