"""On Ray's own local cluster: a node that dies in mid-run, a driver that is killed, pictures that are sent back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from command_line import run
from diffusion_tricks_batch.asked import Asked
from diffusion_tricks_batch.engines import on_ray
from diffusion_tricks_batch.how import How
from diffusion_tricks_batch.outcome import Outcome
from diffusion_tricks_batch.plan import Ready
from diffusion_tricks_batch.records import Records
from diffusion_tricks_batch.run import batch

pytest.importorskip("ray")
JOBS = 24
STORE = 80 * 1024**2  # bytes; the least that Ray takes is 75 MiB
ANIMALS = ("rabbit", "duck", "cat", "whale")
DIM = '''
from diffusion_tricks.plugin import Trick, hookimpl, option, TrickOptions


class Dim(Trick):
    """Less light."""

    class Options(TrickOptions):
        by: float = option(0.5, help="share")

    @hookimpl
    def finish_image(self, run, image, index):
        return image.point(lambda value: value * self.options.by)


@hookimpl
def register_tricks(register):
    register("dim", "dim:Dim", summary="less light")
'''


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes with a CPU each, and a head that does no work."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2):
        cluster.add_node(num_cpus=1, object_store_memory=STORE)
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("jobs") / "jobs.jsonl"
    every = [{"id": f"j{n}", "prompt": f"a {ANIMALS[n % 4]}", "seed": n, "steps": 1} for n in range(JOBS)]
    path.write_text("".join(json.dumps(one) + "\n" for one in every))
    return path


@pytest.fixture(scope="module")
def alone(jobs: Path) -> dict[str, bytes]:
    """What one process makes."""
    return made(jobs, jobs.parent / "alone", engine="here")


def made(jobs: Path, folder: Path, **asked: Any) -> dict[str, bytes]:
    tally = batch(Asked(str(jobs), str(folder), how=How(scores=False), pictures=2, **asked))
    assert not tally.failures
    return pictures(folder)


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


def done(folder: Path) -> list[str]:
    return [line["done"] for journal in Records(folder).journals() for line in journal.of("done")]


def ended(cluster: Any, node: Any) -> None:
    """Kills a node, and waits for its workers: they outlive it by seconds, in which they could finish all."""
    [raylet] = node.all_processes["raylet"]
    workers = psutil.Process(raylet.process.pid).children(recursive=True)
    cluster.remove_node(node, allow_graceful=False)
    left = psutil.wait_procs(workers, timeout=60)[1]
    assert all(worker.status() == psutil.STATUS_ZOMBIE for worker in left)


def test_a_node_dies_and_nothing_is_lost_nothing_twice(
    cluster: Any, jobs: Path, alone: dict[str, bytes], tmp_path: Path
) -> None:
    told: list[Outcome] = []
    nodes = sorted(cluster.worker_nodes, key=lambda node: str(node.unique_id))

    def begin(ready: Ready) -> Any:
        def tell(outcome: Outcome) -> None:
            told.append(outcome)
            if len({one.worker for one in told}) < 2:
                time.sleep(3)  # as long as one works alone, or it would be done while the other loads its model
            elif len(cluster.worker_nodes) == 2:
                ended(cluster, nodes[0])

        return tell

    asked = Asked(str(jobs), str(tmp_path / "out"), how=How(scores=False), pictures=2, engine="ray",
                  address=cluster.address)  # fmt: skip
    with pytest.warns(UserWarning, match=r"-\d is lost"):
        tally = batch(asked, begin)
    assert len(cluster.worker_nodes) == 1, "both have worked, and one was killed"
    assert (len(tally.made), tally.failures, tally.left) == (JOBS, {}, 0)
    assert sorted(done(tmp_path / "out")) == sorted(f"j{n}" for n in range(JOBS))
    assert pictures(tmp_path / "out") == alone
    begun = [line["begun"] for journal in Records(tmp_path / "out").journals() for line in journal.of("begun")]
    assert len(begun) > JOBS, "some were given to another"


def test_a_killed_driver_leaves_a_run_that_another_engine_goes_on_with(
    cluster: Any, jobs: Path, alone: dict[str, bytes], tmp_path: Path
) -> None:
    words = ["batch", jobs, "-o", tmp_path / "out", "--no-scores", "--batch", "2"]
    ray = ["--engine", "ray", "--address", cluster.address]
    with subprocess.Popen([sys.executable, "-m", "diffusion_tricks_cli", *map(str, [*words, *ray])]) as driver:
        while driver.poll() is None and len(done(tmp_path / "out")) < 3:
            time.sleep(0.1)
        driver.send_signal(signal.SIGKILL)
    before = len(done(tmp_path / "out"))
    assert 3 <= before < JOBS
    assert made(jobs, tmp_path / "out", engine="here", resume=True) == alone
    assert len(done(tmp_path / "out")) == JOBS, "what was done is kept"


def test_pictures_are_sent_back_and_plugins_go_along(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trick is in a file that workers are sent; the pictures are those of one process, written by this one."""
    monkeypatch.chdir(tmp_path)
    Path("dim.py").write_text(DIM)
    jobs = [{"id": f"d{n}", "prompt": "a duck", "seed": n, "steps": 1, "tricks": ["dim"]} for n in range(3)]
    Path("jobs.jsonl").write_text("".join(json.dumps(one) + "\n" for one in jobs))
    written: list[str] = []
    write = on_ray._write

    def noting(files: dict[str, bytes], *rest: Any) -> None:
        written.extend(files)
        write(files, *rest)

    monkeypatch.setattr(on_ray, "_write", noting)
    words = ["--plugin", "dim.py", "batch", "jobs.jsonl", "--no-scores", "-o"]
    here = run(*words, "here/{id}.jpg")
    there = run(*words, "there/{id}.jpg", "--engine", "ray", "--address", cluster.address, "--collect")
    assert (here.code, there.code) == (0, 0), here.err + there.err
    files = {path.name: path.read_bytes() for path in Path("here").glob("*.jpg*")}
    assert files == {path.name: path.read_bytes() for path in Path("there").glob("*.jpg*")}
    assert sorted(Path(name).name for name in written) == sorted(files)
    assert len(files) == 6, "each with its record"
    with Image.open("there/d0.jpg") as image:
        assert np.asarray(image).max() < 140, "dimmed"
