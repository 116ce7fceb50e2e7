"""Going on with a batch: what is kept, what is made anew and why, and that nothing else is done.

An uninterrupted run is made once; each test changes something about a copy of it, goes on, and compares bytes.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from PIL import Image

from command_line import Outcome, run
from diffusion_tricks import Result
from diffusion_tricks.errors import OutputError, UsageError
from diffusion_tricks.plugin import Ledger, Task
from diffusion_tricks_batch import Asked, How, Tally, batch
from diffusion_tricks_batch.engines.away import Unnoted
from diffusion_tricks_batch.engines.inline import Inline
from diffusion_tricks_batch.groups import Group
from diffusion_tricks_batch.telling.standing import Standing
from diffusion_tricks_batch.work import Worker

JOURNAL = Path("out/ledger/here.jsonl")
FAST = How(device="cpu", scores=False, quality=90)
NAMES = "out/{id}-{index}.jpg"


def job(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "prompt": f"a {name}", "seed": 1, "steps": 2, "model": "./tiny", **more}


JOBS = [
    job("a"), job("b", count=2), job("c", tricks=[{"trick": "sdedit", "image": "in.png", "strength": 1.0}]), job("d"),
    job("e"),
]  # fmt: skip


def listed(jobs: list[dict[str, Any]], name: str = "jobs.jsonl") -> None:
    Path(name).write_text("".join(json.dumps(one) + "\n" for one in jobs))


@pytest.fixture(scope="module")
def whole(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, a list of jobs, and all that an uninterrupted run makes of it."""
    folder = tmp_path_factory.mktemp("whole")
    shutil.copytree(tiny, folder / "tiny")
    with chdir(folder):
        Image.linear_gradient("L").resize((16, 16)).save("in.png")
        Image.new("RGB", (16, 16)).save("other.png")
        listed(JOBS)
        tally = batch(asked(resume=False))
        assert (len(tally.made), tally.failures) == (5, {})
    return folder


