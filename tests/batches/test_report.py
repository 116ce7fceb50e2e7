"""What is made of a batch once its pictures are there: the table, the sheets, the gallery, and the report's numbers."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from batches.noted import VIEWS, Noted
from command_line import run
from diffusion_tricks.plugin import read_record
from diffusion_tricks_batch.results import sheets
from diffusion_tricks_batch.results.after import after
from diffusion_tricks_batch.results.report import report
from diffusion_tricks_batch.results.report_page import as_markdown, as_page, as_text
from diffusion_tricks_batch.telling.standing import Standing
from diffusion_tricks_batch.telling.tables import said

AT = 1000.0


def grid(home: Path, seeds: int = 12, pictures: bool = False, folder: str = "") -> Noted:
    """Jobs of two values of guidance and as many seeds: 5 is better than 3 by 0.2, from the same seed."""
    draws = np.random.default_rng(0).normal(0.2, 0.05, seeds)
    listed = [
        {"id": f"g{g}-s{s}", "guidance": g, "seed": s, "tricks": [{"trick": "anagram", "views": VIEWS}], "note": "=1+1"}
        for g in (5, 3)
        for s in range(seeds)
    ]
    made = Noted(home, listed)
    made.worker("here", began=AT)
    for n, job in enumerate(listed):
        alignment = float(draws[job["seed"]]) + 0.1 * (job["guidance"] - 3)
        at = AT + 2 + n
        made.done("here", job["id"], at, begun=at - 1, alignment=alignment, seconds=0.75, picture=pictures,
                  folder=folder)  # fmt: skip
    made.add("here", ended={}, at=AT + 100)
    return made


def means(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95 % interval by NumPy's own draws."""
    x = np.asarray(values)
    drawn = x[np.random.default_rng(7).integers(len(x), size=(40_000, len(x)))].mean(1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(x.mean()), float(low), float(high)


def same(found: dict[str, float], values: Sequence[float]) -> None:
    """The mean to rounding, the interval to 5 % of its width: both are drawn."""
    mean, low, high = means(values)
    assert found["mean"] == pytest.approx(mean, abs=1e-12)
    assert [found["low"], found["high"]] == pytest.approx([low, high], abs=0.05 * (high - low) + 1e-12)


def table_of(made: Noted) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((made.home / "scores.csv").read_text(encoding="utf-8"))))


def test_means_and_intervals_are_those_of_the_table(tmp_path: Path) -> None:
    made = grid(tmp_path / "out", pictures=True)
    after(Standing(made.write()))
    rows = table_of(made)
    data = report(Standing(made.home), ["guidance"])
    assert [one.get("of") for one in data["scores"]] == [None, {"guidance": 3}, {"guidance": 5}]
    for group in data["scores"]:
        guidance = group.get("of", {}).get("guidance")
        own = [float(row["alignment"]) for row in rows if guidance in (None, int(row["guidance"]))]
        assert group["n"] == len(own)
        same(group["alignment"], own)
        assert group["concealment"] == {"mean": 0.75, "low": 0.75, "high": 0.75}


def test_pairs_that_are_alike_but_for_a_field_say_what_it_makes(tmp_path: Path) -> None:
    made = grid(tmp_path / "out")
    (one,) = report(Standing(made.write()), ["guidance"])["differences"]
    assert (one["field"], one["first"], one["second"], one["pairs"]) == ("guidance", 3, 5, 12)
    assert list(one["alignment"].values()) == pytest.approx([0.2] * 3, abs=1e-9)  # seed by seed, whatever seeds do


def test_one_picture_and_one_pair_have_a_mean_and_no_interval(tmp_path: Path) -> None:
    """Nothing says how sure a single number is, so none is said to be sure."""
    found = report(Standing(grid(tmp_path, 1).write()), ["guidance"])
    alone, (pair,) = found["scores"][1]["alignment"], found["differences"]
    assert (alone["low"], alone["high"]) == (None, None)
    assert pair["alignment"] == {"mean": pytest.approx(0.2), "low": None, "high": None}
    read = as_text(found)
    assert "+0.200" in read
    assert "+0.200 [" not in read
    assert "one value has no interval" in " ".join(read.split())
    assert f"{alone['mean']:.3f}" in as_page(found)


def test_of_a_field_with_many_values_each_is_compared_with_the_first(tmp_path: Path) -> None:
    data = report(Standing(grid(tmp_path / "out").write()), ["seed"])
    pairs = [(one["first"], one["second"], one["pairs"]) for one in data["differences"]]
    assert pairs == [(0, second, 2) for second in range(1, 12)]


