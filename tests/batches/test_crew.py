"""The engine of clusters without one: what is noted, who is blamed, what is refused."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from command_line import run
from diffusion_tricks.plugin import DiffusionTricksError, OutputError, UsageError
from diffusion_tricks_batch.asked import Asked
from diffusion_tricks_batch.chosen import chosen
from diffusion_tricks_batch.engines import on_ray
from diffusion_tricks_batch.engines.away import Away, Orders
from diffusion_tricks_batch.engines.cluster import Own, Share, connected, share_of
from diffusion_tricks_batch.engines.crew import Lost, in_short
from diffusion_tricks_batch.engines.on_ray import OnRay
from diffusion_tricks_batch.engines.protocol import Site
from diffusion_tricks_batch.groups import Group, Item
from diffusion_tricks_batch.how import How
from diffusion_tricks_batch.outcome import Outcome
from diffusion_tricks_batch.records import Records, Run, task_of


class Actor:
    def __init__(self, number: int):
        self.name, self.groups = f"node-{number}", list[Group]()


class Answer:
    def __init__(self, actor: Actor, first: bool = False):
        self.actor, self.first = actor, first


def made(item: Item, actor: Actor) -> Outcome:
    """As a worker tells it that shares the disk."""
    for path in map(Path, item.paths):
        path.write_bytes(item.key.encode())
    line = {"done": item.key, "inputs": [], "recipe": item.asked, "outputs": {}, "facts": []}
    return Outcome(item.key, actor.name, line)


class Fake:
    """Actors that are called at once. deadly: numbers of groups that kill. blind: they share no disk with us.

    slow: the first does nothing while another has something to do. late: answers that stay away at first.
    """

    def __init__(self, deadly: Sequence[int] = (), blind: bool = False, start: Exception | None = None,
                 made: Callable[[Item, Actor], Outcome] = made, slow: bool = False, late: int = 0):  # fmt: skip
        self.deadly, self.blind, self.start, self.made, self.slow, self.late = deadly, blind, start, made, slow, late
        self.begun: list[int] = []
        self.killed: list[Actor] = []
        self.actors: list[Actor] = []

    def begin(self, number: int) -> tuple[Actor, Answer]:
        self.begun.append(number)
        actor = Actor(number)
        self.actors.append(actor)
        return actor, Answer(actor, first=True)

    def sees(self, actor: Actor, path: str, mark: str) -> bool:
        return not self.blind and mark in Path(path).read_text()

    def give(self, actor: Actor, group: Group) -> None:
        actor.groups.append(group)

    def back(self, actor: Actor, number: int) -> bool:
        before = actor.groups[:]
        actor.groups[1:] = [group for group in actor.groups[1:] if group.number != number]
        return actor.groups != before

    def ask(self, actor: Actor) -> Answer:
        return Answer(actor)

    def answered(self, answers: list[Answer], seconds: float) -> list[Answer]:
        if self.late:
            self.late -= 1
            return []
        if self.slow and any(actor.groups for actor in self.actors[1:]):
            return [answer for answer in answers if answer.first or answer.actor is not self.actors[0]]
        return answers

    def told(self, answer: Answer) -> Any:
        if answer.first and self.start:
            raise self.start
        if answer.first:
            return answer.actor.name
        groups = answer.actor.groups
        if groups and groups[0].number in self.deadly:
            raise Lost("the node went away")
        return [self.made(item, answer.actor) for item in groups.pop(0).items if item.make] if groups else []

    def kill(self, actor: Actor) -> None:
        self.killed.append(actor)

    def dismiss(self, actors: list[Actor]) -> None:
        self.killed += actors


@pytest.fixture
def records(tmp_path: Path) -> Records:
    records = Records(tmp_path)
    records.begin(Run(0, 2))
    return records


def groups_in(folder: Path, count: int, size: int = 2) -> list[Group]:
    every = [[Item(f"{n}-{k}", {}, "", {}, (str(folder / f"{n}-{k}.png"),)) for k in range(size)] for n in range(count)]
    return [Group(n, tuple(items)) for n, items in enumerate(every)]


def played(
    records: Records, crew: Fake, groups: list[Group], workers: int = 2, retry: int = 1, **site: Any
) -> list[Outcome]:
    """What the engine tells, with that crew in the place of Ray."""
    with records.mine("here") as ledger, pytest.MonkeyPatch.context() as patch:
        patch.setattr(on_ray, "library", lambda: None)
        engine = OnRay(Site(How(retry=retry), records, ledger, **site))
        vars(engine).update(_crew=crew, _share=Share(1, 0, workers))
        for group in groups:
            engine.submit(group)
        try:
            return list(engine.results())
        finally:
            engine.close()


def lines_of(records: Records) -> list[dict[str, Any]]:
    return [line for journal in records.journals() for line in journal.lines]


def test_each_worker_has_a_journal_of_what_it_did(records: Records) -> None:
    groups = groups_in(records.home, 7)
    outcomes = played(records, crew := Fake(), groups)
    assert Counter(one.key for one in outcomes) == Counter(item.key for group in groups for item in group.items)
    for worker in ("node-0", "node-1"):
        journal = next(one for one in records.journals() if one.path.stem == worker)
        assert {line["done"] for line in journal.of("done")} == {one.key for one in outcomes if one.worker == worker}
        assert {line["begun"] for line in journal.of("begun")} == {line["done"] for line in journal.of("done")}
        assert all("at" in line for line in journal.of("done"))
    assert len(crew.killed) == 2
    with records.mine("node-0"):
        pass  # let go of


def test_no_more_workers_than_batches(records: Records) -> None:
    played(records, crew := Fake(), groups_in(records.home, 3), workers=50)
    assert crew.begun == [0, 1, 2]


@pytest.mark.parametrize("retry", [0, 1, 4])
def test_a_batch_that_ends_too_many_workers_fails_and_the_rest_goes_on(records: Records, retry: int) -> None:
    groups = groups_in(records.home, 9)
    with pytest.warns(UserWarning, match="node-. is lost: the node went away"):
        outcomes = played(records, crew := Fake(deadly=[4]), groups, retry=retry)
    failed = [one for one in outcomes if one.failure]
    assert {one.key for one in failed} == {"4-0", "4-1"}
    assert len({one.key for one in outcomes}) == len(outcomes) == 18
    for one in failed:
        assert one.failure is not None
        assert one.failure.kind == "WorkerDied"
        assert f"batch 4 of 2 jobs has ended {retry + 2} workers" in one.failure.message
        assert "the node went away" in one.failure.message
    assert len(crew.begun) == 2 + retry + 2
    assert {line["failed"] for line in lines_of(records) if "failed" in line} == {"4-0", "4-1"}


def test_where_no_worker_begins_it_says_why(records: Records) -> None:
    crew = Fake(start=Lost("no module named torch"))
    with (
        pytest.warns(UserWarning, match="a worker that had not begun is lost"),
        pytest.raises(DiffusionTricksError, match="no worker can be begun on the cluster: no module named torch"),
    ):
        played(records, crew, groups_in(records.home, 3))
    assert Counter(crew.begun) == {0: 3, 1: 3}


def test_a_slow_worker_keeps_only_what_it_has_begun(records: Records) -> None:
    outcomes = played(records, Fake(slow=True), groups_in(records.home, 12, size=1))
    assert Counter(one.worker for one in outcomes) == {"node-0": 1, "node-1": 11}


def test_where_there_is_no_room_it_says_so_once(records: Records) -> None:
    with pytest.warns(UserWarning, match="no worker has begun for 60 s; each of 2 asks for a CPU") as said:
        played(records, Fake(late=3), groups_in(records.home, 3))
    assert len(said) == 1


def test_what_a_worker_refuses_ends_the_run(records: Records) -> None:
    with pytest.raises(UsageError, match="another version"):
        played(records, Fake(start=UsageError("another version")), groups_in(records.home, 3))


def test_without_a_disk_that_all_share_pictures_are_to_be_collected(records: Records) -> None:
    with pytest.raises(OutputError, match=r"node-0 does not see .*; give `collect`"):
        played(records, Fake(blind=True), groups_in(records.home, 3))


def sent(item: Item, actor: Actor, names: Sequence[str] = ("{}.png",)) -> Outcome:
    """As a worker tells it that sends its pictures back."""
    files = {f"../{name.format(item.key)}": f"{name} {item.key}".encode() for name in names}
    line = {"done": item.key, "inputs": [], "recipe": item.asked, "outputs": dict.fromkeys(files, ""), "facts": []}
    return Outcome(item.key, actor.name, line, files=files)


def test_collected_pictures_are_written_here(records: Records) -> None:
    outcomes = played(records, Fake(blind=True, made=sent), groups_in(records.home, 3), collect=True)
    assert {path.name: path.read_bytes() for path in records.home.glob("*.png")} == {
        f"{one.key}.png": f"{{}}.png {one.key}".encode() for one in outcomes
    }
    assert not any(one.files for one in outcomes), "let go of"


def test_a_collected_picture_replaces_none_that_is_not_ours(records: Records) -> None:
    (records.home / "0-0.png").write_bytes(b"somebody's")
    outcomes = played(records, Fake(made=sent), groups_in(records.home, 1), collect=True)
    failed = {one.key: one.failure for one in outcomes}
    assert failed["0-1"] is None
    assert failed["0-0"] is not None
    assert failed["0-0"].kind == "OutputError"
    assert (records.home / "0-0.png").read_bytes() == b"somebody's"
    assert [line["failed"] for line in lines_of(records) if "failed" in line] == ["0-0"]


def test_a_side_car_of_an_earlier_picture_does_not_outlive_it(records: Records) -> None:
    """It goes where an earlier run has made it, and a newer picture has none."""
    picture = records.home / "a.jpg"
    item = Item("a", {}, "", {}, (str(picture),), ours=True)
    beside = picture.with_name("a.jpg.json")
    with records.mine("node-7") as ledger:
        for path in (picture, beside):
            path.write_text("earlier")
        ledger.done(task_of(item))
    outcomes = played(records, Fake(made=lambda item, actor: sent(item, actor, ["{}.jpg"])), [Group(0, (item,))],
                      collect=True)  # fmt: skip
    assert outcomes[0].failure is None
    assert picture.read_bytes() == b"{}.jpg a"
    assert not beside.exists()


@pytest.mark.parametrize(
    ("nodes", "how", "workers", "expected"),
    [
        ([{"CPU": 8}, {"CPU": 8}], How(), None, Share(4, 0, 4)),
        ([{"CPU": 2}], How(), None, Share(2, 0, 1)),
        ([{"CPU": 0}, {"CPU": 3}, {"CPU": 9}], How(), None, Share(3, 0, 4)),  # a head that does no work
        ([{}, {}], How(), None, Share(1, 0, 1)),  # nodes are yet to come
        ([{"CPU": 4}, {"CPU": 4}], How(), 2, Share(4, 0, 2)),
        ([{"CPU": 4}, {"CPU": 4}], How(), 3, Share(2, 0, 3)),
        ([{"CPU": 4}, {"CPU": 4}], How(), 99, Share(1, 0, 99)),  # those that find no room wait for it
        ([{"CPU": 16, "GPU": 2}, {"CPU": 16, "GPU": 4}], How(), None, Share(1, 1, 6)),
        ([{"CPU": 16, "GPU": 2}], How(device="cuda"), 1, Share(1, 1, 1)),
        ([{"CPU": 1, "GPU": 2}], How(), None, Share(0, 1, 2)),
        ([{"CPU": 16, "GPU": 2}], How(device="cpu"), None, Share(4, 0, 4)),
    ],
)
def test_how_a_cluster_is_shared_out(
    nodes: list[dict[str, float]], how: How, workers: int | None, expected: Share
) -> None:
    assert share_of(nodes, how, workers) == expected


def test_another_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DiffusionTricksError, match=r"has diffusion_tricks .*, this machine 0\.0\.1; install the same"):
        Away(Orders(How(), str(tmp_path), str(tmp_path), "0.0.1")).ready(0)


def test_groups_are_given_back_only_when_they_still_wait(tmp_path: Path) -> None:
    away = Away(Orders(How(), str(tmp_path), str(tmp_path), "0.0.1"))
    for group in groups_in(tmp_path, 2):
        away.take(group)
    assert [away.back(1), away.back(1), away.back(0)] == [True, False, True]


def test_what_ray_says_of_a_death_is_cut_down_to_why() -> None:
    text = """The actor died unexpectedly before finishing this task.
        pid: 7
    The actor is dead because its worker process has died. End of file. Some common causes include: (1) memory."""
    assert in_short(text) == "The actor is dead because its worker process has died. End of file"
    assert in_short("no\n  room.") == "no room"


def test_standard_output_is_for_results(capsys: pytest.CaptureFixture[str]) -> None:
    """Ray tells of the deaths of workers there, from a thread of its own, whatever it is asked."""
    with contextlib.redirect_stdout(Own(sys.stdout)):
        remark = Thread(target=print, args=("(raylet) A worker died",), name="ray_listen_error_messages")
        remark.start()
        remark.join()
        print("result", flush=True)
    assert capsys.readouterr().out == "result\n"


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("jobs.jsonl").write_text(json.dumps({"id": "a", "prompt": "a rabbit", "steps": 1, "seed": 1}))
    return "batch jobs.jsonl -o out"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--address auto", "--address and --collect are for --engine ray"),
        ("--collect", "--address and --collect are for --engine ray"),
        ("--engine ray --device cuda:1", "say how many --workers, and leave --device one of auto, cpu, cuda, mps"),
        ("--engine ray --shard 1/2", "--shard is an engine of its own"),
        ("--engine rays", "unknown engine 'rays'; did you mean 'ray'?"),
    ],
)
def test_what_cannot_be_is_refused(jobs: str, words: str, said: str) -> None:
    outcome = run(*jobs.split(), *words.split())
    assert (outcome.code, said in outcome.err) == (2, True), outcome.err


def test_without_ray_it_says_how_to_get_it(jobs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    outcome = run(*jobs.split(), "--engine", "ray")
    assert (outcome.code, "pip install 'diffusion-tricks[ray]'" in outcome.err) == (2, True), outcome.err


@pytest.fixture
def listens(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a port that is open, where Ray is installed."""
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace())
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize(("said", "taken"), [(None, True), ("auto", True), ("local", False)])
def test_what_ray_reads_by_itself_is_an_address_as_if_it_were_given(
    listens: str, said: str | None, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked("jobs.jsonl", "out", engine="ray", address=said)
    monkeypatch.setenv("RAY_ADDRESS", listens)
    assert chosen(asked).address == (listens if taken else said)
    assert chosen(replace(asked, address=f"ray://{listens}")).address == f"ray://{listens}"
    monkeypatch.setenv("RAY_ADDRESS", "")
    assert chosen(asked).address == said


def test_it_is_said_which_cluster_that_is(jobs: str, listens: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [*jobs.split(), "--engine", "ray", "--dry-run"]
    monkeypatch.setenv("RAY_ADDRESS", listens)
    said = f"the cluster is that at {listens}, as RAY_ADDRESS says"
    outcome = run(*words)
    assert (outcome.code, said in outcome.err) == (0, True), outcome.err
    assert said not in run(*words, "--quiet").err
    assert said not in run(*words, "--address", f"ray://{listens}").err


@pytest.mark.parametrize(("address", "said"), [
    ("{}", "no Ray cluster answers at --address {}"),
    ("ray://{}", "no Ray cluster answers at --address ray://{}"),
    ("nowhere.invalid:6379", "no Ray cluster answers at --address nowhere.invalid:6379"),
    ("http://{}", "expected an --address as auto, HOST:PORT or ray://HOST:PORT, got 'http://{}'"),
    ("127.0.0.1", "expected an --address as auto, HOST:PORT or ray://HOST:PORT, got '127.0.0.1'"),
    ("127.0.0.1:x", "expected an --address as auto, HOST:PORT or ray://HOST:PORT, got '127.0.0.1:x'"),
])  # fmt: skip
@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_cluster_that_is_not_there_is_refused_at_once(
    jobs: str, address: str, said: str, more: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray itself would wait for two minutes, and then end the process without a word."""
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace())
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = f"127.0.0.1:{server.getsockname()[1]}"
    address, said = address.format(closed), said.format(closed)
    words = [*jobs.split(), "--engine", "ray", *more]
    outcome = run(*words, "--address", address)
    assert (outcome.code, said in outcome.err) == (2, True), outcome.err
    assert "RAY_ADDRESS" not in outcome.err
    monkeypatch.setenv("RAY_ADDRESS", address)
    outcome = run(*words)
    assert (outcome.code, f"{said}, as RAY_ADDRESS says" in outcome.err) == (2, True), outcome.err
    assert not Path("out").exists()


def test_where_ray_ends_the_process_it_is_said_why() -> None:
    def init(**_: Any) -> None:
        raise SystemExit(15)

    ray = SimpleNamespace(is_initialized=lambda: False, init=init)
    with (
        pytest.raises(UsageError, match=r"no Ray cluster answers at `address='10\.0\.0\.1:80'`"),
        connected(ray, "10.0.0.1:80"),
    ):
        pass
