"""A search on known pictures: what is found, that it may be stopped anywhere, and that what is kept can be made again.

The model is exact: it knows one picture for each prompt. "up" and "down" are the same picture turned, so that together
they are a perfect illusion, and what is best is known. The scorer compares pixels with these pictures.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from command_line import run
from diffusion_tricks import Score, UsageError, ViewScore, make
from diffusion_tricks.plugin import OutputError, Shown, read_record, recipe_from
from diffusion_tricks.testing import exact_model
from diffusion_tricks_search import bench as benches
from diffusion_tricks_search import log as logs
from diffusion_tricks_search.asked import Asked
from diffusion_tricks_search.bench import Bench, joint, largest
from diffusion_tricks_search.commands import search as command
from diffusion_tricks_search.figures import distances, figures
from diffusion_tricks_search.search import search
from diffusion_tricks_search.survivors import name_of
from diffusion_tricks_search.trials import Trial, pictures

SIDE = 8
UP = torch.rand((1, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(1)) * 1.6 - 0.8
OTHERS = [torch.rand((1, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(i)) * 1.6 - 0.8 for i in (2, 3)]
KNOWN: dict[Any, Tensor] = {
    "up": UP, "down": UP.flip(-2), "this": OTHERS[0], "that": OTHERS[1], None: torch.zeros_like(UP)
}  # fmt: skip
PAIRS = (("this", "that"), ("up", "this"), ("up", "down"), ("that", "down"))
ASKED = Asked(
    pairs=PAIRS,
    views=("flip", "rotate_cw"),
    budget="20",
    seeds="0-5",
    steps=2,
    final_steps=12,
    keep=3,
    scheduler="ddim",
    guidance=1,
)


class Compares:
    """A scorer that knows the pictures: its cosine is that of the pixels."""

    name = "pixels"

    def pictures(self, pictures: Sequence[Image.Image]) -> Tensor:
        rows = [torch.tensor(np.asarray(one), dtype=torch.float64).flatten() / 127.5 - 1 for one in pictures]
        return torch.nn.functional.normalize(torch.stack(rows), dim=1)

    def score(self, views: Sequence[Shown]) -> Score:
        seen = self.pictures([view.picture for view in views])
        known = [KNOWN[view.prompt].permute(0, 2, 3, 1).flatten().double() for view in views]
        cosines = seen @ torch.nn.functional.normalize(torch.stack(known), dim=1).T
        each = [
            ViewScore(view.name, view.prompt, float(cosines[i, i]), 1, (), 0.0) for i, view in enumerate(views)
        ]  # fmt: skip
        shares = float(cosines.softmax(1).diagonal().mean())
        return Score(tuple(each), min(one.alignment for one in each), shares, 0.0)


@pytest.fixture(scope="module")
def model() -> Any:
    return exact_model(KNOWN)


@pytest.fixture
def scorer() -> Any:
    return Compares()


def files(home: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in home.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, model: Any) -> Path:
    """A search that nobody stopped."""
    home = tmp_path_factory.mktemp("search") / "whole"
    search(ASKED, home, model, Compares())  # type: ignore[arg-type]
    return home


def lines(home: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (home / "scores.jsonl").read_text().splitlines()]


def test_the_perfect_illusion_is_found(whole: Path) -> None:
    """Its picture is the known one itself; and a pair that has no such picture is worth the mean of both, or less."""
    best = sorted(whole.glob("0*.png"))
    assert [path.name[:3] for path in best] == ["01-", "02-", "03-"]
    assert best[0].name == f"01-{name_of(ASKED.arms[4], read_record(best[0])['seed'])}"
    assert read_record(best[0])["score"]["alignment"] > 0.999
    expected = UP[0].permute(1, 2, 0).numpy() * 127.5 + 127.5
    np.testing.assert_allclose(np.asarray(Image.open(best[0])).astype(float), expected, rtol=0, atol=1.5)


def test_the_budget_goes_where_the_promise_is(whole: Path) -> None:
    """20 pictures of 8 arms: in the second round the better half by their best, and in it the perfect one."""
    tried = [line for line in lines(whole) if "round" in line]
    rounds = {number: [line for line in tried if line["round"] == number] for number in (1, 2)}
    assert [len(rounds[1]), len(rounds[2])] == [8, 12]
    best = sorted(rounds[1], key=lambda line: -line["alignment"])[:4]
    arms = {(*line["pair"], line["view"]) for line in best}
    assert ("up", "down", "flip") in arms
    assert {(*line["pair"], line["view"]) for line in rounds[2]} == arms
    assert {line["seed"] for line in rounds[1]} == {0}
    assert {line["seed"] for line in rounds[2]} == {1, 2, 3}
    for line in tried:
        assert line["joint"] == pytest.approx(max(line["alignment"], 0) ** 0.5 * line["concealment"] ** 0.5)
        assert line["alignment"] == min(view["alignment"] for view in line["views"])


def test_what_is_kept_is_what_its_recipe_alone_gives(whole: Path, model: Any) -> None:
    for path in whole.glob("0*.png"):
        recipe = recipe_from(read_record(path)["recipe"])
        (alone,) = make(recipe, model)
        assert np.array_equal(np.asarray(alone.image), np.asarray(Image.open(path)))
        assert recipe.steps == 12
        assert recipe.tricks[0].trick == "anagram"


@pytest.mark.parametrize("case", range(16))
def test_a_search_that_is_killed_anywhere_goes_on_as_if_it_had_not(
    case: int, whole: Path, tmp_path: Path, model: Any, scorer: Any
) -> None:  # fmt: skip
    """The log is cut at any byte, as by a kill; a picture may be there already of which it does not tell."""
    chance = random.Random(case)
    log = (whole / "scores.jsonl").read_bytes()
    first, last = log.index(b"\n") + 1, log.index(b'{"ranked"')
    home = tmp_path / "killed"
    home.mkdir()
    cut = log[: chance.randint(first, last)]
    (home / "scores.jsonl").write_bytes(cut)
    written = [line["name"] for line in lines(whole) if "made" in line]
    for name in written[: cut.count(b'{"made"') - (not cut.endswith(b"\n")) + case % 2]:
        shutil.copy(next(whole.glob(f"0?-{name}")), home / name)
    search(None, home, model, scorer, resume=True)
    assert files(home).keys() == files(whole).keys()
    again, once = files(home), files(whole)
    differ = {name for name in once if again[name] != once[name] and not name.startswith("0")}
    assert differ == set()
    for name in (name for name in once if name.startswith("0")):
        assert np.array_equal(np.asarray(Image.open(home / name)), np.asarray(Image.open(whole / name)))


def names_before(home: Path) -> list[str]:
    return [path.name[3:] for path in sorted(home.glob("0*.png"))]


def test_a_finished_search_that_goes_on_changes_nothing(whole: Path, tmp_path: Path, model: Any, scorer: Any) -> None:
    home = shutil.copytree(whole, tmp_path / "again")
    found = search(None, home, model, scorer, resume=True)
    before = files(whole)
    assert {name: data for name, data in files(home).items() if name != "scores.jsonl"} == {
        name: data for name, data in before.items() if name != "scores.jsonl"
    }
    assert [path.name for path in found.pictures] == sorted(name for name in before if name.startswith("0"))


def test_a_search_that_is_killed_while_it_ranks_goes_on(whole: Path, tmp_path: Path, model: Any, scorer: Any) -> None:
    home = shutil.copytree(whole, tmp_path / "ranking")
    for name in ("sheet.png", "report.txt", "report.json"):
        (home / name).unlink()
    for path in sorted(home.glob("0*.png"))[1:]:
        path.rename(home / path.name[3:])
    search(None, home, model, scorer, resume=True)
    assert files(home).keys() == files(whole).keys()
    assert files(home)["report.json"] == files(whole)["report.json"]


def test_what_was_found_can_be_made_in_full_before_the_end_and_the_search_still_goes_on(
    whole: Path, tmp_path: Path, model: Any, scorer: Any
) -> None:  # fmt: skip
    home = tmp_path / "early"
    home.mkdir()
    log = (whole / "scores.jsonl").read_bytes().splitlines(keepends=True)
    (home / "scores.jsonl").write_bytes(b"".join(log[:4]))
    early = search(None, home, model, scorer, resume=True, finish=True)
    assert early.data["tried"] == 3
    assert len(early.pictures) == 3
    search(None, home, model, scorer, resume=True)
    ranked = [path.name for path in sorted(home.glob("0*.png"))]
    assert ranked == [path.name for path in sorted(whole.glob("0*.png"))]


def test_seeds_of_one_arm_are_made_together(tmp_path: Path, model: Any, scorer: Any) -> None:
    counts = []

    def counted(recipe: Any, *given: Any, **more: Any) -> Any:
        counts.append((recipe.count, recipe.steps))
        return benches_making(recipe, *given, **more)

    benches_making = benches.making
    asked = Asked(pairs=PAIRS[:1], views=("flip",), budget="99", seeds="0-9", steps=1, final_steps=2, keep=1)
    notes = list[str]()
    with mock.patch.object(benches, "making", counted):
        search(asked, tmp_path / "a", model, scorer, note=notes.append)
    assert notes == ["89 of 99 pictures not spent, as the seeds ran out; give more seeds than 0-9"]
    assert "10 pictures tried of 1 pair through flip, 1 step each;" in (tmp_path / "a" / "report.txt").read_text()
    assert counts == [(8, 1), (2, 1), (1, 2)]


def test_a_time_is_measured_once(tmp_path: Path) -> None:
    """On a clock that goes on by one second at each look: 7 looks are measuring, and the kept one takes one."""
    clock: Any = iter(range(100))
    bench: Any = Bench(SimpleNamespace(defaults=SimpleNamespace(steps=3), second=None), Compares())  # type: ignore[arg-type]
    quick = Asked(pairs=PAIRS[:1], views=("flip",), budget="10s", seeds="0-30", keep=1)
    with (
        mock.patch("time.perf_counter", side_effect=lambda: float(next(clock))),
        mock.patch.object(Bench, "results", return_value=()),
    ):
        assert pictures(logs.begin(tmp_path / "a", quick), bench) == 10 - 7 - 1
        said = r"the budget of 1s does not reach: here a picture takes 1\.0 s, and the 12 that are kept about 12 s"
        with pytest.raises(UsageError, match=said):
            pictures(logs.begin(tmp_path / "b", Asked(pairs=PAIRS[:1], budget="1s")), bench)
    assert pictures(logs.found(tmp_path / "a"), bench) == 2


def test_figures_and_their_intervals() -> None:
    """Of the first round alone; where all pictures of an arm are alike, the interval is that of as many arms."""
    arms = [Asked(pairs=((str(i), "x"),), views=("flip",)).arms[0] for i in range(30)]
    names = ("alignment", "concealment", "joint", "sep_min")
    tried = [Trial(arm, seed, 1, dict.fromkeys(names, i / 10)) for i, arm in enumerate(arms) for seed in range(4)]
    tried += [Trial(arm, 9, 2, dict.fromkeys(names, 50.0)) for arm in arms]
    rows = figures(tried)
    assert set(rows) == set(names)
    mean, low, high = rows["alignment"]["mean"]
    assert mean == pytest.approx(1.45)
    half = 1.96 * np.std(np.arange(30) / 10) / 30**0.5
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.03)
    values = np.repeat(np.arange(30) / 10, 4)
    assert rows["joint"]["q90"][0] == pytest.approx(np.quantile(values, 0.9))
    assert rows["joint"]["q95"][0] == pytest.approx(np.quantile(values, 0.95))
    one = figures(tried[:1])["sep_min"]["q95"]
    assert one == [0.0, 0.0, 0.0]


def test_joint_is_a_geometric_mean() -> None:
    assert joint(0.25, 1.0) == 0.5
    assert joint(-0.2, 1.0) == 0


def test_fid_and_kid_compare_with_ordinary_pictures(tmp_path: Path, model: Any, scorer: Any) -> None:
    """Both vanish where the illusions are what the model draws for their prompts anyhow."""
    asked = Asked(
        pairs=(("up", "down"),), views=("flip",), budget="3", seeds="0-2", steps=2, final_steps=20, keep=3, fid=True
    )
    found = search(asked, tmp_path / "a", model, scorer)
    far = found.data["distances"]
    assert far["pictures"] == [6, 6]
    assert far["fid"] == pytest.approx(0, abs=1e-4)
    said = (tmp_path / "a" / "report.txt").read_text()
    assert "of 6 readings" in said
    assert "never compare them with those of Inception's features" in said
    white, black = Image.new("RGB", (4, 4), "white"), Image.new("RGB", (4, 4), "#000000")
    assert distances(scorer, [white, white], [black, black])["fid"] == pytest.approx(4)


def test_the_size_that_the_upscaler_makes() -> None:
    from diffusion_tricks import load_model
    from diffusion_tricks.testing import tiny_pipeline, tiny_upscaler

    model = load_model(tiny_pipeline("if"), device="cpu", upscaler=tiny_upscaler())
    assert largest(model) == (64, 64)
    assert largest(exact_model(KNOWN)) is None


# --- the command


def line(home: Path, tiny: Path, *more: object) -> tuple[object, ...]:
    return ("search", "-m", tiny, "-o", home, *more)


FEW = ("--seeds", "0-1", "--budget", 4, "--steps", 1, "--final-steps", 2, "--keep", 2, "--view", "flip")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> tuple[Path, Any]:
    home = tmp_path_factory.mktemp("command") / "found"
    return home, run(*line(home, tiny, "--pair", "a cat", "a dog", "--pair", "a", "ü?", *FEW))


def test_the_command_says_what_it_leaves(done: tuple[Path, Any]) -> None:
    home, outcome = done
    assert (outcome.code, outcome.err) == (0, "")
    names = [Path(path).relative_to(home).as_posix() for path in outcome.lines]
    assert names[2:] == ["sheet.png", "report.txt", "report.json", "index.html"]
    assert sorted(name[:3] for name in names[:2]) == ["01-", "02-"]
    assert all((home / name).is_file() for name in names)
    assert "a cat" in (home / "index.html").read_text()
    said = (home / "report.txt").read_text()
    assert "4 pictures tried of 2 pairs through flip, 1 step each; 4 of them in the first round" in said
    assert "What may be compared with what:" in said


def test_the_anagram_command_makes_the_same_picture(done: tuple[Path, Any], tiny: Path, tmp_path: Path) -> None:
    home, _ = done
    picture = next(home.glob("*-a-cat-a-dog-flip-*.png"))
    seed = read_record(picture)["seed"]
    views = ("--view", "identity", "a cat", "--view", "flip", "a dog")
    alone = run("anagram", *views, "-m", tiny, "--seed", seed, "--steps", 2, "-o", tmp_path / "a.png")
    assert alone.code == 0, alone.err
    assert np.array_equal(np.asarray(Image.open(picture)), np.asarray(Image.open(tmp_path / "a.png")))


def test_a_picture_of_a_models_directory_that_the_log_does_not_tell_of_is_the_searchs_own(
    done: tuple[Path, Any], tiny: Path, tmp_path: Path
) -> None:  # fmt: skip
    """Killed between the picture and its line; the record in the picture names no directory of the machine's."""
    assert tiny.is_absolute()
    home = shutil.copytree(done[0], tmp_path / "killed", ignore=shutil.ignore_patterns("index*", "report.*", "sheet.*"))
    log = (home / "scores.jsonl").read_bytes()
    (home / "scores.jsonl").write_bytes(log[: log.index(b'{"made"')])
    for path in list(home.iterdir()):
        if path.name[:2] in {"01", "02"}:
            path.rename(home / path.name[3:])
    again = run("search", "--resume", "-o", home)
    assert (again.code, again.err) == (0, "")