def test_views_are_compared_within_each_picture(tmp_path: Path) -> None:
    data = report(Standing(grid(tmp_path / "out").write()), ["view"])
    assert (data["of"], data["measures"]) == ("views", ["alignment", "margin", "rank"])
    assert [(one["of"], one["n"]) for one in data["scores"][1:]] == [({"view": "identity"}, 24), ({"view": "flip"}, 24)]
    (one,) = data["differences"]
    assert (one["pairs"], one["rank"]["mean"]) == (24, 1.0)
    assert one["alignment"]["mean"] == pytest.approx(-0.1)


def test_a_field_of_the_jobs_that_is_called_view_is_meant(tmp_path: Path) -> None:
    made = grid(tmp_path / "out")
    made.jobs = [{**job, "view": "flip" if job["seed"] % 2 else "negate"} for job in made.jobs]
    data = report(Standing(made.write()), ["view", "guidance"])
    assert data["of"] == "pictures"
    assert [tuple(one["of"].values()) for one in data["scores"][1:]] == [
        ("negate", 3), ("negate", 5), ("flip", 3), ("flip", 5),
    ]  # fmt: skip


def test_options_of_tricks_are_fields_in_words(tmp_path: Path) -> None:
    outcome = run("report", grid(tmp_path / "out").write(), "--by", "anagram.views")
    assert outcome.code == 0
    assert "identity: a rabbit; flip: a duck  24  " in outcome.out


def test_failures_are_counted_by_kind_and_field(tmp_path: Path) -> None:
    made = grid(tmp_path / "out", seeds=3)
    made.jobs = [*made.jobs, *({"id": f"bad{n}", "guidance": 3 + 2 * (n > 1), "seed": n} for n in range(4))]
    for n in range(4):
        made.add("here", failed=f"bad{n}", kind="ModelError" if n else "OutOfMemory", message="", at=AT + 50)
    data = report(Standing(made.write()), ["guidance"])["failures"]
    assert data["kinds"] == {"OutOfMemory": 1, "ModelError": 3}
    assert data["by"] == [
        {"of": {"guidance": 3}, "jobs": 5, "failed": {"OutOfMemory": 1, "ModelError": 1}},
        {"of": {"guidance": 5}, "jobs": 5, "failed": {"ModelError": 2}},
    ]


def test_speed_is_over_the_time_of_each_session(tmp_path: Path) -> None:
    """24 pictures a second apart, the first begun a second before it was done; an hour later 2 more."""
    made = grid(tmp_path / "out")
    made.add("here", began={"jobs": 26, "kept": 24}, at=AT + 3600)
    for n in range(2):
        made.done("here", f"late{n}", AT + 3603 + 3 * n, begun=AT + 3600 + 3 * n, seconds=3.0)
    data = report(Standing(made.write()))["throughput"]
    assert (data["pictures"], data["seconds"]) == (26, 24 + 6)
    assert data["pictures_per_second"] == pytest.approx(26 / 30)
    assert data["denoising"] == pytest.approx((24 * 0.75 + 6) / 30)
    assert data["workers"][0]["worker"] == "here"


def test_the_table_has_a_row_for_each_picture_in_the_order_of_the_list(tmp_path: Path) -> None:
    made = grid(tmp_path / "out", pictures=True)
    made.jobs = [{**made.jobs[0], "path": 'a "b",\n c', "alignment": None}, *made.jobs[1:]]
    after(Standing(made.write()))
    rows = table_of(made)
    assert [row["id"] for row in rows] == [job["id"] for job in made.jobs]
    first = rows[0]
    assert (first["path"], first["field.path"], first["note"]) == ("g5-s0.png", 'a "b",\n c', "=1+1")
    assert json.loads(first["tricks"]) == [{"trick": "anagram", "views": [list(view) for view in VIEWS]}]
    line = next(one for one in made.lines["here"] if one.get("done") == "g5-s0")
    score = line["facts"][0]["score"]
    assert float(first["alignment"]) == score["alignment"]  # to the last bit
    assert (first["view_2"], first["view_2_prompt"], first["view_2_rank"]) == ("flip", "a duck", "2")
    assert float(first["view_1_alignment"]) == score["views"][0]["alignment"]