@pytest.fixture(autouse=True)
def here(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(whole, tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")


def asked(**more: Any) -> Asked:
    return Asked(**{"source": "jobs.jsonl", "output": NAMES, "how": FAST, "pictures": 3, "resume": True, **more})


def pictures(folder: Path = Path("out")) -> dict[str, bytes]:
    """All files but those of the ledger."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "ledger"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def whys(tally: Tally) -> dict[str, str]:
    """Why jobs were made anew, by id."""
    return {key: verdict.why for key, verdict in tally.ready.verdicts.items() if not verdict.kept}


def denoised() -> Any:
    """Notes which jobs go through the model, and which of them are to be made."""
    seen: list[list[tuple[str, bool]]] = []
    real = Worker._denoised

    def noted(worker: Worker, group: Group) -> Any:
        seen.append([(item.key, item.make) for item in group.items])
        return real(worker, group)

    return mock.patch.object(Worker, "_denoised", noted), seen


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def torn(path: Path) -> None:
    JOURNAL.write_bytes(JOURNAL.read_bytes() + b'{"begun": "x')


def without(*states: str) -> Callable[[Path], None]:
    """As if all had ended before lines about job d were noted."""

    def forgotten(path: Path) -> None:
        lines = JOURNAL.read_text().splitlines(keepends=True)
        JOURNAL.write_text("".join(line for line in lines if json.loads(line).keys().isdisjoint(states)
                                   or '"d"' not in line))  # fmt: skip

    return forgotten


DECISIONS: dict[str, tuple[Callable[[Path], object], dict[str, str]]] = {
    "nothing": (lambda path: None, {}),
    "a torn last line": (torn, {}),
    "a deleted output": (Path.unlink, {"d": "a file is gone"}),
    "a truncated output": (cut_off, {"d": "a file is damaged"}),
    "an empty output": (lambda path: path.write_bytes(b""), {"d": "a file is damaged"}),
    "a deleted side-car": (lambda path: Path(f"{path}.json").unlink(), {"d": "a file is gone"}),
    "a truncated side-car": (lambda path: cut_off(Path(f"{path}.json")), {"d": "a file is damaged"}),
    "a kill between picture and note": (without("done"), {"d": "was not finished"}),
}  # fmt: skip


@pytest.mark.parametrize("change", DECISIONS)
def test_going_on_comes_to_what_an_uninterrupted_run_comes_to(change: str) -> None:
    before = pictures()
    act, why = DECISIONS[change]
    act(Path("out/d-0.jpg"))
    patched, seen = denoised()
    with patched:
        tally = batch(asked())
    assert whys(tally) == why
    assert (len(tally.made), tally.ready.kept, tally.failures) == (len(why), 5 - len(why), {})
    assert pictures() == before
    # the whole batch goes through the model, and what is there is left alone
    assert seen == ([[("c", False), ("d", True), ("e", False)]] if why else [])
    assert batch(asked()).ready.kept == 5


def test_a_kill_before_anything_of_a_batch_was_noted() -> None:
    before = pictures()
    lines = [line for line in JOURNAL.read_text().splitlines(keepends=True) if '"d"' not in line and '"e"' not in line]
    JOURNAL.write_text("".join(lines))
    for path in [*Path("out").glob("d-*"), *Path("out").glob("e-*")]:
        path.unlink()
    tally = batch(asked())
    assert whys(tally) == {"d": "new", "e": "new"}
    assert pictures() == before


def test_of_two_pictures_of_a_job_one_is_gone() -> None:
    before = pictures()
    Path("out/b-1.jpg").unlink()
    assert whys(batch(asked())) == {"b": "a file is gone"}
    assert pictures() == before


def test_a_changed_input_is_seen_whatever_its_name_and_time() -> None:
    before = pictures()
    shutil.copyfile("other.png", "in.png")
    assert whys(batch(asked())) == {"c": "an input has changed"}
    changed = {name for name, data in pictures().items() if data != before[name]}
    assert changed == {"c-0.jpg", "c-0.jpg.json"}


def test_an_input_that_is_gone_fails_its_job_and_leaves_its_picture() -> None:
    before = pictures()
    Path("in.png").unlink()
    tally = batch(asked())
    assert {key: failure.kind for key, failure in tally.failures.items()} == {"c": "PictureError"}
    assert {name: data for name, data in pictures().items() if name != "failed.jsonl"} == before


def test_an_input_that_is_there_again_leaves_its_picture_as_it_was() -> None:
    Path("in.png").rename("away.png")
    assert list(batch(asked()).failures) == ["c"]
    assert [json.loads(line)["id"] for line in Path("out/failed.jsonl").read_text().splitlines()] == ["c"]
    standing = Standing(Path("out"))
    assert [(job.id, kind) for job, kind in standing.failures()] == [("c", "PictureError")]
    Path("away.png").rename("in.png")
    assert batch(asked()).ready.kept == 5
    assert Standing(Path("out")).states() == {"kept": 5}
    assert not Path("out/failed.jsonl").exists()


def test_another_recipe_or_other_settings_make_a_job_anew() -> None:
    listed([one | {"steps": 1} if one["id"] == "d" else one for one in JOBS])
    assert whys(batch(asked())) == {"d": "other options"}
    anew = dict.fromkeys("abcde", "other options")
    assert whys(batch(asked(how=How(device="cpu", scores=False, quality=80)))) == anew
    # where and by how many rows is no matter
    how = How(device="cpu", scores=False, quality=80, max_rows=2, memory="low", retry=3)
    assert whys(batch(asked(how=how))) == {}


@pytest.mark.parametrize("after", range(3))
def test_a_run_that_ends_while_pictures_are_made_anew_goes_on_by_itself(after: int) -> None:
    """Between the files of a job and the note of them, when so many are noted; nobody has touched any."""
    shutil.copytree("out", "before")
    how = How(device="cpu", scores=False, quality=80)
    batch(asked(how=how))
    whole = pictures()
    shutil.rmtree("out")
    shutil.move("before", "out")
    done = Ledger.done
    noted: list[Task] = []

    def ended(ledger: Ledger, task: Task, **facts: Any) -> Any:
        noted.append(task)
        if len(noted) > after:
            raise KeyboardInterrupt
        return done(ledger, task, **facts)

    with mock.patch.object(Ledger, "done", ended), pytest.raises(KeyboardInterrupt):
        batch(asked(how=how))
    assert all(pictures()[path.name] == whole[path.name] for path in noted[after].files), "as files are put in place"
    tally = batch(asked(how=how))
    assert (len(tally.made), tally.failures) == (5 - after, {})
    assert pictures() == whole


def test_a_picture_edited_after_that_is_left_alone() -> None:
    how = How(device="cpu", scores=False, quality=80)
    with mock.patch.object(Ledger, "done", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        batch(asked(how=how))
    Image.new("RGB", (16, 16), "red").save("out/a-0.jpg")
    mine = Path("out/a-0.jpg").read_bytes()
    tally = batch(asked(how=how))
    assert list(tally.failures) == ["a"]
    assert "none of these runs, or by one that was killed" in tally.failures["a"].message
    assert Path("out/a-0.jpg").read_bytes() == mine


def test_another_model_of_the_same_name_makes_its_jobs_anew() -> None:
    Path("tiny/notes.md").write_text("another word")
    assert whys(batch(asked())) == {}
    weights = Path("tiny/unet/diffusion_pytorch_model.safetensors")
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert whys(batch(asked())) == dict.fromkeys("abcde", "other options")


def test_a_model_elsewhere_is_the_same_model() -> None:
    shutil.move("tiny", "moved")
    listed([one | {"model": "./moved"} for one in JOBS])
    assert whys(batch(asked())) == {}


def test_a_picture_edited_by_hand_is_left_alone_and_the_others_go_on() -> None:
    Image.new("RGB", (16, 16), "red").save("out/d-0.jpg")
    Path("out/a-0.jpg").unlink()
    edited = Path("out/d-0.jpg").read_bytes()
    tally = batch(asked())
    assert list(tally.made) == ["a"]
    assert tally.failures["d"].message.startswith("out/d-0.jpg has been changed since it was made")
    assert Path("out/d-0.jpg").read_bytes() == edited
    assert [json.loads(line)["id"] for line in Path("out/failed.jsonl").read_text().splitlines()] == ["d"]


def test_a_picture_put_in_the_place_of_a_failed_job_is_left_alone() -> None:
    shutil.rmtree("out")
    with mock.patch("diffusion_tricks_batch.work.load_model", side_effect=RuntimeError("boom")):
        assert len(batch(asked(resume=False)).failures) == 5
    Image.new("RGB", (16, 16), "red").save("out/d-0.jpg")
    Path("out/e-0.jpg").write_bytes(b"half a pic")
    mine = Path("out/d-0.jpg").read_bytes()
    tally = batch(asked())
    assert sorted(tally.made) == ["a", "b", "c", "e"]
    assert tally.failures["d"].message.startswith("out/d-0.jpg was made by none of these runs; keep it")
    assert Path("out/d-0.jpg").read_bytes() == mine


def test_a_picture_edited_while_it_was_to_be_made_anew_is_left_alone() -> None:
    JOURNAL.write_text(JOURNAL.read_text() + '{"begun": "d", "at": 4e9}\n')
    Image.new("RGB", (16, 16), "red").save("out/d-0.jpg")
    mine = Path("out/d-0.jpg").read_bytes()
    assert "none of these runs, or by one that was killed" in batch(asked()).failures["d"].message
    assert Path("out/d-0.jpg").read_bytes() == mine


def test_what_a_failed_job_wrote_is_its_own() -> None:
    before = pictures()
    shutil.rmtree("out")
    real = Result.save

    def full(result: Result, path: str, **how: Any) -> Any:
        if "b-1" in str(path):
            raise RuntimeError("boom")
        return real(result, path, **how)

    with mock.patch.object(Result, "save", full):
        assert list(batch(asked(resume=False)).failures) == ["b"]
    assert Path("out/b-0.jpg").exists()
    assert list(batch(asked()).made) == ["b"]
    assert pictures() == before


def test_other_names_make_the_pictures_under_them() -> None:
    before = pictures()
    again = {"output": "out/{id}-{index}.webp"}
    assert whys(batch(asked(**again))) == dict.fromkeys("abcde", "other names")
    assert len(list(Path("out").glob("*.webp"))) == 6
    assert batch(asked(**again)).ready.kept == 5
    assert {name: pictures()[name] for name in before} == before


def test_force_makes_a_picture_edited_by_hand_anew() -> None:
    before = pictures()
    Image.new("RGB", (16, 16), "red").save("out/d-0.jpg")
    assert list(batch(asked(force=True)).made) == ["d"]
    assert pictures() == before


def test_files_in_the_way_are_named_before_anything_is_made() -> None:
    shutil.rmtree("out")
    Path("out").mkdir()
    for name in ("a-0.jpg", "b-0.jpg", "b-1.jpg.json", "d-0.jpg", "e-0.jpg"):
        Path("out", name).write_text("mine")
    with pytest.raises(OutputError) as error:
        batch(asked(resume=False))
    assert str(error.value).count("exists") == 3
    assert str(error.value).endswith("; and 2 more")
    assert not Path("out/ledger").exists()
    batch(asked(resume=False, force=True))
    assert {Path("out", name).read_bytes() == b"mine" for name in ("a-0.jpg", "b-1.jpg.json")} == {False}


def test_force_leaves_a_folder_that_is_no_ledger() -> None:
    shutil.rmtree("out")
    accounts = Path("out/ledger/accounts.txt")
    accounts.parent.mkdir(parents=True)
    accounts.write_text("mine")
    for force in (False, True):
        with pytest.raises(OutputError, match=r"out/ledger/accounts.txt is of no batch"):
            batch(asked(resume=False, force=force))
    assert [path for path in Path("out").rglob("*") if path.is_file()] == [accounts]


def test_force_leaves_files_of_others_in_the_ledger() -> None:
    noted = JOURNAL.read_bytes()
    Path("out/ledger/accounts.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"out/ledger/accounts.txt is of no batch"):
        batch(asked(resume=False, force=True))
    assert JOURNAL.read_bytes() == noted
    Path("out/ledger/accounts.txt").rename("out/ledger/.accounts")
    assert len(batch(asked(resume=False, force=True)).made) == 5
    assert Path("out/ledger/.accounts").read_text() == "mine"


def test_a_picture_in_the_place_of_the_ledger_is_refused() -> None:
    listed([job("ledger/a")])
    with pytest.raises(UsageError, match="where the run keeps what it notes itself"):
        batch(asked(output="out/{id}.png"))


def test_a_job_less_changes_nothing_and_a_job_more_is_made() -> None:
    before = pictures()
    listed(JOBS[:2] + JOBS[3:])
    assert whys(batch(asked())) == {}
    listed([*JOBS, job("f")])
    assert whys(batch(asked())) == {"f": "new"}
    assert pictures().keys() - before.keys() == {"f-0.jpg", "f-0.jpg.json"}
    assert {name: data for name, data in pictures().items() if name in before} == before


def test_the_order_of_the_jobs_is_no_matter() -> None:
    listed(JOBS[::-1])
    assert whys(batch(asked())) == {}


def test_jobs_without_a_seed_keep_the_one_they_were_given() -> None:
    shutil.rmtree("out")
    listed([{key: value for key, value in one.items() if key != "seed"} for one in JOBS])
    first = batch(asked(resume=False))
    before = pictures()
    seeds = [outcome.facts[0]["seed"] for outcome in first.made.values()]
    assert len(set(seeds)) == 5
    for path in Path("out").glob("*.jpg"):
        path.unlink()
    batch(asked(pictures=0))
    assert pictures() == before


@pytest.mark.parametrize(
    ("more", "said"), [({"seed": 5}, r"began with `seed=\d+`"), ({"pictures": 2}, "began with `pictures=3`")]
)
def test_what_decides_the_bytes_of_a_run_cannot_change_within_it(more: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        batch(asked(**more))


def test_a_run_is_not_begun_over_another_by_mistake() -> None:
    with pytest.raises(OutputError, match="holds an earlier batch; go on with it by `resume`"):
        batch(asked(resume=False))
    assert (len(batch(asked(resume=False, force=True)).made)) == 5


def test_what_failed_is_a_list_of_jobs_by_itself() -> None:
    """Whatever the list that it came from had around it: a base, variables, files in its own folder."""
    before = pictures()
    Path("lists").mkdir()
    shutil.copyfile("in.png", "lists/in.png")
    base = {"prompt": "a {thing}", "model": "../tiny", "steps": 2, "folder": ".."}
    edit = [{"trick": "sdedit", "image": "in.png", "strength": 1.0}]
    rows = [{"base": base}, {"id": "x", "thing": "a", "seed": 1}, {"id": "y", "thing": "c", "tricks": edit},
            {"id": "z", "thing": "d", "stepps": 1}]  # fmt: skip
    listed(rows, "lists/jobs.jsonl")
    shutil.rmtree("out")
    with mock.patch("diffusion_tricks_batch.work.load_model", side_effect=RuntimeError("boom")):
        tally = batch(asked(source="lists/jobs.jsonl", resume=False))
    assert {key: failure.kind for key, failure in tally.failures.items()} == {
        "x": "RuntimeError", "y": "RuntimeError", "z": "RecipeError",
    }  # fmt: skip
    again = batch(asked(source="out/failed.jsonl"))
    assert sorted(again.made) == ["x", "y"]
    assert "unknown field 'stepps'" in again.failures["z"].message
    assert pictures()["x-0.jpg"] == before["a-0.jpg"]
    left = [json.loads(line) for line in Path("out/failed.jsonl").read_text().splitlines()]
    assert [one["id"] for one in left] == ["z"]
    # and the whole list finds them as they are
    assert whys(batch(asked(source="lists/jobs.jsonl"))) == {}


def test_what_failed_is_tried_again_as_a_part_of_its_list() -> None:
    shutil.rmtree("out")
    Path("in.png").rename("gone.png")
    words = ["batch", "-o", NAMES, "--no-scores", "--quality", "90", "--quiet"]
    assert run(*words, "jobs.jsonl").code == 1
    Path("gone.png").rename("in.png")
    assert run(*words, "out/failed.jsonl", "--resume").code == 0
    data = run("status", "out", "--json").json
    assert {name: data[name] for name in ("jobs", "made", "kept", "left")} == {
        "jobs": 5, "made": 1, "kept": 4, "left": 0,
    }  # fmt: skip
    ids = [one["id"] for one in json.loads(Path("out/ledger/jobs.json").read_bytes())["jobs"]]
    assert ids == ["a", "b", "c", "d", "e"]
    assert len(Path("out/scores.csv").read_text().splitlines()) == 1 + 6  # b has two
    assert not Path("out/failed.jsonl").exists()


def test_a_list_of_failures_that_is_of_another_is_left_alone() -> None:
    Path("out/failed.jsonl").write_text("mine\n")
    assert batch(asked()).listed
    listed([*JOBS, job("f", stepps=1)])
    assert not batch(asked()).listed
    outcome = run("batch", "jobs.jsonl", "-o", NAMES, "--resume", "--no-scores", "--quality", "90")
    assert "out/failed.jsonl is not of this batch, and was left as it is" in outcome.err
    assert Path("out/failed.jsonl").read_text() == "mine\n"


def test_what_failed_keeps_the_name_that_it_had_by_its_place_in_the_list() -> None:
    shutil.rmtree("out")
    how = {"output": "out/{number}-{index}.jpg", "resume": False}
    with mock.patch("diffusion_tricks_batch.work.Result.save", side_effect=RuntimeError("boom")):
        batch(asked(**how))
    listed([json.loads(line) for line in Path("out/failed.jsonl").read_text().splitlines()][2:], "out/left.jsonl")
    batch(asked(source="out/left.jsonl", output="out/{number}-{index}.jpg"))
    assert sorted(path.name for path in Path("out").glob("*.jpg")) == ["2-0.jpg", "3-0.jpg", "4-0.jpg"]


def test_a_list_of_failures_that_is_interrupted_keeps_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree("out")
    with mock.patch("diffusion_tricks_batch.work.load_model", side_effect=RuntimeError("boom")):
        batch(asked(resume=False))
    real = Worker._together
    calls = []

    def interrupted(worker: Worker, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(worker, *arguments)

    monkeypatch.setattr(Worker, "_together", interrupted)
    with pytest.raises(KeyboardInterrupt):
        batch(asked(source="out/failed.jsonl"))
    left = [json.loads(line)["id"] for line in Path("out/failed.jsonl").read_text().splitlines()]
    assert left == ["c", "d", "e"]
    ends = [json.loads(line) for line in JOURNAL.read_text().splitlines()]
    assert ends[-1]["ended"]["left"] == 3
    monkeypatch.undo()


def test_pictures_say_nothing_of_where_or_when() -> None:
    """Else no two runs could be the same."""
    assert "seconds" not in json.dumps(json.loads(Path("out/a-0.jpg.json").read_text()))


@pytest.fixture
def resumed() -> Callable[..., Outcome]:
    def gone_on(*more: str) -> Outcome:
        return run("batch", "jobs.jsonl", "-o", NAMES, "--resume", "--no-scores", "--quality", "90", *more)

    return gone_on


def test_the_command_says_what_it_did_and_why(resumed: Callable[..., Outcome]) -> None:
    Path("out/d-0.jpg").unlink()
    cut_off(Path("out/e-0.jpg"))
    outcome = resumed()
    assert outcome.code == 0
    assert outcome.lines == ["out/d-0.jpg", "out/e-0.jpg"]
    assert "5 in all: 2 made (of those there before: 1 a file is gone, 1 a file is damaged), 3 kept as they were" in (
        outcome.err
    )
    told = [json.loads(line) for line in resumed("--json").lines]
    assert [one.get("kept") for one in told] == [True] * 6 + [None]
    assert told[-1]["batch"]["kept"] == 5


@pytest.mark.parametrize("noted", [True, False])
def test_what_a_worker_elsewhere_has_replaced_is_its_own_though_its_lines_never_came(noted: bool) -> None:
    def cut_off(engine: Inline) -> Any:
        away = Unnoted(Path("out/ledger/away.jsonl"))
        with contextlib.nullcontext() if noted else mock.patch.object(away, "foretell"):
            yield from [None for _ in Worker(engine.site.how, away, "away").outcomes(engine.groups) if False]
        raise KeyboardInterrupt

    coarser = asked(how=replace(FAST, quality=80))
    with mock.patch.object(Inline, "results", cut_off), pytest.raises(KeyboardInterrupt):
        batch(coarser)
    made = pictures()
    tally = batch(coarser)
    assert (len(tally.made), len(tally.failures)) == ((5, 0) if noted else (0, 5))
    assert pictures() == made or not noted
