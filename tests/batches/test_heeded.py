"""Every option of `batch` with every engine: it acts, or is refused by name. Nothing is loaded, and nothing made.

That it reaches what is asked is seen here; that it then acts, in the tests that `ACTS` names.
"""

from __future__ import annotations

import json
import shlex
import sys
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from batches.faked import Faked, groups_of, records_of
from command_line import run
from diffusion_tricks_batch import work
from diffusion_tricks_batch.engines.away import orders_of
from diffusion_tricks_batch.engines.inline import Inline
from diffusion_tricks_batch.engines.launch import Launch
from diffusion_tricks_batch.engines.protocol import Site
from diffusion_tricks_batch.engines.shards import Shards
from diffusion_tricks_batch.groups import Group, Item
from diffusion_tricks_batch.how import How, how_from
from diffusion_tricks_batch.records import WORK
from diffusion_tricks_batch.serve import check_asked
from test_every_command import ASKED_OF_BATCH, BATCH, batched

HERE = Path(__file__).parent
# engine, or -: the words that choose it
ENGINES = {
    "here": "", "launch": "--workers 2", "shards": "--shard 1/2", "ray": "--engine ray", "-": "",
}  # fmt: skip
WORDS = {name: words.removeprefix("--engine ray ") for name, words in BATCH.items()}
WORDS |= {"workers": "--workers 3", "shard": "--shard 2/2", "devices": "--devices cpu,cpu"}
REFUSED = {
    "here": {"address", "collect"},
    "launch": {"address", "collect", "shard"},
    "shards": {"address", "collect", "workers", "devices", "engine", "force"},
    "ray": {"devices", "shard"},
    "-": {"address", "collect", "workers", "devices", "shard", "engine", "grid", "pictures"},
}
SAID_ALREADY = {(engine, "jobs") for engine in ENGINES} | {("ray", "engine")}  # by the words that choose it
FOLLOW = {"engine", "workers"}  # change with who is to work
SETTINGS = How("cpu", "float16", "low", "int8", True, 3, False, "clip", 40, False, False, True, 5)

WORKER = "test_heeded.py::test_a_worker_hands_all_settings_on"
ACTS = {
    "jobs": "test_jobs.py::test_a_list_of_lines", "output": "test_jobs.py::test_names_from_jobs",
    "grid": "test_command.py::test_a_grid_needs_no_list", "resume": "test_resume.py::test_going_on_comes_to_what_an",
    "force": "test_resume.py::test_force_makes_a_picture_edited_by_hand_anew",
    "seed": "test_resume.py::test_what_decides_the_bytes_of_a_run_cannot_change_within_it",
    "pictures": "test_work.py::test_jobs_of_one_model_stand_together_and_pictures_are_counted",
    "on_error": "test_work.py::test_with_stop_the_first_failure_ends_it_and_says_what_is_left",
    "engine": "test_crew.py::test_what_cannot_be_is_refused",
    "workers": "test_launch.py::test_workers_share_the_groups_and_a_slow_one_takes_fewer",
    "devices": "test_launch.py::test_a_worker_has_a_device_and_threads_of_its_own",
    "shard": "test_shards.py::test_each_job_is_done_once_and_all_know_of_all",
    "address": "test_crew.py::test_a_cluster_that_is_not_there_is_refused_at_once",
    "collect": "test_crew.py::test_collected_pictures_are_written_here",
    "dry_run": "test_command.py::test_what_would_be_made_is_told_and_nothing_is_written",
    "as_json": "test_command.py::test_json_prints_an_object_for_each_picture_each_failure_and_all",
    "quiet": "test_progress.py::test_quiet_tells_nothing", "retry": "test_launch.py::test_a_job_that_kills_its_workers",
} | dict.fromkeys((
    "device", "dtype", "memory", "quantize", "compile", "max_rows", "scores", "scorer", "quality", "no_metadata",
    "no_provenance", "keep_gps",
), WORKER)  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace())
    Path("jobs.jsonl").write_text('{"prompt": "a rabbit"}\n')


