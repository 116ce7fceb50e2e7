"""Every error of the project crosses from process to process, as pools of workers need it."""

from __future__ import annotations

import importlib
import pickle
import pkgutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

import diffusion_tricks
import diffusion_tricks_cli
import diffusion_tricks_plugins
from diffusion_tricks.errors import DiffusionTricksError, RecipeError, UnknownName
from diffusion_tricks.registry.view import view_named
from diffusion_tricks.training.interrupts import Interrupted

ABOUT = {"path": "out/duck.png", "seed": 7}
ARGUMENTS = {UnknownName: ("view", "flp", ["flip", "negate"])}  # of those that are not made from a message alone


def tree(kind: type[DiffusionTricksError]) -> Iterator[type[DiffusionTricksError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from tree(below)


def every_error() -> list[type[DiffusionTricksError]]:
    for package in (diffusion_tricks, diffusion_tricks_plugins, diffusion_tricks_cli):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    ours = ("diffusion_tricks", "diffusion_tricks_plugins", "diffusion_tricks_cli")
    return [kind for kind in dict.fromkeys(tree(DiffusionTricksError)) if kind.__module__.partition(".")[0] in ours]


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_an_error_comes_back_as_it_was(kind: type[DiffusionTricksError]) -> None:
    error = kind(*ARGUMENTS.get(kind, ("the message",)))
    error.about = ABOUT
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind
    assert (str(back), back.args, back.exit_code, back.about) == (str(error), error.args, error.exit_code, ABOUT)


def test_the_tree_holds_the_errors_that_are_defined_elsewhere() -> None:
    assert {"UnknownName", "Clash"} <= {kind.__name__ for kind in every_error()}


def test_a_misspelt_view_in_a_worker_is_told_as_such() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        failing = pool.submit(view_named, "flp")
        with pytest.raises(UnknownName, match=r"^unknown view 'flp'; did you mean 'flip'\?$"):
            failing.result()


def test_a_training_that_was_stopped_comes_back_as_it_was() -> None:
    back = pickle.loads(pickle.dumps(Interrupted("go on with --resume")))
    assert (type(back), str(back)) == (Interrupted, "go on with --resume")


def test_an_error_of_its_own_making_comes_back_too() -> None:
    class Twice(RecipeError):
        def __init__(self, first: int, second: int):
            super().__init__(f"{first} and {second}")

    kind, arguments, known = Twice(1, 2).__reduce__()[1]
    assert (kind, arguments, known) == (Twice, ("1 and 2",), {})