def test_sheets_hold_all_pictures_and_say_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "ON_A_SHEET", 10)
    made = grid(tmp_path / "out", pictures=True)
    (made.write() / "g5-s1.png").unlink()  # it leaves its place empty
    said = after(Standing(made.home))
    assert [path.name for path in said.paths] == ["scores.csv", "sheet-1.png", "sheet-2.png", "sheet-3.png"]
    colours = {Image.open(made.home / f"{job['id']}.png").getpixel((0, 0)) for job in made.jobs if job["id"] != "g5-s1"}
    shown: set[Any] = set()
    for number in (1, 2, 3):
        shown |= {colour for _, colour in Image.open(made.home / f"sheet-{number}.png").getcolors(2**20) or ()}
    assert colours <= shown


def test_what_is_there_is_left_and_what_is_old_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "ON_A_SHEET", 10)
    made = grid(tmp_path / "out", pictures=True)
    first = after(Standing(made.write()))
    times = {path: path.stat().st_mtime_ns for path in first.paths}
    assert after(Standing(made.home)).paths == first.paths
    assert {path: path.stat().st_mtime_ns for path in first.paths} == times
    made.jobs = made.jobs[:9]  # a shorter list needs but one sheet
    names = [path.name for path in after(Standing(made.write())).paths]
    assert names == ["scores.csv", "sheet.png"]
    assert sorted(path.name for path in made.home.glob("sheet*")) == ["sheet.png"]
    assert len(table_of(made)) == 9


def test_files_of_others_are_never_replaced(tmp_path: Path) -> None:
    made = grid(tmp_path / "out", seeds=2, pictures=True)
    (made.write() / "scores.csv").write_text("mine")
    (made.home / "index.html").write_text("mine")
    outcome = run("report", made.home)
    assert outcome.code == 0
    assert outcome.err.count("is not of this batch, and was left as it is") == 2
    assert {(made.home / name).read_text() for name in ("scores.csv", "index.html")} == {"mine"}
    (made.home / "scores.csv").unlink()
    run("report", made.home)
    assert len(table_of(made)) == 4
    with (made.home / "scores.csv").open("a") as file:
        file.write("a remark\n")
    made.jobs = made.jobs[:3]
    run("report", made.write())
    assert (made.home / "scores.csv").read_text().endswith("a remark\n")


