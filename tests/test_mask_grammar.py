"""The grammar of masks against NumPy, SciPy and scikit-image; errors that point at the place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage import color, data, filters, morphology
from skimage.draw import polygon2mask

from diffusion_tricks.errors import ModelError, UsageError
from diffusion_tricks.io.pictures import Picture, read_picture
from diffusion_tricks_plugins.masks import files_in, mask_for, mask_paths, read_mask
from diffusion_tricks_plugins.masks.edges import blurred, grown, shrunk, without_holes
from diffusion_tricks_plugins.masks.saliency import lab_of, otsu, saliency
from diffusion_tricks_plugins.masks.words import probability

Array = np.ndarray[Any, Any]
SIZE = (60, 40)
RNG = np.random.default_rng(5)
PIXELS = RNG.integers(0, 256, (40, 60, 3)).astype(np.uint8)


def drawn(text: str, picture: Picture | None = None, **how: Any) -> Array:
    return mask_for(text, SIZE, picture or Picture(Image.fromarray(PIXELS), None, Path("a.png")), **how).weights


def inside(text: str) -> Array:
    return drawn(text) == 255


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# forms


@pytest.mark.parametrize(
    ("geometry", "corners"),
    [("30x20+10+5", "10,5,40,25"), ("50%x25%+10+10%", "10,10%,40,14"), ("9x8", "0,0,9,8"), ("8x8+-3+-2", "-3,-2,5,6")],
)
@pytest.mark.parametrize("form", ["box", "ellipse"])
def test_a_width_and_a_height_say_the_same_as_corners(form: str, geometry: str, corners: str) -> None:
    np.testing.assert_array_equal(drawn(f"{form}:{geometry}"), drawn(f"{form}:{corners}"))


def test_a_circle_holds_the_centres_that_are_near_enough() -> None:
    x, y = np.arange(60) + 0.5, np.arange(40)[:, None] + 0.5
    np.testing.assert_array_equal(inside("circle:20,30%,25%"), (x - 20) ** 2 + (y - 12) ** 2 <= 10**2)
    np.testing.assert_array_equal(drawn("circle:20,16,8"), drawn("ellipse:12,8,28,24"))


@pytest.mark.parametrize(
    "points", [[(3, 2.1), (55, 9.3), (20.2, 37)], [(30.1, 1), (45, 38), (5, 14.3), (55, 14.4), (12, 38)]]
)
def test_a_polygon_is_filled_by_the_even_odd_rule(points: list[tuple[float, float]]) -> None:
    found = inside("poly:" + " ".join(f"{x},{y}" for x, y in points))
    np.testing.assert_array_equal(found, inside("poly:" + ",".join(f"{x},{y}" for x, y in points)))
    corners = [(y - 0.5, x - 0.5) for x, y in points]  # scikit-image counts from the middle of the first pixel
    np.testing.assert_array_equal(found, polygon2mask((40, 60), corners))


def test_colours_are_as_near_as_their_farthest_channel() -> None:
    far = np.abs(PIXELS.astype(int) - [0, 255, 0]).max(axis=2)
    np.testing.assert_array_equal(inside("color:#0f0~120"), far <= 120)
    PIXELS[3, 4] = 0, 128, 0
    assert np.argwhere(inside("color:green")).tolist() == [[3, 4]]


@pytest.mark.parametrize(("text", "share"), [(">70%", 0.7), ("> 178.5", 0.7)])
def test_luma_is_that_of_rec_601(text: str, share: float) -> None:
    luma = PIXELS @ np.array([0.299, 0.587, 0.114]) / 255
    np.testing.assert_array_equal(inside(f"luma:{text}"), luma > share)
    np.testing.assert_array_equal(inside("luma:<=70%"), luma <= 0.7)


def test_alpha_is_of_the_picture_or_of_a_file() -> None:
    alpha = RNG.integers(0, 2, (40, 60)).astype(np.uint8) * 255
    clear = Image.fromarray(np.dstack([PIXELS, alpha]))
    clear.save("clear.png")
    np.testing.assert_array_equal(drawn("alpha", read_picture("clear.png")), 255 - alpha)
    np.testing.assert_array_equal(drawn("alpha:clear.png"), 255 - alpha)
    Image.fromarray(PIXELS).save("a.png")
    with pytest.raises(UsageError, match=r"mask 'alpha:a\.png': a\.png has no alpha channel"):
        drawn("alpha:a.png")


def test_saliency_is_otsu_of_a_known_formula() -> None:
    photo = Image.fromarray(data.astronaut()).resize((64, 64))
    found = saliency(photo)
    lab = np.stack([ndimage.gaussian_filter(c, 2.0) for c in np.moveaxis(color.rgb2lab(np.asarray(photo)), 2, 0)], 2)
    far = []
    for side in (lab[:6], lab[-6:], lab[:, :6], lab[:, -6:]):
        colours = side.reshape(-1, 3)
        inverse = np.linalg.inv(np.cov(colours, rowvar=False) + 4 * np.eye(3))
        u = np.array([[np.sqrt((c - colours.mean(0)) @ inverse @ (c - colours.mean(0))) for c in row] for row in lab])
        far.append(u / u.max())
    np.testing.assert_allclose(found, np.sum(far, 0) - np.max(far, 0), rtol=0, atol=2e-3)
    assert otsu(found) == pytest.approx(filters.threshold_otsu(found, nbins=256), abs=1e-6)
    np.testing.assert_allclose(lab_of(np.asarray(photo) / np.float32(255)), color.rgb2lab(photo), rtol=0, atol=0.02)


def test_saliency_finds_a_thing_on_a_plain_ground() -> None:
    page = Image.new("RGB", SIZE, "white")
    page.paste((200, 30, 40), (20, 10, 40, 30))
    found = drawn("saliency", Picture(page, None, Path("a.png"))) > 0
    there = np.zeros((40, 60), bool)
    there[10:30, 20:40] = True
    assert (found & there).sum() / (found | there).sum() > 0.8
    with pytest.raises(UsageError, match="the mask 'saliency' is empty"):
        drawn("saliency", Picture(Image.new("RGB", SIZE), None, Path("a.png")))


def test_shapes_need_no_picture_and_the_rest_says_so() -> None:
    assert mask_for("box:1,2,3,4 + circle:9,9,2", SIZE).weights.shape == (40, 60)
    for text in ("alpha", "color:red", "luma:>3", 'words:"a hat"', "saliency"):
        with pytest.raises(UsageError, match=f"the mask '{re.escape(text)}' looks at a picture, and here is none"):
            mask_for(f"box:0,0,9,9 + {text}", SIZE)


# files


def mask_file(name: str, weights: Array) -> str:
    Image.fromarray(weights).save(name)
    return name


def test_a_mask_painted_in_its_own_alpha_is_understood() -> None:
    painted = np.zeros((40, 60, 4), np.uint8)
    painted[5:20, 5:50] = 200, 0, 0, 255
    painted[20, 5:50] = 200, 0, 0, 90
    mask = mask_for(mask_file("red.png", painted), SIZE)
    np.testing.assert_array_equal(mask.weights, painted[..., 3])
    assert mask.notes == ("the mask red.png is painted in its alpha: what is opaque in it is made new",)
    rubbed = np.dstack([PIXELS, np.full((40, 60), 255, np.uint8)])
    rubbed[10:20, 10:20] = 0
    mask_file("rubbed.png", rubbed)
    assert (drawn("rubbed.png") > 0).sum() == 100
    gray = np.zeros((40, 60, 4), np.uint8)
    gray[..., 3] = 255
    gray[:5, :, :3], gray[5:9, :, 3] = 128, 0
    np.testing.assert_array_equal(drawn(mask_file("gray.png", gray)), gray[..., 0])  # as ever


def test_a_jpeg_mask_is_snapped_and_says_so() -> None:
    clean = np.zeros((40, 60), np.uint8)
    clean[9:33, 13:45] = 255
    Image.fromarray(clean).save("m.jpg", quality=90)
    read = np.asarray(Image.open("m.jpg"))
    mask = mask_for("m.jpg", SIZE)
    assert (mask.weights[read < 0.02 * 255] == 0).all()
    assert (mask.weights[read > 0.98 * 255] == 255).all()
    specks = int((mask.weights != read).sum())
    assert specks
    assert mask.notes[0].startswith(f"the mask m.jpg is a JPEG, which blurs its edges: {specks:,} pixels next to black")


def test_files_of_another_size_name_both() -> None:
    mask_file("m.png", np.full((4, 6), 255, np.uint8))
    for text in ("m.png", "box:0,0,9,9 + m.png"):
        with pytest.raises(UsageError, match=r"mask m\.png is 6 x 4 pixels, expected 60 x 40 as a\.png; .*`mask_fit"):
            drawn(text)
    assert drawn("m.png - box:0,0,30,40", fit=True).sum() == 255 * 30 * 40


def test_names_may_hold_spaces_signs_and_brackets() -> None:
    weights = np.zeros((40, 60), np.uint8)
    weights[:9] = 255
    for name in ("a-b.png", "my mask.png", "a + b.png", "mask (1).png", "a&b.png"):
        mask_file(name, weights)
        np.testing.assert_array_equal(drawn(name), weights)
        np.testing.assert_array_equal(drawn(f'box:0,20,9,29 + "{name}"')[:9], weights[:9])
        assert files_in(f'"{name}" & !alpha') == [name]
    np.testing.assert_array_equal(drawn("my mask.png & box:0,0,60,40"), weights)


def test_paths_in_a_mask_are_changed_where_they_stand() -> None:
    assert mask_paths("box:1,2,3,4", "deep/{}".format) == "box:1,2,3,4"
    assert mask_paths("m.png", "deep/{}".format) == "deep/m.png"
    text = '(a.png + alpha:b.png) & !"c (2).png" grow:8'
    assert mask_paths(text, "deep/{}".format) == '(deep/a.png + alpha:deep/b.png) & !"deep/c (2).png" grow:8'
    assert mask_paths("m.png + alpha", "deep folder/{}".format) == '"deep folder/m.png" + alpha'
    assert mask_paths("(a.png", "deep/{}".format) == "(a.png"


# expressions

A, B, C = "box:5,5,40,30", "ellipse:20,10,58,38", "circle:30,20,9"


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        (f"{A} + {B}", lambda a, b, c: a | b),
        (f"{A} - {B}", lambda a, b, c: a & ~b),
        (f"{A}&{B}", lambda a, b, c: a & b),
        (f"{A} ^ {B}", lambda a, b, c: a ^ b),
        (f"!{A}", lambda a, b, c: ~a),
        (f"!{A} & {B}", lambda a, b, c: ~a & b),
        (f"!({A} & {B})", lambda a, b, c: ~(a & b)),
        (f"{A} - {B} + {C}", lambda a, b, c: (a & ~b) | c),
        (f"{A} - ({B} - {C})", lambda a, b, c: a & ~(b & ~c)),
        (f"{A} + {B} & {C}", lambda a, b, c: a | (b & c)),
        (f"{A} ^ {B} & {C}", lambda a, b, c: a ^ (b & c)),
        (f"{A} + {B} ^ {C}", lambda a, b, c: a | (b ^ c)),
        (f"(({A}))-({B})", lambda a, b, c: a & ~b),
        (f"{A} grow:3 + {C}", lambda a, b, c: morphology.dilation(a, morphology.disk(3)) | c),
        (f"({A} + {C}) grow:3", lambda a, b, c: morphology.dilation(a | c, morphology.disk(3))),
        (f"!{A} grow:3", lambda a, b, c: ~morphology.dilation(a, morphology.disk(3))),
        (f"{A} grow:5 shrink:5", lambda a, b, c: morphology.closing(a, morphology.disk(5))),
    ],
)
def test_signs_are_those_of_sets_and_bind_as_documented(text: str, formula: Any) -> None:
    np.testing.assert_array_equal(inside(text), formula(inside(A), inside(B), inside(C)))


SETS = {"+": np.logical_or, "&": np.logical_and, "^": np.logical_xor, "-": lambda a, b: a & ~b}


def anything(rng: np.random.Generator, depth: int) -> tuple[str, Array]:
    """A random expression, bracketed wherever it is joined, and what it should be."""
    kind = rng.integers(0, 7) if depth else 6
    if kind < 4:
        (left, a), (right, b) = (anything(rng, depth - 1) for _ in range(2))
        sign = "+-&^"[kind]
        return f"({left} {sign} {right})", SETS[sign](a, b)
    if kind == 4:
        text, a = anything(rng, depth - 1)
        return f"!{text}", ~a
    if kind == 5:
        text, a = anything(rng, depth - 1)
        return f"({text}) grow:2", morphology.dilation(a, morphology.disk(2))
    text = str(rng.choice([A, B, C]))
    return text, inside(text)


@pytest.mark.parametrize("seed", range(40))
def test_random_expressions_are_what_they_say(seed: int) -> None:
    text, expected = anything(np.random.default_rng(seed), 4)
    found = inside(f"{text} + box:0,0,1,1")  # never empty, which would be an error
    expected[0, 0] = True
    np.testing.assert_array_equal(found, expected)


def test_soft_masks_join_by_the_greater_and_the_lesser() -> None:
    a, b = (RNG.integers(0, 256, (40, 60)).astype(np.uint8) for _ in range(2))
    mask_file("a.png", a), mask_file("b.png", b)
    a, b = drawn("a.png"), drawn("b.png")
    np.testing.assert_array_equal(drawn("a.png + b.png"), np.maximum(a, b))
    np.testing.assert_array_equal(drawn("a.png & b.png"), np.minimum(a, b))
    np.testing.assert_array_equal(drawn("a.png - b.png"), np.minimum(a, 255 - b))
    np.testing.assert_array_equal(drawn("!a.png"), 255 - a)


def test_several_texts_are_their_union() -> None:
    picture = Picture(Image.fromarray(PIXELS), None, Path("a.png"))
    np.testing.assert_array_equal(read_mask([A, B], picture).weights, drawn(f"{A} + {B}"))


# rims


@pytest.mark.parametrize("radius", [1, 2.5, 7])
def test_grow_and_shrink_are_dilation_and_erosion_by_a_disc(radius: float) -> None:
    reach = int(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = x * x + y * y <= radius * radius
    soft = RNG.integers(0, 256, (25, 31)).astype(np.uint8)
    for weights in (soft, np.where(soft > 240, 255, 0).astype(np.uint8)):
        expected = ndimage.grey_dilation(weights, footprint=disc, mode="constant", cval=0)
        np.testing.assert_array_equal(grown(weights, radius), expected)
        expected = ndimage.grey_erosion(weights, footprint=disc, mode="constant", cval=255)
        np.testing.assert_array_equal(shrunk(weights, radius), expected)
    assert grown(soft, 0) is shrunk(soft, 0) is blurred(soft, 0) is soft


def test_blur_is_a_gaussian_and_holes_are_filled() -> None:
    weights = drawn(f"{A} - {C}")
    expected = ndimage.gaussian_filter(weights.astype(float), 3, mode="nearest").round()
    found = blurred(weights, 3).astype(float)
    between = (expected >= 8) & (expected <= 247)
    np.testing.assert_allclose(found[between], expected[between], rtol=0, atol=1)
    assert set(found[~between]) == {0, 255}
    assert (without_holes(weights) == drawn(A)).all()
    np.testing.assert_array_equal(drawn(f"({A} - {C}) holes"), drawn(A))


def test_a_feather_in_the_text_is_that_of_the_option_and_percent_are_of_the_shorter_side() -> None:
    np.testing.assert_array_equal(drawn(f"{A} feather:10%"), drawn(f"{A} feather:4"))
    assert (drawn(f"{A} feather:4") < 255).sum() > 0
    np.testing.assert_array_equal(drawn(f"{A} feather:4") > 0, drawn(A) > 0)


# what is none


@pytest.mark.parametrize(
    ("text", "problem", "at"),
    [
        ("", "expected a mask, got the end", 0),
        ("(box:0,0,1,1", "this bracket is never closed", 0),
        ("alpha + (box:0,0,1,1 & (alpha)", "this bracket is never closed", 8),
        ("alpha)", "expected one of + - ^ & or the end, got ')'", 5),
        ("(alpha box:0,0,1,1)", "expected one of + - ^ & or a ), got 'box:0,0,1,1)'", 7),
        ("alpha +", "expected a mask, got the end", 7),
        ("alpha + & alpha", "expected a mask, got '&'", 8),
        ("!", "expected a mask, got the end", 1),
        ("box:1,2,3,4 box:1,2,3,4", "expected one of + - ^ & or the end, got 'box:1,2,3,4'", 12),
        ("box:0,0,9,9 grow", "expected a length, as grow:8 or grow:2%", 16),
        ("box:0,0,9,9 grow:much", "grow: expected pixels or percent, as 12 or 5%, got 'much'", 17),
        ("box:0,0,9,9 shrink:-1", "shrink: expected 0 to 4096, got -1", 19),
        ("alpha + box:1,2,3,four", "'box:1,2,3,four' is malformed: expected pixels or percent", 18),
        ("poly:1,2,3,4", "is malformed: expected x,y of three points or more, got 4 numbers", 5),
        ("circle:1,2,0", "is malformed: expected a radius above 0", 11),
        ("color:#0g0", "is malformed: expected a colour, as #0f0 or green, got '#0g0'", 6),
        ("color:red~x", "is malformed: expected a tolerance of 0 to 255 after ~, got 'x'", 10),
        ("luma:70%", "is malformed: expected a comparison with a brightness", 5),
        ("luma:>170%", "is malformed: expected a brightness of at most 100 %, or 255, got 170%", 6),
        ("box:0,0,9,9 growe:8", "got '9 growe:8'; did you mean grow?", 10),
        ("box:0,0,9,9 -box:0,0,1,1", "; + and - need a space after them", 4),
        ("words:", "is malformed: expected words", 6),
        ("alpha - elipse:1,2,3,4", "unknown form 'elipse'", 8),
    ],
)
def test_an_error_points_at_the_place(text: str, problem: str, at: int) -> None:
    with pytest.raises(UsageError) as told:
        drawn(text)
    said, line, caret = str(told.value).split("\n")
    assert problem in said
    assert said.startswith(f"mask {text!r}")
    assert (line, caret) == (f"  {text}", f"  {' ' * at}^")


def test_a_form_that_is_nearly_one_is_offered() -> None:
    with pytest.raises(UsageError, match=r"did you mean ellipse:\?"):
        drawn("elipse:1,2,3,4")


def test_a_mask_that_covers_nothing_is_an_error_and_one_that_covers_all_is_told() -> None:
    with pytest.raises(
        UsageError, match=r"the mask 'box:0,0,9,9 & box:20,20,30,30' is empty: nothing in it is covered"
    ):
        drawn("box:0,0,9,9 & box:20,20,30,30")
    assert mask_for("!box:0,0,9,9 + box:0,0,9,9", SIZE).notes == (
        "the mask covers the whole picture: all of it is made new",
    )


# words


@pytest.fixture(scope="module")
def clipseg(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny CLIPSeg of random weights, as a directory."""
    import torch
    from transformers import (
        CLIPSegConfig,
        CLIPSegForImageSegmentation,
        CLIPSegProcessor,
        CLIPTokenizer,
        ViTImageProcessor,
    )

    folder = tmp_path_factory.mktemp("clipseg")
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=16)
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
            "vocab_size": len(words), "max_position_embeddings": 16, "bos_token_id": 52, "eos_token_id": 53,
            "pad_token_id": 53}  # fmt: skip
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2,
              "image_size": 32, "patch_size": 8}  # fmt: skip
    torch.manual_seed(0)
    decoder = {"extract_layers": [0, 1, 2], "decoder_num_attention_heads": 2, "decoder_intermediate_size": 16}
    config = CLIPSegConfig(text_config=text, vision_config=vision, projection_dim=16, reduce_dim=8, **decoder)
    CLIPSegForImageSegmentation(config).save_pretrained(folder)
    images = ViTImageProcessor(size={"height": 32, "width": 32})
    CLIPSegProcessor(images, tokenizer).save_pretrained(folder)
    return str(folder)


