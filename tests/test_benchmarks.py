"""The benchmarks run, and compare like with like: both ways of every case end in the same picture. No timings here."""

from __future__ import annotations

import dataclasses
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from diffusion_tricks import Recipe
from diffusion_tricks.families.defaults import Defaults

FOLDER = Path(__file__).parents[1] / "benchmarks"
NAMES = (
    "speed", "peers", "memory", "judge", "drawings", "verdicts", "sheets", "measures", "reach", "defaults", "plots",
    "true_sizes", "gpu", "anagrams", "selection", "illusions", "temperature", "editing", "start", "prompts",
    "pull_queue", "batch", "batch_runs", "throughput",
)  # fmt: skip
BATCHED = 1e-4  # convolutions of several rows may round otherwise than of one


@pytest.fixture(scope="module")
def benchmarks() -> Iterator[dict[str, ModuleType]]:
    sys.path.insert(0, str(FOLDER))
    yield {name: importlib.import_module(name) for name in NAMES}
    sys.path.remove(str(FOLDER))
    for name in NAMES:
        del sys.modules[name]


def test_both_ways_of_every_case_end_in_the_same_picture(benchmarks: dict[str, ModuleType]) -> None:
    speed = benchmarks["speed"]
    cases = {case.name: case for case in speed.cases(speed.opened("tiny", "cpu"), steps=3)}
    exact = {"plain / diffusers' pipeline", "anagram / paper's sampler"}
    assert exact < set(cases)
    for name, case in cases.items():
        ours, theirs = case.ours(), case.theirs()
        assert ours.shape == theirs.shape
        if case.same:
            torch.testing.assert_close(ours, theirs, atol=0 if name in exact else BATCHED, rtol=0)


def test_a_ratio_is_the_median_of_ours_over_theirs(benchmarks: dict[str, ModuleType], monkeypatch: Any) -> None:
    speed = benchmarks["speed"]
    x = torch.zeros(1)
    ours, theirs = (lambda: x), (lambda: x + 0.25)
    seconds = {ours: iter([2.0, 9.0, 3.0]), theirs: iter([4.0, 4.0, 4.0])}
    monkeypatch.setattr(speed, "timed", lambda way, device, clock: next(seconds[way]))
    row = speed.measured(speed.Case("a", ours, theirs, goal=0.8), 3, torch.device("cpu"), "wall")
    assert (row["ratio"], row["ours_ms"], row["theirs_ms"], row["difference"]) == (0.75, 3000, 4000, 0.25)
    facts = {"model": "m", "device": "cpu", "dtype": "d", "threads": 1, "steps": 3, "repeats": 3, "clock": "wall"}
    assert "0.750   0.8   2.5e-01" in speed.table({**facts, "cases": [row]})


def test_start_up_is_told_as_medians_of_ratios_over_the_bare_imports(benchmarks: dict[str, ModuleType]) -> None:
    start = benchmarks["start"]
    bare, cold = [(2.0, 1.0), (4.0, 1.0), (2.0, 1.0)], [(3.0, 2.0), (4.0, 3.0), (9.0, 2.5)]
    found = {"bare imports": bare, "cold generate": cold}
    told = start.table(found, {"imports": 0.75, "loading and all else": 0.2, "computing": 0.05})
    assert "| bare imports | 1.00 | 1.00 |  |" in told
    assert "| cold generate | 1.50 | 2.50 | <= 1.5 |" in told
    assert "| computing | 5 % |" in told


def test_a_fresh_process_is_timed_by_the_wall_and_by_the_processor(benchmarks: dict[str, ModuleType]) -> None:
    took = benchmarks["start"].timed([sys.executable, "-S", "-c", "import time; time.sleep(0.3)"])
    assert took.wall > 0.3 > took.cpu > 0


def test_what_kept_prompts_save_is_told_as_medians_of_ratios(benchmarks: dict[str, ModuleType]) -> None:
    told = benchmarks["prompts"].table({"not kept": [2.0, 4.0, 1.0], "again": [1.0, 1.0, 0.9]})
    assert "| not kept | 2.00 | 1.00 |" in told
    assert "| again | 1.00 | 0.50 |" in told


def test_memory_is_measured_before_and_after(benchmarks: dict[str, ModuleType]) -> None:
    row = benchmarks["memory"].growth("tiny", "cpu", steps=1, rows=2)
    assert row["max_rows"] == 2
    assert row["peak_mb"] >= row["before_mb"] > 0
    assert row["growth_mb"] == pytest.approx(row["peak_mb"] - row["before_mb"], abs=0.06)


