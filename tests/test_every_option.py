"""Every option acts or is refused: it changes files, facts, words, or the exit code.

A table says for each option how it is made to act: what is said without it, and what with it. An option that is not in
the table fails the test, so that a new one comes with its proof. How all commands hand their options on, and `train`,
is in `test_every_command`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from command_line import run
from diffusion_tricks.hosting.host import host
from diffusion_tricks.testing import tiny_controlnet, tiny_pipeline, tiny_upscaler
from diffusion_tricks_cli.commands import link_command
from diffusion_tricks_cli.main import cli
from test_given_twice import commands

MAKE = "make -m ./if -p x --seed 1 --steps 2 --guidance 1 -o out.png --json"
ASKS = "make -m ./if --seed 1 --steps 4 -o out.png --json"  # with a trick that brings prompts of its own
GUIDED = ASKS.replace("./if", "./if -p x")
LATENT = "make -m ./sd -p x --seed 1 --steps 4 --guidance 1 -o out.png --json"
FLUX = "make -m ./flux -p x --seed 1 --steps 6 --guidance 1 -o out.png --json"
UP = "make -m ./if -p x --seed 1 --steps 1 --guidance 1 --size 64 --upscaler ./up -o out.png --json"
UPPED = f"{UP} --upscale-steps 2"
DRAWN = "make -m ./if -p x --seed 1 --steps 1 --guidance 1 --enlarge 16 -o out.png --json"
TALK = "generate x -m ./if --seed 1 --steps 2 --guidance 1 -o out.png"
MANY = "make --picture @list.txt -o many/ --json overlay --title Woods"
FULL = "make -m ./if -p x --seed 1 --steps 2 --guidance 1 -o photo2.png --json"
COVER = "make --seed 1 --picture photo.png -o out.png --json overlay --title Woods"
GEO = COVER.replace("photo.png", "geo.jpg")  # a photo that says where it was taken
TRICKS = {
    "sdedit": f"{GUIDED} sdedit wide.png", "inpaint": f"{LATENT} inpaint photo.png --mask box:8,8,24,24",
    "outpaint": f"{LATENT} outpaint photo.png --extend left=8",
    "anagram": f"{ASKS} anagram a b", "hybrid": f"{ASKS} hybrid --far a --near b",
    "controlnet": f"{LATENT} controlnet wide.png --network ./net", "guidance": f"{GUIDED} guidance --scale 3",
    "components": f"{ASKS} components --part a --part b", "phase": f"{GUIDED} phase wide.png",
    "picture": f"{ASKS} hybrid --far [ picture wide.png ] --near b", "exact": f"{GUIDED} exact x.png",
    "dps": f"{GUIDED} dps photo.png",
    "clip-guidance": f"{GUIDED} clip-guidance", "overlay": COVER, "cache": f"{FLUX} cache --method pyramid",
    "regions": f"{GUIDED} regions --region box:0,0,50%,100% y", "time-travel": f"{GUIDED} time-travel",
    "panorama": f"{GUIDED} --size 24x16 panorama",
}  # fmt: skip
WITH_AUTHOR, WITH_TEXT, BOXED = f"{COVER} --author Ann", f"{COVER} --text tale", f"{COVER} --box red"
WITH_SUBTITLE = f"{COVER} --subtitle tale"
LONG_WORD = COVER.replace("Woods", "Donaudampfschifffahrtsgesellschaft")
FIRST_BLOCK, STAGED = f"{FLUX} cache --method first-block --threshold", UPPED.replace("--guidance 1 ", "")
LINES = f"{COVER} --title-size 11 --max-width 0.4 --title-position left".replace("Woods", "'in a wood'")
TO = f"{LATENT} outpaint photo.png --to 2:1"
WORDS, PART = f"{LATENT} inpaint photo.png --mask words:hat", TRICKS["inpaint"].replace("-p x ", "")
PERP = f"{GUIDED} guidance --scale 3 --negative z --variant perp-neg"
SKIP = f"{FLUX.replace('--guidance 1', '--size 32x32')} guidance --scale 2 --skip 0"
THROUGH = f"{ASKS} anagram --view identity a --view flip b"
# option: (what is said without it, what with it), or what is said with it behind the words that stand for its command
COMMON: dict[str, tuple[str, str]] = {
    "prompt": (MAKE, MAKE.replace("-p x", "-p y")),
    "model": (MAKE, MAKE.replace("./if", "./other")),
    "lora": (LATENT, f"{LATENT} --lora style.safetensors"),
    "seed": (MAKE, MAKE.replace("--seed 1", "--seed 2")),
    "count": (MAKE, f"{MAKE} --count 2"),
    "best_of": (MAKE, f"{MAKE} --best-of 2"),
    "steps": (MAKE, MAKE.replace("--steps 2", "--steps 3")),
    "stride": (MAKE, MAKE.replace("--steps 2", "--stride 250")),
    "scheduler": (MAKE, f"{MAKE} --scheduler ddim"),
    "guidance": (MAKE, MAKE.replace("--guidance 1", "--guidance 3")),
    "distilled_guidance": (FLUX, f"{FLUX} --distilled-guidance 9"),
    "negative": (GUIDED, f"{GUIDED} --negative z"),
    "size": (MAKE, f"{MAKE} --size 24x16"),
    "upscaler": (UP.replace("--upscaler ./up", ""), UP),
    "upscale_steps": (UPPED, UPPED.replace("-steps 2", "-steps 3")),
    "upscale_guidance": (UPPED, f"{UPPED} --upscale-guidance 5"),
    "upscale_scheduler": (UPPED, f"{UPPED} --upscale-scheduler ddim"),
    "noise_level": (UPPED, f"{UPPED} --noise-level 20"),
    "enlarge": (MAKE, f"{MAKE} --enlarge 2"),
    "device": (MAKE, f"{MAKE} --device cuda:77"),
    "dtype": (MAKE, f"{MAKE} --dtype bfloat16"),
    "max_rows": (MAKE, f"{MAKE} --max-rows 1"),
    "quantize": (MAKE, f"{MAKE} --quantize nf4"),
    "compile": (MAKE, f"{MAKE} --compile"),
    "scorer": (MAKE, f"{MAKE} --scorer ./nowhere"),
    "dry_run": (MAKE, f"{MAKE} --dry-run"),
    "quiet": (TALK, f"{TALK} --quiet"),
    "json": (TALK, f"{TALK} --json"),
    "output": (MAKE, MAKE.replace("out.png", "else.png")),
    "force": (FULL, f"{FULL} --force"),
    "no_metadata": (MAKE, f"{MAKE} --no-metadata"),
    "no_provenance": (MAKE, f"{MAKE} --no-provenance"),
    "keep_gps": (GEO, f"{GEO} --keep-gps"),
    "quality": (MAKE.replace("out.png", "a.jpg"), f"{MAKE.replace('out.png', 'a.jpg')} --quality 40"),
    "steps_out": (MAKE, f"{MAKE} --steps-out film.gif"),
    "show": (f"{MAKE} --steps-out film.gif", f"{MAKE} --steps-out film.gif --show both"),
    "every": (f"{GUIDED} --steps-out film.gif", f"{GUIDED} --steps-out film.gif --every 2"),
    "save_recipe": (MAKE, f"{MAKE} --save-recipe a.toml"),
    "bundle": (f"{COVER} --save-recipe a.toml", f"{COVER} --save-recipe a.toml --bundle"),
    "picture": (COVER, COVER.replace("photo.png", "wide.png")),
    "masks": (TRICKS["inpaint"], f"{TRICKS['inpaint']} --masks masks"),
    "sweeps": (MAKE, f"{MAKE} --sweep steps=1,2"),
    "resume": (MANY.replace("many/", "done/"), f"{MANY.replace('many/', 'done/')} --resume"),
    "on_error": (MANY.replace("list", "bad"), f"{MANY.replace('list', 'bad')} --on-error stop"),
    "manifest": (MANY, f"{MANY} --manifest other.jsonl"),
}
OWN: dict[str, dict[str, str | tuple[str, str]]] = {
    "sdedit": {
        "strength": "--strength 0.9", "start_index": "--start-index 3", "sweep": "--sweep", "fit": "--fit pad",
        "own_size": "--no-own-size", "tiles": "--tiles",
    },
    "inpaint": {
        "mask": (TRICKS["inpaint"], TRICKS["inpaint"].replace("8,8", "4,8")),
        "mask_fit": (
            f"{LATENT} inpaint photo.png --mask wide.png", f"{LATENT} inpaint photo.png --mask wide.png --mask-fit",
        ),
        "invert": "--invert", "feather": "--feather 5", "padding": "--padding 1", "blend": "--blend off",
        "prompt": (f"{PART} --prompt a", f"{PART} --prompt b"),
        "strength": "--strength 0.5", "resample": "--resample 2", "match": "--match mean",
        "fill": (f"{TRICKS['inpaint']} --strength 0.5", f"{TRICKS['inpaint']} --strength 0.5 --fill mean"),
        "soft": (f"{TRICKS['inpaint']} --feather 5", f"{TRICKS['inpaint']} --feather 5 --soft strength"),
        "segmenter": (WORDS, f"{WORDS} --segmenter ./nowhere"),
        "jump": (f"{TRICKS['inpaint']} --resample 2", f"{TRICKS['inpaint']} --resample 2 --jump 2"),
        "keep_alpha": "--keep-alpha",
    },
    "outpaint": {
        "extend": (TRICKS["outpaint"], TRICKS["outpaint"].replace("left=8", "top=8")),
        "to": (TO, TO.replace("2:1", "square")), "anchor": (TO, f"{TO} --anchor left"), "feather": "--feather 0",
        "padding": "--padding 300", "blend": "--blend off", "strength": "--strength 0.5", "resample": "--resample 2",
        "match": "--match mean",
        "jump": (f"{TRICKS['outpaint']} --resample 2", f"{TRICKS['outpaint']} --resample 2 --jump 2"),
        "fill": (f"{TRICKS['outpaint']} --strength 0.5", f"{TRICKS['outpaint']} --strength 0.5 --fill mean"),
    },
    "anagram": {
        "views": (THROUGH, THROUGH.replace("flip", "negate")), "reduction": "--reduction alternate",
        "weights": "--weight 1@0-0.5,2@0.5-1 --weight 3", "space": "--space pixel", "balance": "--balance variance",
        "clip": (f"{THROUGH} --balance score", f"{THROUGH} --balance score --clip ./nowhere"),
    },
    "hybrid": {
        "far": (TRICKS["hybrid"], TRICKS["hybrid"].replace("far a", "far c")),
        "near": (TRICKS["hybrid"], TRICKS["hybrid"].replace("near b", "near c")),
        "mid": "--mid c", "split": "--split motion", "sigma": "--sigma 5",
        "mid_sigma": (f"{TRICKS['hybrid']} --mid c", f"{TRICKS['hybrid']} --mid c --mid-sigma 3"),
        "space": "--space pixel",
    },
    "components": {
        "parts": (TRICKS["components"], TRICKS["components"].replace("part b", "part c")),
        "split": "--split wavelet:haar", "space": (f"{ASKS} components --part a --part b --split gray",
                                                   f"{ASKS} components --part a --part b --split gray --space pixel"),
        "mask": (f"{ASKS} components --part a --part b --split mask --mask box:0%,0%,50%,50%",
                 f"{ASKS} components --part a --part b --split mask --mask box:0%,0%,50%,90%"),
    },
    "phase": {
        "strength": "--strength 0.5", "until": "--until 0.9", "fade": "--fade 0.7", "ahead": "--ahead 2",
        "fit": "--fit pad",
    },
    "picture": {"fit": (TRICKS["picture"], TRICKS["picture"].replace("wide.png", "wide.png --fit pad"))},
    "controlnet": {
        "network": (TRICKS["controlnet"], TRICKS["controlnet"].replace("./net", "./net2")), "scale": "--scale 0.3",
        "start": "--start 0.5", "stop": "--stop 0.5", "fit": "--fit pad",
    },
    "guidance": {
        "scale": (TRICKS["guidance"], TRICKS["guidance"].replace("scale 3", "scale 4")),
        "upscale_scale": (f"{STAGED} guidance --scale 2", f"{STAGED} guidance --scale 2 --upscale-scale 2.5"),
        "negative": "--negative z", "start": "--start 0.5", "stop": "--stop 0.5", "rescale": "--rescale 0.7",
        "normalise": "--normalise on", "variant": "--variant apg",
        "negative_weight": (PERP, f"{PERP} --negative-weight 3"),
        "threshold": "--threshold 0.5", "pag": "--pag 3", "seg": "--seg 3",
        "seg_blur": (f"{TRICKS['guidance']} --seg 3", f"{TRICKS['guidance']} --seg 3 --seg-blur 0.3"),
        "layers": (f"{TRICKS['guidance']} --pag 3", f"{TRICKS['guidance']} --pag 3 --layer down_blocks"),
        "skip": (SKIP.replace("--skip 0", ""), SKIP),
        "skip_scale": (SKIP, f"{SKIP} --skip-scale 9"), "skip_start": (SKIP, f"{SKIP} --skip-start 0"),
        "skip_stop": (SKIP, f"{SKIP} --skip-stop 0.4"),
    },
    "dps": {
        "mask": "--mask box:0,0,50%,100%", "blur": "--blur 2", "reduce": "--reduce 2", "rule": "--rule pigdm",
        "step": "--step 0.001", "noise": (f"{TRICKS['dps']} --rule pigdm", f"{TRICKS['dps']} --rule pigdm --noise 1"),
        "fit": (f"{GUIDED} dps wide.png", f"{GUIDED} dps wide.png --fit pad"),
    },
    "clip-guidance": {"temperature": "--temperature 2", "scale": "--scale 3", "gradient": "--gradient 9",
                      "clip": "--clip ./nowhere"},
    "overlay": {
        "title": (COVER, COVER.replace("Woods", "Waves")), "author": "--author Ann", "text": "--text tale",
        "subtitle": "--subtitle tale", "preset": "--preset caption", "format": "--format ebook",
        "pages": (f"{COVER} --format 5x8", f"{COVER} --format 5x8 --pages 100"),
        "paper": (f"{COVER} --format 5x8 --pages 800", f"{COVER} --format 5x8 --pages 800 --paper cream"),
        "font": "--font nowhere.ttf", "title_font": "--title-font nowhere.ttf",
        "subtitle_font": (WITH_SUBTITLE, f"{WITH_SUBTITLE} --subtitle-font nowhere.ttf"),
        "author_font": (WITH_AUTHOR, f"{WITH_AUTHOR} --author-font nowhere.ttf"),
        "text_font": (WITH_TEXT, f"{WITH_TEXT} --text-font nowhere.ttf"),
        "font_fallback": "--font nowhere.ttf --font-fallback",
        "subtitle_color": (WITH_SUBTITLE, f"{WITH_SUBTITLE} --subtitle-color red"),
        "subtitle_size": (WITH_SUBTITLE, f"{WITH_SUBTITLE} --subtitle-size 9"),
        "subtitle_position": (WITH_SUBTITLE, f"{WITH_SUBTITLE} --subtitle-position bottom"),
        "min_size": (LONG_WORD, f"{LONG_WORD} --min-size 16"), "hyphenate": (LONG_WORD, f"{LONG_WORD} --no-hyphenate"),
        "language": (LONG_WORD, f"{LONG_WORD} --language cs"), "caps": "--caps title",
        "letter_spacing": "--letter-spacing 0.1", "contrast": "--contrast 15", "backing": "--backing box",
        "title_color": "--title-color red", "author_color": (WITH_AUTHOR, f"{WITH_AUTHOR} --author-color red"),
        "text_color": (WITH_TEXT, f"{WITH_TEXT} --text-color red"), "title_size": "--title-size 14",
        "author_size": (WITH_AUTHOR, f"{WITH_AUTHOR} --author-size 9"),
        "text_size": (WITH_TEXT, f"{WITH_TEXT} --text-size 9"), "title_position": "--title-position bottom",
        "author_position": (WITH_AUTHOR, f"{WITH_AUTHOR} --author-position bottom"),
        "text_position": (WITH_TEXT, f"{WITH_TEXT} --text-position left"),
        "align": (LINES, f"{LINES} --align right"),
        "margin": "--margin 20", "spacing": (WITH_AUTHOR, f"{WITH_AUTHOR} --spacing 15"),
        "max_width": "--max-width 0.3",
        "line_spacing": (LINES, f"{LINES} --line-spacing 2"),
        "color": "--color red", "stroke": "--stroke 2",
        "stroke_color": (f"{COVER} --stroke 2", f"{COVER} --stroke 2 --stroke-color red"), "shadow": "--shadow 3 3",
        "shadow_blur": "--shadow-blur 2",
        "shadow_color": (f"{COVER} --shadow 3 3", f"{COVER} --shadow 3 3 --shadow-color red"), "box": "--box red",
        "box_padding": (BOXED, f"{BOXED} --box-padding 9"),
    },
    "exact": {},
    "regions": {
        "regions": (TRICKS["regions"], f"{TRICKS['regions']} --region box:0,0,50%,50% z"), "bootstrap": "--bootstrap",
    },
    "panorama": {
        "overlap": "--overlap 0.75", "stride": "--stride 3", "falloff": "--falloff flat", "wrap": "--wrap",
        "alone": (
            f"{UP} panorama".replace("--size 64", "--size 128x64"),
            f"{UP} panorama --alone".replace("--size 64", "--size 128x64"),
        ),
    },
    "time-travel": {"repeat": "--repeat 3", "since": "--from 0.5", "until": "--to 0.6", "jump": "--jump 2"},
    "cache": {
        "method": (FLUX + " cache", f"{FLUX} cache --method faster"),
        "threshold": (f"{FIRST_BLOCK} 10", f"{FIRST_BLOCK} 0"),
        "every": "--every 3", "start": "--start 0.5", "stop": "--stop 0.5", "probes": "--probes 1",
    },
}  # fmt: skip


def own_cases() -> Iterator[tuple[str, str, str, str]]:
    for trick, options in OWN.items():
        for name, words in options.items():
            before, after = (TRICKS[trick], f"{TRICKS[trick]} {words}") if isinstance(words, str) else words
            yield trick, name, before, after


OTHERS: list[tuple[tuple[str, ...], str, str, str]] = [
    (("show",), "as_json", "show made.png", "show made.png --json"),
    (("score",), "prompts", "score made.png", 'score made.png -p "a cat"'),
    (("score",), "views", "score made.png", 'score made.png --view flip "a cat"'),
    (("score",), "scorer", "score made.png", "score made.png --scorer ./nowhere"),
    (("score",), "as_json", "score made.png", "score made.png --json"),
    (("score",), "on_error", "score @bad.txt -p x", "score @bad.txt -p x --on-error stop"),
    (("plugins",), "as_json", "plugins", "plugins --json"),
    (("plugins",), "check", "--plugin hollow.py plugins", "--plugin hollow.py plugins --check"),
    (("models",), "as_json", "models", "models --json"),
    (("models", "show"), "as_json", "models show ./if", "models show ./if --json"),
    (("models", "get"), "dtype", "models get emoji", "models get emoji --dtype float8"),
    (("models", "taught"), "as_json", "models emoji", "models emoji --json"),
    (("views",), "as_json", "views", "views --json"),
    ((), "plugin", "plugins", "--plugin hollow.py plugins"),
    ((), "debug", "make -p a nothing", "--debug make -p a nothing"),
    ((), "no_plugin", "--plugin hollow.py plugins", "--plugin hollow.py --no-plugin hollow plugins"),
]
HOLLOW = """from diffusion_tricks import hookimpl

