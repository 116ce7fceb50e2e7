"""Which engine follows from the options, and which contradict; who may join a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from command_line import run
from diffusion_tricks.plugin import OutputError, UsageError
from diffusion_tricks_batch.asked import Asked
from diffusion_tricks_batch.chosen import chosen, sharing, worker_of
from diffusion_tricks_batch.how import How
from diffusion_tricks_batch.plan import run_begun
from diffusion_tricks_batch.records import Records, Run

ASKED = Asked("jobs.jsonl", "out")


@pytest.mark.parametrize(
    ("asked", "engine", "workers", "name"),
    [
        ({}, "here", None, "here"),
        ({"workers": 3}, "launch", 3, "here"),
        ({"devices": ("cuda:0", "cuda:1")}, "launch", 2, "here"),
        ({"devices": ("cuda:0", "cuda:1"), "workers": 4}, "launch", 4, "here"),
        ({"shard": (2, 8)}, "shards", None, "shard-2-of-8"),
        ({"shard": (2, 8), "engine": "shards"}, "shards", None, "shard-2-of-8"),
        ({"engine": "ray", "workers": 3}, "ray", 3, "here"),
    ],
)
def test_the_engine_follows(asked: dict[str, object], engine: str, workers: int | None, name: str) -> None:
    settled = chosen(replace(ASKED, **asked))  # type: ignore[arg-type]
    assert (settled.engine, settled.workers, worker_of(settled)) == (engine, workers, name)
    assert chosen(settled) == settled


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--shard 1/2 --workers 2", "--shard is one worker, whose others are begun elsewhere"),
        ("--shard 1/2 --devices cpu,cpu", "--shard is one worker, whose others are begun elsewhere"),
        ("--shard 1/2 --engine ray", "--shard is an engine of its own; leave out the --engine 'ray', or --shard"),
        ("--shard 1/2 --force", "--force would have each shard begin anew what the others have made"),
        ("--engine shards", "the engine `shards` is one worker of several; say which by --shard, as 1/4"),
        ("--shard 3/2", "expected one of several, as 1/4 to 4/4, got '3/2'"),
        ("--shard 0/2", "expected one of several, as 1/4 to 4/4, got '0/2'"),
        ("--shard 1", "expected one of several, as 1/4 to 4/4, got '1'"),
        ("--shard a/b", "expected one of several, as 1/4 to 4/4, got 'a/b'"),
        ("--devices cpu,,cpu", "expected devices between commas, as cuda:0,cuda:1, got 'cpu,,cpu'"),
        ("--devices cpu,cpu --workers 1", "2 --devices need at least as many --workers, got 1"),
        ("--devices cpu,cpu --device cpu", "--devices says where each worker works; leave --device out"),
        ("--devices cpu,cdua:0", "'cdua:0'"),
        ("--engine launch", "the engine `launch` begins several workers; say how many by --workers, or where by"),
        ("--engine ray --address :6379", "expected an --address as auto, HOST:PORT or ray://HOST:PORT, got ':6379'"),
        ("--scorer inside --no-scores", "a --scorer is for pictures that are scored, and none are to be"),
        ("--workers 0", "expected a whole number of at least 1, got 0"),
    ],
)
def test_contradictions_are_refused(words: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("jobs.jsonl").write_text('{"prompt": "a rabbit"}\n')
    for more in ([], ["--dry-run"]):
        came = run("batch", "jobs.jsonl", "-o", "out", *words.split(), *more)
        assert came.code == 2
        assert said in came.err
    assert not Path("out").exists()


@pytest.mark.parametrize("asked", [{"shard": (1, 2)}, {"workers": 2}, {"devices": ("cpu", "cpu")}])
def test_a_wrong_time_of_leases_is_refused_at_once(asked: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFUSION_TRICKS_STALE", "soon")
    with pytest.raises(UsageError, match="DIFFUSION_TRICKS_STALE must be a number"):
        chosen(replace(ASKED, **asked))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"shard": (1, 2)}, "leave `shard` out"),
        ({"workers": 2}, "leave `workers` out"),
        ({"devices": ("cpu",)}, "leave `devices` out"),
        ({"engine": "ray"}, "leave out the `engine` 'ray'"),
        ({"source": "-"}, "jobs that come by - are made by one process"),
        ({"how": How(device="cuda:1")}, "leave out the `device` 'cuda:1'"),
    ],
)
def test_what_accelerate_launch_has_said_is_not_said_again(
    asked: dict[str, object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"LOCAL_RANK": "0", "RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=said):
        chosen(replace(ASKED, **asked))  # type: ignore[arg-type]


def test_only_shards_of_one_run_join_it_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("jobs.jsonl").write_text('{"prompt": "a rabbit"}\n')
    first = replace(ASKED, shard=(1, 3))
    records = Records(tmp_path / "out")
    begun = records.begin(Run(5, 8, sharing(first)))
    assert run_begun(replace(ASKED, shard=(3, 3)), records) == begun
    assert run_begun(first, records) == begun, "one that is begun again"
    others = (replace(first, shard=(1, 4)), replace(first, how=How(quality=3)), replace(first, output="out/{seed}.png"))
    for other in others:
        with pytest.raises(OutputError, match="begun with another list, other options or another number of them"):
            run_begun(other, records)
        assert run_begun(replace(other, resume=True), records) == begun
    Path("jobs.jsonl").write_text('{"prompt": "a duck"}\n')
    with pytest.raises(OutputError, match="another list"):
        run_begun(first, records)
    with pytest.raises(OutputError, match="holds an earlier batch; go on with it by `resume`"):
        run_begun(ASKED, records)
    for asked in (first, ASKED):
        plain = Records(tmp_path / "other")
        plain.begin(Run(5, 8))
        with pytest.raises(OutputError, match="holds an earlier batch; go on with it by `resume`"):
            run_begun(asked, plain)