def test_a_folder_that_holds_anything_is_refused(done: tuple[Path, Any], tiny: Path, tmp_path: Path) -> None:
    home, _ = done
    again = run(*line(home, tiny, "--pair", "a", "b", *FEW))
    assert (again.code, again.err) == (
        2, f"Error: {home} holds a search; go on with it by --resume, or choose another folder\n",
    )  # fmt: skip
    (tmp_path / "mine.txt").write_text("mine")
    other = run(*line(tmp_path, tiny, "--pair", "a", "b", *FEW))
    assert (other.code, other.err) == (
        2, f"Error: {tmp_path} is not empty; choose a folder that is, or that does not exist yet\n",
    )  # fmt: skip


def test_a_file_in_the_way_is_never_overwritten(whole: Path, tmp_path: Path, model: Any, scorer: Any) -> None:
    for name in (names_before(whole)[0], "01-" + names_before(whole)[0], "sheet.png"):
        home = tmp_path / name
        home.mkdir()
        shutil.copy(whole / "scores.jsonl", home)
        log = (home / "scores.jsonl").read_bytes()
        (home / "scores.jsonl").write_bytes(log[: log.index(b'{"made"')])
        (home / name).write_text("mine")
        with pytest.raises(OutputError, match="exists"):
            search(None, home, model, scorer, resume=True)
        assert (home / name).read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), 'name pairs: pairs:easy, a file, vocabulary, or --pair "a rabbit" "a duck"'),
        (("pairs:easy", "--finish"), "--finish is of a search that was begun; give --resume too"),
        (("--resume",), "holds no search to go on with: there is no scores.jsonl that can be read"),
        (("pairs:easy", "--budget", "soon"), "--budget is a number of pictures, as 500, or a time"),
        (("pairs:easy", "--budget", "0"), "--budget is at least 1 picture, or a time, as 90s, 20m or 2h, got '0'"),
        (("pairs:easy", "--view", "flop"), "unknown view 'flop'; did you mean 'flip'?"),
        (("pairs:easy", "--scheduler", "ddimm"), "unknown scheduler 'ddimm'; did you mean 'ddim'?"),
        (("vocabulary",), "does not say what it was taught; name the pairs, or a file of them"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    words: tuple[str, ...], said: str, tiny: Path, tmp_path: Path
) -> None:  # fmt: skip
    outcome = run(*line(tmp_path / "new", tiny, *words))
    assert outcome.code == 2
    assert said in outcome.err
    assert not (tmp_path / "new").exists()


