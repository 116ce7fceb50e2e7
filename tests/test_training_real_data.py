"""Data that people made: scikit-learn's digits, CIFAR-10's files, Fashion-MNIST's names, and names of one's own."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from command_line import run
from diffusion_tricks.errors import UsageError
from diffusion_tricks.training import open_source, options_from
from diffusion_tricks.training.data.cifar import NAMES
from diffusion_tricks.training.data.mnist import FASHION
from diffusion_tricks.training.data.plain_pickle import plain_pickle
from diffusion_tricks.training.run import _opened
from test_training_data import drawn, write_idx

Array = np.ndarray[Any, Any]


# --- scikit-learn's digits --------------------------------------------------------------------------------------


def test_scanned_digits_are_scikit_learns() -> None:
    source = open_source("sklearn-digits")
    theirs = load_digits()
    batch = drawn(source, list(range(1797)))
    np.testing.assert_allclose(batch.pictures[:, 0].numpy(), theirs.images / 8 - 1, atol=1e-6)
    assert batch.classes.tolist() == theirs.target.tolist()
    assert (source.size, source.channels, source.classes, len(source)) == (8, 1, tuple("0123456789"), 1797)


def test_scanned_digits_are_held_out_always_the_same_and_resized() -> None:
    learned, held = (open_source("sklearn-digits", size=28, held_out=h) for h in (False, True))
    assert (len(learned), len(held)) == (1707, 90)
    every = drawn(open_source("sklearn-digits", size=28), list(range(0, 1797, 20))).pictures
    assert torch.equal(drawn(held, list(range(90))).pictures, every)
    assert every.shape == (90, 1, 28, 28)


def test_scanned_digits_without_scikit_learn_say_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    outcome = run("train", "--data", "sklearn-digits", "--steps", 1)
    assert outcome.code == 2
    assert "pip install 'diffusion-tricks[learn]'" in outcome.err


# --- CIFAR-10 ---------------------------------------------------------------------------------------------------


@pytest.fixture
def cifar() -> tuple[Array, Array]:
    random = np.random.default_rng(0)
    return random.permutation(40) % 10, random.integers(0, 256, (40, 3, 32, 32)).astype(np.uint8)


def write_binary(folder: Path, labels: Array, pixels: Array) -> Path:
    """Two files to train on and one to test on, in the layout of cifar-10-binary."""
    folder.mkdir()
    records = np.concatenate([labels[:, None].astype(np.uint8), pixels.reshape(len(labels), -1)], 1)
    for name, part in (("data_batch_1", records[:15]), ("data_batch_2", records[15:30]), ("test_batch", records[30:])):
        (folder / f"{name}.bin").write_bytes(part.tobytes())
    return folder


def write_pickled(folder: Path, labels: Array, pixels: Array, protocol: int = 2) -> Path:
    """The same as cifar-10-python has them: texts as bytes, which is how Python 2 wrote them."""
    folder.mkdir()
    for name, part in (("data_batch_1", slice(15)), ("data_batch_2", slice(15, 30)), ("test_batch", slice(30, 40))):
        held = {
            b"batch_label": name.encode(), b"labels": labels[part].tolist(),
            b"data": pixels[part].reshape(-1, 3072), b"filenames": [b"a.png"] * len(labels[part]),
        }  # fmt: skip
        (folder / name).write_bytes(pickle.dumps(held, protocol))
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": list(NAMES)}, protocol))
    return folder


@pytest.mark.parametrize("kind", ["binary", "pickle 2", "pickle 4"])
def test_cifar_is_read_as_it_is_written(kind: str, tmp_path: Path, cifar: tuple[Array, Array]) -> None:
    labels, pixels = cifar
    if kind == "binary":
        folder = write_binary(tmp_path / "c", labels, pixels)
    else:
        folder = write_pickled(tmp_path / "c", labels, pixels, int(kind[-1]))
    learned, held = (open_source(str(folder), held_out=h) for h in (False, True))
    assert (len(learned), len(held), learned.size, learned.channels) == (30, 10, 32, 3)
    batch = drawn(learned, list(range(30)))
    np.testing.assert_allclose(batch.pictures.numpy(), pixels[:30] / 127.5 - 1, atol=1e-6)
    assert batch.classes.tolist() == labels[:30].tolist()
    assert all(NAMES[c] in text for c, text in zip(batch.classes, batch.captions, strict=True))
    assert drawn(held, list(range(10))).classes.tolist() == labels[30:].tolist()
    assert drawn(open_source(str(folder), size=16, channels=1), [0]).pictures.shape == (1, 1, 16, 16)


class Hostile:
    """A pickle that runs a command when it is read."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_hostile_pickle_is_not_run(protocol: int, tmp_path: Path) -> None:
    folder = tmp_path / "c"
    folder.mkdir()
    hostile = pickle.dumps({b"labels": [1], b"data": Hostile(tmp_path / "ran")}, protocol)
    (folder / "data_batch_1").write_bytes(hostile)
    with pytest.raises(UsageError, match=r"is no plain pickle of pictures, .*nothing in it was run"):
        open_source(str(folder))
    assert not (tmp_path / "ran").exists()
    pickle.loads(hostile)  # that it would have run otherwise
    assert (tmp_path / "ran").exists()