def test_pictures_in_several_folders_have_one_gallery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index leads to the page of each, wherever the folder of all is put."""
    monkeypatch.chdir(tmp_path)
    jobs = [{"id": one, "kind": kind} for one, kind in (("cat", "a b"), ("owl", "c"), ("cow", "c"))]
    base = {"prompt": "a {id}", "seed": 1, "steps": 1}
    Path("jobs.jsonl").write_text("".join(json.dumps(one) + "\n" for one in ({"base": base}, *jobs)))
    outcome = run("batch", "jobs.jsonl", "-o", "out/{kind}/{id}.png", "--no-scores")
    assert (outcome.code, "gallery" in outcome.err) == (0, False), outcome.err
    shutil.move("out", "elsewhere")
    index = Path("elsewhere/index.html").read_text()
    pages = dict.fromkeys(re.findall(r'<a href="([^"]*)">', index))
    assert list(pages) == [f"index-pages/{name}.png.html" for name in ("a%20b/cat", "c/cow", "c/owl")]
    for page in pages:
        assert "<html" in Path("elsewhere", unquote(page)).read_text()
    for name in ("a b/cat.png", "c/owl.png"):
        assert f">{name}</a>" in index
    before = {path: path.read_bytes() for path in shutil.move("elsewhere", Path("out")).rglob("*.html")}
    Path("out/index-pages/c/owl.png.html").unlink()
    assert run("report", "out").code == 0
    assert {path: path.read_bytes() for path in Path("out").rglob("*.html")} == before


def test_while_somebody_is_at_work_nothing_is_made(tmp_path: Path) -> None:
    made = grid(tmp_path / "out", seeds=1, pictures=True)
    made.worker("two", began=time.time())
    assert after(Standing(made.write())).paths == []
    assert not (made.home / "scores.csv").exists()


def test_a_report_is_written_as_page_markdown_and_text(tmp_path: Path) -> None:
    made = grid(tmp_path / "out")
    made.write()
    shown = run("report", made.home, "--by", "guidance")
    for name in ("r.html", "r.md", "r.txt"):
        outcome = run("report", made.home, "--by", "guidance", "-o", tmp_path / name)
        assert (outcome.code, outcome.lines) == (0, [str(tmp_path / name)])
    assert (tmp_path / "r.txt").read_text() == shown.out
    row = next(line for line in shown.lines if line.startswith("3 ")).split()
    assert f"| {row[0]} | {row[1]} | {' '.join(row[2:5])} |" in (tmp_path / "r.md").read_text()
    page = (tmp_path / "r.html").read_text()
    assert f"<td>{' '.join(row[2:5])}</td>" in page
    assert page.count("<svg") == 3
    assert "alignment: mean and 95 % interval; dashed: mean of all" in page


def test_words_of_jobs_cannot_break_a_report(tmp_path: Path) -> None:
    made = grid(tmp_path / "out", seeds=1)
    made.jobs = [{**job, "note": f"<script>|$x_{n}$ \n *a*"} for n, job in enumerate(made.jobs)]
    data = report(Standing(made.write()), ["note"])
    assert "<script>" not in as_page(data)
    assert "\\<script>\\|$x\\_0$ \\*a\\*" in as_markdown(data)


def test_the_page_needs_no_network_and_fits_a_phone(tmp_path: Path, browser: Any) -> None:
    made = grid(tmp_path / "out")
    run("report", made.write(), "--by", "guidance", "-o", tmp_path / "r.html")
    context = browser.new_context(viewport={"width": 400, "height": 800})
    page, asked = context.new_page(), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "r.html").as_uri())
    assert page.inner_text("h1") == "out: 24 pictures of 24 jobs"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("figure svg").count() == 3
    assert all(url.startswith(("file:", "data:")) for url in asked)
    context.close()


def test_bad_input_is_a_sentence(tmp_path: Path) -> None:
    made = grid(tmp_path / "out", seeds=1)
    made.write()
    (tmp_path / "r.md").write_text("mine")
    for words, expected in (
        (["--by", "guidence"], "unknown field of these jobs 'guidence'; did you mean 'guidance'?"),
        (["--by", "qqq"], "known are: anagram.views, guidance, note, seed, tricks, view"),
        (["-o", tmp_path / "r.doc"], "expected a report as .html, .htm, .md, .txt"),
        (["-o", tmp_path / "r.md"], "exists; pass --force"),
    ):
        outcome = run("report", made.home, *words)
        assert (outcome.code, expected in outcome.err) == (2, True), outcome.err
    assert (tmp_path / "r.md").read_text() == "mine"
    assert run("report", made.home, "-o", tmp_path / "r.md", "--force").code == 0
    assert run("report", tmp_path).code == 2


@pytest.mark.parametrize(("value", "words"), [
    (None, "-"), (3, "3"), (0.25, "0.25"), ("a\nb", "a\nb"), ([1, 2], "1, 2"), ([["flip", "a duck"]], "flip: a duck"),
    ([{"trick": "sdedit", "strength": 0.5}], "sdedit(strength 0.5)"), ({"a": 1}, "a 1"),
])  # fmt: skip
def test_values_in_words(value: Any, words: str) -> None:
    assert said(value) == words


JOBS = [
    {"id": f"{view}-{seed}", "seed": seed, "steps": 3, "tricks": [{"trick": "anagram", "views": [
        ["identity", "a rabbit"], [view, "a duck"]]}]}
    for view in ("flip", "rotate_cw") for seed in range(4)
]  # fmt: skip


def test_a_batch_ends_with_its_table_sheet_and_gallery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the model inside. The scores are those in each picture's own record; a batch that goes on ends alike."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jobs.jsonl").write_text("".join(json.dumps(job) + "\n" for job in JOBS))
    assert run("batch", "jobs.jsonl", "-o", "out", "--batch", "4").code == 0
    made = Noted(tmp_path / "out", JOBS)
    rows = table_of(made)
    assert [row["id"] for row in rows] == [job["id"] for job in JOBS]
    for row in rows:
        score = read_record(made.home / row["path"])["score"]
        assert [float(row[name]) for name in ("alignment", "concealment", "sep_min")] == [
            score[name] for name in ("alignment", "concealment", "sep_min")
        ]
    assert {"sheet.png", "index.html"} <= {path.name for path in made.home.iterdir()}
    assert len(list((made.home / "index-pages").iterdir())) == 8
    assert run("status", "out").code == 0
    data = run("report", "out", "--by", "view", "--json").json
    assert [(one["of"]["view"], one["n"]) for one in data["scores"][1:]] == [
        ("identity", 8), ("flip", 4), ("rotate_cw", 4),
    ]  # fmt: skip
    assert 0 < data["throughput"]["denoising"] <= 1
    before = {path.name: path.read_bytes() for path in made.home.iterdir() if path.is_file()}
    (made.home / "flip-1.png").unlink()
    (made.home / "scores.csv").unlink()
    assert run("batch", "jobs.jsonl", "-o", "out", "--resume").code == 0
    assert {path.name: path.read_bytes() for path in made.home.iterdir() if path.is_file()} == before