def flag(option: str) -> str:
    """As messages call it."""
    return {"pictures": "--batch"}.get(option, f"--{option.replace('_', '-')}")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("option", sorted(WORDS))
def test_every_option_with_every_engine(engine: str, option: str) -> None:
    if (engine, option) in SAID_ALREADY:
        return
    jobs = "-" if engine == "-" else "jobs.jsonl"
    words = f"{ENGINES[engine]} {WORDS[option]}"
    if option in REFUSED[engine]:
        for more in ("", "--dry-run"):
            outcome = run("batch", jobs, *shlex.split(f"{words} -o out {more}"))
            assert (outcome.code, flag(option) in outcome.err) == (2, True), f"{words}: {outcome.err}"
        assert not Path("out").exists()
        return
    before, after = batched(ENGINES[engine], jobs), batched(words, jobs)
    changed = {name for name, value in after.items() if value != before[name] and name != "how"}
    assert ASKED_OF_BATCH.get(option, option) in changed, f"{words} changes nothing"
    assert changed <= {ASKED_OF_BATCH.get(option, option), *FOLLOW}, words
    if engine == "-":
        check_asked(SimpleNamespace(**after))  # type: ignore[arg-type]


def test_every_option_that_is_not_refused_acts_in_a_test() -> None:
    assert ACTS.keys() == WORDS.keys()
    for named in ACTS.values():
        file, _, name = named.partition("::")
        assert f"def {name}" in (HERE / file).read_text(), named


def test_every_engine_gives_its_workers_all_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(getattr(SETTINGS, one.name) != one.default for one in fields(How))
    given: list[How] = []

    def made(how: How, *rest: Any) -> Faked:
        given.append(how)
        return Faked(how, *rest[:2], *(rest[2:] or [lambda number: True]))

    monkeypatch.setitem(sys.modules, "diffusion_tricks_batch.work", SimpleNamespace(Worker=made))
    groups = groups_of(tmp_path, 2, jobs=1)
    records = records_of(tmp_path)
    with records.mine("here") as ledger:
        site = Site(SETTINGS, records, ledger, workers=2)
        for engine in (Shards(site), Inline(site), Launch(site)):
            for path in tmp_path.glob("*.png"):
                path.unlink()
            with closing(engine):
                for group in groups:
                    engine.submit(group)
                if isinstance(engine, Launch):
                    engine._write_work()
                else:
                    list(engine.results())
    given.append(how_from(json.loads((records.folder / WORK).read_bytes())["how"]))
    given.append(orders_of(SETTINGS, records.folder, False).how)
    assert given == [SETTINGS] * 4


def test_a_worker_hands_all_settings_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To what loads the model, what denoises, what scores, and what writes."""
    seen: dict[str, Any] = {}

    class Made:
        def save(self, path: str, **how: Any) -> dict[str, Any]:
            seen.update(how)
            return {"path": path}

    def loaded(name: str, **how: Any) -> None:
        seen.update(how)

    def together(recipes: Any, model: Any, *, max_rows: int, scorer: Any) -> Any:
        seen.update(max_rows=max_rows, scorer=scorer)
        return [lambda: [Made()]]

    monkeypatch.setattr(work, "load_model", loaded)
    monkeypatch.setattr(work, "made_together", together)
    monkeypatch.setattr(work, "scorer_named", lambda name: f"scorer {name}")
    item = Item("a", {"prompt": "a rabbit", "seed": 1}, "", {}, (str(tmp_path / "a.png"),))
    for scores in (True, False):
        records = records_of(tmp_path)
        how = How(**{**SETTINGS.data(), "scores": scores})
        with records.mine("here") as ledger:
            (outcome,) = work.Worker(how, ledger, "here").outcomes([Group(0, (item,))])
        assert outcome.failure is None
        assert seen["scorer"] == ("scorer clip" if scores else None)
        told = {name: value for name, value in how.data().items() if name not in ("scores", "scorer", "retry")}
        assert {name: seen[name] for name in told} == told