NOT_PLAIN = {
    "a name": (b"\x80\x02cos\nsystem\n.", "the name os.system"),
    "an instance": (b"(S'true'\nios\nsystem\n.", "the operation STRING"),
    "a persistent name": (b"\x80\x02U\x01aQ.", "the operation BINPERSID"),
    "an extension": (b"\x80\x02\x82\x01.", "the operation EXT1"),
    "a class": (b"\x80\x02cnumpy\ndtype\n)\x81.", "the operation NEWOBJ"),
    "a huge memo": (b"\x80\x02]r\xff\xff\xff\x7f.", "a memo numbered"),
    "another array": (pickle.dumps({"data": np.zeros(3)}, 2), "an array of 'f8'"),
    "objects": (pickle.dumps({"data": np.array([{}], object)}, 2), "an array of 'O8'"),
    "cut short": (pickle.dumps({"data": np.zeros(3, np.uint8)}, 2)[:-9], "nothing in it was run"),
    "text": (b"hello", "nothing in it was run"),
    "a list": (pickle.dumps([1], 2), "expected a pickled dictionary, got list"),
    "an attribute of numpy": (b"\x80\x04\x8c\x05numpy\x8c\x0cndarray.dump\x93.", "the name numpy.ndarray.dump"),
}  # fmt: skip


@pytest.mark.parametrize("kind", NOT_PLAIN)
def test_what_is_no_plain_pickle_is_refused(kind: str) -> None:
    data, message = NOT_PLAIN[kind]
    with pytest.raises(UsageError, match=message):
        plain_pickle(data, "data_batch_1")


def test_a_plain_pickle_is_what_pickle_reads() -> None:
    held = {
        "a": [1, -2, 300, 1 << 40, 2.5, None, True],
        "b": {"c": ("x", b"\xff")},
        "data": np.arange(6, dtype=np.uint8),
    }
    for protocol in (2, 3, 4, 5):
        for order in ("C", "F"):
            array = np.asarray(np.arange(6, dtype=np.uint8).reshape(2, 3), order=order)  # type: ignore[call-overload]
            if protocol == 5:  # NumPy then writes a buffer, which CIFAR's files have not
                held.pop("data", None)
            else:
                held["data"] = array
            read = plain_pickle(pickle.dumps(held, protocol), "x")
            assert {k: v for k, v in read.items() if k != "data"} == {k: v for k, v in held.items() if k != "data"}
            if protocol < 5:
                assert (read["data"] == array).all()


