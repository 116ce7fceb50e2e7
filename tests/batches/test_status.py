"""How a batch stands, read from its ledger by another process: what counts, who is at work, what happens meanwhile."""

from __future__ import annotations

import json
import os
import socket
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from batches.noted import Noted, jobs
from command_line import run
from diffusion_tricks_batch.records import Records
from diffusion_tricks_batch.telling import standing
from diffusion_tricks_batch.telling.standing import YOUNG, Standing
from diffusion_tricks_batch.telling.status import events, status

NOW = 10_000.0


@pytest.fixture
def noted(tmp_path: Path) -> Noted:
    """Ten jobs: six made by two workers in 20 s, one failed, one begun, two not begun."""
    made = Noted(tmp_path / "out", jobs(10))
    made.worker("here", began=NOW - 20)
    made.worker("two")
    for n in range(6):
        made.done(("here", "two")[n % 2], f"j{n}", NOW - 15 + 2 * n)
    made.add("two", begun="j6", at=NOW - 4)
    made.add("two", failed="j6", kind="OutOfMemory", message="full", at=NOW - 3)
    made.add("here", begun="j7", at=NOW - 2)
    return made


def test_what_counts_is_what_the_journals_say(noted: Noted) -> None:
    data = status(Standing(noted.write()), NOW)
    lines = [json.loads(line) for path in (noted.home / "ledger").glob("*.jsonl") for line in path.open()]
    counted = Counter(next(iter({"done", "failed"} & line.keys()), "") for line in lines)
    assert (data["made"], sum(data["failed"].values())) == (counted["done"], counted["failed"]) == (6, 1)
    assert (data["jobs"], data["kept"], data["left"], data["failed"]) == (10, 0, 3, {"OutOfMemory": 1})
    assert data["going_on"]
    by_name = {one["worker"]: one for one in data["workers"]}
    assert {name: one["pictures"] for name, one in by_name.items()} == {"here": 3, "two": 3}
    assert by_name["here"]["seconds_since"] == 2.0
    # here: 3 pictures from 20 s ago to 7 s ago; two: 3 from the first that it began, 14 s ago, to 5 s ago
    rates = [3 / 13, 3 / 9]
    assert [by_name[name]["pictures_per_second"] for name in ("here", "two")] == pytest.approx(rates)
    assert data["pictures_per_second"] == pytest.approx(sum(rates))
    assert data["seconds_left"] == pytest.approx(3 / sum(rates))


def test_a_torn_line_is_left_out_and_left_alone(noted: Noted) -> None:
    noted.write(torn='{"done": "j8", "fac')
    before = {path: path.read_bytes() for path in noted.home.rglob("*.jsonl")}
    assert status(Standing(noted.home), NOW)["made"] == 6
    assert {path: path.read_bytes() for path in noted.home.rglob("*.jsonl")} == before


def test_who_wrote_long_ago_on_another_host_is_stale_where_it_left_something_begun(noted: Noted) -> None:
    data = status(Standing(noted.write()), NOW + YOUNG)
    assert (data["going_on"], data["stale"], data["seconds_left"]) == (False, ["here"], None)


def test_who_touches_its_lease_is_at_work(noted: Noted) -> None:
    lease = noted.write() / "ledger" / "leases" / "3" / "here.abc"
    lease.parent.mkdir(parents=True)
    lease.touch()
    now = NOW + 5 * YOUNG
    os.utime(lease, (now - 1, now - 1))
    data = status(Standing(noted.home), now)
    assert [one["worker"] for one in data["workers"] if one["going_on"]] == ["here"]
    assert data["stale"] == []


def test_on_this_host_the_lock_of_a_living_process_decides(tmp_path: Path) -> None:
    made = Noted(tmp_path / "out", jobs(2))
    made.write()
    with Records(made.home).mine("here") as ledger:
        ledger.note({"began": {"jobs": 2, "kept": 0}}, {"begun": "j0"})
        stands = Standing(made.home)
        assert stands.workers["here"].process == os.getpid()
        assert status(stands, time.time())["going_on"]
        assert status(stands, time.time() + 2 * YOUNG)["going_on"]  # a step may take long
    data = status(Standing(made.home), time.time())
    assert (data["going_on"], data["stale"]) == (False, ["here"])


def test_who_was_interrupted_has_ended_and_is_not_stale(tmp_path: Path) -> None:
    made = Noted(tmp_path / "out", jobs(2))
    made.write()
    with Records(made.home).mine("here") as ledger:
        ledger.note({"began": {"jobs": 2, "kept": 0}}, {"begun": "j0"}, {"ended": {}})
    data = status(Standing(made.home), time.time())
    assert (data["going_on"], data["stale"], data["left"]) == (False, [], 2)


