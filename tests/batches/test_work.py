"""What goes wrong with a job, a model, the disk or the network stops no other job, and is told as what it is."""

from __future__ import annotations

import errno
import gc
import json
import shutil
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from PIL import Image

from command_line import run
from diffusion_tricks import OutOfMemory
from diffusion_tricks.devices.compile import memory_format
from diffusion_tricks.errors import ModelError, OutputFailed, UsageError
from diffusion_tricks.families.unet import UNetFamily
from diffusion_tricks.hookspecs import hookimpl
from diffusion_tricks.io import atomic
from diffusion_tricks.recipes import inputs
from diffusion_tricks.registry.trick import Trick
from diffusion_tricks.testing import registered
from diffusion_tricks_batch import Asked, How, Tally, batch, work
from diffusion_tricks_batch.groups import Group, Item, again, grouped, halves
from diffusion_tricks_batch.outcome import passes
from diffusion_tricks_batch.plan import planned
from diffusion_tricks_batch.records import Records
from diffusion_tricks_batch.traits import traits_of

FAST = How(device="cpu", scores=False)


@pytest.fixture(autouse=True)
def here(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny, "tiny")


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses, which are noted and not made."""
    made: list[float] = []
    monkeypatch.setattr(work.time, "sleep", made.append)
    return made


def job(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "prompt": f"a {name}", "seed": 1, "steps": 1, "model": "./tiny", **more}


def tried(jobs: list[dict[str, Any]], how: How = FAST, **more: Any) -> Tally:
    Path("jobs.jsonl").write_text("".join(json.dumps(one) + "\n" for one in jobs))
    return batch(Asked(**{"source": "jobs.jsonl", "output": "out", "how": how, "pictures": 4, **more}))


def kinds(tally: Tally) -> dict[str, str]:
    return {key: failure.kind for key, failure in tally.failures.items()}


class Bad(Trick[Any]):
    """A trick with a fault."""

    name = "bad"

    @hookimpl
    def after_step(self, step: Any) -> None:
        raise ValueError("boom")


def test_each_bad_job_fails_for_its_own_reason_and_the_others_are_made() -> None:
    jobs = [
        job("a"), job("unknown", tricks=[{"trick": "anagrm"}]), job("field", stepps=3), job("b"),
        job("model", model="./nothing"), job("picture", tricks=[{"trick": "sdedit", "image": "gone.png"}]),
        job("clash", tricks=[{"trick": "guidance", "scale": 2}, {"trick": "guidance", "scale": 3}]),
        job("trick", tricks=[{"trick": "bad"}]), job("scheduler", scheduler="ddimm"), job("c"),
    ]  # fmt: skip
    with registered(Bad):
        tally = tried(jobs)
    assert sorted(tally.made) == ["a", "b", "c"]
    assert kinds(tally) == {
        "unknown": "RecipeError", "field": "RecipeError", "model": "UnknownName", "picture": "PictureError",
        "clash": "UsageError", "trick": "PluginError", "scheduler": "UnknownName",
    }  # fmt: skip
    lines = [json.loads(line) for line in Path("out/failed.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == [one["id"] for one in jobs if one["id"] in tally.failures]
    assert all(line["failed"]["message"] == tally.failures[line["id"]].message for line in lines)


def test_a_model_that_cannot_be_loaded_is_tried_once_and_others_go_on() -> None:
    shutil.copytree("tiny", "broken")
    Path("broken/unet/diffusion_pytorch_model.safetensors").write_bytes(b"x" * 100)
    jobs = [job("a"), *(job(f"b{i}", model="./broken", steps=1 + i % 2) for i in range(4)), job("c", steps=2)]
    with mock.patch.object(work, "load_model", wraps=work.load_model) as loads:
        tally = tried(jobs, pictures=1)
    assert sorted(tally.made) == ["a", "c"]
    assert kinds(tally) == dict.fromkeys(["b0", "b2", "b1", "b3"], "ModelError")
    assert loads.call_count == 2


def test_what_kept_a_model_from_being_loaded_and_passes_is_no_reason_for_the_next_batch() -> None:
    real, errors = work.load_model, [ModelError("the hub cannot be reached")]
    errors[0].__cause__ = ConnectionError("reset")

    def loaded(*arguments: Any, **named: Any) -> Any:
        if errors:
            raise errors.pop()
        return real(*arguments, **named)

    with mock.patch.object(work, "load_model", loaded):
        tally = tried([job("a"), job("b", steps=2)], how=How(device="cpu", scores=False, retry=0))
    assert (list(tally.made), kinds(tally)) == (["b"], {"a": "ModelError"})


def test_one_model_is_held_at_a_time() -> None:
    shutil.copytree("tiny", "other")
    real, held, alive = work.load_model, list[weakref.ref[Any]](), list[int]()

    def loaded(*arguments: Any, **named: Any) -> Any:
        gc.collect()
        alive.append(sum(one() is not None for one in held))
        model = real(*arguments, **named)
        held.append(weakref.ref(model))
        return model

    with mock.patch.object(work, "load_model", loaded):
        tally = tried([job("a"), job("b", steps=2), job("c", model="./other")])
    assert (list(tally.made), alive) == (["a", "b", "c"], [0, 0])


def test_a_path_that_cannot_be_looked_at_fails_its_job_alone() -> None:
    edit = {"trick": "sdedit", "image": "x" * 300 + ".png"}
    tally = tried([job("a"), job("long", tricks=[edit]), job("b")])
    assert (sorted(tally.made), kinds(tally)) == (["a", "b"], {"long": "PictureError"})
    assert "name too long" in tally.failures["long"].message


def test_an_input_of_many_jobs_is_read_once() -> None:
    Image.new("RGB", (16, 16)).save("in.png")
    edit = [{"trick": "sdedit", "image": "in.png", "strength": 1.0}]
    Path("jobs.jsonl").write_text("".join(json.dumps(job(name, tricks=edit)) + "\n" for name in "abc"))
    with mock.patch.object(inputs, "sha256", wraps=inputs.sha256) as hashed:
        todo = planned(Asked("jobs.jsonl", "out", how=FAST), Records(Path("out")))
    assert hashed.call_count == 1
    assert len({tuple(item.inputs.items()) for item in todo.items.values()}) == 1
    assert todo.items["a"].inputs


def test_a_fault_of_the_programs_is_shown_whole_and_its_kind_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    real = work.Result.save
    with mock.patch.object(work.Result, "save", autospec=True) as save:
        save.side_effect = lambda result, path, **more: (
            {}["key"] if "a.png" in str(path) else real(result, path, **more)
        )  # fmt: skip
        tally = tried([job("a"), job("b")])
    assert (list(tally.made), kinds(tally)) == (["b"], {"a": "KeyError"})
    assert "Traceback" in (err := capsys.readouterr().err)
    assert "KeyError: 'key'" in err


def full_for_pictures(times: int) -> Callable[..., None]:
    """Writes a file, but no picture so many times."""
    left, real = [times], atomic._fill

    def fill(path: Path, data: Any) -> None:
        if left[0] and isinstance(data, bytes) and b"PNG" in data[:8]:
            left[0] -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, data)

    return fill


def test_a_full_disk_is_tried_again_after_growing_pauses_without_denoising_again(
    monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    tried([job("a")], output="first")
    monkeypatch.setattr(atomic, "_fill", full_for_pictures(3))
    with mock.patch.object(work, "made_together", wraps=work.made_together) as denoised:
        tally = tried([job("a")], how=How(device="cpu", scores=False, retry=3), resume=False)
    assert (list(tally.made), pauses, denoised.call_count) == (["a"], [1.0, 2.0, 4.0], 1)
    assert Path("out/a.png").read_bytes() == Path("first/a.png").read_bytes()


def test_a_disk_that_stays_full_fails_what_it_is_full_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "_fill", full_for_pictures(100))
    tally = tried([job("a"), job("b")])
    assert kinds(tally) == {"a": "OutputFailed", "b": "OutputFailed"}
    assert "the disk is full" in tally.failures["a"].message
    assert not list(Path("out").glob("*.png"))


def test_a_note_that_cannot_be_written_fails_its_job_and_leaves_nothing_torn(monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusion_tricks.io import journal

    real = journal._written

    def full(file: Any, data: bytes) -> None:
        if b'"done"' in data:
            file.write(data[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file, data)

    monkeypatch.setattr(journal, "_written", full)
    tally = tried([job("a")])
    assert kinds(tally) == {"a": "OutputFailed"}
    monkeypatch.setattr(journal, "_written", real)
    assert list(tried([job("a")], resume=True).made) == ["a"]  # nothing torn was left


def test_where_nothing_can_be_noted_the_run_ends_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: Any, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    tried([job("a")])
    monkeypatch.setattr("diffusion_tricks.io.journal._written", full)
    with pytest.raises(OutputFailed, match=r"here\.jsonl could not be written: the disk is full"):
        tried([job("a"), job("b")], resume=True)
    monkeypatch.undo()
    assert not Path("out/b.png").exists()


def test_what_a_network_fails_for_is_tried_again(pauses: list[float]) -> None:
    real, calls = work.load_model, []

    def loaded(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) < 3:
            raise ModelError("the hub cannot be reached") from ConnectionError("reset")
        return real(*arguments, **named)

    with mock.patch.object(work, "load_model", loaded):
        tally = tried([job("a"), job("b")], how=How(device="cpu", scores=False, retry=2))
    assert (sorted(tally.made), len(calls), pauses) == (["a", "b"], 3, [1.0, 2.0])


def test_what_no_other_try_mends_is_tried_once(pauses: list[float]) -> None:
    with mock.patch.object(work, "load_model", side_effect=ModelError("damaged")) as loads:
        assert kinds(tried([job("a"), job("b", steps=2)])) == {"a": "ModelError", "b": "ModelError"}
    assert (loads.call_count, pauses) == (1, [])


def test_a_full_memory_steps_down_before_anything_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    """Batches are halved, down to one job; what does not fit alone is tried again, and then fails by itself."""
    real, sizes = work.made_together, []

    def filled(recipes: Any, *arguments: Any, **named: Any) -> Any:
        sizes.append(len(recipes))
        if len(recipes) > 2 or recipes[0].prompt == "a c":
            raise OutOfMemory("too little")
        return real(recipes, *arguments, **named)

    monkeypatch.setattr(work, "made_together", filled)
    tally = tried([job(name) for name in "abcd"])
    assert sorted(tally.made) == ["a", "b", "d"]
    assert kinds(tally) == {"c": "OutOfMemory"}
    assert (sizes, pauses) == ([4, 2, 2, 1, 1, 1], [1.0])


def test_rows_are_halved_within_a_batch_as_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    real, rows = UNetFamily.predict, []

    def predict(self: Any, x: Any, *arguments: Any, **named: Any) -> Any:
        rows.append(len(x))
        if len(x) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return real(self, x, *arguments, **named)

    monkeypatch.setattr(UNetFamily, "predict", predict)
    tally = tried([job(name) for name in "abc"])
    assert (sorted(tally.made), rows) == (["a", "b", "c"], [6, 3, 1, 1, 1, 1, 1, 1])


def test_with_stop_the_first_failure_ends_it_and_says_what_is_left() -> None:
    jobs = [job(name, tricks=[{"trick": "bad"}] if name == "b" else []) for name in "abcd"]
    Path("jobs.jsonl").write_text("".join(json.dumps(one) + "\n" for one in jobs))
    words = ["batch", "jobs.jsonl", "-o", "out", "--no-scores", "--on-error", "stop"]
    with registered(Bad):
        outcome = run(*words, "--batch", "1")
        # c was in the loop when b was known to have failed, so it is kept
        assert (outcome.code, outcome.lines) == (1, ["out/a.png", "out/c.png"])
        assert "4 in all: 2 made, 1 failed (1 PluginError), 1 not begun" in outcome.err
        assert "The same again with --resume goes on from here" in outcome.err
        outcome = run(*words, "--resume")
        assert (outcome.code, outcome.lines) == (1, ["out/d.png"])


def test_what_is_wrong_in_a_job_is_not_said_to_go_away_by_itself() -> None:
    Path("jobs.jsonl").write_text("".join(json.dumps(one) + "\n" for one in (job("a"), job("b", stepps=1))))
    outcome = run("batch", "jobs.jsonl", "-o", "out", "--no-scores")
    assert (outcome.code, outcome.lines) == (1, ["out/a.png"])
    assert "--resume tries what has failed; what is wrong in a job must be mended in the list first" in outcome.err
    assert "goes on from here" not in outcome.err


@pytest.mark.parametrize("asked", [{}, {"compile": True}])
def test_a_model_is_laid_out_channels_last_on_a_cpu_as_well(asked: dict[str, Any]) -> None:
    loaded: list[torch.memory_format] = []

    def noted(recipes: Any, model: Any, **named: Any) -> Any:
        loaded.append(memory_format(model.pipe.unet))
        raise UsageError("enough")

    with mock.patch.object(work, "made_together", noted):
        tried([job("a")], How(device="cpu", scores=False, **asked))
    assert loaded == [torch.channels_last]


def test_with_stop_a_bad_line_begins_nothing() -> None:
    tally = tried([job("a"), job("b", stepps=1)], stop=True)
    assert (tally.made, kinds(tally), tally.left) == ({}, {"b": "RecipeError"}, 1)


def test_where_all_jobs_fail_alike_it_is_refused_before_anything_is_written() -> None:
    with pytest.raises(UsageError, match="unknown model 'nothing'"):
        tried([job(str(number), model="nothing") for number in range(5)])
    assert not Path("out").exists()


@pytest.mark.parametrize("good", [job("good", steps=2), job("good", prompt="a last one")])
def test_bad_jobs_at_the_head_of_a_list_hold_no_good_one_up(good: dict[str, Any]) -> None:
    tally = tried([*(job(str(number), model="nothing") for number in range(3)), good])
    assert (list(tally.made), kinds(tally)) == (["good"], dict.fromkeys("012", "UnknownName"))


def test_a_folder_that_cannot_be_written_to_is_refused_before_anything_is_made() -> None:
    Path("file").write_text("")
    with pytest.raises(UsageError, match=r"file is not a folder"):
        tried([job("a")], output="file/out/{id}.png")


def test_the_time_in_the_loop_is_told() -> None:
    tally = tried([job("a"), job("b")])
    assert 0 < tally.denoised <= tally.seconds
    assert tally.share == pytest.approx(tally.denoised / tally.seconds)
    ended = json.loads(Path("out/ledger/here.jsonl").read_text().splitlines()[-1])["ended"]
    assert ended == tally.data()
    assert ended["share"] == round(tally.share, 4)


INTERRUPTED = """
import os, signal, sys
from diffusion_tricks_batch import work
real, calls = work.made_together, []
def together(*arguments, **named):
    calls.append(1)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGINT)
    return real(*arguments, **named)
