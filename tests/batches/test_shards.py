"""Several workers on one disk: each job is done once, whoever dies, stalls or comes late."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from batches.faked import Faked, code_of, groups_of, in_process, lines, pause, records_of, shard, use_faked
from diffusion_tricks.plugin import Ledger, OutputError
from diffusion_tricks_batch.asked import Asked
from diffusion_tricks_batch.engines import shards
from diffusion_tricks_batch.engines.deaths import deaths
from diffusion_tricks_batch.engines.inline import Inline
from diffusion_tricks_batch.engines.leases import Leases
from diffusion_tricks_batch.engines.protocol import Site
from diffusion_tricks_batch.groups import Group, Item
from diffusion_tricks_batch.how import How
from diffusion_tricks_batch.lists.jobs import Job
from diffusion_tricks_batch.outcome import Outcome
from diffusion_tricks_batch.plan import Ready, check_free
from diffusion_tricks_batch.records import Records, task_of
from diffusion_tricks_batch.run import check_alone

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "PAUSE", 0.02)
    monkeypatch.setenv("DIFFUSION_TRICKS_STALE", "0.6")


@needs_fork
def test_each_job_is_done_once_and_all_know_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_faked(monkeypatch, pause(0.005))
    records_of(tmp_path)
    groups = groups_of(tmp_path, 12)
    keys = {item.key for group in groups for item in group.items}

    def work(nth: int) -> None:
        told = [outcome.key for outcome in shard(tmp_path, nth, 3, groups)]
        assert sorted(told) == sorted(keys)

    children = [in_process(lambda nth=nth: work(nth)) for nth in (3, 1, 2)]
    assert [code_of(child) for child in children] == [0, 0, 0]
    assert Counter(key for _, key in lines(tmp_path, "done")) == dict.fromkeys(keys, 1)
    assert {path.name for path in tmp_path.glob("*.png")} == {f"{key}.png" for key in keys}
    assert not list(Records(tmp_path).leases.iterdir())


@needs_fork
def test_a_slow_one_takes_fewer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is five times slower gets about a sixth of the groups, though each has half of them at first."""
    use_faked(monkeypatch, pause(0.25))
    records_of(tmp_path)
    groups = groups_of(tmp_path, 18, jobs=1)
    slow = in_process(lambda: list(shard(tmp_path, 1, 2, groups)))
    use_faked(monkeypatch, pause(0.05))
    assert len(list(shard(tmp_path, 2, 2, groups))) == 18
    assert code_of(slow) == 0
    done = Counter(worker for worker, _ in lines(tmp_path, "done"))
    assert done.total() == 18
    assert done["shard-1-of-2"] <= 5
    assert done["shard-1-of-2"] >= 1


def test_its_own_groups_come_first_then_those_others_come_to_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_faked(monkeypatch)
    records_of(tmp_path)
    told = [outcome.key for outcome in shard(tmp_path, 2, 3, groups_of(tmp_path, 7, jobs=1))]
    assert told == ["1-0", "4-0", "6-0", "5-0", "3-0", "2-0", "0-0"]


