"""Many pictures with one command: which they are, which masks are theirs, what is kept, made anew, refused or failed.

Most of it is shown with covers, which need no model; masks and models by one run of inpainting.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from command_line import Outcome, run
from diffusion_tricks.errors import ModelError, UnknownName, UsageError
from diffusion_tricks.io.journal import Journal
from diffusion_tricks.io.pictures import read_picture
from diffusion_tricks_cli.many.inputs import Input, is_many, pictures_of
from diffusion_tricks_cli.many.names import check_places, filled, home_of, mirrored
from diffusion_tricks_cli.many.pairs import paired

COVERS = ["cover", "in/", "--title", "Woods", "--seed", "1", "-o", "out/{stem}.png"]
MANIFEST = Path("out/manifest.jsonl")


def drawn(path: str, seed: int = 0, side: int = 32) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)).save(path)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("in/a.png", "in/b.png", "in/sea/a.png")):
        drawn(name, seed)
    return tmp_path


def files(folder: str = "out") -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


# which pictures


@pytest.mark.parametrize(
    ("said", "paths", "folders"),
    [
        ("in/", ["in/a.png", "in/b.png", "in/sea/a.png"], [".", ".", "sea"]),
        ("in/*.png", ["in/a.png", "in/b.png"], [".", "."]),
        ("in/**/a.png", ["in/a.png", "in/sea/a.png"], [".", "sea"]),
        ("in/[ab].png", ["in/a.png", "in/b.png"], [".", "."]),
        ("@list.txt", ["in/sea/a.png", "in/b.png"], ["sea", "."]),
        ("in/a.png", ["in/a.png"], ["."]),
        ("in/a.png[0]", ["in/a.png[0]"], ["."]),
    ],
)
def test_a_name_stands_for_pictures(said: str, paths: list[str], folders: list[str]) -> None:
    Path("list.txt").write_text("# two\n\nin/sea/a.png\n  in/b.png\n")
    Path("in/.hidden.png").write_text("")
    found = pictures_of(said).pictures
    assert [one.path for one in found] == paths
    assert [str(one.folder) for one in found] == folders
    assert is_many(said) == (len(paths) > 1)


def test_a_file_that_is_called_as_a_pattern_is_that_file() -> None:
    drawn("in/[ab]*.png")
    drawn("@x.png")
    assert not is_many("in/[ab]*.png")
    assert not is_many("@x.png")


def test_a_list_comes_by_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("in/b.png\n"))
    assert [one.path for one in pictures_of("@-").pictures] == ["in/b.png"]


def test_what_is_no_picture_is_left_out_and_told() -> None:
    for name in ("in/notes.txt", "in/a.png.json", "in/manifest.jsonl"):
        Path(name).write_text("x")
    found = pictures_of("in")
    assert len(found.pictures) == 3
    assert found.notes == ("1 files that are no pictures, by their names, are left out: in/notes.txt",)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("nothing/*.png", "nothing/*.png fits no picture"), ("empty", "empty holds no picture"),
        ("@none.txt", "@none.txt cannot be read: No such file"), ("@twice.txt", "names a.png twice"),
        ("@empty.txt", "names no picture"), ("@bytes.txt", "is no text in UTF-8"),
    ],
)  # fmt: skip
def test_where_there_is_none_it_is_told(said: str, why: str) -> None:
    Path("empty").mkdir()
    Path("twice.txt").write_text("a.png\nb.png\na.png\n")
    Path("empty.txt").write_text("#\n")
    Path("bytes.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UsageError) as error:
        pictures_of(said)
    assert why in str(error.value)


# what they are called


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("out/{stem}.png", "out/sea/x/a.png"), ("out/{dir}/{name}", "out/sea/x/a.jpg"),
        ("out/{parent}-{stem}-{ext}.png", "out/x-a-jpg.png"), ("{stem}.png", "sea/x/a.png"),
        ("out/{index}.png", "out/{index}.png"), ("/o/{stem}-{seed}.png", "/o/sea/x/a-{seed}.png"),
        ("{dir}/{stem}.png", "sea/x/a.png"),
    ],
)  # fmt: skip
def test_places_are_filled(template: str, name: str) -> None:
    assert filled(mirrored(template), Input("in/sea/x/a.jpg", Path("sea/x"))) == name


def test_a_picture_on_top_has_no_folder() -> None:
    top = Input("in/a.jpg")
    assert filled(mirrored("out/{stem}.png"), top) == "out/a.png"
    assert filled("{dir}/{stem}.png", top) == "a.png"
    assert filled("/{dir}/{stem}.png", top) == "/a.png"


def test_a_place_that_is_none_is_refused() -> None:
    with pytest.raises(UnknownName, match=r"unknown placeholder '\{stm\}'; did you mean '\{stem\}'"):
        check_places("out/{stm}.png")


@pytest.mark.parametrize(
    ("template", "home"), [("out/{stem}.png", "out"), ("out/x-{stem}.png", "out"), ("{stem}.png", "."), ("o/p/", "o/p")]
)
def test_the_journal_lies_where_all_files_do(template: str, home: str) -> None:
    assert home_of(template) == Path(home)


# which masks are theirs


def pair(pictures: list[str], masks: list[str]) -> dict[str, str]:
    for name in masks:
        drawn(f"masks/{name}")
    given = [Input(f"in/{name}", Path(name).parent) for name in pictures]
    return {path: str(mask) for path, mask in paired(given, "masks").found.items()}


@pytest.mark.parametrize(
    ("pictures", "masks", "found"),
    [
        (["a.jpg", "sea/a.jpg"], ["a.png", "sea/a.png"], ["a.png", "sea/a.png"]),
        (["a.jpg", "a.png"], ["a.jpg", "a.png"], ["a.jpg", "a.png"]),
        (["a.jpg", "a.webp"], ["a.jpg.png", "a.webp.png"], ["a.jpg.png", "a.webp.png"]),
        (["a.jpg", "a.webp"], ["a.png", "a.webp.png"], ["a.png", "a.webp.png"]),
        (["a.jpg"], ["a.jpg", "a.png"], ["a.jpg"]),
        (["sea/a.jpg"], ["a.png"], []),
        (["a.jpg", "a.webp"], ["a.jpg"], ["a.jpg"]),
    ],
)
def test_masks_are_paired_by_folder_and_name(pictures: list[str], masks: list[str], found: list[str]) -> None:
    expected = {f"in/{one}": f"masks/{mask}" for one, mask in zip(pictures, found, strict=False)}
    assert pair(pictures, masks) == expected


@pytest.mark.parametrize(
    ("pictures", "masks", "said"),
    [
        (["a.webp"], ["a.jpg", "a.png"], "masks/a.jpg and masks/a.png both fit in/a.webp"),
        (["a.jpg", "a.webp"], ["a.png"], "masks/a.png fits both in/a.jpg and in/a.webp"),
        (["a.jpg"], ["a.jpg", "a.jpg.png"], "masks/a.jpg and masks/a.jpg.png both fit in/a.jpg"),
    ],
)
def test_what_could_be_meant_in_two_ways_is_refused(pictures: list[str], masks: list[str], said: str) -> None:
    with pytest.raises(UsageError) as error:
        pair(pictures, masks)
    assert str(error.value).startswith(said)


# what is kept, and what is made anew


def covers(*more: str, code: int = 0) -> Outcome:
    outcome = run(*COVERS, *more)
    assert outcome.code == code, outcome.err
    return outcome


def test_the_tree_is_mirrored_and_each_file_is_that_of_its_single_run() -> None:
    assert covers().lines == ["out/a.png", "out/b.png", "out/sea/a.png"]
    assert run("cover", "in/sea/a.png", "--title", "Woods", "--seed", "1", "-o", "single.png").code == 0
    assert Path("single.png").read_bytes() == Path("out/sea/a.png").read_bytes()


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def torn(path: Path) -> None:
    MANIFEST.write_bytes(MANIFEST.read_bytes() + b'{"begun": "x')


def unsaid(path: Path) -> None:
    """As if killed after the picture took its place, before that was noted."""
    MANIFEST.write_text("".join(MANIFEST.read_text().splitlines(keepends=True)[:-1]))


def touched(path: Path) -> None:
    os.utime("in/a.png", (1, 1))
    os.utime(path, (1, 1))


DECISIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda path: None, ""), "a torn last line": (torn, ""), "other times": (touched, ""),
    "a deleted output": (lambda path: path.unlink(), "1 a file is gone"),
    "a truncated output": (cut_off, "1 a file is damaged"),
    "an empty output": (lambda path: path.write_bytes(b""), "1 a file is damaged"),
    "a kill before the note": (unsaid, "1 was not finished"),
}  # fmt: skip


@pytest.mark.parametrize("change", DECISIONS)
def test_going_on_comes_to_what_an_uninterrupted_run_comes_to(change: str) -> None:
    covers()
    whole = {path: data for path, data in files().items() if not path.endswith("manifest.jsonl")}
    act, why = DECISIONS[change]
    act(Path("out/sea/a.png") if change == "a kill before the note" else Path("out/a.png"))
    outcome = covers("--resume")
    assert f"{why}), 2 kept as they were" in outcome.err if why else "0 made, 3 kept as they were" in outcome.err
    assert {path: data for path, data in files().items() if not path.endswith("manifest.jsonl")} == whole
    assert "0 made, 3 kept" in covers("--resume").err


def test_a_changed_input_is_made_anew_whatever_its_name_and_time() -> None:
    covers()
    one, other = Path("in/a.png"), Path("in/b.png")
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    for path in (one, other):
        os.utime(path, (1, 1))
    assert "2 an input has changed), 1 kept" in covers("--resume").err
    shutil.rmtree("again", ignore_errors=True)
    assert run(*COVERS[:-1], "again/{stem}.png").code == 0
    assert files("out")["out/a.png"] == files("again")["again/a.png"]


def test_other_options_make_all_anew_and_how_it_is_said_makes_none() -> None:
    covers()
    assert "3 other options" in run(*COVERS, "--resume", "--no-provenance").err
    kept = run(*COVERS, "--resume", "--no-provenance", "--device", "cpu", "--json")
    assert "0 made, 3 kept" in kept.err
    assert [json.loads(line)["kept"] for line in kept.lines] == [True] * 3


def test_a_new_picture_is_made_and_the_journal_may_move() -> None:
    covers()
    drawn("in/c.png", 7)
    assert covers("--resume").lines == ["out/c.png"]
    shutil.move("out", "moved")
    assert "4 kept" in run(*COVERS[:-1], "moved/{stem}.png", "--resume").err


def test_what_somebody_has_changed_since_is_not_lost() -> None:
    covers()
    drawn("out/a.png", 9)
    mine = Path("out/a.png").read_bytes()
    assert "out/a.png has been changed since it was made" in covers("--resume", code=2).err
    assert Path("out/a.png").read_bytes() == mine
    covers("--resume", "--force")
    assert Path("out/a.png").read_bytes() != mine


def test_an_earlier_run_is_gone_on_with_or_replaced_only_where_that_is_asked() -> None:
    covers()
    assert "out/manifest.jsonl is of an earlier run; go on with it by --resume" in covers(code=2).err
    other = run("edit", "in/", "a", "-o", "out/{stem}.png", "--resume")
    assert (other.code, "is of `cover`, and this is `edit`" in other.err) == (2, True)
    assert "3 in all: 3 made" in covers("--force").err
    with Journal.found(MANIFEST).alone():
        assert "another run writes to out/manifest.jsonl just now" in covers("--resume", code=2).err
    MANIFEST.write_text('{"other": 1}\n')
    assert "is no manifest of this program's" in covers("--resume", code=2).err


def test_a_picture_of_the_folder_that_was_made_in_it_is_none_to_make() -> None:
    words = ["cover", "in/", "--title", "Woods", "-o", "in/{stem}-new.png"]
    assert run(*words).code == 0
    assert "3 in all: 0 made, 3 kept" in run(*words, "--resume").err


# what fails


def test_one_failure_does_not_stop_the_rest_and_is_listed() -> None:
    Path("in/a.png").write_text("no picture")
    outcome = covers("--json", code=1)
    said = [json.loads(line) for line in outcome.lines]
    assert [one.get("path") for one in said] == ["out/a.png", "out/b.png", "out/sea/a.png"]
    assert (said[0]["file"], "is not a picture that can be read" in said[0]["error"]) == ("in/a.png", True)
    (listed,) = map(json.loads, Path("out/failed.jsonl").read_text().splitlines())
    assert (listed["file"], listed["kind"]) == ("in/a.png", "PictureError")
    assert "3 in all: 2 made, 1 failed" in outcome.err
    assert "1 of 3 failed, as listed in out/failed.jsonl:\n  in/a.png  PictureError: in/a.png is not" in outcome.err
    drawn("in/a.png")
    assert "1 had failed), 2 kept" in covers("--resume").err
    assert not Path("out/failed.jsonl").exists()


def test_the_first_failure_may_end_the_run() -> None:
    Path("in/a.png").write_text("no picture")
    assert "3 in all: 0 made, 1 failed, 2 not begun" in covers("--on-error", "stop", code=1).err
    assert set(files()) == {"out/manifest.jsonl", "out/failed.jsonl"}


def test_a_fault_that_nobody_foresaw_costs_one_picture() -> None:
    with mock.patch("diffusion_tricks.generate.make.read_picture", side_effect=[KeyError("x"), *map(
        read_picture, ("in/b.png", "in/sea/a.png")
    )]):  # fmt: skip
        outcome = covers(code=1)
    assert outcome.lines == ["out/b.png", "out/sea/a.png"]
    assert "in/a.png  KeyError: 'x'" in outcome.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "out/x.png"], "in/a.png and in/b.png would both be written to out/x.png"),
        (["-o", "in/{stem}.png", "--force"], "in/a.png is the input in/a.png, and an input is never overwritten"),
        (["-o", "-"], "-o - writes one picture to standard output, and these are many"),
        ([], "many pictures need names"),
        (["-o", "out/{stem}"], "expected a name that ends in"),
        (["-o", "out/{stem}.png", "--masks", "in"], "--masks are for what makes a part of a picture anew"),
        (["-o", "out/{stem}.png", "--masks", "in/a.png"], "in/a.png is not a folder"),
        (["-o", "out/{stem}.png", "--save-recipe", "r.toml"], "would both be written to r.toml"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_anything_runs(words: list[str], said: str) -> None:
    before = files(".")
    outcome = run(*COVERS[:-2], *words)
    assert outcome.code == 2
    assert said in outcome.err, outcome.err
    assert files(".") == before
    assert not Path("out").exists()


def test_equal_stems_with_other_endings_are_refused_with_both_names() -> None:
    drawn("in/a.bmp")
    outcome = covers(code=2)
    assert "in/a.bmp and in/a.png would both be written to out/a.png" in outcome.err
    assert run(*COVERS[:-1], "out/{stem}-{ext}.png").code == 0
    assert Path("out/a-bmp.png").is_file()


def test_a_pattern_without_quotes_is_told() -> None:
    outcome = run("cover", "in/a.png", "in/b.png", "--title", "x")
    assert outcome.code == 2
    assert "expected one picture, got in/a.png and in/b.png; for many put a pattern in quotes" in outcome.err


def test_notes_that_are_alike_are_told_once() -> None:
    outcome = run(*COVERS[:-1], "out/{stem}.jpg")
    assert outcome.err.count("JPEG, a lossy format") == 1
    assert "Note: 2 like these, of other pictures, are told by --json" in outcome.err
    assert run(*COVERS[:-1], "json/{stem}.jpg", "--json").out.count("JPEG, a lossy format") == 3


def test_options_of_many_are_refused_for_one() -> None:
    for option in (["--resume"], ["--on-error", "stop"], ["--manifest", "m.jsonl"]):
        outcome = run("cover", "in/a.png", "--title", "x", "-o", "x.png", *option)
        assert (outcome.code, f"{option[0]} is for many pictures" in outcome.err) == (2, True)


# with a model and masks


def test_inpainting_after_masks_loads_the_model_once(tiny: Path) -> None:
    for name in ("a", "b", "sea/a"):
        mask = np.zeros((32, 32), np.uint8)
        mask[4:20, 4:20] = 255
        Path(f"masks/{name}.png").parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(f"masks/{name}.png")
    drawn("in/c.png")
    drawn("masks/z.png")
    words = ["inpaint", "in/", "a fish", "--masks", "masks", "-m", str(tiny), "--steps", "1", "-o", "out/"]
    from diffusion_tricks.loading import load

    with mock.patch("diffusion_tricks.loading.load.load_model", wraps=load.load_model) as loaded:
        outcome = run(*words)
    assert loaded.call_count == 1
    assert outcome.code == 1
    assert outcome.lines == ["out/a.png", "out/b.png", "out/sea/a.png"]
    assert "in/c.png has no mask: there is no c.png, nor of another ending, in masks" in outcome.err
    assert "Note: 1 masks in masks fit no picture: masks/z.png" in outcome.err
    seed = json.loads(MANIFEST.read_text().splitlines()[0])["seed"]
    single = ["inpaint", "in/b.png", "a fish", "--mask", "masks/b.png", "-m", str(tiny), "--steps", "1"]
    assert run(*single, "--seed", seed, "-o", "single.png").code == 0
    assert Path("single.png").read_bytes() == Path("out/b.png").read_bytes()
    whole = files()["out/a.png"]
    Path("out/a.png").unlink()
    Path("masks/b.png").write_bytes(Path("masks/z.png").read_bytes())  # noise: another mask
    again = run(*words, "--resume")
    assert "1 a file is gone, 1 an input has changed, 1 had failed" in again.err
    assert files()["out/a.png"] == whole  # of the same seed, which was not said again
    chain = ["make", "-p", "a fish", "--masks", "masks", "-m", str(tiny), "--steps", "1", "--seed", seed, "-o", "m/"]
    run(*chain, "inpaint", "in/[a]*.png")
    assert (read_picture("m/a.png").image.tobytes()) == read_picture("out/a.png").image.tobytes()


def test_a_fault_of_all_is_told_once_before_anything_is_made() -> None:
    outcome = run("inpaint", "in/", "a", "--mask", "box:0,0,8,8", "-m", "nosuch", "-o", "out/")
    assert (outcome.code, outcome.err.count("nosuch"), Path("out").exists()) == (2, 1, False)
    lacking = run("inpaint", "in/", "a", "-o", "out/")
    assert (lacking.code, "Missing option '--mask'" in lacking.err) == (2, True)


def test_a_model_that_cannot_be_loaded_ends_the_run(tiny: Path) -> None:
    words = ["inpaint", "in/", "a", "--mask", "box:0,0,8,8", "-m", str(tiny), "--steps", "1", "-o", "out/"]
    with mock.patch("diffusion_tricks.loading.load.load_model", side_effect=ModelError("torn weights")) as loaded:
        outcome = run(*words)
    assert (outcome.code, loaded.call_count, "Error: torn weights" in outcome.err) == (3, 1, True)
    assert run(*words, "--resume").code == 0


def test_one_picture_may_have_the_mask_of_its_name(tiny: Path) -> None:
    drawn("masks/a.png")
    words = ["inpaint", "in/a.png", "a", "--masks", "masks", "-m", str(tiny), "--steps", "1", "--seed", "1"]
    assert run(*words, "-o", "out.png").code == 0
    assert not Path("manifest.jsonl").exists()
    assert run(*words[:1], "in/b.png", *words[2:], "-o", "b.png").code == 2


# verify, mask and score


def test_verify_pairs_two_folders(tmp_path: Path) -> None:
    shutil.copytree("in", "out")
    shutil.copytree("in", "masks")
    drawn("out/b.png", 77)
    Path("out/sea/a.png").unlink()
    for mask in ("masks/a.png", "masks/b.png", "masks/sea/a.png"):
        Image.new("L", (32, 32), 0).save(mask)
    Image.fromarray(np.eye(32, dtype=np.uint8) * 255).save("masks/b.png")
    Image.fromarray(np.eye(32, dtype=np.uint8) * 255).save("masks/a.png")
    outcome = run("verify", "in/", "out/", "--masks", "masks", "--json")
    said = {one["path"]: one for one in map(json.loads, outcome.lines)}
    assert outcome.code == 1
    assert said["out/a.png"]["changed_outside"] == 0 < said["out/b.png"]["changed_outside"]
    assert said["in/sea/a.png"]["error"] == "in/sea/a.png has no partner in out/ of its name"
    assert "2 of 3 failed:\n  in/b.png  Exit: exit code 1\n  in/sea/a.png  UsageError:" in outcome.err
    good = run("verify", "in/a*.png", "out/{stem}.png", "--mask", "box:0,0,1,1")
    assert (good.code, good.lines[0]) == (0, "in/a.png:")
    assert "nothing says what was made new; name it with --mask" in run("verify", "in/a.png", "out/a.png").err
    assert (
        "--on-error is for many" in run("verify", "in/a.png", "in/a.png", "--mask", "alpha", "--on-error", "stop").err
    )


def test_mask_draws_one_preview_for_each() -> None:
    assert run("mask", "in/", "--mask", "box:0,0,50%,50%", "-o", "shown/").code == 0
    assert set(files("shown")) == {"shown/a.png", "shown/b.png", "shown/sea/a.png"}
    twice = run("mask", "in/", "--mask", "box:0,0,50%,50%", "-o", "shown.png")
    assert (twice.code, "in/a.png and in/b.png would both be written to shown.png" in twice.err) == (2, True)


def test_score_takes_many() -> None:
    Path("in/b.png").write_text("no picture")
    outcome = run("score", "in/", "-p", "a rabbit", "--json")
    assert [json.loads(line)["path"] for line in outcome.lines] == ["in/b.png", "in/a.png", "in/sea/a.png"]
    assert (outcome.code, "1 of 3 failed:\n  in/b.png  PictureError:" in outcome.err) == (1, True)