@hookimpl
def register_tricks(register):
    register("hollow", "json:NoSuchThing", summary="s")
"""
CASES = [*(("make", name, *words) for name, words in COMMON.items()), *own_cases()]
CASES += [(" ".join(words) or "the program", *rest) for words, *rest in OTHERS]


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models and pictures, which no test changes."""
    folder = tmp_path_factory.mktemp("stock")
    for kind in ("if", "sd", "flux"):
        tiny_pipeline(kind).save_pretrained(folder / kind)
    tiny_pipeline("if", seed=7).save_pretrained(folder / "other")
    tiny_upscaler().save_pretrained(folder / "up")
    for seed, name in ((2, "net"), (3, "net2")):
        tiny_controlnet("sd", seed).save_pretrained(folder / name)
    values = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    Image.fromarray(values).save(folder / "photo.png")
    Image.fromarray(values[:48]).save(folder / "wide.png")
    geo = Image.Exif()
    geo.get_ifd(0x8825)[1] = "N"
    Image.fromarray(values).save(folder / "geo.jpg", exif=geo)
    save_file({}, folder / "style.safetensors")
    (folder / "hollow.py").write_text(HOLLOW)
    assert (
        run(*shlex.split(MAKE.replace("./if", str(folder / "if")).replace("out.png", str(folder / "made.png")))).code
        == 0
    )
    (folder / "masks").mkdir()
    Image.new("L", (96, 96), 255).save(folder / "masks" / "photo.png")
    (folder / "list.txt").write_text("photo.png\nwide.png\n")
    (folder / "bad.txt").write_text("nothing.png\nphoto.png\n")
    with pytest.MonkeyPatch.context() as inside:
        inside.chdir(folder)
        assert run(*shlex.split(MANY.replace("many/", "done/"))).code == 0
    return folder


