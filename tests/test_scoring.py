"""The scorer against CLIPModel's own logits and formulas in NumPy; best of N against a scorer that is known."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

from command_line import run
from diffusion_tricks import Recipe, Trick, TrickEntry, UsageError, load_model, make
from diffusion_tricks.errors import ModelError, PluginError
from diffusion_tricks.generate.score import (
    CALIBRATION_FILE,
    EMBEDDED,
    Score,
    Scorer,
    ViewScore,
    alignment,
    concealment,
    margin,
)
from diffusion_tricks.generate.shown import shown
from diffusion_tricks.io.pixels import to_tensor
from diffusion_tricks.recipes.recipe import Recipe as AnyRecipe
from diffusion_tricks.recipes.record import read_record
from diffusion_tricks.registry.trick import Shown
from diffusion_tricks.testing import exact_model, tiny_pipeline
from diffusion_tricks.training import clip as small
from diffusion_tricks.training.data.captions import with_article
from diffusion_tricks.training.data.emoji import FONT, all_emoji
from diffusion_tricks_plugins import Anagram, Hybrid
from test_hybrid import numpy_blur, numpy_motion

RECOGNISED, RECOGNISED_IN_FIVE = 0.6, 0.85  # of the clean originals, a little below what was measured
TEXTS = ["a rabbit", "a duck on a blue background", "an oil painting of a skull", " ".join(["very"] * 60) + " long"]


def picture(seed: int, size: tuple[int, int] = (64, 64), channels: int = 3) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a tiny CLIP of random weights."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("clip") / "tiny"
    tokenizer = small.train_tokenizer(TEXTS)
    model = small.clip(len(tokenizer), width=32, layers=1, text_width=32, text_layers=1)
    small.save(model, tokenizer, ["rabbit", "duck"], folder)
    return folder


def test_similarity_is_that_of_clip_models_own_logits(clip: Path) -> None:
    pictures = [picture(0), picture(1, (90, 50)), picture(2, (40, 64), channels=4)]
    model = CLIPModel.from_pretrained(clip).float()
    rows = AutoTokenizer.from_pretrained(clip)(
        TEXTS, padding=True, truncation=True, max_length=small.LONGEST, return_tensors="pt"
    )
    white = Image.new("RGBA", (40, 64), "white")
    white.alpha_composite(pictures[2])
    flat = [*pictures[:2], white.convert("RGB")]
    pixels = CLIPImageProcessorPil.from_pretrained(clip)(images=flat, return_tensors="pt").pixel_values
    with torch.no_grad():
        logits = model(**rows, pixel_values=pixels).logits_per_image
    scorer = Scorer(clip)
    torch.testing.assert_close(scorer.similarity(pictures, TEXTS), logits * scorer.temperature, atol=1e-5, rtol=0)


def test_pictures_and_texts_score_the_same_alone_and_among_many(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, scorer = [picture(i) for i in range(5)], Scorer(clip)
    whole = scorer.similarity(pictures, TEXTS)
    monkeypatch.setattr("diffusion_tricks.generate.score.ROWS", 2)
    torch.testing.assert_close(scorer.similarity(pictures, TEXTS), whole, atol=1e-6, rtol=0)


def test_no_text_is_cut_short_by_a_character_that_is_unknown(clip: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(clip)
    ids = tokenizer("a j ѣ 鴨 rabbit").input_ids
    assert ids[0] == 0
    assert ids.index(1) == len(ids) - 1


@pytest.mark.parametrize("n", [1, 2, 4])
def test_alignment_and_concealment_are_the_papers(n: int) -> None:
    s = np.random.default_rng(n).uniform(-1, 1, (n, n))
    tau = 0.07
    e = np.exp(s / tau)
    rows, columns = e / e.sum(1, keepdims=True), e / e.sum(0, keepdims=True)
    c = (np.trace(rows) + np.trace(columns)) / (2 * n)
    assert alignment(torch.from_numpy(s)) == pytest.approx(s.diagonal().min(), abs=1e-12)
    assert concealment(torch.from_numpy(s), tau) == pytest.approx(c, abs=1e-12)


def numpy_margin(own: float, others: np.ndarray, tau: float) -> float:
    """The own share of a softmax less the largest of the others."""
    e = np.exp(np.array([own, *others]) / tau)
    p = e / e.sum()
    return float(p[0] - p[1:].max(initial=0.0))


def test_a_margin_is_what_the_own_share_is_ahead_by() -> None:
    random = np.random.default_rng(0)
    own, cosines, counts = random.uniform(-1, 1, 5), random.uniform(-1, 1, (5, 30)), random.random((5, 30)) < 0.7
    counts[4] = False  # nothing else to be told from
    found = margin(*map(torch.from_numpy, (own, cosines, counts)), 0.08)
    expected = [numpy_margin(own[i], cosines[i][counts[i]], 0.08) for i in range(5)]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)
    assert expected[4] == 1


def test_sep_min_is_the_weakest_view_s_margin_over_what_means_something_else() -> None:
    """By hand for the scorer inside: what counts are the other prompt and the captions that are not alike."""
    scorer, fitted = Scorer(), json.loads((EMBEDDED / CALIBRATION_FILE).read_text())
    views = [Shown("identity", picture(0), "a bunny"), Shown("flip", picture(1), "a duck")]
    pictures, prompts = [v.picture for v in views], [v.prompt for v in views]
    texts = [*prompts, *scorer.known]
    cosines = scorer.similarity(pictures, texts).double().numpy()
    alike = (scorer.texts(prompts) @ scorer.texts(texts).T).numpy() >= fitted["alike"]
    assert alike[0, texts.index("a rabbit")]
    assert not alike[0, texts.index("a duck")]
    expected = [numpy_margin(cosines[i, i], cosines[i][~alike[i]], fitted["temperature"]) for i in range(2)]
    score = scorer.score(views)
    assert [view.margin for view in score.views] == pytest.approx(expected, abs=1e-5)
    assert score.sep_min == min(view.margin for view in score.views)
    assert score.data()["sep_min"] == score.sep_min
    assert score.order == (score.alignment, score.sep_min)


def test_a_scorer_that_nothing_was_fitted_for_goes_by_its_own_temperature_and_equal_texts(clip: Path) -> None:
    scorer = Scorer(clip)
    (view,) = scorer.score([Shown("identity", picture(0), "A rabbit ")]).views
    cosines = scorer.similarity([picture(0)], ["A rabbit ", *scorer.known])[0].double().numpy()
    others = [c for c, caption in zip(cosines[1:], scorer.known, strict=True) if caption != "a rabbit"]
    assert len(others) == len(scorer.known) - 1
    assert view.margin == pytest.approx(numpy_margin(cosines[0], np.array(others), scorer.temperature), abs=1e-5)
    assert view.known is None


def test_what_a_scorer_knows_nothing_like_is_told(tmp_path: Path) -> None:
    said = ["a bunny", "a rabbit on a red background", "an oil painting of a skull", "a quokka", "Albert Einstein"]
    score = Scorer().score([Shown("identity", picture(0), prompt) for prompt in said])
    assert [view.known for view in score.views] == [True, True, True, False, False]
    assert score.outside == said[3:]
    picture(0).save(tmp_path / "a.png")
    outcome = run("score", tmp_path / "a.png", "-p", "a quokka", "-p", "a rabbit")
    assert outcome.err.splitlines() == [
        "Note: the scorer knows nothing like 'a quokka', so its score says little; name a larger CLIP with --scorer",
        "Note: the scorer knows no pictures like this one (identity), so its score says little; the one inside knows"
        " emoji, not photographs: name a larger CLIP with --scorer",
    ]
    assert "sep_min" in outcome.lines[0]
    data = run("score", tmp_path / "a.png", "-p", "a quokka", "--json").json
    assert data["views"][0]["known"] is False
    assert data["sep_min"] == data["views"][0]["margin"]


@pytest.mark.parametrize("text", ["", "{}", '{"temperature": 0}', '{"temperature": 0.1, "alike": 2}'])
def test_a_damaged_calibration_is_refused(clip: Path, tmp_path: Path, text: str) -> None:
    for file in clip.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / CALIBRATION_FILE).write_text(text)
    with pytest.raises(ModelError, match=r"calibration.json is damaged: expected a temperature above 0"):
        Scorer(tmp_path)


def test_candidates_are_scored_before_they_are_written_on() -> None:
    """The captions of an overlay change the picture, and not the choice, nor the score."""
    model = load_model(tiny_pipeline("if"), device="cpu")
    recipe = Recipe(prompt="a rabbit", seed=7, steps=2, best_of=3, enlarge=4)
    caption = TrickEntry(trick="overlay", title="Rabbits", box="white")
    plain, written = (
        make(recipe.model_copy(update={"tricks": tricks}), model, scorer=Brightness())[0] for tricks in ([], [caption])
    )
    assert written.facts["candidates"] == plain.facts["candidates"]
    assert (written.seed, written.score) == (plain.seed, plain.score)
    assert np.array_equal(np.asarray(written.unfinished), np.asarray(plain.image))
    assert not np.array_equal(np.asarray(written.image), np.asarray(plain.image))


def test_a_score_says_all_of_that(clip: Path) -> None:
    scorer = Scorer(clip)
    views = [Shown("identity", picture(0), "a rabbit"), Shown("flip", picture(1), "a duck")]
    similarity = scorer.similarity([v.picture for v in views], [v.prompt for v in views])
    known = scorer.similarity([v.picture for v in views], scorer.known)
    score = scorer.score(views)
    assert score.alignment == pytest.approx(float(similarity.diagonal().min()), abs=1e-6)
    assert score.concealment == pytest.approx(concealment(similarity, scorer.temperature), abs=1e-6)
    for i, view in enumerate(score.views):
        assert (view.name, view.prompt) == (views[i].name, views[i].prompt)
        assert view.alignment == pytest.approx(float(similarity[i, i]), abs=1e-6)
        others = [j for j, caption in enumerate(scorer.known) if caption != view.prompt]
        assert view.rank == 1 + int((known[i, others] > similarity[i, i]).sum())
        assert view.captions == tuple(scorer.known[j] for j in known[i].argsort(descending=True)[:5])


def test_bad_input_to_a_scorer_says_what_is_wrong(clip: Path, tmp_path: Path, tiny: Path) -> None:
    scorer = Scorer(clip)
    with pytest.raises(UsageError, match="at least one picture to compare, got none"):
        scorer.similarity([], TEXTS)
    with pytest.raises(UsageError, match="at least one text to compare, got none"):
        scorer.similarity([picture(0)], [])
    with pytest.raises(ModelError, match="no CLIP model can be loaded from"):
        Scorer(tmp_path)
    with pytest.raises(ModelError, match="of the kind 't5', expected a CLIP model"):
        Scorer(tiny / "text_encoder")


def test_a_clip_that_is_nowhere_is_said_at_once(monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    with pytest.raises(ModelError, match="no CLIP model can be loaded from 'nothere': it is no directory; expected a"):
        Scorer("nothere")
    asked: list[str] = []

    def info(self: Any, name: str, **named: Any) -> Any:
        asked.append(name)
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", info)
    with pytest.raises(
        ModelError, match=r"no/there@main is not on this machine; .* `hf download no/there --revision main"
    ):
        Scorer("no/there@main")
    assert asked == ["no/there"]
    assert capfd.readouterr().err == ""


def test_of_the_hub_what_is_here_is_read_where_it_cannot_be_reached(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0" * 40
    home = tmp_path / "models--some--clip"
    shutil.copytree(clip, home / "snapshots" / commit)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", mock.Mock(side_effect=OSError("no network")))
    scorer = Scorer("some/clip@main")
    assert scorer.similarity([picture(0)], TEXTS).equal(Scorer(clip).similarity([picture(0)], TEXTS))


def test_pickled_weights_are_refused(clip: Path, tmp_path: Path) -> None:
    for file in clip.iterdir():
        if file.suffix == ".json":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save(CLIPModel.from_pretrained(clip).state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"no CLIP model can be loaded .*weights as \.safetensors"):
        Scorer(tmp_path)


@pytest.mark.skipif(not FONT.exists(), reason="no colour emoji font is installed")
def test_the_scorer_inside_is_small_and_recognises_emoji() -> None:
    """Every eighth emoji on white, its name ranked among all of them."""
    assert sum(file.stat().st_size for file in EMBEDDED.iterdir()) < 10e6
    emoji = all_emoji()[::8]
    pictures = [Image.new("RGBA", drawn.size, "white") for _, drawn in emoji]
    for page, (_, drawn) in zip(pictures, emoji, strict=True):
        page.alpha_composite(drawn)
    square = [ImageOps.pad(page.convert("RGB"), (136, 136), color="white") for page in pictures]
    scorer = Scorer()
    cosines = scorer.similarity(square, scorer.known)
    own = torch.tensor([scorer.known.index(with_article(each.name)) for each, _ in emoji])
    places = (cosines > cosines.gather(1, own[:, None])).sum(1)
    assert float((places == 0).float().mean()) > RECOGNISED
    assert float((places < 5).float().mean()) > RECOGNISED_IN_FIVE


def test_a_plain_picture_shows_its_prompt() -> None:
    image = picture(0)
    assert shown(Recipe(prompt="a rabbit"), image) == [Shown("identity", image, "a rabbit")]
    with pytest.raises(UsageError, match="nothing says what the picture should show"):
        shown(Recipe(picture="a.png"), image)


def entry(trick: Trick[Any]) -> TrickEntry:
    return TrickEntry(trick=trick.name, **trick.options.model_dump(exclude_unset=True))


def test_an_anagram_shows_each_prompt_through_its_view() -> None:
    image = picture(0)
    trick = Anagram(views=[("identity", "a rabbit"), ("rotate_cw", "a duck"), ("negate", "a skull")])
    views = shown(Recipe(tricks=[entry(trick)]), image)
    assert [(v.name, v.prompt) for v in views] == trick.options.views
    pixels = np.asarray(image)
    for view, expected in zip(views, (pixels, np.rot90(pixels, -1), 255 - pixels), strict=True):
        assert np.array_equal(np.asarray(view.picture), expected)


def test_a_hybrid_shows_far_as_its_own_filter_leaves_it() -> None:
    image = picture(0)
    x = to_tensor(image)[0].double().numpy()
    cases = [
        (Hybrid(far="a", near="b"), ["far", "near"], [numpy_blur(x, 2.0, 33)]),
        (Hybrid(far="a", near="b", split="motion"), ["far", "near"], [numpy_motion(x, 7)]),
        (Hybrid(far="a", near="b", split="color"), ["far", "near"], [x.mean(0, keepdims=True).repeat(3, 0)]),
        (
            Hybrid(far="a", mid="m", near="b"), ["far", "mid", "near"],
            [numpy_blur(numpy_blur(x, 1.0, 25), 2.0, 25), numpy_blur(x, 1.0, 25)],
        ),
    ]  # fmt: skip
    for trick, names, pages in cases:
        views = trick.views_of(image)
        assert [v.name for v in views] == names
        assert [v.prompt for v in views] == trick.seen
        assert views[-1].picture is image
        for view, page in zip(views, pages, strict=False):
            seen = np.asarray(view.picture).transpose(2, 0, 1)
            np.testing.assert_allclose(seen, (page / 2 + 0.5) * 255, atol=0.51)


class Broken(Trick[Any]):
    """Fails when it is asked for its views."""

    name = "broken"

    def views_of(self, image: Image.Image) -> list[Shown]:
        raise KeyError("views")


def test_a_trick_that_fails_at_its_views_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AnyRecipe, "build", lambda self: [Broken()])
    with pytest.raises(PluginError, match="trick 'broken' failed in views_of: KeyError"):
        shown(Recipe(prompt="a"), picture(0))


class Brightness:
    """A scorer to which the brightest worst view is the best; it notes what it was asked."""

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def score(self, views: Sequence[Shown]) -> Score:
        self.prompts += [view.prompt for view in views]
        each = [float(np.asarray(view.picture).mean()) for view in views]
        rows = tuple(ViewScore(v.name, v.prompt, a, 1, (), a / 255) for v, a in zip(views, each, strict=True))
        return Score(rows, min(each), 1.0, min(each) / 255)


def test_a_scorer_of_drawings_says_that_a_photograph_is_none() -> None:
    photos = Path(__file__).parent.parent / "examples" / "photos"
    for name, seen in {"cat.png": False, "astronaut.jpg": False, "drawing.png": True}.items():
        (view,) = Scorer().score([Shown("identity", Image.open(photos / name).convert("RGB"), "a cat")]).views
        assert view.seen is seen, name


def test_an_edit_is_scored_by_what_it_made_before_words_are_set_on_it(tmp_path: Path) -> None:
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (120, 160, 3)).astype(np.uint8))
    photo.save(tmp_path / "a.png")
    seen: list[Any] = []

    class Notes(Brightness):
        def score(self, views: Any) -> Any:
            seen.extend(views)
            return super().score(views)

    inpaint = TrickEntry(trick="inpaint", image=tmp_path / "a.png", mask="box:60,40,100,80")
    overlay = TrickEntry(trick="overlay", text="words", text_size=30, text_position="center", text_color="red")
    recipe = Recipe(prompt="a", seed=0, steps=1, guidance=1, tricks=[inpaint, overlay])
    model = exact_model(torch.zeros(1, 3, 16, 16))
    make(recipe.model_copy(update={"best_of": 2}), model, scorer=Notes())
    (plain,) = make(recipe.model_copy(update={"tricks": [inpaint]}), model)
    assert [(view.name, view.prompt) for view in seen] == [("region", "a")] * 2
    assert np.array_equal(seen[0].picture, plain.image.crop((28, 8, 132, 112)))


def test_the_best_of_n_is_the_one_that_scores_best() -> None:
    model = load_model(tiny_pipeline("if"), device="cpu")
    recipe = Recipe(prompt="a rabbit", seed=7, steps=2, count=6)
    means = [float(np.asarray(result.image).mean()) for result in make(recipe, model)]
    best = make(recipe.model_copy(update={"count": 2, "best_of": 3}), model, scorer=Brightness())
    assert [result.index for result in best] == [0, 1]
    for i, result in enumerate(best):
        three = means[3 * i : 3 * i + 3]
        assert result.seed == result.recipe.seed == 7 + 3 * i + int(np.argmax(three))
        assert (result.recipe.best_of, result.recipe.count) == (1, 1)
        assert result.score is not None
        assert result.score.alignment == pytest.approx(max(three), abs=1e-6)
        assert result.facts["score"] == result.score.data()
        assert [row["alignment"] for row in result.facts["candidates"]] == pytest.approx(three)
        assert [row["seed"] for row in result.facts["candidates"]] == [7 + 3 * i + k for k in range(3)]
        again = make(result.recipe, model)[0]
        assert np.abs(np.asarray(again.image).astype(int) - np.asarray(result.image)).max() <= 1
        assert again.score is None


def test_alignment_counts_then_the_weakest_margin_and_of_equals_the_first_is_kept() -> None:
    def score(sep_min: float, alignment: float = 0.3) -> Score:
        return Score((ViewScore("v", "p", alignment, 1, (), sep_min),), alignment, 0.5, sep_min)

    orders = [score(0.9, 0.3), score(0.1, 0.4), score(0.3, 0.4), score(0.3, 0.4)]
    assert max(range(4), key=lambda i: orders[i].order) == 2


def test_prompts_in_a_list_each_get_their_candidates() -> None:
    model, scorer = load_model(tiny_pipeline("if"), device="cpu"), Brightness()
    results = make(Recipe(prompt=["a", "b"], seed=0, steps=1, best_of=2), model, scorer=scorer)
    assert [result.recipe.prompt for result in results] == ["a", "b"]
    assert scorer.prompts == ["a", "a", "b", "b"]


def test_pictures_are_scored_where_a_scorer_is_given() -> None:
    """A script of a thousand illusions asks for the scores alone."""
    model = load_model(tiny_pipeline("if"), device="cpu")
    recipe = Recipe(seed=0, steps=1, count=2, tricks=[entry(Anagram(prompts=["a rabbit", "a duck"]))])
    results = make(recipe, model, scorer=Brightness())
    assert [[v.prompt for v in result.score.views] for result in results] == [["a rabbit", "a duck"]] * 2
    assert all("candidates" not in result.facts for result in results)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"picture": "a.png"}, "a picture that is only finished has no candidates, got best_of 2"),
        ({"prompt": "a", "tricks": [{"trick": "sdedit", "sweep": True}]}, "a strip of variants has no best one"),
    ],
)
def test_what_has_no_best_says_so(recipe: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make(Recipe.model_validate({"best_of": 2, **recipe}))


def test_make_best_of_on_the_command_line(tiny: Path, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "best.png"
    made = run(
        "anagram", "a rabbit", "a duck", "-m", tiny, "--seed", 3, "--steps", 2, "--best-of", 4, "--scorer", clip,
        "-o", out, "--json",
    )  # fmt: skip
    assert made.code == 0, made.err
    facts = made.json
    rows = facts["candidates"]
    assert [row["seed"] for row in rows] == [3, 4, 5, 6]
    assert facts["seed"] == max(rows, key=lambda row: (row["alignment"], row["sep_min"]))["seed"]
    assert [view["prompt"] for view in facts["score"]["views"]] == ["a rabbit", "a duck"]
    weakest = min(facts["score"]["views"], key=lambda view: view["alignment"])
    assert facts["notes"] == [
        f"kept seed {facts['seed']}, the best of 4; in its weakest view, {weakest['name']}, {weakest['prompt']!r} "
        f"comes at rank {weakest['rank']} of all that the scorer knows"
    ]
    record = read_record(out)
    assert (record["score"], record["candidates"]) == (facts["score"], rows)
    assert (record["recipe"]["seed"], record["recipe"].get("best_of")) == (facts["seed"], None)
    again = run("rerun", out, "-m", tiny, "-o", tmp_path / "again.png")
    assert again.code == 0, again.err
    pair = [np.asarray(Image.open(path)).astype(int) for path in (out, tmp_path / "again.png")]
    assert np.abs(pair[0] - pair[1]).max() <= 1
    scored = run("score", out, "--scorer", clip, "--json")
    assert scored.json == {"path": str(out), **facts["score"]}


def test_score_says_it_for_people_the_best_first(tiny: Path, clip: Path, tmp_path: Path) -> None:
    made = run("generate", "a rabbit", "-m", tiny, "--steps", 1, "--count", 3, "--seed", 0, "-o", tmp_path / "r.png")
    outcome = run("score", *made.lines, "--scorer", clip)
    assert outcome.code == 0, outcome.err
    columns = ["picture", "sep_min", "alignment", "concealment", "views:", "margin,", "alignment,", "rank"]
    assert outcome.lines[0].split() == columns
    assert sorted(line.split()[0] for line in outcome.lines[1:]) == sorted(made.lines)
    values = [float(line.split()[2]) for line in outcome.lines[1:]]
    assert values == sorted(values, reverse=True)
    assert all("identity 'a rabbit'" in line for line in outcome.lines[1:])
    assert {line.split()[3] for line in outcome.lines[1:]} == {"-"}, "of one view nothing is hidden"


def test_score_takes_prompts_and_views_by_hand(clip: Path, tmp_path: Path) -> None:
    picture(0).save(tmp_path / "photo.png")
    outcome = run("score", tmp_path / "photo.png", "-p", "a cat", "--view", "flip", "a dog", "--scorer", clip, "--json")
    assert [(v["name"], v["prompt"]) for v in outcome.json["views"]] == [("identity", "a cat"), ("flip", "a dog")]


def test_score_says_what_is_wrong(clip: Path, tmp_path: Path) -> None:
    picture(0).save(tmp_path / "photo.png")
    (tmp_path / "text.png").write_text("no picture")
    cases = [
        (["photo.png"], 2, "carries no diffusion-tricks record.*or say what it should show, for example --view"),
        (["text.png", "-p", "a"], 2, "text.png"),
        (["none.png", "-p", "a"], 2, "none.png"),
        (["photo.png", "--view", "flp", "a"], 2, "unknown view 'flp'; did you mean 'flip'"),
    ]
    for words, code, message in cases:
        outcome = run("score", tmp_path / words[0], *words[1:], "--scorer", clip)
        assert outcome.code == code
        assert message.split(".*")[0] in outcome.err
        assert message.split(".*")[-1] in outcome.err
    outcome = run("score", tmp_path / "photo.png", "-p", "a", "--scorer", tmp_path)
    assert (outcome.code, "no CLIP model can be loaded" in outcome.err) == (3, True)


def test_score_goes_on_after_a_picture_that_fails(clip: Path, tmp_path: Path) -> None:
    picture(0).save(tmp_path / "photo.png")
    outcome = run("score", tmp_path / "none.png", tmp_path / "photo.png", "-p", "a", "--scorer", clip, "--json")
    assert outcome.code == 1
    rows = [json.loads(line) for line in outcome.lines]
    assert rows[0]["path"] == str(tmp_path / "none.png")
    assert "none.png" in rows[0]["error"]
    assert rows[1]["path"] == str(tmp_path / "photo.png")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["generate", "a", "--steps-out", "film.gif"], "--steps-out shows one run, but --best-of makes 2"),
        (["make", "--picture", "photo.png", "overlay", "--title", "T"], "has no candidates, got best_of 2"),
    ],
)
def test_best_of_refuses_what_it_cannot_do(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    picture(0).save("photo.png")
    outcome = run(*words, "--best-of", 2, "-o", "out.png")
    assert (outcome.code, message in outcome.err) == (2, True), outcome.err


def test_a_plan_tells_of_the_candidates() -> None:
    assert "pictures:      2, each the best of 8" in run("plan", "-p", "a", "--count", 2, "--best-of", 8).out