def test_a_search_goes_on_with_what_it_was_asked(done: tuple[Path, Any], tiny: Path) -> None:
    home, first = done
    again = run("search", "--resume", "-o", home)
    assert (again.code, again.lines) == (0, first.lines), again.err
    same = run(*line(home, tiny, "--pair", "a cat", "a dog", "--pair", "a", "ü?", *FEW, "--resume", "--json"))
    assert same.code == 0, same.err
    assert same.json["tried"] == 4
    assert len(same.json["pictures"]) == 2
    other = run(*line(home, tiny, "--pair", "a cat", "a dog", *FEW, "--resume"))
    assert "Error: this search is asked other pairs; leave that out to go on" in other.err
    other = run(*line(home, tiny, "--pair", "a cat", "a dog", "--pair", "a", "ü?", *FEW, "--resume", "--steps", 9))
    assert (other.code, "is asked --steps 9, and was begun with 1; leave that out" in other.err) == (2, True), other.err


def test_ctrl_c_keeps_what_was_found_and_says_how_to_go_on(tiny: Path, tmp_path: Path, done: tuple[Path, Any]) -> None:
    home, made = tmp_path / "found", list[Any]()
    original = benches.making

    def interrupted(*given: Any, **more: Any) -> Any:
        made.append(given)
        if len(made) == 2:
            raise KeyboardInterrupt
        return original(*given, **more)

    with mock.patch.object(benches, "making", interrupted):
        stopped = run(*line(home, tiny, "--pair", "a cat", "a dog", "--pair", "a", "ü?", *FEW))
    assert stopped.code == 130
    assert (
        f"All that was found is kept in {home}. This goes on: diffusion-tricks search --resume -o {home}" in stopped.err
    )
    assert len([each for each in lines(home) if "round" in each]) == 2
    assert run("search", "--resume", "-o", home).code == 0
    assert before_the_end(home) == before_the_end(done[0])


