"""Every source a model can be trained on: what it shows, what it calls it, and what it says of bad data."""

from __future__ import annotations

import gzip
import sys
import warnings
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image, ImageFont
from scipy.ndimage import distance_transform_edt
from skimage.measure import label as connected
from skimage.morphology import skeletonize

from diffusion_tricks.errors import UnknownName, UsageError
from diffusion_tricks.training import run
from diffusion_tricks.training.data import Batch, Source
from diffusion_tricks.training.data.digits import DigitsSource
from diffusion_tricks.training.data.faces import digit_faces, digits_of
from diffusion_tricks.training.data.folder import FolderSource
from diffusion_tricks.training.data.opening import open_source
from diffusion_tricks.training.data.shapes import ShapesSource
from diffusion_tricks.training.data.squares import Kept
from diffusion_tricks.training.data.strokes import distance, thinned
from diffusion_tricks.training.options import TrainOptions

Array = np.ndarray[Any, Any]


def drawn(source: Source, indices: list[int], seed: int = 0) -> Batch:
    return source.draw(indices, np.random.default_rng(seed))


def solid(colour: tuple[int, ...], file: Path, size: tuple[int, int] = (12, 8)) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB" if len(colour) == 3 else "RGBA", size, colour).save(file)
    return file


def first_pixel(batch: Batch, row: int = 0) -> list[int]:
    found: list[int] = ((batch.pictures[row, :, 0, 0] + 1) * 127.5).round().int().tolist()
    return found


def write_idx(file: Path, values: Array, magic: int | None = None) -> None:
    head = bytes([0, 0, 8, values.ndim if magic is None else magic])
    data = head + np.array(values.shape, ">u4").tobytes() + values.astype(np.uint8).tobytes()
    file.write_bytes(gzip.compress(data) if file.suffix == ".gz" else data)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for i in range(45):
        solid((i, 0, 200), tmp_path / "pictures" / f"a_red_fox_{i:02}.png")
    return tmp_path / "pictures"