def test_asking_for_a_worker_that_is_gone_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a batch that begins meanwhile would find its journal taken."""
    made = Noted(tmp_path / "out", jobs(1))
    made.worker("here", host=socket.gethostname(), began=NOW)
    made.lines["here"][0]["process"] = 2**22 + 1  # larger than any
    asked: list[Path] = []
    monkeypatch.setattr(standing, "is_held", asked.append)
    assert not status(Standing(made.write()), NOW)["going_on"]
    assert asked == []


def test_what_an_earlier_session_made_is_kept(tmp_path: Path) -> None:
    made = Noted(tmp_path / "out", jobs(6))
    made.worker("here", began=NOW - 1000)
    for n in range(3):
        made.done("here", f"j{n}", NOW - 900)
    made.add("here", failed="j3", kind="ModelError", message="", at=NOW - 890)
    made.add("here", worker="here", host="elsewhere", process=2, at=NOW - 10)
    made.add("here", began={"jobs": 6, "kept": 2}, at=NOW - 10)  # the picture of j2 is gone, say
    data = status(Standing(made.write()), NOW)
    assert (data["made"], data["kept"], data["left"], data["failed"]) == (0, 2, 4, {})
    for key in ("j2", "j3", "j4"):
        made.done("here", key, NOW - 5)
    data = status(Standing(made.write()), NOW)
    assert (data["made"], data["kept"], data["left"], data["pictures"]) == (3, 2, 1, 3)


def test_shards_that_overlap_are_one_session(tmp_path: Path) -> None:
    made = Noted(tmp_path / "out", jobs(3))
    made.worker("a", began=NOW - 50, kept=1)
    made.worker("b", began=NOW - 30, kept=1)
    made.worker("old", began=NOW - 900)
    made.done("old", "j0", NOW - 800)
    made.done("a", "j1", NOW - 40)
    made.add("a", at=NOW - 20, ended={})
    made.done("b", "j2", NOW - 10)
    made.add("b", at=NOW - 9, ended={})
    data = status(Standing(made.write()), NOW)
    assert (data["made"], data["kept"], data["left"], data["going_on"]) == (2, 1, 0, False)
    assert data["pictures_per_second"] == pytest.approx(2 / 41)


def test_events_tell_what_happens_until_nobody_is_at_work(noted: Noted) -> None:
    stands, clock = Standing(noted.write()), [NOW]
    torn = json.dumps({"failed": "j9", "kind": "PictureError", "message": "no", "at": NOW + 2})
    writes = [
        lambda: noted.done("here", "j7", NOW + 1), lambda: None, lambda: noted.done("two", "j8", NOW + 2),
        lambda: noted.add("here", **json.loads(torn)),
    ]  # fmt: skip

    def rest(seconds: float) -> None:
        clock[0] += seconds
        writes.pop(0)()
        noted.write(torn[:20] if writes else "")

    happened = list(events(stands, lambda: clock[0], rest))
    told = [(one["event"], one.get("id"), one.get("kind")) for one in happened]
    assert told == [
        ("status", None, None), ("done", "j7", None), ("status", None, None), ("done", "j8", None),
        ("status", None, None), ("failed", "j9", "PictureError"), ("end", None, None),
    ]  # fmt: skip
    assert [one["left"] for one in happened if "left" in one] == [3, 2, 1, 0]
    assert happened[1]["pictures"] == [{"path": "../j7.png", "seed": happened[1]["pictures"][0]["seed"]}]


@pytest.mark.parametrize("follow", [False, True])
def test_the_command_says_it_in_words_and_as_json(noted: Noted, follow: bool) -> None:
    more = ["--follow"] if follow else []
    outcome = run("status", noted.write(), *more)
    assert outcome.code == 1
    assert outcome.lines[0] == "10 jobs: 6 made, 0 kept, 1 failed (1 OutOfMemory), 3 left; stopped, 0.333 pictures/s"
    assert "stale" in outcome.out
    assert "`batch` with --resume" in outcome.lines[-1]
    data: dict[str, Any] = run("status", noted.home, "--json", *more).json
    assert (data["made"], data["left"], data["stale"], data.get("event")) == (6, 3, ["here"], "end" if follow else None)


def test_the_exit_code_is_0_where_all_is_made(tmp_path: Path) -> None:
    made = Noted(tmp_path / "out", jobs(1))
    made.worker("here", began=NOW)
    made.done("here", "j0", NOW + 1)
    made.add("here", ended={}, at=NOW + 2)
    outcome = run("status", made.write())
    assert (outcome.code, outcome.lines[0]) == (0, "1 job: 1 made, 0 kept; ended, 0.5 pictures/s")


def test_a_folder_without_a_batch_and_a_damaged_ledger_are_a_sentence(tmp_path: Path) -> None:
    outcome = run("status", tmp_path)
    assert (outcome.code, "there is no ledger/run.json" in outcome.err) == (2, True)
    made = Noted(tmp_path / "out", jobs(1))
    made.worker("here", began=NOW)
    made.write()
    (made.home / "ledger" / "here.jsonl").write_text("no\n")
    outcome = run("status", made.home)
    assert (outcome.code, "here.jsonl is damaged" in outcome.err) == (2, True)
    (made.home / "ledger" / "jobs.json").write_text("[]")
    outcome = run("status", made.home)
    assert (outcome.code, "jobs.json is damaged" in outcome.err) == (2, True)


def test_jobs_that_come_one_by_one_need_no_list(noted: Noted) -> None:
    noted.write()
    (noted.home / "ledger" / "jobs.json").unlink()
    data = status(Standing(noted.home), NOW)
    assert (data["jobs"], data["made"], data["left"]) == (8, 6, 1)