def test_words_are_found_by_clipseg(clipseg: str) -> None:
    import torch
    from transformers import CLIPSegForImageSegmentation, CLIPSegProcessor

    photo = Image.fromarray(data.astronaut()).resize(SIZE)
    model = CLIPSegForImageSegmentation.from_pretrained(clipseg).eval()
    inputs = CLIPSegProcessor.from_pretrained(clipseg)(text=["the hat"], images=[photo], return_tensors="pt")
    with torch.no_grad():
        expected = torch.nn.functional.interpolate(
            model(**inputs).logits.reshape(1, 1, 32, 32), (40, 60), mode="bilinear"
        ).sigmoid()[0, 0]
    found = probability(photo, "the hat", clipseg)
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-6)
    picture = Picture(photo, None, Path("a.png"))
    for text in ('words:"the hat"', "words:the hat", "words:'the hat' & box:0,0,60,40"):
        weights = mask_for(f"{text} + box:0,0,1,1", SIZE, picture, segmenter=clipseg).weights
        expected_mask = np.where(found > 0.4, 255, 0)
        expected_mask[0, 0] = 255
        np.testing.assert_array_equal(weights, expected_mask)


def test_a_model_that_is_not_at_hand_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"CLIPSeg model CIDAS.clipseg-rd64-refined is needed, .*hf download CIDAS.clipseg"
    ):
        drawn('words:"the hat"')
    with pytest.raises(ModelError, match="no CLIPSeg model can be opened from"):
        drawn('words:"the hat"', segmenter=str(tmp_path))


# texts that are long


def test_a_line_through_many_points_is_no_name_of_a_file_that_is_too_long() -> None:
    turns = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    points = " ".join(f"{30 + 15 * np.cos(turn):.1f},{20 + 15 * np.sin(turn):.1f}" for turn in turns)
    assert inside(f"poly:{points}").sum() == pytest.approx(np.pi * 15**2, rel=0.02)
    assert files_in(f"poly:{points}") == []
    assert mask_paths(f"poly:{points}", str.upper) == f"poly:{points}"


@pytest.mark.parametrize("text", [f"{'(' * 3000}box:0,0,5,5{')' * 3000}", f"{'!' * 3000}saliency",
                                  " + ".join(["box:0,0,5,5"] * 3000), f"box:0,0,5,5{' grow:1' * 3000}"])  # fmt: skip
def test_a_mask_of_endless_parts_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected at most 200 brackets and signs"):
        files_in(text)


@pytest.mark.parametrize("form", ["box:0,0,{},5", "circle:0,0,{}", "box:0,0,5,5 grow:{}"])
def test_a_length_beyond_all_numbers_is_refused(form: str) -> None:
    with pytest.raises(UsageError, match=r"expected (pixels or percent|0 to 4096)"):
        files_in(form.format("9" * 400))
