"""A part made new: the file that was written is compared with the file that was read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_line import run
from diffusion_tricks.testing import exact_model
from diffusion_tricks_learn.experiments import inpaint as lesson
from diffusion_tricks_learn.experiments.inpaint import inpaint, said
from diffusion_tricks_learn.findings import last
from diffusion_tricks_learn.session import Session
from learn.sessions import opened, pattern, saved, session_of


def test_outside_the_mask_the_written_file_is_the_one_that_was_read(tiny: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "x.png")
    made = run("learn", "inpaint", tmp_path / "x.png", "-m", tiny, "--out", tmp_path / "out")
    assert made.code == 0, made.err
    rows = json.loads((tmp_path / "out" / "numbers.json").read_text())["table"]
    assert len(rows) == 2
    mask = np.zeros((50, 40), dtype=bool)
    mask[:20, 10:30] = True  # 25%..75% across, 0%..40% down
    for row in rows:
        after = np.asarray(opened(tmp_path / "out" / f"inpainted-{row['seed']}.png"))
        differs = (after != noise).any(2)
        assert (differs & ~mask).sum() == row["changed_outside_pixels"] == 0
        assert (differs & mask).sum() == row["changed_inside_pixels"] > 300
        assert row["new_pixels"] == 400


def test_inside_is_what_the_model_knows(tmp_path: Path) -> None:
    known = pattern(1)
    found = last(inpaint(session_of(exact_model(known)), saved(pattern(), tmp_path / "x.png"), "box:0,0,16,8", "x"))
    got = np.asarray(found.made["inpainted-0.png"]).astype(int)
    expected = np.asarray(opened(Path(saved(known, tmp_path / "known.png")))).astype(int)
    assert abs(got[:8] - expected[:8]).max() <= 1
    assert found.numbers["kept_pixels"] == 128
    assert "not one changed" in found.says[0]
    assert found.figure.width > 400


def test_a_pixel_that_a_writer_would_lose_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    true = lesson.png

    def spoilt(image: Image.Image) -> bytes:
        image = image.copy()
        image.putpixel((0, 15), (1, 2, 3))
        return true(image)

    monkeypatch.setattr(lesson, "png", spoilt)
    found = last(inpaint(session_of(exact_model(pattern())), saved(pattern(), tmp_path / "x.png"), "box:4,0,12,4"))
    assert [row["changed_outside_pixels"] for row in found.table] == [1, 1]
    assert "2 changed" in found.says[0]


def test_a_mask_in_a_file(tmp_path: Path) -> None:
    mask = Image.new("L", (16, 16))
    mask.paste(255, (0, 0, 3, 3))
    mask.save(tmp_path / "mask.png")
    picture = saved(pattern(), tmp_path / "x.png")
    found = last(inpaint(session_of(exact_model(pattern(1))), picture, str(tmp_path / "mask.png"), "x"))
    assert {row["new_pixels"] for row in found.table} == {9}


def test_a_mask_is_not_overwritten_by_the_figure(tmp_path: Path, tiny: Path) -> None:
    picture, mask = saved(pattern(), tmp_path / "x.png"), tmp_path / "figure.png"
    Image.new("L", (16, 16), 255).save(mask)
    before = mask.read_bytes()
    refused = run("learn", "inpaint", picture, "--mask", mask, "-m", tiny, "--out", tmp_path, "--force")
    assert refused.code == 2
    assert f"{mask} is an input, which is never overwritten" in refused.err
    assert mask.read_bytes() == before


def test_a_mask_that_is_none_is_refused(tmp_path: Path, tiny: Path) -> None:
    picture = saved(pattern(), tmp_path / "x.png")
    refused = run("learn", "inpaint", picture, "--mask", "boks:1,2,3,4", "-m", tiny, "--out", tmp_path / "out")
    assert refused.code == 2
    assert "unknown form 'boks'" in refused.err


@pytest.mark.parametrize("kind", ["tiny_sd", "tiny_flow", "tiny_plain"])
def test_other_kinds_of_models(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    session = Session(str(request.getfixturevalue(kind)))
    found = last(inpaint(session, saved(pattern(), tmp_path / "x.png")))
    assert {row["changed_outside_pixels"] for row in found.table} == {0}
    assert ("clip_score" in found.table[0]) == (kind != "tiny_plain")


def test_the_sentence_tells_of_what_was_changed() -> None:
    rows = [{"changed_outside_pixels": 3, "changed_inside_pixels": 5, "new_pixels": 6}]
    assert said(rows, 10)[0].startswith("Of 10 pixels outside the mask 3 changed")
