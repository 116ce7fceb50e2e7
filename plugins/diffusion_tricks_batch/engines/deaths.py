"""Jobs that workers die of: when too many have, they fail, whatever brings them to workers. No torch here."""

from __future__ import annotations

from collections import Counter

from diffusion_tricks.plugin import Ledger
from diffusion_tricks_batch.engines.protocol import Site
from diffusion_tricks_batch.groups import Group
from diffusion_tricks_batch.how import How
from diffusion_tricks_batch.outcome import Failure, Outcome
from diffusion_tricks_batch.records import task_of


def most_deaths(how: How) -> int:
    """How many workers may die of a batch, until it is given up.

    The first death does not say which of the batches that it held it died of; from then on each of them is tried with
    no other: once, and as often again as is asked.
    """
    return how.retry + 2


def deaths(ledger: Ledger) -> Counter[str]:
    """How many processes, but for this, have ended without a word while they made each job, since it last came to
    something."""
    journals = [*ledger.beside, ledger]
    every = [(journal.path.stem, line) for journal in journals for line in journal.lines]
    led = {name for name, line in every if "began" in line}
    process, left = Counter[str](), dict[str, set[tuple[str, int]]]()
    for name, line in sorted(every, key=lambda pair: float(pair[1].get("at", 0))):
        process[name] += "worker" in line  # each begins so
        if "begun" in line:
            left.setdefault(line["begun"], set()).add((name, process[name]))
        elif "done" in line or "failed" in line:
            left.pop(line.get("done") or line["failed"], None)
        elif "ended" in line:  # and so has whoever it led
            for who in left.values():
                who -= {one for one in who if one == (name, process[name]) or one[0] not in led}
    mine = (ledger.path.stem, process[ledger.path.stem])
    return Counter({key: len(who - {mine}) for key, who in left.items()})


def unfinished(group: Group, ledger: Ledger) -> bool:
    """Whether a job of a group that is to be made was begun, and came to nothing since."""
    return any("begun" in ledger.last(item.key) for item in group.items if item.make)


def died_of(group: Group, counted: Counter[str], site: Site) -> list[Outcome]:
    """The outcomes of the jobs of a group at which too many have ended, which are noted as failed."""
    outcomes = []
    for item in group.items:
        if item.make and counted[item.key] >= most_deaths(site.how):
            failure = Failure("WorkerDied", f"its worker has ended {counted[item.key]} times while making it; take it "
                              "out, or run it by itself")  # fmt: skip
            line = site.ledger.failed(task_of(item), failure.data())
            outcomes.append(Outcome(item.key, site.name, line, failure))
    return outcomes