@pytest.fixture
def here(stock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("diffusion_tricks.devices.compile.COMPILERS", ())
    return tmp_path


def seen(stock: Path, folder: Path, words: str) -> tuple[Any, ...]:
    """All that a user could see of a command, but for what time does to it."""
    folder.mkdir()
    for item in stock.iterdir():
        (folder / item.name).symlink_to(item)
    (folder / "photo2.png").write_bytes((stock / "photo.png").read_bytes())
    with pytest.MonkeyPatch.context() as inside:
        inside.chdir(folder)
        outcome = run(*shlex.split(words))
    made = {f.name: content(f) for f in sorted(folder.iterdir()) if f.is_file() and not f.is_symlink()}
    return outcome.code, [plain(line) for line in outcome.lines], outcome.err.replace(str(folder), ""), made


def content(file: Path) -> Any:
    """Of a picture its pixels and what kinds of records it has: that a recipe holds an option is no act of it."""
    if file.suffix != ".png":
        return file.read_bytes()
    with Image.open(file) as picture:
        return picture.size, picture.mode, picture.tobytes(), sorted(picture.info)


def plain(line: str) -> Any:
    """A line of stdout without what differs from run to run, and without the recipe."""
    try:
        facts = json.loads(line)
    except ValueError:
        return line
    return (
        {k: v for k, v in facts.items() if k not in {"seconds", "peak_memory_mb", "recipe"}}
        if isinstance(facts, dict)
        else facts
    )


def test_the_table_has_every_option_of_pictures() -> None:
    with click.Context(cli) as ctx:
        making = [cli.get_command(ctx, name) for name in ("generate", "make", "plan", "run", "rerun", "cover")]
    common = {str(o.name) for command in making for o in getattr(command, "common", ())}
    assert common == {*COMMON, "memory"}  # which changes no picture, fact or word, see below
    for name in host().entries("trick"):
        assert {str(o.name) for o in link_command(name).params if isinstance(o, click.Option)} == set(OWN[name]), name


def test_the_table_has_every_other_option() -> None:
    making = {
        "generate",
        "edit",
        "inpaint",
        "outpaint",
        "anagram",
        "hybrid",
        "cover",
        "make",
        "plan",
        "run",
        "rerun",
        "train",
    }
    others = {
        (words, str(param.name))
        for words, command in commands()
        if words[0] not in making
        for param in command.params
        if isinstance(param, click.Option)
    }
    assert others == {(words, name) for words, name, *_ in OTHERS if words}
    assert {str(p.name) for p in cli.params if isinstance(p, click.Option)} == {
        "version", *(name for words, name, *_ in OTHERS if not words)
    }  # fmt: skip


@pytest.mark.parametrize("words", [MAKE, TALK, COVER, UPPED, TRICKS["cache"], TRICKS["inpaint"]])
def test_the_same_words_show_the_same(here: Path, stock: Path, words: str) -> None:
    """So what differs below, differs by the option."""
    assert seen(stock, here / "once", words) == seen(stock, here / "again", words)


def test_memory_acts(here: Path, stock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    thrown: list[object] = []
    monkeypatch.setattr("diffusion_tricks.devices.text_encoders.throw_away", thrown.append)
    seen(stock, here / "without", LATENT)
    assert thrown == []
    seen(stock, here / "with", f"{LATENT} --memory low")
    assert thrown


@pytest.mark.parametrize(("command", "option", "before", "after"), CASES, ids=[f"{c} {o}" for c, o, *_ in CASES])
def test_it_acts_or_is_refused(here: Path, stock: Path, command: str, option: str, before: str, after: str) -> None:
    without, with_it = seen(stock, here / "without", before), seen(stock, here / "with", after)
    alone = {"debug", "force", "mask_fit", "segmenter", "upscaler", "resume", "on_error"}  # refused, or fail, without
    if option not in alone and command != "models get":
        assert without[0] == 0, without[2]
    differing = [part for part, one, other in zip(("code", "stdout", "stderr", "files"), without, with_it, strict=True)
                 if one != other]  # fmt: skip
    assert differing, f"{after!r} does what {before!r} does"
    if with_it[0] != 0:
        assert with_it[0] in {1, 2, 3}
        assert "Error" in with_it[2]
