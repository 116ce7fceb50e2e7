"""Every bad input: what is said, and the exit code. Nothing is written, and what was there stays as it was."""

from __future__ import annotations

import errno
import json
import os
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
import torch
from PIL import Image
from skimage import data

from command_line import Outcome, run

PROGRAM = [sys.executable, "-m", "diffusion_tricks_cli"]
USAGE, MODEL_OR_PLUGIN, FAILED = 2, 3, 1


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with a photo of a cat."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(data.chelsea()).resize((113, 75)).save("photo.png")
    return tmp_path


def check_refused(code: int, message: str, *arguments: object) -> Outcome:
    """The command ends with the code and one message that matches, without a traceback and without a picture."""
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    outcome = run(*arguments)
    assert outcome.code == code, outcome.err
    assert outcome.out == ""
    assert re.search(message, outcome.err), outcome.err
    assert len(re.findall("^Error: ", outcome.err, re.MULTILINE)) == 1
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
    return outcome


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mistake is found before a model is loaded."""
    monkeypatch.setattr("diffusion_tricks.loading.load._loaded", lambda *_: pytest.fail("a model was loaded"))


def huge_header() -> bytes:
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"little"))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def bad_picture(kind: str) -> Path:
    path = Path("bad.png")
    if kind == "text":
        path.write_text("this is no picture")
    elif kind == "truncated":
        path = Path("bad.jpg")
        Image.fromarray(data.chelsea()).save(path)
        path.write_bytes(path.read_bytes()[:4000])
    elif kind == "empty":
        path.touch()
    elif kind == "huge":
        path.write_bytes(huge_header())
    elif kind == "animated":
        path = Path("bad.gif")
        frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
        frames[0].save(path, save_all=True, append_images=frames[1:])
    return path


BAD_PICTURES = {
    "missing": "bad.png does not exist, expected a picture file",
    "text": "bad.png is not a picture that can be read: expected PNG, JPEG, .* got text; convert it to PNG first",
    "truncated": "bad.jpg is damaged or cut short",
    "empty": r"bad.png is empty \(0 bytes\), expected a picture",
    "huge": "bad.png says it is 50000 x 50000 pixels, more than the 100,000,000 that are read",
    "animated": r"bad.gif has 2 frames \(GIF\), expected a single picture",
}


@pytest.mark.parametrize("kind", BAD_PICTURES)
@pytest.mark.parametrize("command", ["cover", "edit", "inpaint"])
def test_a_picture_that_cannot_be_used(tiny: Path, kind: str, command: str) -> None:
    rest = {
        "cover": ["--title", "x"],
        "edit": ["a rocket", "-m", tiny, "--steps", 2],
        "inpaint": ["a hat", "--mask", "box:0,0,5,5", "-m", tiny, "--steps", 2],
    }[command]
    check_refused(USAGE, BAD_PICTURES[kind], command, bad_picture(kind), *rest, "-o", "out.png")


@pytest.mark.usefixtures("no_model")
def test_a_missing_picture_is_found_before_the_model_is_loaded(tiny: Path) -> None:
    check_refused(USAGE, "bad.png does not exist", "edit", "bad.png", "a rocket", "-m", tiny)


def inpaint(tiny: Path, mask: str, *more: object) -> list[object]:
    return ["inpaint", "photo.png", "a hat", "--mask", mask, "-m", tiny, "--steps", 2, "-o", "out.png", *more]


def test_a_mask_of_another_size(tiny: Path) -> None:
    Image.new("L", (30, 20), 255).save("mask.png")
    check_refused(USAGE, r"mask.png is 30 x 20 pixels, expected 113 x 75 .*--mask-fit", *inpaint(tiny, "mask.png"))
    assert run(*inpaint(tiny, "mask.png", "--mask-fit")).code == 0


def test_masks_that_are_no_use(tiny: Path) -> None:
    Image.new("L", (113, 75), 0).save("black.png")
    check_refused(USAGE, "the mask 'black.png' is empty: nothing in it is white", *inpaint(tiny, "black.png"))
    check_refused(USAGE, "lies off the picture, which is 113 x 75 pixels", *inpaint(tiny, "box:200,0,300,40"))
    check_refused(USAGE, "unknown form 'bx'; expected a picture file, alpha, box:", *inpaint(tiny, "bx:0,0,1,1"))
    check_refused(USAGE, "photo.png has no alpha channel", *inpaint(tiny, "alpha"))


UNKNOWN = {
    "trick": (["make", "-p", "x", "anagrm", "a", "b"], "unknown trick 'anagrm'; did you mean 'anagram'?"),
    "view": (["anagram", "--view", "identity", "a", "--view", "flp", "b"], "unknown view 'flp'; did you mean 'flip'?"),
    "scheduler": (["generate", "x", "--scheduler", "eulr"], "unknown scheduler 'eulr'; did you mean 'euler'?"),
    "model": (["generate", "x", "-m", "emojy"], "unknown model 'emojy'; did you mean 'emoji'?"),
    "path": (["generate", "x", "-m", "/nowhere/emoji"], "there is no directory /nowhere/emoji; expected a known name"),
    "dtype": (["generate", "x", "--dtype", "float61"], "unknown dtype 'float61'; did you mean 'float16'?"),
    "device": (["generate", "x", "--device", "cdua"], "unknown device 'cdua'; expected auto, cpu, cuda"),
    "command": (["genrate", "x"], "unknown command 'genrate'; did you mean 'generate'?"),
    "plugin": (["--no-plugin", "nobody", "generate", "x"], "unknown plugin 'nobody'"),
    "option": (["generate", "x", "--sede", "3"], "no option '--sede'; did you mean '--seed'"),
    "trick option": (
        ["make", "guidance", "--sclae", "3"],
        "no option '--sclae' of 'guidance'.*did you mean '--scale'?",
    ),
}


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize("kind", UNKNOWN)
def test_an_unknown_name_is_answered_with_the_nearest(kind: str) -> None:
    arguments, message = UNKNOWN[kind]
    check_refused(USAGE, message, *arguments)


OUT_OF_RANGE = [
    (["edit", "photo.png", "x", "--strength", "1.5"], "'--strength': expected a number from 0 to 1, got 1.5"),
    (["edit", "photo.png", "x", "--start-index", "34"], "expected a whole number of at least 0 and below 34, got 34"),
    (["generate", "x", "--steps", "0"], "'--steps': expected a whole number of at least 1, got 0"),
    (["generate", "x", "--steps", "many"], "'--steps': expected a whole number of at least 1, got 'many'"),
    (["generate", "x", "--count", "0"], "'--count': expected a whole number of at least 1, got 0"),
    (["generate", "x", "--seed", "-1"], "'--seed': expected a seed of at least 0, as 3, or several, as 1-8,20, got"),
    (["generate", "x", "--seed", "8-1"], "'--seed': '8-1' counts down; write 1-8"),
    (["generate", "x", "--seed", "1-200000"], "'--seed': expected at most 100,000 seeds"),
    (["generate", "x", "--seed", "1,1"], "seed: expected seeds that differ, and at least one, got 1, 1"),
    (["generate", "x", "--seed", "1-4", "--count", "3"], "--seed lists 4 seeds, and 3 pictures take 4?"),
    (["generate", "x", "--seed", "1-5", "--best-of", "2"], "--seed lists 5 seeds, and 3 pictures, each the best of 2"),
    (["cover", "photo.png", "--title", "x", "--seed", "1,2"], "only finished is one picture, got --count 2"),
    (["generate", "x", "--seed", str(2**63)], "seed: expected a number below 9223372036854775808"),
    (["generate", "x", "--guidance", "-2"], "'--guidance': expected a number of at least 0, got -2"),
    (["generate", "x", "--size", "100000"], "'--size': expected sides of 1 to 65536 pixels, got '100000'"),
    (["generate", "x", "--size", "64x"], "'--size': expected a side in pixels, as 64, or .* got '64x'"),
    (["make", "-p", "x", "guidance", "--start", "0.8", "--stop", "0.2"], "guidance must start before it stops"),
    (["edit", "photo.png", "x", "--strength", "0.5", "--start-index", "3"], "strength and start_index each say"),
    (["anagram", "a"], "expected two prompts, for identity and flip, got 1"),
    (["anagram", "--view", "patches:8,9,7", "a", "--view", "flip", "b"], "view 'patches' takes 2 parameters"),
    (["anagram", "--view", "rotate", "a", "--view", "flip", "b"], "view 'rotate' needs degrees; expected rotate:DEG"),
    (["hybrid", "--far", "a"], "Missing option '--near': what is seen from near"),
    (["inpaint", "photo.png", "a"], "Missing option '--mask': what to make new: a file"),
    (["cover", "photo.png"], "nothing to write; give at least one of title, subtitle, author and text"),
    (["cover", "photo.png", "--title", "x", "--count", "2"], "only finished is one picture, got --count 2"),
    (["cover", "photo.png", "--title", "x", "--steps-out", "film.gif"], "--steps-out shows the denoising"),
]  # fmt: skip


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize(("arguments", "message"), OUT_OF_RANGE)
def test_an_option_that_is_out_of_range_or_does_not_fit(arguments: list[str], message: str) -> None:
    check_refused(USAGE, message, *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "15"], "multiple of 2 in both directions, got 15x15; the nearest are 14x14 and 16x16"),
        (["--steps", "2000"], "steps must be between 1 and 1000 for this model, got 2000"),
    ],
)
def test_what_only_the_model_can_tell(tiny: Path, arguments: list[str], message: str) -> None:
    check_refused(USAGE, message, "generate", "x", "-m", tiny, *arguments)


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize("command", [["generate"], ["make", "guidance"], ["edit", "photo.png"]])
def test_a_missing_prompt(command: list[str]) -> None:
    check_refused(USAGE, 'a prompt is missing; say what to make, for example -p "a rabbit"', *command)


@pytest.mark.usefixtures("no_model")
def test_a_prompt_given_twice() -> None:
    check_refused(USAGE, "the prompt is given twice: as the argument 'a' and with --prompt", "generate", "a", "-p", "b")


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize(
    ("chain", "names"),
    [
        (["sdedit", "photo.png", "sdedit", "photo.png"], "'sdedit' and 'sdedit 2' both fill the place 'start'"),
        (["guidance", "guidance", "--scale", "3"], "'guidance' and 'guidance 2' both fill the place 'guidance'"),
        (["--guidance", "3", "guidance"], "guidance is given twice: as a trick and as guidance/negative"),
    ],
)
def test_two_exclusive_tricks(chain: list[str], names: str) -> None:
    check_refused(USAGE, names, "make", "-p", "x", *chain)


BAD_RECIPES = {
    "unknown key": ('prompt = "x"\nsteppes = 3', "recipe.toml: steppes: Extra inputs are not permitted"),
    "unknown option": ('prompt = "x"\n[[tricks]]\ntrick = "guidance"\nscael = 3', "guidance: scael: Extra inputs"),
    "unknown trick": (
        'prompt = "x"\n[[tricks]]\ntrick = "guidnce"',
        "unknown trick 'guidnce'; did you mean 'guidance'",
    ),
    "wrong type": ('prompt = "x"\nsteps = "many"', "recipe.toml: steps: expected a whole number.*got 'many'"),
    "newer": ("version = 99", "the recipe has version 99, this program reads up to 1; update"),
    "not toml": ("prompt = ", "recipe.toml is not valid TOML"),
    "escapes": (
        '[[tricks]]\ntrick = "sdedit"\nimage = "../secret.png"',
        "'../secret.png' leads out of the recipe's fol",
    ),
    "model outside": ('model = "../model"', "'../model' leads out of the recipe's folder"),
    "absolute model": ('model = "/srv/model"', "'/srv/model' leads out of the recipe's folder"),
    "absolute": ('picture = "/etc/passwd"', "'/etc/passwd' leads out of the recipe's folder"),
    "no picture": ('prompt = "x"\n[[tricks]]\ntrick = "sdedit"\nimage = "no.png"', "no.png does not exist"),
}


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize("kind", BAD_RECIPES)
def test_a_recipe_that_is_not_valid(kind: str) -> None:
    text, message = BAD_RECIPES[kind]
    Path("recipe.toml").write_text(text)
    check_refused(USAGE, message, "run", "recipe.toml")


@pytest.mark.usefixtures("no_model")
def test_recipes_that_are_not_there_or_not_to_be_written(folder: Path) -> None:
    check_refused(USAGE, "the recipe no.toml cannot be read: No such file", "run", "no.toml")
    check_refused(USAGE, "expected a name that ends in .toml or .json", "generate", "x", "--save-recipe", "recipe.yaml")
    edit = ["edit", "photo.png", "x", "--save-recipe", "/usr/r.toml"]
    check_refused(USAGE, "photo.png lies outside the recipe's folder.*as r.toml", *edit)


@pytest.mark.usefixtures("no_model")
def test_an_output_that_exists_or_has_no_place(folder: Path) -> None:
    (folder / "out.png").write_bytes(b"precious")
    (folder / "file").write_text("not a folder")
    for name, message in {
        "out.png": "out.png exists; pass --force to overwrite it",
        "no/where/out.png": "the folder no/where does not exist; make it first",
        "file/out.png": "file is not a folder, so out.png cannot be written in it",
        "out.xyz": "expected a name that ends in .png.*got '.xyz'",
        "out": "got no extension",
        ".": "got no extension",
    }.items():
        check_refused(USAGE, message, "generate", "x", "-o", name)
    check_refused(USAGE, "to be written twice", "generate", "x", "-o", "a.png", "--steps-out", "a.png")
    check_refused(USAGE, "out.png exists", "generate", "x", "-o", "a.png", "--steps-out", "out.png")


@pytest.mark.usefixtures("no_model")
def test_a_folder_that_is_not_writable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "locked").mkdir(mode=0o555)
    access = os.access  # root may write anywhere, so the system's answer is given here
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "locked" and access(path, mode))
    check_refused(
        USAGE, "the folder locked is not writable; choose another output", "generate", "x", "-o", "locked/out.png"
    )


@pytest.mark.usefixtures("no_model")
def test_the_input_is_never_overwritten_not_even_through_a_link(folder: Path) -> None:
    (folder / "link.png").symlink_to("photo.png")
    os.link("photo.png", "hard.png")
    for name in ("photo.png", "link.png", "hard.png"):
        message = f"{name} is the input photo.png, and an input is never overwritten"
        check_refused(USAGE, message, "edit", "photo.png", "x", "-o", name, "--force")
        check_refused(USAGE, message, "cover", "photo.png", "--title", "x", "-o", name, "--force")


@pytest.mark.usefixtures("no_model")
def test_a_font_is_an_input_that_is_never_overwritten(folder: Path) -> None:
    (folder / "Brush.ttf").write_bytes(b"a font")
    (folder / "out.png").symlink_to("Brush.ttf")
    cover = ["cover", "photo.png", "--title", "x", "--font", "Brush.ttf", "-o", "out.png", "--force"]
    check_refused(USAGE, "out.png is the input Brush.ttf, and an input is never overwritten", *cover)


def test_a_full_disk_costs_the_picture_and_leaves_nothing(
    tiny: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    message = "out.png could not be written: the disk is full; free some space"
    check_refused(FAILED, message, "generate", "x", "-m", tiny, "--steps", 2, "-o", "out.png")
    outcome = run("generate", "x", "-m", tiny, "--steps", 2, "--seed", 4, "-o", "out.png", "--json")
    assert outcome.code == FAILED
    assert (outcome.json["seed"], outcome.json["path"]) == (4, "out.png")
    assert re.search(message, outcome.json["error"])


def test_the_other_pictures_are_still_made(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync, calls = os.fsync, []

    def full_once(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full_once)
    outcome = run("generate", "x", "-m", tiny, "--steps", 2, "--count", 3, "-o", "out.png")
    assert (outcome.code, outcome.out) == (FAILED, "out-1.png\nout-2.png\n")


def test_json_says_what_failed(tiny: Path) -> None:
    outcome = run("generate", "x", "-m", tiny, "--size", "15", "--json")
    assert outcome.code == USAGE
    assert "size must be a multiple of 2" in outcome.json["error"]


JSON_FAILURES = [
    (USAGE, ["generate", "x", "--sede", "3"], "no option '--sede'"),
    (USAGE, ["genrate", "x"], "unknown command 'genrate'"),
    (USAGE, ["make", "-p", "x", "anagrm"], "unknown trick 'anagrm'"),
    (USAGE, ["generate", "x", "--steps", "many"], "expected a whole number of at least 1, got 'many'"),
    (USAGE, ["generate"], "a prompt is missing"),
    (USAGE, ["show", "photo.png"], "carries no diffusion-tricks record"),
    (USAGE, ["run", "no.toml"], "the recipe no.toml cannot be read: No such file"),
    (USAGE, ["--no-plugin", "nobody", "generate", "x"], "unknown plugin 'nobody'"),
    (MODEL_OR_PLUGIN, ["generate", "x", "-m", "."], "is not a diffusers pipeline"),
]


@pytest.mark.parametrize(("code", "arguments", "message"), JSON_FAILURES)
def test_every_failure_is_one_object_with_json(code: int, arguments: list[str], message: str) -> None:
    outcome = run(*arguments, "--json")
    assert (outcome.code, len(outcome.lines)) == (code, 1)
    assert message in outcome.json["error"]
    assert message in outcome.err


@pytest.mark.usefixtures("no_model")
def test_a_failure_with_json_names_path_and_seed_where_they_are_known() -> None:
    outcome = run("edit", "bad.png", "x", "--seed", 4, "-o", "out.png", "--json")
    assert (outcome.code, outcome.json["path"], outcome.json["seed"]) == (USAGE, "out.png", 4)
    assert "bad.png does not exist" in outcome.json["error"]
    assert "path" not in run("edit", "bad.png", "x", "--count", 2, "-o", "out.png", "--json").json
    assert run("make", "-p", "x", "inpaint", "--json", "--", "--json").json["error"]
    assert run("make", "-p", "x", "sdedit", "--", "--json").out == ""


CRASHING = """
from diffusion_tricks import Trick, hookimpl

