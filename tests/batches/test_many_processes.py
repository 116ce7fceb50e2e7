"""The whole, with real workers: started as users start them, they make what one process makes, to the byte."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from batches.faked import lines
from diffusion_tricks_batch.asked import Asked
from diffusion_tricks_batch.how import How
from diffusion_tricks_batch.outcome import Outcome
from diffusion_tricks_batch.plan import Ready
from diffusion_tricks_batch.records import Records
from diffusion_tricks_batch.run import batch

JOBS = 16
HOW = How(scores=False)
SECONDS = 300  # at the most, of a command on a busy machine

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs signals")


@pytest.fixture(scope="module")
def jobs(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list of jobs, and beside it, in `one`, what one process makes of it."""
    folder = tmp_path_factory.mktemp("batch")
    shutil.copytree(tiny, folder / "tiny")
    job = {"model": "./tiny", "prompt": "a rabbit", "steps": 12}
    listed = [json.dumps({"id": f"j{number}", "seed": number, **job}) for number in range(JOBS)]
    (folder / "jobs.jsonl").write_text("\n".join(listed))
    assert len(batch(asked(folder, "one")).made) == JOBS
    return folder


def asked(folder: Path, name: str, **more: object) -> Asked:
    return Asked(str(folder / "jobs.jsonl"), f"{folder / name}/{{id}}.png", how=HOW, pictures=2, **more)  # type: ignore[arg-type]


def command(folder: Path, name: str, *words: str) -> list[str]:
    """The words of `asked` on a command line."""
    told = ["batch", "jobs.jsonl", "-o", f"{name}/{{id}}.png", "--batch", "2", "--no-scores", *words]
    return ["-m", "diffusion_tricks_cli", *told]


def check_same(folder: Path, name: str) -> None:
    """Each job was done once, and its picture is the one of one process."""
    assert Counter(key for _, key in lines(folder / name, "done")) == {f"j{number}": 1 for number in range(JOBS)}
    for path in (folder / "one").glob("j*.png"):
        assert (folder / name / path.name).read_bytes() == path.read_bytes()
    assert len(list((folder / name).glob("j*.png"))) == JOBS


def test_workers_of_which_one_is_killed(jobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By `kill -9`, as soon as it has made something; what accelerate is set up for otherwise does not matter."""
    (tmp_path / "accelerate").mkdir()
    (tmp_path / "accelerate" / "default_config.yaml").write_text(
        "compute_environment: LOCAL_MACHINE\ndistributed_type: MULTI_GPU\nnum_processes: 8\nmixed_precision: bf16\n"
        "use_cpu: false\n"
    )
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    told, left = list[Outcome](), list[int]()

    def kill_one(outcome: Outcome) -> None:
        told.append(outcome)
        if not left:
            journal = Records(jobs / "two").folder / f"{outcome.worker}.jsonl"
            os.kill(json.loads(journal.read_text().splitlines()[0])["process"], signal.SIGKILL)
            left.append(JOBS - len(lines(jobs / "two", "done")))

    def begin(ready: Ready) -> Callable[[Outcome], None]:
        return kill_one

    tally = batch(asked(jobs, "two", workers=2), begin)
    assert left[0] > 0, "it was killed in the middle"
    assert not tally.failures
    assert sorted(outcome.key for outcome in told) == sorted(tally.made)
    check_same(jobs, "two")


def test_accelerate_launch(jobs: Path) -> None:
    """Two processes by the documented line, which are one run; the first speaks for both."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    launch = ["--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no",
              "--dynamo_backend", "no", "--main_process_port", str(port)]  # fmt: skip
    words = [sys.executable, "-m", "accelerate.commands.launch", *launch, *command(jobs, "ranks")]
    came = subprocess.run(words, cwd=jobs, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert came.returncode == 0, came.stderr
    assert sorted(came.stdout.split()) == sorted(f"ranks/j{number}.png" for number in range(JOBS))
    assert came.stderr.count(f"{JOBS} in all: {JOBS} made") == 1
    assert {worker for worker, _ in lines(jobs / "ranks", "done")} == {"shard-1-of-2", "shard-2-of-2"}
    check_same(jobs, "ranks")


def test_shards_that_begin_at_any_time(jobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes on one disk; one of them is begun again when all is done, and has nothing to do."""
    monkeypatch.chdir(jobs)
    words = [sys.executable, *command(jobs, "shards", "--shard", "1/2")]
    other = subprocess.Popen(words, cwd=jobs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    here = Asked("jobs.jsonl", "shards/{id}.png", how=HOW, pictures=2, shard=(2, 2))
    tally = batch(here)
    _, err = other.communicate(timeout=SECONDS)
    assert other.returncode == 0, err
    assert len(tally.made) + tally.ready.kept == JOBS
    assert f"{JOBS} in all" in err
    check_same(jobs, "shards")
    assert batch(here).ready.kept == JOBS
    check_same(jobs, "shards")