@needs_fork
@pytest.mark.parametrize("after", [0, 1])
def test_the_groups_of_one_that_is_killed_are_finished(
    after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed with a file written and not noted, and one not begun; the other makes both."""
    records_of(tmp_path)
    groups = groups_of(tmp_path, 6)

    def killed(item: Item) -> None:
        if item.key == f"2-{after}":
            Path(item.paths[0]).write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)

    use_faked(monkeypatch, killed)
    child = in_process(lambda: list(shard(tmp_path, 1, 2, groups)))
    assert code_of(child) == -signal.SIGKILL
    use_faked(monkeypatch)
    assert len(list(shard(tmp_path, 2, 2, groups))) == 12
    done = [key for _, key in lines(tmp_path, "done")]
    assert sorted(done) == sorted(item.key for group in groups for item in group.items)
    assert (tmp_path / f"2-{after}.png").read_bytes() == f"2-{after}".encode()
    assert lines(tmp_path, "done")[-1] == ("shard-2-of-2", "2-1"), "what may have killed it comes last"


def test_no_other_group_goes_with_one_that_was_left_unfinished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else, should it end this worker as it ended the last, the other would be taken for the cause as well."""
    rounds = list[list[int]]()

    class Noting(Faked):
        def outcomes(self, groups: Iterable[Group]) -> Iterator[Outcome]:
            taken = list(groups)
            rounds.append([group.number for group in taken])
            return super().outcomes(taken)

    monkeypatch.setitem(sys.modules, "diffusion_tricks_batch.work", SimpleNamespace(Worker=Noting))
    records = records_of(tmp_path)
    groups = groups_of(tmp_path, 4)
    with records.mine("dead") as ledger:
        ledger.begin(task_of(groups[1].items[1]))
    list(shard(tmp_path, 1, 1, groups))
    assert rounds == [[0, 2, 3], [1]]


@needs_fork
@pytest.mark.parametrize("retry", [0, 1, 2])
def test_a_job_that_ends_its_process_fails_in_the_end_and_all_others_are_made(
    retry: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(item: Item) -> None:
        if item.key == "0-0":
            os.kill(os.getpid(), signal.SIGKILL)

    use_faked(monkeypatch, killed)
    records_of(tmp_path)
    groups = groups_of(tmp_path, 4, jobs=1)
    for _ in range(retry + 2):
        assert code_of(in_process(lambda: list(shard(tmp_path, 1, 1, groups, retry)))) == -signal.SIGKILL
    assert sorted(key for _, key in lines(tmp_path, "done")) == ["1-0", "2-0", "3-0"]
    told = {outcome.key: outcome.failure for outcome in shard(tmp_path, 1, 1, groups, retry)}
    assert {key for key, failure in told.items() if failure} == {"0-0"}
    assert told["0-0"] is not None
    assert told["0-0"].kind == "WorkerDied"
    assert told["0-0"].message.startswith(f"its worker has ended {retry + 2} times while making it; take it ")
    assert len(lines(tmp_path, "begun")) == 3 + retry + 2, "and it was not begun again"


def left_begun(home: Path, worker: str, key: str, *more: dict[str, object]) -> None:
    """A process that begins with a job, notes some more, and is gone."""
    with Records(home).mine(worker) as ledger:
        ledger.note({"began": {}}, {"begun": key}, {"begun": key}, *more)


@pytest.mark.parametrize("stands", [False, True], ids=["", "where the clock stands still"])
def test_deaths_are_counted_by_processes_until_a_job_comes_to_something(
    stands: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if stands:
        monkeypatch.setattr(time, "time", lambda: 1e9)
    records = records_of(tmp_path)
    for worker in ("a", "b", "a"):
        left_begun(tmp_path, worker, "x")
    left_begun(tmp_path, "a", "x", {"ended": {}})  # as by Ctrl-C
    with records.mine("c") as ledger:
        ledger.note({"begun": "x"}, {"begun": "y"})  # by this one, which lives
        assert deaths(ledger)["x"] == 3
        assert deaths(ledger)["y"] == 0
    left_begun(tmp_path, "b", "x", {"failed": "x", "kind": "WorkerDied", "message": ""})
    left_begun(tmp_path, "b", "x")
    with records.mine("c") as ledger:
        assert deaths(ledger)["x"] == 1


def test_workers_that_were_ended_with_what_led_them_have_not_died(tmp_path: Path) -> None:
    records = records_of(tmp_path)
    with records.mine("here") as here, records.mine("worker-1") as led:
        here.note({"began": {}})
        led.note({"begun": "x"})
        assert deaths(records.every())["x"] == 1
        here.note({"ended": {}})
        assert deaths(records.every())["x"] == 0


def inline(home: Path, groups: list[Group], retry: int) -> Iterator[Outcome]:
    records = Records(home)
    with records.mine("here") as ledger:
        engine = Inline(Site(How(retry=retry), records, ledger))
        for group in groups:
            engine.submit(group)
        yield from engine.results()


@pytest.mark.parametrize("retry", [0, 1, 2])
def test_in_one_process_what_others_died_of_comes_last_and_fails_in_the_end(
    retry: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "diffusion_tricks_batch.work", SimpleNamespace(Worker=here_faked))
    records_of(tmp_path)
    groups = groups_of(tmp_path, 3, jobs=1)
    for _ in range(retry + 1):
        left_begun(tmp_path, "here", "0-0")
    assert [outcome.key for outcome in inline(tmp_path, groups, retry)] == ["1-0", "2-0", "0-0"]
    for _ in range(retry + 2):
        left_begun(tmp_path, "here", "0-0")
    (failed,) = inline(tmp_path, groups[:1], retry)
    assert failed.failure is not None
    assert failed.failure.kind == "WorkerDied"


def here_faked(how: How, ledger: Ledger, name: str) -> Faked:
    return Faked(how, ledger, name, lambda number: True)


@needs_fork
def test_one_that_was_stalled_writes_nothing_more_of_what_it_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records_of(tmp_path)
    groups = groups_of(tmp_path, 4, jobs=1)

    def stalled(item: Item) -> None:
        if item.key == "2-0":
            os.kill(os.getpid(), signal.SIGSTOP)

    use_faked(monkeypatch, stalled)
    child = in_process(lambda: list(shard(tmp_path, 1, 2, groups)))
    os.waitpid(child, os.WUNTRACED)
    use_faked(monkeypatch)
    assert len(list(shard(tmp_path, 2, 2, groups))) == 4
    changed = (tmp_path / "2-0.png").stat().st_mtime_ns
    os.kill(child, signal.SIGCONT)
    assert code_of(child) == 0, "it knows of all jobs in the end"
    assert Counter(key for _, key in lines(tmp_path, "done")) == {f"{n}-0": 1 for n in range(4)}
    assert ("shard-2-of-2", "2-0") in lines(tmp_path, "done")
    assert (tmp_path / "2-0.png").stat().st_mtime_ns == changed


def test_what_was_done_since_the_list_was_read_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_faked(monkeypatch)
    records = records_of(tmp_path)
    groups = groups_of(tmp_path, 2)
    one, two = groups[0].items
    came = shard(tmp_path, 1, 1, groups)
    first = next(came)  # the list was read, and the first job is done
    with records.mine("other") as ledger:
        ledger.begin(task_of(groups[1].items[0]))
        Path(groups[1].items[0].paths[0]).write_bytes(b"by the other")
        ledger.done(task_of(groups[1].items[0]), facts=[])
        ledger.failed(task_of(groups[1].items[1]), {"kind": "ValueError", "message": "no such thing"})
    rest = {outcome.key: outcome for outcome in came}
    assert (first.key, set(rest)) == (one.key, {two.key, "1-0", "1-1"})
    assert (rest["1-0"].worker, rest["1-0"].failure) == ("other", None)
    assert rest["1-1"].failure is not None
    assert (rest["1-1"].failure.kind, rest["1-1"].failure.message) == ("ValueError", "no such thing")
    assert (tmp_path / "1-0.png").read_bytes() == b"by the other"


def test_jobs_that_are_only_there_for_the_others_are_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_faked(monkeypatch)
    records_of(tmp_path)
    (group,) = groups_of(tmp_path, 1)
    kept = replace(group, items=(replace(group.items[0], make=False), group.items[1]))
    assert [outcome.key for outcome in shard(tmp_path, 1, 1, [kept])] == ["0-1"]
    assert not (tmp_path / "0-0.png").exists()


def test_failures_are_told_and_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(item: Item) -> None:
        raise ValueError(f"no {item.key}")

    use_faked(monkeypatch, failing)
    records_of(tmp_path)
    told = list(shard(tmp_path, 1, 1, groups_of(tmp_path, 2, jobs=1)))
    assert [outcome.failure and outcome.failure.message for outcome in told] == ["no 0-0", "no 1-0"]


def test_it_waits_for_what_another_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the other touches it; what it gives back undone is made here."""
    use_faked(monkeypatch)
    records = records_of(tmp_path)
    with Leases(records.leases, "other") as other:
        other.take(0)
        came = shard(tmp_path, 1, 1, groups_of(tmp_path, 2, jobs=1))
        assert next(came).key == "1-0"
        begun = time.monotonic()
        monkeypatch.setattr(shards.time, "sleep", lambda _: time.monotonic() - begun > 1 and other.release(0))
        assert next(came).key == "0-0"
        assert time.monotonic() - begun > 1
        assert not list(came)


def test_times_of_lines_follow_each_other_though_clocks_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was noted after another line was seen counts as later, also where the clock there is ahead."""
    records = records_of(tmp_path)
    task = task_of(groups_of(tmp_path, 1)[0].items[0])
    with records.mine("behind") as behind, records.mine("ahead") as ahead:
        with monkeypatch.context() as patched:
            patched.setattr(time, "time", lambda: 4e9)
            ahead.begin(task)
        assert [line["begun"] for _, line in behind.look() if "begun" in line] == [task.key]
        behind.done(task)
    assert "done" in records.every().last(task.key)
    assert records.every().verdict(task).kept is True


def test_times_of_lines_follow_each_other_though_the_clock_is_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the journal's own lines, too, in one session and from one to the next."""
    records = records_of(tmp_path)
    items = groups_of(tmp_path, 1)[0].items
    tasks = [task_of(item) for item in items]
    with records.mine("here") as ledger:
        with monkeypatch.context() as patched:
            patched.setattr(time, "time", lambda: 4e9)
            ledger.begin(*tasks)
        ledger.done(tasks[0])
    with records.mine("here") as ledger:
        ledger.done(tasks[1])
    assert [task.key for task in tasks if not records.every().verdict(task).kept] == []


def test_two_processes_are_never_one_shard(tmp_path: Path) -> None:
    records = records_of(tmp_path)
    with (
        records.mine("shard-1-of-2"),
        pytest.raises(OutputError, match=r"another run writes to .*shard-1-of-2\.jsonl just now"),
        records.mine("shard-1-of-2"),
    ):
        pass
    with records.mine("shard-1-of-2") as ledger:
        assert [line["worker"] for line in ledger.lines] == ["shard-1-of-2"] * 2, "it goes on with its journal"


def test_a_torn_line_is_not_touched_while_its_writer_works(tmp_path: Path) -> None:
    records = records_of(tmp_path)
    with records.mine("shard-1-of-2") as ledger:
        with ledger.path.open("ab") as file:
            file.write(b'{"done": "half')
        size = ledger.path.stat().st_size
        with pytest.raises(OutputError, match="another run writes to"), records.mine("shard-1-of-2"):
            pass
        assert ledger.path.stat().st_size == size
    with records.mine("shard-1-of-2") as ledger:
        assert b"half" not in ledger.path.read_bytes()


def test_shards_work_side_by_side_and_with_no_others(tmp_path: Path) -> None:
    one = Asked("jobs.jsonl", "out", shard=(1, 2))
    records = records_of(tmp_path)
    with records.mine("shard-2-of-2"):
        check_alone(one, records)
        with pytest.raises(OutputError, match="another run writes to"):
            check_alone(Asked("jobs.jsonl", "out", force=True), records)
    with records.mine("here"):
        for asked in (one, Asked("jobs.jsonl", "out")):
            with pytest.raises(OutputError, match=r"another run writes to .*here\.jsonl just now"):
                check_alone(asked, records)
    check_alone(Asked("jobs.jsonl", "out"), records)


def test_files_that_other_shards_write_meanwhile_are_not_in_the_way(tmp_path: Path) -> None:
    """They appear between the reading of the ledger and the look at the folder; a file of nobody's is in the way."""
    records = records_of(tmp_path)
    groups = groups_of(tmp_path, 1)
    items = {item.key: item for item in groups[0].items}
    jobs = [Job(key, number, None, {}) for number, key in enumerate(items)]
    todo = Ready(jobs, items, {}, groups, {}, records.run())
    asked = Asked("jobs.jsonl", str(tmp_path), shard=(1, 2))
    with records.mine("shard-2-of-2") as ledger:
        ledger.begin(task_of(items["0-0"]))
        (tmp_path / "0-0.png").write_bytes(b"by the other")
        check_free(todo, asked, records)
        (tmp_path / "0-1.png").write_bytes(b"by nobody")
        with pytest.raises(OutputError, match=r"^[^;]*0-1\.png exists"):
            check_free(todo, asked, records)