@pytest.fixture
def mnist(tmp_path: Path) -> tuple[Path, Array, Array]:
    random = np.random.default_rng(0)
    folder = tmp_path / "mnist"
    folder.mkdir()
    images, labels = random.integers(0, 256, (50, 28, 28)), random.permutation(50) % 10
    write_idx(folder / "train-images-idx3-ubyte.gz", images)
    write_idx(folder / "train-labels-idx1-ubyte", labels)
    return folder, images, labels


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures whose red is their row, with captions and labels."""
    features = datasets.Features(
        {
            "photo": datasets.Image(),
            "kind": datasets.ClassLabel(names=["cat", "big_dog"]),
            "captions": datasets.Sequence(datasets.Value("string")),
            "source": datasets.Value("string"),
        }
    )
    rows = {
        "photo": [Image.new("RGB", (24, 16), (10 * i, 0, 0)) for i in range(12)],
        "kind": [i % 2 for i in range(12)],
        "captions": [[f"one {i}", f"two {i}"] for i in range(12)],
        "source": ["somewhere"] * 12,
    }
    data = datasets.Dataset.from_dict(rows, features=features)
    folder = tmp_path_factory.mktemp("data") / "saved"
    data.save_to_disk(folder)
    return folder


# --- every source -----------------------------------------------------------------------------------------------


@pytest.fixture(params=["shapes", "digits", "folder", "mnist", "saved", "emoji"])
def name(request: pytest.FixtureRequest, pictures: Path, mnist: tuple[Path, Array, Array], saved: Path) -> str:
    if request.param == "emoji":
        pytest.importorskip("diffusion_tricks.training.data.emoji")
    return {"folder": str(pictures), "mnist": str(mnist[0]), "saved": str(saved)}.get(request.param, request.param)


@pytest.mark.parametrize("channels", [None, 1, 3])
def test_every_source_keeps_its_word(name: str, channels: int | None) -> None:
    options: dict[str, Any] = {"names": {"rabbit": ("bunny",), "duck": ()}} if name == "emoji" else {}
    for held_out in (None, False, True):
        try:
            source = open_source(name, size=20, channels=channels, held_out=held_out, **options)
        except UsageError as error:  # the emoji need an installed font
            pytest.skip(str(error))
        indices = [0, len(source) - 1, 0]
        batch = drawn(source, indices)
        assert batch.pictures.shape == (3, source.channels, 20, 20)
        assert channels in {None, source.channels}
        assert source.size == 20
        assert batch.pictures.dtype == torch.float32
        assert batch.pictures.abs().max() <= 1
        assert all(isinstance(text, str) and text for text in batch.captions)
        assert batch.classes.dtype == torch.int64
        assert batch.classes.min() >= (0 if source.classes else -1)
        assert batch.classes.max() < max(1, len(source.classes))
        again = drawn(source, indices)
        torch.testing.assert_close(again.pictures, batch.pictures, atol=0, rtol=0)
        assert again.captions == batch.captions


@pytest.mark.parametrize("name", ["shapes", "digits"])
def test_generated_pictures_held_out_are_others(name: str) -> None:
    learned, held, other = (
        open_source(name, size=16, held_out=h, seed=s) for h, s in ((False, 0), (True, 0), (True, 1))
    )
    pages = [drawn(source, list(range(8))).pictures for source in (learned, held, other)]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert ((pages[i] - pages[j]).abs().amax((1, 2, 3)) > 0.1).all()
    assert len(held) == len(learned) // 20


def test_every_twentieth_picture_is_held_out(pictures: Path) -> None:
    learned, held = (open_source(str(pictures), held_out=held_out) for held_out in (False, True))
    reds = [{first_pixel(drawn(s, [i]))[0] for i in range(len(s))} for s in (learned, held)]
    assert reds[1] == {0, 20, 40}
    assert reds[0] == set(range(45)) - reds[1]
    assert len(open_source(str(pictures))) == 45


def test_a_training_never_learns_what_it_is_measured_on(pictures: Path, mnist: tuple[Path, Array, Array]) -> None:
    learned, held = run._opened(TrainOptions(data=str(pictures)))
    assert held is not None
    assert (len(learned), len(held)) == (42, 3)
    learned, held = run._opened(TrainOptions(data=str(pictures), held_out=0))
    assert (len(learned), held) == (45, None)
    write_idx(mnist[0] / "t10k-images-idx3-ubyte", mnist[1][:7])
    write_idx(mnist[0] / "t10k-labels-idx1-ubyte", np.arange(7))
    learned, held = run._opened(TrainOptions(data=str(mnist[0])))
    assert held is not None
    assert (len(learned), len(held)) == (50, 7)


# --- shapes -----------------------------------------------------------------------------------------------------


def test_circles_are_round_and_squares_are_square() -> None:
    """The area in units of the width squared: pi / 4 and 1."""
    cover = (drawn(ShapesSource(64, channels=1), list(range(40))).pictures[:, 0] + 1) / 2
    cover = cover / cover.amax((1, 2), keepdim=True)
    width = cover.sum(2).amax(1)
    share = cover.sum((1, 2)) / width**2
    np.testing.assert_allclose(share[::2], np.pi / 4, rtol=0.02)
    np.testing.assert_allclose(share[1::2], 1, rtol=1e-5)
    assert width.min() > 0.24 * 63
    assert width.max() > 0.5 * 64


def test_a_shape_lies_whole_inside_and_has_soft_edges() -> None:
    cover = (drawn(ShapesSource(32, channels=1), list(range(40))).pictures[:, 0] + 1) / 2
    inside = torch.nn.functional.pad(cover, (1, 1, 1, 1))  # its centre of mass is its middle only if nothing is cut off
    rows, columns = inside.sum(2) > 0, inside.sum(1) > 0
    for picture, row, column in zip(inside, rows, columns, strict=True):
        middle_y, middle_x = (torch.nonzero(axis).float().mean() for axis in (row, column))
        where = torch.arange(34.0)
        assert abs((picture.sum(1) * where).sum() / picture.sum() - middle_y) < 0.51
        assert abs((picture.sum(0) * where).sum() / picture.sum() - middle_x) < 0.51
    top = cover.amax((1, 2), keepdim=True)
    assert ((cover > 0.05) & (cover < top - 0.05)).any((1, 2)).all()


def test_a_colour_named_is_the_colour_shown() -> None:
    batch = drawn(ShapesSource(24), list(range(200)))
    red = [i for i, text in enumerate(batch.captions) if "red " in text]
    assert red
    for i in red:
        ink = batch.pictures[i].flatten(1)[:, batch.pictures[i].sum(0).argmin()]
        assert ink[0] > ink[1:].max() + 0.5
    assert {"a circle", "a square", "an orange circle", "a red square"} <= set(batch.captions)
    assert all(("circle", "square")[c] in text for c, text in zip(batch.classes, batch.captions, strict=True))


def test_shapes_too_small_or_of_two_channels_are_refused() -> None:
    with pytest.raises(UsageError, match="8 pixels or more"):
        ShapesSource(4)
    with pytest.raises(UsageError, match="1 or 3 channels"):
        open_source("shapes", channels=2)


# --- digits -----------------------------------------------------------------------------------------------------


def test_distance_is_the_euclidean_one() -> None:
    line = np.random.default_rng(0).random((17, 23)) < 0.05
    np.testing.assert_allclose(distance(line), distance_transform_edt(~line), atol=1e-5)


def test_thinning_keeps_what_is_connected_and_holes() -> None:
    digits = digits_of(ImageFont.load_default(48))
    assert digits is not None
    for ink in digits:
        wide = np.pad(ink, 4)
        line = thinned(wide)
        assert not (line & ~wide).any()
        assert connected(line, connectivity=2).max() == connected(wide, connectivity=2).max()
        assert connected(~line, connectivity=1).max() == connected(~wide, connectivity=1).max()
        theirs = skeletonize(wide, method="zhang")
        assert distance_transform_edt(~theirs)[line].mean() < 0.5
        assert 0.8 < line.sum() / theirs.sum() < 1.3


def test_digits_have_the_proportions_of_mnist() -> None:
    """MNIST: white on black, mean 0.13, digits about 20 pixels high on 28, about its middle."""
    batch = drawn(DigitsSource(), list(range(400)))
    ink = (batch.pictures[:, 0] + 1) / 2
    assert 0.09 < ink.mean() < 0.18
    heights = (ink.amax(2) > 0.3).sum(1).float()
    assert 17 < heights.mean() < 22
    edge = torch.ones(28, 28, dtype=torch.bool)
    edge[2:-2, 2:-2] = False
    assert ink[:, edge].mean() < 0.02
    middle = (ink.sum(1) * torch.arange(28)).sum(1) / ink.sum((1, 2))
    assert abs(middle.mean() - 13.5) < 1


def test_digits_are_told_apart_as_digits_are() -> None:
    """The mean digits of one half name most digits of the other, far from chance (0.1) and far from copies (1)."""
    batch = drawn(DigitsSource(), list(range(2000)))
    pages, classes = batch.pictures.flatten(1), batch.classes
    means = torch.stack([pages[:1000][classes[:1000] == digit].mean(0) for digit in range(10)])
    found = torch.cdist(pages[1000:], means).argmin(1)
    assert 0.6 < (found == classes[1000:]).float().mean() < 0.97


def test_digits_are_called_by_name_and_number() -> None:
    captions = set(drawn(DigitsSource(), list(range(300))).captions)
    assert {"a seven", "7", "an eight", "the digit 3", "a one"} <= captions
    assert not {"an one", "a eight"} & captions


def test_digits_without_fonts_come_from_pillows_own_with_a_word() -> None:
    digit_faces.cache_clear()
    with pytest.warns(UserWarning, match="no usable fonts are installed"):
        source = DigitsSource(folders=(Path("nowhere"),))
    digit_faces.cache_clear()
    assert drawn(source, [1, 2]).captions


def test_larger_digits_are_the_same_digits() -> None:
    small, large = (drawn(DigitsSource(size), list(range(20))).pictures for size in (28, 56))
    halved = torch.nn.functional.avg_pool2d(large, 2)
    assert (halved - small).abs().mean() < 0.03


# --- folders ----------------------------------------------------------------------------------------------------


def test_captions_come_from_text_files_and_names(tmp_path: Path) -> None:
    solid((255, 0, 0), tmp_path / "a_red_fox.png")
    solid((0, 255, 0), tmp_path / "IMG.jpg")
    (tmp_path / "IMG.txt").write_text("a green thing\n\n the colour green \n", encoding="utf-8")
    solid((0, 0, 255), tmp_path / "deep" / "a_blue__sky.webp")
    solid((0, 0, 255), tmp_path / ".hidden" / "no.png")
    (tmp_path / "notes.md").write_text("not a picture")
    source = FolderSource(tmp_path, 8)
    assert len(source) == 3
    assert source.classes == ()
    seen = {text for seed in range(20) for text in drawn(source, [0, 1, 2], seed).captions}
    assert seen == {"a red fox", "a green thing", "the colour green", "a blue sky"}
    assert drawn(source, [0, 1, 2]).classes.tolist() == [-1, -1, -1]


def test_sub_folders_are_classes(tmp_path: Path) -> None:
    solid((255, 0, 0), tmp_path / "red_things" / "1.png")
    solid((0, 255, 0), tmp_path / "green" / "deep" / "2.png")
    (tmp_path / "green" / "deep" / "2.txt").write_text("grass")
    batch = drawn(source := FolderSource(tmp_path, 8), [0, 1])
    assert source.classes == ("green", "red_things")
    assert batch.classes.tolist() == [0, 1]
    assert batch.captions == ["grass", "red things"]


def test_pictures_stand_upright_on_white_and_are_cut_about_their_middle(tmp_path: Path) -> None:
    wide = Image.new("RGB", (30, 10), "blue")
    wide.paste("red", (10, 0, 20, 10))
    wide.save(tmp_path / "1.png")
    Image.new("RGBA", (10, 10), (9, 9, 9, 0)).save(tmp_path / "2.png")
    turned = Image.new("RGB", (10, 10), "black")
    turned.paste("white", (0, 0, 10, 5))  # white above, to be turned half round
    exif = Image.Exif()
    exif[0x0112] = 3
    turned.save(tmp_path / "3.png", exif=exif)
    pages = drawn(FolderSource(tmp_path, 10), [0, 1, 2]).pictures
    torch.testing.assert_close(pages[0], torch.tensor([1.0, -1, -1])[:, None, None].expand(3, 10, 10), atol=0, rtol=0)
    assert (pages[1] == 1).all()
    assert (pages[2, :, :5] == -1).all()
    assert (pages[2, :, 5:] == 1).all()


def test_flip_mirrors_half_of_the_pictures_and_none_held_out(tmp_path: Path) -> None:
    page = Image.new("RGB", (8, 8), "black")
    page.paste("white", (0, 0, 4, 8))
    page.save(tmp_path / "1.png")
    counts = [
        sum(first_pixel(drawn(source, [0], seed))[0] == 0 for seed in range(200))
        for source in (
            open_source(str(tmp_path), flip=flip, held_out=h) for flip, h in ((True, None), (False, None), (True, True))
        )
    ]
    assert 70 < counts[0] < 130
    assert counts[1:] == [0, 0]


def test_broken_pictures_are_named_and_left_out(tmp_path: Path) -> None:
    solid((1, 2, 3), tmp_path / "good.png")
    (tmp_path / "text.png").write_text("not a picture")
    whole = solid((1, 2, 3), tmp_path / "cut.png", (90, 90)).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.warns(UserWarning, match="2 of 3 pictures are left out") as said:
        source = FolderSource(tmp_path, 8)
    assert len(source) == 1
    for word in ("cut.png", "text.png", "is not a picture", "damaged or cut short"):
        assert word in str(said[0].message)
    (tmp_path / "good.png").write_bytes(b"")
    with pytest.raises(UsageError, match=r"none of the 3 pictures in .* can be read"):
        FolderSource(tmp_path, 8)


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no pictures; expected files that end in"):
        open_source(str(tmp_path))


def test_memory_holds_what_it_may() -> None:
    reads: list[int] = []

    def read(key: int) -> torch.Tensor:
        reads.append(key)
        return torch.full((3, 2, 2), key, dtype=torch.uint8)

    kept = Kept(read, most=30)
    for key in (1, 2, 3, 1, 2, 3):
        assert (kept[key] == key).all()
    assert reads == [1, 2, 3, 3]


# --- MNIST ------------------------------------------------------------------------------------------------------


def test_mnist_is_read_as_it_is(mnist: tuple[Path, Array, Array]) -> None:
    folder, images, labels = mnist
    batch = drawn(source := open_source(str(folder)), list(range(50)))
    torch.testing.assert_close(batch.pictures[:, 0], torch.from_numpy(images / 127.5 - 1).float())
    assert batch.classes.tolist() == labels.tolist()
    assert (source.channels, source.size, source.classes) == (1, 28, tuple("0123456789"))
    seven = {text for text, label in zip(batch.captions, labels, strict=True) if label in {7, 8}}
    assert seven <= {"a seven", "7", "an eight", "8"}


def test_mnist_at_other_sizes(mnist: tuple[Path, Array, Array]) -> None:
    folder, _, _ = mnist
    same, padded, doubled = (drawn(open_source(str(folder), size=size), [3]).pictures[0, 0] for size in (28, 32, 56))
    torch.testing.assert_close(padded[2:-2, 2:-2], same)
    assert padded[:2].max() == padded[:, -2:].max() == -1
    assert abs(doubled.mean() - same.mean()) < 0.05


def test_mnists_own_test_part_is_held_out(mnist: tuple[Path, Array, Array]) -> None:
    folder, images, _ = mnist
    parts = [len(open_source(str(folder), held_out=held_out)) for held_out in (False, True)]
    assert parts == [47, 3]
    write_idx(folder / "t10k-images.idx3-ubyte", images[:7])
    write_idx(folder / "t10k-labels.idx1-ubyte.gz", np.arange(7))
    parts = [len(open_source(str(folder), held_out=held_out)) for held_out in (False, True)]
    assert parts == [50, 7]


def test_names_for_the_classes_of_files_like_mnists(mnist: tuple[Path, Array, Array]) -> None:
    names = ["shirt", "trouser", "pullover", "dress", "coat", "sandal", "top", "sneaker", "bag", "boot"]
    source = open_source(str(mnist[0]), names=names)
    assert source.classes == tuple(names)
    assert set(drawn(source, [0]).captions) <= {*names, *(f"a {name}" for name in names)}
    with pytest.raises(UsageError, match="labels up to 9, but 2 names"):
        open_source(str(mnist[0]), names=["a", "b"])


@pytest.mark.parametrize(
    ("values", "magic", "cut", "message"),
    [
        (np.zeros((50, 28, 28)), 1, 0, "is no idx file of 3 axes"),
        (
            np.zeros((50, 28, 28)),
            None,
            5,
            "cut short or overlong: its head promises 50 x 28 x 28 = 39,200 bytes, 39,195",
        ),
        (np.zeros((49, 28, 28)), None, 0, "49 pictures but 50 labels"),
        (np.zeros((0, 28, 28)), None, 0, "holds nothing"),
    ],
)
def test_bad_idx_files_are_explained(
    mnist: tuple[Path, Array, Array], values: Array, magic: int | None, cut: int, message: str
) -> None:
    file = mnist[0] / "train-images-idx3-ubyte"  # goes before the zipped one
    write_idx(file, values, magic)
    file.write_bytes(file.read_bytes()[: file.stat().st_size - cut])
    with pytest.raises(UsageError, match=message):
        open_source(str(mnist[0]))


def test_a_cut_gzip_and_a_missing_label_file_are_explained(mnist: tuple[Path, Array, Array]) -> None:
    file = mnist[0] / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(UsageError, match="damaged or cut short"):
        open_source(str(mnist[0]))
    (mnist[0] / "train-labels-idx1-ubyte").unlink()
    write_idx(file, np.zeros((2, 28, 28)))
    with pytest.raises(UsageError, match=r"lacks train-labels-idx1-ubyte \(or"):
        open_source(str(mnist[0]))


# --- Hugging Face data sets -------------------------------------------------------------------------------------


def test_a_saved_data_set_is_opened(saved: Path) -> None:
    source = open_source(str(saved))
    assert (len(source), source.size, source.channels, source.classes) == (12, 16, 3, ("cat", "big_dog"))
    batch = drawn(source, [3, 11])
    assert [first_pixel(batch, row) for row in (0, 1)] == [[30, 0, 0], [110, 0, 0]]
    assert batch.classes.tolist() == [1, 1]
    seen = {text for seed in range(9) for text in drawn(source, [3], seed).captions}
    assert seen == {"one 3", "two 3"}


def test_columns_may_be_named(saved: Path) -> None:
    source = open_source(str(saved), image_column="photo", caption_column="source", label_column="kind")
    assert drawn(source, [0]).captions == ["somewhere"]
    assert open_source(str(saved), label_column="source").classes == ("somewhere",)
    with pytest.raises(UsageError, match=r"column 'captions' holds no labels, its type is List"):
        open_source(str(saved), label_column="captions")
    with pytest.raises(UnknownName, match="unknown column 'foto'; did you mean 'photo'"):
        open_source(str(saved), image_column="foto")


def test_labels_serve_as_captions_and_plain_numbers_as_classes(tmp_path: Path) -> None:
    pages = [Image.new("L", (8, 8), i) for i in range(3)]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    datasets.Dataset.from_dict({"image": pages, "label": [5, 7, 5]}, features=features).save_to_disk(tmp_path / "d")
    batch = drawn(source := open_source(str(tmp_path / "d")), [0, 1, 2])
    assert (source.channels, source.classes) == (1, ("5", "7"))
    assert batch.classes.tolist() == [0, 1, 0]
    assert batch.captions == ["5", "7", "5"]
    assert first_pixel(batch, 2) == [2]


def test_a_test_split_is_held_out(tmp_path: Path) -> None:
    def rows(count: int) -> Any:
        pages = [Image.new("RGB", (8, 8))] * count
        return datasets.Dataset.from_dict({"image": pages}, features=datasets.Features({"image": datasets.Image()}))

    datasets.DatasetDict(train=rows(30), test=rows(4)).save_to_disk(tmp_path / "d")
    assert [len(open_source(str(tmp_path / "d"), held_out=h)) for h in (None, False, True)] == [30, 30, 4]
    assert len(open_source(str(tmp_path / "d"), split="test")) == 4
    with pytest.raises(UnknownName, match="unknown split 'tests'; did you mean 'test'"):
        open_source(str(tmp_path / "d"), split="tests")


def test_a_data_set_without_pictures_or_with_a_gap_is_explained(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"text": ["a"]}).save_to_disk(tmp_path / "a")
    with pytest.raises(UsageError, match="no column of pictures; its columns are text"):
        open_source(str(tmp_path / "a"))
    features = datasets.Features({"image": datasets.Image()})
    gap = datasets.Dataset.from_dict({"image": [Image.new("RGB", (8, 8)), None]}, features=features)
    gap.save_to_disk(tmp_path / "b")
    with pytest.raises(UsageError, match="row 1 of the data set holds no picture"):
        drawn(open_source(str(tmp_path / "b")), [1])
    (tmp_path / "b" / "state.json").write_text("{")
    with pytest.raises(UsageError, match="cannot be read as a saved data set"):
        open_source(str(tmp_path / "b"))


def test_without_datasets_the_line_to_install_it_is_given(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UsageError, match=r"pip install 'diffusion-tricks\[datasets\]'"):
        open_source(str(saved))


def test_a_name_on_the_hub_that_cannot_be_reached_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match="'nobody/nothing' is no folder here, nor a data set that can be loaded"):
        open_source("nobody/nothing")


# --- names ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("digit", "unknown data 'digit'; did you mean 'digits'"),
        ("shape", "did you mean 'shapes'"),
        ("zzz", "known are: OWNER/NAME or hub:NAME, a folder .*digits, emoji, shapes"),
        ("./nowhere/at/all", "the folder ./nowhere/at/all does not exist"),
    ],
)
def test_unknown_data_gets_a_suggestion(data: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_source(data)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    file = solid((1, 2, 3), tmp_path / "a.png")
    with pytest.raises(UsageError, match="is a file, expected a folder"):
        open_source(str(file))


def test_an_option_of_another_kind_is_refused() -> None:
    with pytest.raises(UnknownName, match="unknown option of shapes 'flip'"):
        open_source("shapes", flip=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(open_source("shapes", flip=None, length=7)) == 7