def before_the_end(home: Path) -> bytes:
    return (home / "scores.jsonl").read_bytes().partition(b'{"ranked"')[0]


def test_a_damaged_log_is_told(whole: Path, tmp_path: Path, model: Any, scorer: Any) -> None:
    log = tmp_path / "scores.jsonl"
    good = (whole / "scores.jsonl").read_bytes()
    for data, said in (
        (good.replace(b'"keep": 3', b'"keep": 4'), "was changed: what was asked does not fit its hash"),
        (good.replace(b'{"round"', b'"round"', 1), "is damaged: line 2 is no object of JSON"),
        (b"{}\n", "is no search of this program's"),
        (b"", "is no search of this program's"),
    ):
        log.write_bytes(data)
        with pytest.raises(UsageError, match=said):
            search(None, tmp_path, model, scorer, resume=True)


def test_without_the_gallery_it_is_said(tiny: Path, tmp_path: Path) -> None:
    with mock.patch("diffusion_tricks.hosting.host.BUILT_IN", ("diffusion_tricks_plugins", "diffusion_tricks_search")):
        outcome = run(*line(tmp_path / "a", tiny, "--pair", "a", "b", *FEW))
    assert outcome.code == 0, outcome.err
    assert "Note: no command `gallery` is here, so no page of the pictures was made\n" in outcome.err
    assert not (tmp_path / "a" / "index.html").exists()