class Crashing(Trick):
    name = "crashing"

    @hookimpl
    def {hook}:
        {body}

@hookimpl
def register_tricks(register):
    register("crashing", "{module}:Crashing", summary="fails")
"""


def plugin(hook: str, body: str = 'raise RuntimeError("boom")') -> Path:
    path = Path(f"crashing_{abs(hash((hook, body)))}.py")
    path.write_text(CRASHING.format(hook=hook, body=body, module=path.stem))
    return path


@pytest.mark.parametrize(
    "hook", ["before_step(self, step)", "estimate_noise(self, ask, step)", "after_step(self, step)"]
)
def test_a_plugin_that_fails_in_a_step_is_named_with_the_step(tiny: Path, hook: str) -> None:
    path = plugin(hook, 'if step.index == 1: raise RuntimeError("boom")')
    arguments = ["make", "-p", "x", "-m", tiny, "--steps", 2, "-o", "out.png", "crashing"]
    message = rf"step 1: trick 'crashing' failed in {hook.partition('(')[0]}: RuntimeError: boom"
    check_refused(MODEL_OR_PLUGIN, message, "--plugin", path, *arguments)


def test_a_plugin_that_fails_outside_the_steps_is_named(tiny: Path) -> None:
    arguments = ["make", "-p", "x", "-m", tiny, "--steps", 2, "-o", "out.png", "crashing"]
    for hook in ("prepare(self, run)", "finish_image(self, run, image, index)"):
        message = rf"trick 'crashing' failed in {hook.partition('(')[0]}: RuntimeError: boom"
        check_refused(MODEL_OR_PLUGIN, message, "--plugin", plugin(hook), *arguments)


HOOK = "from diffusion_tricks.plugin import hookimpl\n@hookimpl"


@pytest.mark.parametrize(("source", "why"), [
    ("import surely_not_installed", "ModuleNotFoundError: No module named 'surely_not_installed'"),
    ("raise SystemError('x')", "SystemError: x"),
    (f"{HOOK}\ndef register_commands(cli): 1 / 0", "ZeroDivisionError: .*"),
])  # fmt: skip
def test_a_plugin_that_is_asked_for_by_its_file_and_broken_ends_the_command(source: str, why: str) -> None:
    Path("asked_for.py").write_text(source)
    message = f"^Error: plugin 'asked_for' is broken: {why}; mend asked_for.py, or leave it out\n$"
    for words in (["make", "-p", "x", "--steps", 3, "-o", "out.png"], ["views"]):
        check_refused(MODEL_OR_PLUGIN, message, "--plugin", "asked_for.py", *words)
    assert run("--plugin", "asked_for.py", "make", "--help").code == 0


def test_a_trick_of_a_plugin_that_is_left_out_says_so() -> None:
    Path("calm.py").write_text("")
    words = ("--plugin", "calm.py", "--no-plugin", "calm", "make", "-p", "x", "calm")
    check_refused(USAGE, "plugin 'calm' is skipped, so its tricks are missing: left out by --no-plugin", *words)


def test_a_broken_plugin_is_a_line_in_the_list_beside_the_help() -> None:
    Path("broken.py").write_text("import surely_not_installed")
    listed = run("--plugin", "broken.py", "plugins")
    assert listed.code == 0
    assert "broken  (broken.py)  broken\n  error: ModuleNotFoundError: No module named 'surely_not" in listed.out
    assert run("--plugin", "broken.py", "--help").code == 0
    for words in (["broken"], ["make", "-p", "x", "broken"]):
        check_refused(
            MODEL_OR_PLUGIN, "plugin 'broken' is broken.*ModuleNotFoundError", "--plugin", "broken.py", *words
        )
    status = run("--plugin", "broken.py", "plugins", "--json").json[-1]
    assert (status["name"], status["status"]) == ("broken", "broken")


def test_a_trick_whose_module_is_missing_reports_it() -> None:
    Path("hollow.py").write_text(
        "from diffusion_tricks import hookimpl\n@hookimpl\ndef register_tricks(register):\n"
        "    register('hollow', 'not_there_at_all:Hollow', summary='?')\n"
    )
    message = "trick 'hollow' of plugin 'hollow' cannot be loaded from 'not_there_at_all:Hollow': ModuleNotFoundError"
    check_refused(MODEL_OR_PLUGIN, message, "--plugin", "hollow.py", "make", "-p", "x", "hollow")
    assert "there is no module 'not_there_at_all'" in run("--plugin", "hollow.py", "plugins").out


def test_plugins_that_clash_are_both_named() -> None:
    Path("rival.py").write_text(
        "from diffusion_tricks import hookimpl\n@hookimpl\ndef register_tricks(register):\n"
        "    register('hybrid', 'rival:Hybrid')\n"
    )
    told = run("--plugin", "rival.py", "plugins")
    assert told.code == 0
    assert "there is already a trick called 'hybrid', from 'diffusion_tricks_plugins' (built in)" in told.out


def test_a_plugin_file_that_is_none() -> None:
    Path("notes.txt").write_text("hello")
    for name in ("missing.py", "notes.txt"):
        check_refused(USAGE, rf"plugin {name}.*expected a Python file", "--plugin", name, "plugins")


def test_a_model_directory_without_safetensors(tiny: Path, folder: Path) -> None:
    copied(tiny, folder / "model")
    for weights in (folder / "model").rglob("*.safetensors"):
        weights.unlink()
    check_refused(MODEL_OR_PLUGIN, "model: expected weights as .safetensors", "generate", "x", "-m", folder / "model")


def test_a_model_directory_with_a_pickle(tiny: Path, folder: Path) -> None:
    copied(tiny, folder / "model")
    (folder / "model/unet/diffusion_pytorch_model.safetensors").unlink()
    torch.save({}, folder / "model/unet/diffusion_pytorch_model.bin")
    message = "found unet/diffusion_pytorch_model.bin, which may run code when read; convert it with save_pretrained"
    check_refused(MODEL_OR_PLUGIN, message, "generate", "x", "-m", folder / "model")


def test_a_model_directory_with_code_of_its_own(tiny: Path, folder: Path) -> None:
    copied(tiny, folder / "model")
    index = folder / "model/model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"unet": ["trojan", "Unet"]}))
    (folder / "model/unet/trojan.py").write_text("raise SystemExit('the code was run')")
    check_refused(MODEL_OR_PLUGIN, "wants to run code of its own", "generate", "x", "-m", folder / "model")
    check_refused(MODEL_OR_PLUGIN, "wants to run code of its own", "plan", "-p", "x", "-m", folder / "model")


def test_a_directory_that_is_no_model(folder: Path) -> None:
    check_refused(
        MODEL_OR_PLUGIN, "is not a diffusers pipeline: it has no model_index.json", "generate", "x", "-m", folder
    )


def copied(model: Path, to: Path) -> None:
    import shutil

    shutil.copytree(model, to)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_is_asked_for_and_absent(tiny: Path) -> None:
    message = "device 'cuda' was asked for, but torch finds none here; use --device cpu or auto"
    check_refused(MODEL_OR_PLUGIN, message, "generate", "x", "-m", tiny, "--device", "cuda")


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_a_full_memory_says_what_to_try(tiny: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr("diffusion_tricks.families.unet.UNetFamily.predict", full)
    message = "ran out of memory.*try a smaller --size"
    check_refused(FAILED, message, "generate", "x", "-m", tiny, "--steps", 2, "-o", "out.png")


def test_pictures_without_a_record() -> None:
    check_refused(USAGE, "photo.png carries no diffusion-tricks record", "show", "photo.png")
    check_refused(USAGE, "photo.png carries no diffusion-tricks record", "rerun", "photo.png")


def test_an_error_that_is_none_of_the_projects_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: object, **__: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr("diffusion_tricks_cli.output.check_save", bug)
    from diffusion_tricks_cli.main import main

    with pytest.raises(KeyError, match="a bug"):
        main(["generate", "x", "-o", "out.png", "--dry-run"])


@pytest.mark.parametrize(
    ("code", "message", "arguments"),
    [
        (USAGE, "Error: missing.png does not exist", ["cover", "missing.png", "--title", "x"]),
        (USAGE, "Error: unknown trick 'anagrm'; did you mean 'anagram'?", ["make", "-p", "x", "anagrm", "a", "b"]),
        (MODEL_OR_PLUGIN, "Error: plugin 'broken' is broken", ["--plugin", "broken.py", "broken"]),
    ],
)
def test_the_installed_command_says_the_same(code: int, message: str, arguments: list[str]) -> None:
    Path("broken.py").write_text("import surely_not_installed")
    done = subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