work.made_together = together
from diffusion_tricks_cli.main import main
main(sys.argv[1:])
"""


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on() -> None:
    jobs = [job(name, steps=1) for name in "abcdef"]
    Path("jobs.jsonl").write_text("".join(json.dumps(one) + "\n" for one in jobs))
    words = ["batch", "jobs.jsonl", "-o", "out", "--batch", "1", "--no-scores"]
    command = [sys.executable, "-c", INTERRUPTED, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 130, done.stderr
    assert done.stdout.splitlines() == ["out/a.png", "out/b.png"]
    assert "2 made, which are kept in out. The same again with --resume goes on from here" in done.stderr
    assert "Traceback" not in done.stderr
    outcome = run(*words, "--resume")
    assert outcome.code == 0
    assert outcome.lines == [f"out/{name}.png" for name in "cdef"]
    noted = [json.loads(line).get("done") for line in Path("out/ledger/here.jsonl").read_text().splitlines()]
    assert [key for key in noted if key] == [*"abcdef"], "each once"


# groups and errors, as data


def item(name: str, make: bool = True) -> Item:
    return Item(name, {}, "", {}, (f"{name}.png",), make)


def test_another_try_has_the_same_company_and_halves_have_none() -> None:
    group = Group(0, tuple(item(name) for name in "abcd"))
    tries = again(group, ["b"])
    assert [(one.key, one.make) for one in tries.items] == [("a", False), ("b", True), ("c", False), ("d", False)]
    assert tries.tries == 1
    assert [[one.key for one in half.items] for half in halves(group, ["a", "c", "d"])] == [["a"], ["c", "d"]]
    assert halves(group, []) == []


def test_jobs_of_one_model_stand_together_and_pictures_are_counted() -> None:
    from diffusion_tricks import Recipe

    recipes = [("a", "emoji", 1, 1), ("b", "digits", 1, 1), ("c", "emoji", 1, 2), ("d", "emoji", 2, 1),
               ("e", "emoji", 1, 1)]  # fmt: skip
    items = [(traits_of(Recipe(prompt="x", model=model, count=count, steps=steps)), item(name))
             for name, model, count, steps in recipes]  # fmt: skip
    groups = grouped(items, 3)
    assert [[one.key for one in group.items] for group in groups] == [["a", "d"], ["e"], ["c"], ["b"]]
    assert [group.number for group in groups] == [0, 1, 2, 3]


def chained(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


PASSING: list[tuple[Callable[[], Exception], bool]] = [
    (lambda: OutOfMemory("x"), True), (lambda: OutputFailed("x"), True), (lambda: TimeoutError("x"), True),
    (lambda: chained(ModelError("x"), ConnectionResetError("x")), True), (lambda: ModelError("x"), False),
    (lambda: ValueError("x"), False),
]  # fmt: skip


@pytest.mark.parametrize(("made", "passing"), PASSING)
def test_what_may_pass_is_told_from_what_stays(made: Callable[[], Exception], passing: bool) -> None:
    assert passes(made()) is passing


def test_how_many_pictures_share_a_batch_follows_from_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def pictures(**more: Any) -> int:
        return planned(Asked("jobs.jsonl", "out", how=FAST, **more), Records(Path("out"))).run.pictures

    tried([job("a"), job("b", size="32x32")], output="elsewhere")
    plenty = pictures()
    assert plenty == 8
    assert pictures(pictures=5) == 5
    for free, expected in ((10**5, 1), (10**7, 2)):
        monkeypatch.setattr("diffusion_tricks.devices.capacity.free_memory", lambda device, free=free: free)
        assert pictures() == expected
    monkeypatch.setattr("diffusion_tricks.devices.capacity.free_memory", lambda device: 1)
    assert pictures() == 1