# option: words that give it another value than it has by default
WORDS = {
    "pairs": "pairs:paper", "output": "-o other", "named": "--pair x y", "views": "--view negate", "seeds": "--seeds 1",
    "budget": "--budget 7", "keep": "--keep 3", "by": "--by joint", "model": "-m other", "steps": "--steps 3",
    "final_steps": "--final-steps 3", "size": "--size 96x64", "guidance": "--guidance 2",
    "scheduler": "--scheduler ddim",
    "balance": "--balance score", "fid": "--fid", "scorer": "--scorer clip", "shuffle": "--shuffle 4",
    "device": "--device cuda:7", "max_rows": "--max-rows 3",
}  # fmt: skip
SAYING = {"resume", "finish", "json", "quiet"}  # of these the tests above


def test_every_option_reaches_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert {str(param.name) for param in command.params} == {*WORDS, *SAYING}
    asked = []

    def noted(*given: Any, tell: Any, note: Any, **more: Any) -> Any:
        asked.append((given, more))
        raise KeyboardInterrupt

    with mock.patch("diffusion_tricks_search.search.search", noted):
        for words in ("", *WORDS.values()):
            assert (
                run("search", "--pair", "a", "b", *("-o", "found")[: 0 if "-o " in words else 2], *words.split()).code
                == 130
            )
    assert all(one != asked[0] for one in asked[1:])
    assert len({repr(one) for one in asked}) == len(asked)


def test_help_is_quick_and_needs_no_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys; sys.argv = ['x', 'search', '--help']\nfrom diffusion_tricks_cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\nassert 'torch' not in sys.modules\n"
        "import time; assert time.process_time() < 1.5"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