def damaged(kind: str, folder: Path) -> None:
    labels, data = [1, 2], np.zeros((2, 3072), np.uint8)
    wrong: dict[str, Any] = {
        "keys": {b"label": labels, b"data": data}, "range": {b"labels": [1, 12], b"data": data},
        "words": {b"labels": [b"a", b"b"], b"data": data}, "shape": {b"labels": labels, b"data": data[:, :-1]},
        "count": {b"labels": [1], b"data": data},
    }  # fmt: skip
    folder.mkdir()
    if kind == "records":
        (folder / "data_batch_1.bin").write_bytes(bytes(3000))
    elif kind == "empty":
        (folder / "data_batch_1.bin").write_bytes(b"")
    else:
        (folder / "data_batch_1").write_bytes(pickle.dumps(wrong[kind], 2))


DAMAGED = {
    "records": "3,000 bytes, expected records of 3,073", "empty": "0 bytes, expected records",
    "keys": "lacks `labels` and `data`", "range": "expected labels of 0 to 9, got 12",
    "words": "expected labels of 0 to 9", "shape": "expected 3,072 values for each of 2 labels",
    "count": "expected 3,072 values for each of 1 labels",
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_files_of_cifar_are_refused(kind: str, tmp_path: Path) -> None:
    damaged(kind, tmp_path / "c")
    with pytest.raises(UsageError, match=DAMAGED[kind]):
        open_source(str(tmp_path / "c"))


# --- names of classes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "begins"), [("fashion", b""), ("data", bytes([9, 0, 0, 3, 0, 2, 7, 2, 5, 5]))])
def test_fashion_mnist_is_known_by_its_labels_or_its_folder(name: str, begins: bytes, tmp_path: Path) -> None:
    labels = np.array([*begins, *range(10)], np.uint8)
    (tmp_path / name).mkdir()
    write_idx(tmp_path / name / "train-images-idx3-ubyte.gz", np.zeros((len(labels), 28, 28)))
    write_idx(tmp_path / name / "train-labels-idx1-ubyte.gz", labels)
    source = open_source(str(tmp_path / name))
    assert source.classes == FASHION
    assert set(drawn(source, [len(labels) - 1] * 20).captions) == {"an ankle boot", "ankle boot"}
    assert open_source(str(tmp_path / name), labels=tuple("abcdefghij")).classes == tuple("abcdefghij")


def test_labels_on_the_command_line_are_the_classes_of_the_model(tmp_path: Path) -> None:
    outcome = run(
        "train", "--data", "shapes", "--size", 16, "--width", 8, "--levels", 2, "--batch", 2, "--held-out", 2,
        "--sheet-count", 0, "--quiet", "--device", "cpu", "--task", "class", "--steps", 1,
        "--labels", "disc, box", "-o", tmp_path / "out",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    asked = ("generate", "a box", "-m", tmp_path / "out", "--steps", 1, "-o", tmp_path / "box.png")
    assert run(*asked).code == 0
    outcome = run("generate", "a square", *asked[2:], "--force")
    assert outcome.code == 2
    assert "unknown class 'a square'" in outcome.err


def test_labels_are_captions_too() -> None:
    learned, held = _opened(
        options_from({"data": "digits", "labels": "nil,one,two,three,four,five,six,seven,egg,nine"})
    )
    assert held is not None
    for source in (learned, held):
        assert set(drawn(source, [8] * 30).captions) == {"an egg", "egg"}


@pytest.mark.parametrize(
    ("labels", "message"),
    [("a,b,c", "expected 2 --labels, one for each class of the data in order (circle, square"),
     ("a,,b", "labels must be names with commas, each once"), ("a,A", "labels must be names with commas, each once")],
)  # fmt: skip
def test_labels_that_do_not_fit_are_refused(labels: str, message: str) -> None:
    outcome = run("train", "--data", "shapes", "--task", "class", "--steps", 1, "--labels", labels)
    assert outcome.code == 2
    assert message in " ".join(outcome.err.split())