def test_the_cuda_benchmark_runs_small_and_says_that_nothing_was_measured(
    benchmarks: dict[str, ModuleType], tmp_path: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    gpu = benchmarks["gpu"]
    monkeypatch.setattr(gpu, "Compiled", lambda network, backend: None)  # `test_speed` compiles
    monkeypatch.chdir(tmp_path)
    gpu.main(["--small", "--steps", "2", "--json", "report.json", "--picture", "curve.png"])
    report, printed = json.loads(Path("report.json").read_text()), capsys.readouterr().out
    goals = {1.0, 0.75, 0.35, 0.8, 1.02}
    assert {row.get("goal") for row in report["rows"]} == {*goals, None}
    assert printed.count("| not measured on CUDA |") == 6
    assert all(row["ratio"] > 0 for row in report["rows"][:-1])
    differences = {row["case"]: row["difference"] for row in report["rows"][:-1]}
    assert max(d for d in differences.values() if d is not None) < 1e-3  # guided, of random weights
    assert [count for count, _ in report["rows"][-1]["points"]] == [1, 2, 4]
    with Image.open("curve.png") as picture:
        assert picture.size == gpu.plots.SIZE


def test_what_was_measured_on_cuda_is_given_as_found(benchmarks: dict[str, ModuleType]) -> None:
    table = benchmarks["gpu"].table
    row = {"case": "a / b", "ours_ms": 3.0, "theirs_ms": 4.0, "ratio": 0.75, "goal": 0.7, "difference": 0.0}
    report = {
        "device": "GPU",
        "dtype": "bfloat16",
        "small": False,
        "steps": 30,
        "repeats": 5,
        "torch": "2",
        "rows": [row],
    }
    assert "| a / b | <= 0.70 | 0.750 | no | 3.0 / 4.0 ms, pictures differ by 0.0e+00 |" in table(report)
    points = {"case": "pictures per second", "points": [[1, 1.5], [2, 2.5]], "picture": "c.png"}
    assert "| curve | 2.50, 2 at once | | c.png |" in table({**report, "rows": [points]})


def test_a_share_of_the_time_of_pictures_made_at_once(benchmarks: dict[str, ModuleType], monkeypatch: Any) -> None:
    gpu = benchmarks["gpu"]
    monkeypatch.setattr(gpu.speed, "measured", lambda *_: {"ours_ms": 80.0, "theirs_ms": 20.0, "ratio": 4.0})
    bench = gpu.Bench(gpu.Setting(torch.device("cpu"), torch.float32, True))
    assert bench.row(None, share=8) == {"ours_ms": 10.0, "theirs_ms": 20.0, "ratio": 0.5}


def test_models_of_true_size_have_the_weights_of_the_real_ones(benchmarks: dict[str, ModuleType]) -> None:
    made = {name: benchmarks["true_sizes"].of_true_size(name, "meta", torch.bfloat16) for name in ("sd", "if")}
    sizes = {name: sum(weight.numel() for weight in pipe.unet.parameters()) for name, pipe in made.items()}
    assert sizes == {"sd": 859_520_964, "if": 371_605_830}
    assert sum(weight.numel() for weight in made["sd"].vae.parameters()) == 83_653_863
    assert {pipe.unet.dtype for pipe in made.values()} == {torch.bfloat16}


def test_the_cuda_command_does_not_stand_in_for_nvidia_s_package() -> None:
    command = [sys.executable, str(FOLDER / "cuda.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--small" in done.stdout
    code = f"import sys; sys.path.insert(0, {str(FOLDER)!r}); import cuda"
    refused = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ImportError: this is a benchmark to be run" in refused.stderr


def by_colour(x: torch.Tensor) -> torch.Tensor:
    """A judge: logits say how red, how green, how blue."""
    return x.mean((2, 3))


def plain(*colours: tuple[int, int, int]) -> list[Image.Image]:
    return [Image.new("RGB", (64, 64), colour) for colour in colours]


def test_the_judge_ranks_a_picture_s_own_caption_among_all(benchmarks: dict[str, ModuleType]) -> None:
    verdicts = benchmarks["verdicts"]
    images = plain((200, 100, 0), (200, 100, 0), (0, 100, 200))
    found = verdicts.places(by_colour, ["red", "green", "blue"], images, ["red", "green", "red"])
    assert found.tolist() == [0, 1, 2]
    many = verdicts.places(by_colour, ["red", "green", "blue"], images * 50, ["red", "green", "red"] * 50)
    assert many.tolist() == [0, 1, 2] * 50
    assert verdicts.share(torch.tensor([0, 4, 5, 0]), 5) == 0.75


def test_every_listed_pair_is_of_things_the_model_claims(benchmarks: dict[str, ModuleType]) -> None:
    verdicts = benchmarks["verdicts"]
    assert [len(set(verdicts.pairs(kind))) for kind in ("flip", "rotate_cw", "hybrid")] == [25, 25, 20]
    captions = {thing.prompt: thing for thing in verdicts.every_caption()}
    assert captions["a bunny"] == verdicts.Asked("a bunny", "rabbit", main=False)
    assert verdicts.asked("spouting whale").prompt == "a whale"


def test_a_goal_is_met_from_its_own_side(benchmarks: dict[str, ModuleType]) -> None:
    row, table = benchmarks["measures"].Row, benchmarks["reach"].table
    assert [row("a", value, 75).met for value in (74.9, 75.0)] == [False, True]
    assert [row("a", value, 5, "s", most=True).met for value in (5.0, 5.1)] == [True, False]
    lines = table([row("captions", 80.25, 75, note="of 9"), row("anagram", 6.0, 5, "s", most=True)]).splitlines()
    assert lines[1].split() == ["captions", "80.2", ">=", "75", "%", "met", "of", "9"]
    assert lines[2].split() == ["anagram", "6.0", "<=", "5", "s", "not", "met"]


@pytest.fixture
def bench(benchmarks: dict[str, ModuleType]) -> Any:
    """A bench whose judge goes by colour and whose model has 25 steps; nothing is said on the way."""
    model = SimpleNamespace(defaults=Defaults(steps=25))
    names = ["red", "green", "blue"]
    return benchmarks["measures"].Bench(model, by_colour, names, object(), Recipe(seed=7), tell=lambda text: None)


def results_of(images: list[Image.Image]) -> list[Any]:
    return [SimpleNamespace(image=image, recipe=Recipe(), seed=7) for image in images]


def test_captions_are_made_in_default_and_in_few_steps(
    benchmarks: dict[str, ModuleType], bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    measures = benchmarks["measures"]
    things = [measures.Asked(f"a {name} thing", name) for name in ("red", "green")]
    monkeypatch.setattr(measures, "every_caption", lambda: things)
    red, green = (200, 0, 0), (0, 200, 0)
    made = {25: plain(red, green), 20: plain(red, red), 8: plain(green, red)}
    monkeypatch.setattr(measures, "making", lambda recipe, model, scorer: results_of(made[recipe.steps]))
    rows, details = measures.captions(bench)
    assert [row.value for row in rows] == [100, 100, 2, 2, 50, 100]
    assert "34.2-100.0 %" in rows[0].note
    assert details == {"places": {"a red thing": 1, "a green thing": 1}}


def test_the_scorer_chooses_among_eight_and_the_judge_gives_the_verdict(
    benchmarks: dict[str, ModuleType], bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    measures = benchmarks["measures"]
    pair = (measures.Asked("a red thing", "red"), measures.Asked("a blue thing", "blue"))
    monkeypatch.setattr(measures, "pairs", lambda kind: [pair] * 2)
    asked = []

    def making(recipe: Recipe, model: Any, scorer: Any) -> list[Any]:
        asked.append((recipe, scorer))
        return [SimpleNamespace(image=plain((200, 0, 0))[0], recipe=recipe, seed=recipe.seed)]

    monkeypatch.setattr(measures, "making", making)
    monkeypatch.setattr(measures, "FIRST", 2)
    rows, made = measures.hybrids(bench)
    assert {recipe.best_of for recipe, _ in asked} == {8}
    assert all(scorer is bench.scorer for _, scorer in asked)
    assert [recipe.seed for recipe, _ in asked] == [7, 15]  # no seed is used twice
    assert made[0].data() == {"seed": 7, "red": 1, "blue": 2}
    assert rows[0].value == 100
    monkeypatch.setattr(measures, "FIRST", 1)
    assert [one.met for one in made] == [False, False]  # the second view's caption is not the first
    measures.anagrams(bench)
    views = [recipe.tricks[0].options["views"][1][0] for recipe, _ in asked[2:]]
    assert views == ["flip", "flip", "rotate_cw", "rotate_cw"]
    blurred, _ = measures.hybrids(dataclasses.replace(bench, sigma=5.0))
    assert blurred[0].name == f"{rows[0].name}, sigma 5"
    assert [recipe.tricks[0].options.get("sigma") for recipe, _ in (*asked[:2], *asked[-2:])] == [None, None, 5, 5]


def candidate(anagrams: ModuleType, places: tuple[int, int], alignment: float = 0.5, sep_min: float = 0.1) -> Any:
    return anagrams.Judged(0, places, alignment, concealment=0.5, sep_min=sep_min)


def test_the_rules_of_selection_pick_what_they_say(benchmarks: dict[str, ModuleType]) -> None:
    selection, made = benchmarks["selection"], partial(candidate, benchmarks["anagrams"])
    four = [made((1, 9), 0.9, -0.5), made((5, 1), 0.5, 0.2), made((6, 1), 0.4, 0.1), made((2, 7), 0.3, 0.2)]
    assert [float(selection.met(rule, [four])) for rule in selection.RULES.values()] == [0.25, 0, 1, 1]
    blind, _, pick, ceiling = (selection.log_places(rule, [four]).exp() for rule in selection.RULES.values())
    assert (float(pick), float(ceiling)) == pytest.approx((5, 5))
    assert float(blind) == pytest.approx((9 * 5 * 6 * 7) ** 0.25)
    lines = selection.table([four, four]).splitlines()
    assert [line[:18].strip() for line in lines[1:]] == list(selection.RULES)
    share, ratio = "100.0% 100.0% to 100.0%", f"{5 / (9 * 5 * 6 * 7) ** 0.25:.2f}"
    assert lines[3].split() == f"pick by sep_min {share} +75.0% +75.0% to +75.0% {ratio} {ratio} to {ratio}".split()


def test_a_rank_among_pairs_keeps_the_best_quarter(benchmarks: dict[str, ModuleType]) -> None:
    selection, made = benchmarks["selection"], partial(candidate, benchmarks["anagrams"])
    good = [made((1, 2), 0.9 - i / 100, 0.1 * (-1) ** i) for i in range(4)]
    bad = [made((9, 2), 0.5 - i / 100, 0.1 * (-1) ** i) for i in range(12)]
    kept = selection.kept(selection.RANKS["alignment"], [*bad, *good])
    assert [one.success for one in kept] == [1, 1, 1, 1]
    assert selection.auc(selection.RANKS["alignment"], [*bad, *good]) == 1
    assert selection.auc(selection.RANKS["sep_min"], [*bad, *good]) == pytest.approx(0.5)
    assert selection.auc(lambda one: -one.alignment, [*bad, *good]) == 0
    assert selection.auc(selection.RANKS["alignment"], bad) == 0.5, "there is nothing to tell apart"
    lines = selection.among_pairs([*bad, *good], again=200).splitlines()
    assert lines[0].split() == ["all", "of", "them", "25.0%"]
    assert lines[2].split()[:3] == ["alignment", "100.0%", "+75.0%"]
    assert lines[2].split()[-4:] == ["1.00", "1.00", "to", "1.00"]


def test_other_pairs_are_none_of_the_listed(benchmarks: dict[str, ModuleType]) -> None:
    anagrams, verdicts = benchmarks["anagrams"], benchmarks["verdicts"]
    given = SimpleNamespace(others=300, seed=4, limit=None)
    drawn = anagrams.chosen_pairs(given)
    listed = {frozenset(thing.name for thing in pair) for view in anagrams.VIEWS for pair in verdicts.pairs(view)}
    assert not listed & {frozenset(thing.name for thing in pair) for _, pair in drawn}
    assert (len(drawn), {view for view, _ in drawn}) == (300, set(anagrams.VIEWS))
    assert drawn == anagrams.chosen_pairs(given)
    given.others, given.limit = None, 2
    assert anagrams.chosen_pairs(given)[2:] == [("rotate_cw", pair) for pair in verdicts.pairs("rotate_cw")[:2]]


def test_the_papers_sampler_draws_what_ours_does(benchmarks: dict[str, ModuleType]) -> None:
    """With the mean and with views that take turns, to the last bit of a picture."""
    illusions, anagrams = benchmarks["illusions"], benchmarks["anagrams"]
    model = dataclasses.replace(benchmarks["speed"].opened("tiny", "cpu"), defaults=Defaults(steps=3, guidance=2.0))
    bench = benchmarks["measures"].Bench(model, None, [], None, Recipe(steps=3))
    pair = benchmarks["verdicts"].pairs("rotate_cw")[0]
    made = {name: way(7) for name, way in illusions.ways(bench, "rotate_cw", pair).items() if name != "balanced"}
    for name in ("mean", "alternate"):
        ours, theirs = (np.asarray(made[way], dtype=int) for way in (name, f"plain {name}"))
        assert abs(ours - theirs).max() <= 1
    assert made["mean"].tobytes() != made["alternate"].tobytes() != made["rectified"].tobytes()
    assert [options for _, options in anagrams.said("flip", pair)] == [pair[0].prompt, pair[1].prompt]


def test_ways_are_candidates_as_well(benchmarks: dict[str, ModuleType], tmp_path: Path) -> None:
    """Of what was written, those of the paper's sampler are left out, as they are the same pictures."""
    anagrams, file = benchmarks["anagrams"], tmp_path / "made.json"
    first, second, third = (candidate(anagrams, places) for places in ((1, 2), (3, 4), (5, 6)))
    made = {"plain mean": [[first], [first]], "mean": [[first], [second]], "balanced": [[second], [third]]}
    anagrams.write(file, made)
    assert anagrams.read(file) == made
    assert benchmarks["selection"].of_ways(file) == [[first, second], [second, third]]
    assert benchmarks["selection"].of_ways(file, ["balanced"]) == [[second], [third]]


def test_ways_are_compared_on_the_same_pictures(benchmarks: dict[str, ModuleType]) -> None:
    illusions, made = benchmarks["illusions"], partial(candidate, benchmarks["anagrams"])
    good, half, bad = made((1, 5)), made((1, 6)), made((9, 9))
    assert [(one.success, one.one) for one in (good, half, bad)] == [(1, 0), (0, 1), (0, 0)]
    lines = illusions.table({"plain mean": [[bad, half]] * 3, "balanced": [[good, half]] * 3}).splitlines()
    assert lines[6].split() == [
        "balanced", "success", "0.500", "0.500", "to", "0.500", "+0.500", "+0.500", "to", "+0.500",
    ]  # fmt: skip
    seconds = illusions.times({"plain mean": [1, 2, 4], "mean": [2, 2, 2]})
    assert seconds.splitlines()[2].split() == ["mean", "2.00", "1.00"]


def test_the_temperature_is_the_one_of_the_least_loss(benchmarks: dict[str, ModuleType]) -> None:
    """Of many captions drawn at a known temperature the loss is least there; what means the same is left out."""
    temperature, tau = benchmarks["temperature"], 0.05
    generator = torch.Generator().manual_seed(0)
    known = torch.randn(4000, 12, generator=generator) * 0.1
    first = (known / tau).softmax(1).multinomial(1, generator=generator)
    others = torch.ones(4000, 12, dtype=torch.bool).scatter(1, first, False)
    own = known.gather(1, first)[:, 0]
    losses = [float(temperature.likelihoods(own, known, others, t)[0].mean()) for t in (0.035, 0.05, 0.07)]
    assert min(losses) == losses[1]
    told = temperature.likelihoods(own, known, others, tau)[1]
    assert temperature.calibration_error(told) < 0.03
    assert temperature.threshold(torch.tensor([0.8, 0.9]), torch.tensor([0.1, 0.6])) == pytest.approx(0.7, abs=0.01)


def test_the_best_defaults_are_the_cheapest_of_those_about_as_good(benchmarks: dict[str, ModuleType]) -> None:
    found = benchmarks["defaults"].Found
    rows = [
        found("own", 30, 2, first=90.0, alignment=0.5, spread=1, rows=60),
        found("own", 20, 2, first=89.5, alignment=0.4, spread=1, rows=40),
        found("own", 20, 3, first=89.2, alignment=0.6, spread=1, rows=40),
        found("own", 10, 3, first=80.0, alignment=0.9, spread=1, rows=20),
    ]
    assert benchmarks["defaults"].best(rows) is rows[2]
    assert benchmarks["defaults"].difference(*plain((10, 0, 0), (0, 0, 20))) == 10


def test_a_sheet_shows_every_picture_with_its_text_below(benchmarks: dict[str, ModuleType]) -> None:
    sheets = benchmarks["sheets"]
    cells = [(plain((255, 0, 0), (0, 255, 0)), "red and green"), (plain((0, 0, 255)), "blue")]
    page = sheets.sheet(cells, columns=1)
    at, below = sheets.MARGIN + 1, sheets.SIDE + 2 * sheets.LINE + sheets.MARGIN
    spots = [(at, at), (at + sheets.SIDE, at), (at, at + below)]
    assert [page.getpixel(spot) for spot in spots] == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    words = page.crop((0, sheets.MARGIN + sheets.SIDE, page.width, below))
    assert min(words.convert("L").tobytes()) < 128
    half = sheets.marked(plain((255, 255, 255))[0], "box:0%,0%,50%,100%")
    assert (half.getpixel((10, 10)), half.getpixel((50, 10))) == ((136, 136, 136), (255, 255, 255))


def test_the_drawings_are_of_things_the_model_claims_and_differ(benchmarks: dict[str, ModuleType]) -> None:
    drawings = benchmarks["drawings"]
    assert len(drawings.DRAWINGS) == 10
    assert set(drawings.DRAWINGS) <= {thing.name for thing in benchmarks["verdicts"].every_caption()}
    assert len({drawings.drawn(name).tobytes() for name in drawings.DRAWINGS}) == 10


def test_the_judge_s_augmentation_keeps_shape_and_range_and_depends_on_its_generator(
    benchmarks: dict[str, ModuleType],
) -> None:
    judge = benchmarks["judge"]
    pixels = torch.rand(4, 4, judge.SOURCE_SIDE, judge.SOURCE_SIDE, generator=torch.Generator().manual_seed(0))
    before = pixels.clone()
    first, again, other = (judge.augmented(pixels, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first.shape == (4, 3, judge.SIDE, judge.SIDE)
    assert first.abs().max() <= 1
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(pixels, before)
    logits = judge.Judge(7)(first)
    assert logits.shape == (4, 7)
    assert logits.abs().max() <= judge.TEMPERATURE * (1 + 1e-5)


def test_edits_of_large_photos_are_measured_against_small_ones(
    benchmarks: dict[str, ModuleType], tiny: Path, tmp_path: Path
) -> None:
    """One process, whose peak is its own, and the sums of the table by hand."""
    editing = benchmarks["editing"]
    told = SimpleNamespace(model=str(tiny), steps=2, megapixels=[], areas=[])
    (row,) = editing.sizes(told, tmp_path)
    assert (row["megapixels"], row["times_small"], row["growth"]) == (editing.SMALL, 1, 0)
    assert 100 < row["peak_mb"] < 3000
    with Image.open(tmp_path / "0.1-1.png") as image:
        width, height = image.size
    assert width * height == pytest.approx(editing.SMALL * 1e6, rel=0.01)
    assert width / height == pytest.approx(3 / 2, rel=0.01)
    cost = editing.against({"seconds": 6.0, "peak_mb": 860.0}, {"seconds": 4.0, "peak_mb": 500.0}, 12)
    assert cost == {"seconds": 6.0, "times_small": 1.5, "peak_mb": 860, "growth": 10.0}
    assert editing.table([cost]).splitlines()[2] == "| 6.0 | 1.5 | 860 | 10.0 |"


@pytest.mark.parametrize("area", [0.01, 0.3, 0.9])
def test_a_mask_of_an_area_covers_that(benchmarks: dict[str, ModuleType], area: float) -> None:
    from diffusion_tricks_plugins.masks import mask_for

    covered = (mask_for([benchmarks["editing"].mask(area)], (600, 400)).weights > 0).mean()
    assert covered == pytest.approx(area if area < 0.7 else 1, rel=0.03)


@pytest.mark.parametrize(("groups", "workers"), [(7, 1), (64, 8), (65, 8), (3, 8)])
def test_equal_groups_take_as_long_as_their_rounds(
    benchmarks: dict[str, ModuleType], groups: int, workers: int
) -> None:
    found = benchmarks["pull_queue"].makespan([2.0] * groups, workers, start=5.0, lease=0.5)
    assert found == pytest.approx(5.0 + 2.5 * -(-groups // workers))


def test_workers_that_pull_are_those_of_a_clock_that_goes_on(benchmarks: dict[str, ModuleType]) -> None:
    """Beside time that goes on tick by tick."""
    services = np.random.default_rng(0).integers(1, 9, 40).tolist()
    busy, waiting, ticks = [0, 0, 0], list(services), 0
    while waiting or any(busy):
        busy = [left or (waiting.pop(0) if waiting else 0) for left in busy]
        busy, ticks = [max(0, left - 1) for left in busy], ticks + 1
    assert benchmarks["pull_queue"].makespan(services, 3) == ticks


def test_speedups_of_long_lists_are_linear_and_of_short_ones_not(benchmarks: dict[str, ModuleType]) -> None:
    queue = benchmarks["pull_queue"].Queue([1.0], group=8, start=4.0, planned=3.0, each_planned=0.01)
    assert queue.whole(80, 2) == pytest.approx(3 + 0.8 + 4 + 5)
    assert queue.speedup(80, 2) == pytest.approx((4 + 10) / (4 + 5))
    since = queue.linear_from(8)
    assert queue.speedup(since, 8) >= 0.95 * 8 > queue.speedup(since // 2, 8)
    assert queue.linear_from(64, most=1000) is None
    assert queue.speedup(80_000, 64, whole=True) < 12  # planning, which one process does, is a tenth of it


def test_what_a_run_took_is_read_from_its_ledger(benchmarks: dict[str, ModuleType]) -> None:
    cycles_of, growth = benchmarks["batch_runs"].cycles_of, benchmarks["batch_runs"].growth
    begun = [{"begun": name, "at": at} for name, at in (("a", 1.0), ("b", 1.001), ("c", 4.0), ("d", 4.001))]
    done = [{"done": name, "at": at} for name, at in (("a", 4.5), ("b", 4.6), ("c", 6.0), ("d", 7.5))]
    lines = [{"worker": "here"}, *begun, *done[:2], {"begun": "e", "at": 6.5}, *done[2:], {"done": "e", "at": 8.0}]
    assert cycles_of(lines) == (1.0, pytest.approx([3.0, 2.5, 1.5]), 8.0)
    assert cycles_of([{"worker": "here"}]) is None
    assert growth([(0, 100), (60, 200), (99, 220), (100, 210), (500, 900), (980, 231), (1000, 209)]) == 1.05
    assert growth([(0, 100), (60, 200), (90, 220)]) is None


def test_the_benchmark_of_batches_runs_small(
    benchmarks: dict[str, ModuleType], tiny: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    batch = benchmarks["batch"]
    real, runs = batch.run, list[dict[str, Any]]()

    def once(jobs: Path, out: Path, workers: int, threads: int, *options: str) -> dict[str, Any]:
        runs[:] = runs or [real(jobs, out, 1, 1, *options)]
        return {**runs[0], "workers": workers, "threads": threads}

    monkeypatch.setattr(batch, "run", once)
    words = [f"--{name}=6" for name in ("jobs", "two", "one", "turns")]
    words += ["--batch=2", "--at-once=1", "--steps=1"]
    threads = torch.get_num_threads()
    try:
        batch.main([*words, "--model", str(tiny), "--json", str(tmp_path / "report.json")])
    finally:
        torch.set_num_threads(threads)
    report, printed = json.loads((tmp_path / "report.json").read_text()), capsys.readouterr().out
    assert runs[0]["pictures"] == 6
    assert min(runs[0][phase] for phase in ("plan", "work", "after")) > 0
    assert all(value > 0.5 for pair in report["overhead"]["ratios"].values() for value in pair)
    assert printed.count("\n| ") > 10
    assert "simulated" in printed


def test_ways_to_make_pictures_are_compared_with_the_default(
    benchmarks: dict[str, ModuleType], tiny: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    throughput = benchmarks["throughput"]
    words = ["--pictures", "2", "--turns", "1", "--steps", "1", "--model", str(tiny)]
    threads = torch.get_num_threads()
    only = ["--only", "channels first", "--only", "2 processes"]
    throughput.main([*words, *only, "--json", str(tmp_path / "rows.json")])
    rows = {row["way"]: row for row in json.loads((tmp_path / "rows.json").read_text())}
    assert list(rows) == ["8 at once", "2 processes", "channels first"]
    assert (rows["8 at once"]["ratio"], rows["8 at once"]["difference"]) == (1.0, 0.0)
    assert rows["channels first"]["difference"] <= 1 / 255  # rounding, and that of a byte
    assert rows["2 processes"]["difference"] is None
    assert torch.get_num_threads() == threads
    assert "| channels first |" in capsys.readouterr().out
