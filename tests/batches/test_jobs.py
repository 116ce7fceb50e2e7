"""Lists of jobs: the same from lines, tables and TOML; variables, options, bases, ids; and problems that say where."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from diffusion_tricks import PluginError, Recipe, UsageError
from diffusion_tricks.plugin import RecipeError
from diffusion_tricks.recipes.record import save
from diffusion_tricks_batch.lists.again import row_of
from diffusion_tricks_batch.lists.cells import of_option
from diffusion_tricks_batch.lists.grid import axis_from
from diffusion_tricks_batch.lists.jobs import Job, job_from, read_jobs
from diffusion_tricks_batch.lists.names import check_names, name_of

ANAGRAM = {"trick": "anagram", "views": [["identity", "a {first}"], ["{view}", "a {second}"]]}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def lines(*objects: Any, name: str = "jobs.jsonl") -> str:
    Path(name).write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in objects), "utf-8")
    return name


def table(text: str, name: str = "jobs.csv") -> str:
    Path(name).write_text(text, "utf-8")
    return name


def sound(jobs: Sequence[Job]) -> list[Recipe]:
    assert [str(job.problem) for job in jobs if job.problem] == []
    return [job.recipe for job in jobs if job.recipe]


def one(**said: Any) -> Job:
    return job_from(said, 0)


def refused(job: Job) -> str:
    assert job.recipe is None
    assert isinstance(job.problem, UsageError)
    return str(job.problem)


def test_a_list_of_lines() -> None:
    """A mark of the order of bytes, empty lines and ends of lines of Windows say nothing."""
    Path("jobs.jsonl").write_bytes(
        b'\xef\xbb\xbf{"id": "j1", "prompt": "a rabbit", "seed": 1, "steps": 3}\r\n\r\n'
        + '{"prompt": "兎\u2028", "seed": [4, 2], "size": [64, 48]}'.encode()
    )
    first, second = read_jobs("jobs.jsonl")
    assert (first.id, first.number, first.problem) == ("j1", 0, None)
    assert first.recipe == Recipe(prompt="a rabbit", seed=1, steps=3)
    assert first.fields == {"id": "j1", "prompt": "a rabbit", "seed": 1, "steps": 3}
    assert (second.id, second.number) == ("1", 1)
    assert second.recipe == Recipe(prompt="兎\u2028", seed=[4, 2], size=(64, 48))


def test_ids_are_numbers_where_none_are_said_however_long_the_list_is() -> None:
    jobs = read_jobs(lines(*({"prompt": "a", "seed": i} for i in range(11))))
    assert [job.id for job in jobs] == [str(i) for i in range(11)]
    assert all(job.recipe and job.recipe.seed == i for i, job in enumerate(jobs))


@pytest.mark.parametrize("text", ['[[job]]\nprompt = "a"\n[[jobs]]\nprompt = "b"\n', '[[jobs]]\nprompt = "b"\n'])
def test_jobs_under_a_name_nearly_right_are_never_left_out(text: str) -> None:
    with pytest.raises(RecipeError, match=r"jobs.toml: expected each job as \[\[job\]\], got \[\[jobs\]\]"):
        read_jobs(table(text, "jobs.toml"))


@pytest.mark.parametrize(("wrong", "right"), [("stpes", "steps"), ("sede", "seed"), ("szie", "size")])
def test_two_letters_in_each_others_place_are_a_slip(wrong: str, right: str) -> None:
    assert f"unknown field {wrong!r}; did you mean {right!r}?" in refused(one(prompt="a", **{wrong: 3}))


def test_other_words_of_the_same_letters_are_fields_of_their_own() -> None:
    assert one(prompt="a", dees=3).problem is None


def test_a_seed_that_is_not_said_is_not_drawn() -> None:
    assert sound([one(prompt="a")])[0].seed is None


def test_one_bad_line_stops_no_other() -> None:
    Path("jobs.jsonl").write_bytes(
        b'{"prompt": "a"}\nnonsense\n[1]\n{"prompt": "a", "prompt": "b"}\n{"seed": NaN}\n{"prompt": "\xff"}\n'
        b'{"prompt": "b"}'
    )
    jobs = read_jobs("jobs.jsonl")
    assert [job.recipe.prompt if job.recipe else None for job in jobs] == ["a", None, None, None, None, None, "b"]
    said = [str(job.problem) for job in jobs if job.problem]
    for number, (text, why) in enumerate(
        zip(said, ("not valid JSON: Expecting value", "holds a list, expected an object", "'prompt' stands twice",
                   "holds nan, which is no number",
                   r"holds a text that is none ('\udcff') as its 'prompt'"), strict=True), 2):  # fmt: skip
        assert text.startswith(f"line {number} of jobs.jsonl")
        assert why in text


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"promt": "a"}, "unknown field 'promt'; did you mean 'prompt'? if it is a variable, write {promt} where"),
        ({"tricks": ["guidance"], "scal": 3}, "unknown field 'scal'; did you mean 'scale'?"),
        ({"steps": "x"}, "job 1: steps: expected a whole number, got 'x'"), ({"steps": 2.5}, "steps: expected a whole"),
        ({"seed": -1}, "seed: expected at least 0, got -1"), ({"size": "64x"}, "size: expected a list, got '64x'"),
        ({"prompt": 3}, "prompt"), ({"steps": 3, "stride": 30}, "both say which steps are made"),
        ({"prompt": "a {x}"}, "{x} stands in the recipe, and the job says no 'x': it says number, id; add that field, "
         "or write {{ and }} for braces"),
        ({"tricks": [{"trick": "anagran"}]}, "unknown trick 'anagran'; did you mean 'anagram'?"),
        ({"tricks": [ANAGRAM], "first": "a", "second": "b", "view": "flop"},
         "unknown view 'flop'; did you mean 'flip'?"),
        ({"tricks": "guidance"}, "tricks: expected a list, got 'guidance'"), ({"tricks": [3]}, "tricks"),
        ({"guidance.scale": 3}, "`guidance.scale` is of the trick 'guidance', and none of the tricks of the recipe is"
         " that trick: it has none"),
        ({"hybrid": {"far": "a"}, "tricks": ["guidance"]},
         "none of the tricks of the recipe is that trick: it has guid"),
        ({"tricks": ["guidance"], "guidance.scale": -3}, "guidance: scale: expected at least 0, got -3"),
        ({"tricks": [{"trick": "guidance", "scale": 2}, {"trick": "guidance", "scale": 3}], "scale": 4},
         "`scale` is an option of guidance and of guidance; say it in `tricks`"),
        ({"tricks": ["sdedit", "controlnet"], "image": "a.png"},
         "`image` is an option of sdedit and of controlnet; say `sdedit.image` or `controlnet.image`"),
        ({"picture": "../a.png"}, "the path '../a.png' leads out of the recipe's folder"),
        ({"picture": "{x}/a.png", "x": ".."}, "the path '../a.png' leads out of the recipe's folder"),
        ({"picture": "/etc/a.png"}, "leads out of the recipe's folder"), ({"version": 2}, "has version 2"),
        ({"id": ""}, "expected an `id` of 1 to 200 characters"), ({"id": "x" * 201}, "expected an `id` of 1 to 200"),
        ({"id": "a\nb"}, "without control characters or spaces around it, got 'a\\nb'"),
        ({"id": " a"}, "expected an `id`"),
        ({"id": None}, "expected an `id`"), ({"id": True}, "expected an `id`"), ({"id": 1.5}, "expected an `id`"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_job(said: dict[str, Any], why: str) -> None:
    text = refused(job_from(said, 0))
    assert why in text
    assert text.startswith("job 1: ")
    assert text.count("job 1") == 1


def test_the_ids_of_two_jobs() -> None:
    jobs = read_jobs(lines({"id": "a"}, {"id": "b"}, {"id": "a", "prompt": "x"}, {"id": 3}, {}, {"id": "a"}))
    assert refused(jobs[2]) == ("line 3 of jobs.jsonl: the id 'a' is that of line 1 of jobs.jsonl already; give each"
                                " job one of its own")  # fmt: skip
    assert [job.id for job in jobs] == ["a", "b", "a~2", "3", "4", "a~3"]
    assert jobs[2].fields == {"id": "a", "prompt": "x"}
    assert len(sound([jobs[i] for i in (0, 1, 3, 4)])) == 4


def test_variables_stand_in_every_text() -> None:
    job = one(prompt="a {animal}, {{not}} {n:03}", negative="{id}", tricks=[ANAGRAM], first="rabbit", second="duck",
              view="flip", animal="cat", n=7, lora=["{animal}.safetensors:0.5"], id="j", unused="fine")  # fmt: skip
    recipe = sound([job])[0]
    assert recipe.prompt == "a cat, {not} 007"
    assert recipe.negative == "j"
    assert recipe.lora == ["cat.safetensors:0.5"]
    assert recipe.tricks[0].options == {"views": [["identity", "a rabbit"], ["flip", "a duck"]]}
    assert job.fields["unused"] == "fine"


def test_what_looks_misspelt_may_be_a_variable_that_is_used() -> None:
    assert sound([one(prompt="a {promt}", promt="b")])[0].prompt == "a b"
    assert sound([job_from({"prompt": "a", "prompt1": "b"}, 0, used=["prompt1"])])
    assert "did you mean 'prompt'" in refused(one(prompt="a", prompt1="b"))


def test_lists_and_objects_may_stand_for_a_whole_text() -> None:
    hybrid = {"trick": "hybrid", "far": "a skull", "near": "a mushroom"}
    recipe = sound([one(tricks=[{"trick": "anagram", "views": "{both}"}],
                        both=[["identity", hybrid], ["flip", "a duck"]])])[0]  # fmt: skip
    assert recipe.tricks[0].options["views"][0] == ["identity", hybrid]
    recipe = sound([one(tricks=[{"trick": "anagram", "views": [["identity", "{both}"], ["flip", "b"]]}], both=hybrid)])[
        0
    ]
    assert recipe.tricks[0].options["views"][0] == ["identity", hybrid]
    recipe = sound([one(steps="{n}", tricks=[{"trick": "guidance", "scale": "{x}"}], n=4, x="2.5")])[0]
    assert (recipe.steps, recipe.tricks[0].options) == (4, {"scale": 2.5})


def test_options_of_tricks() -> None:
    """By their own names, by those of their tricks, and as a table of one; a variable that is used is none."""
    views = [["identity", "a"], ["flip", "b"]]
    tricks = [{"trick": "anagram"}, {"trick": "guidance", "scale": 2}]
    for said in ({"scale": 5, "views": views}, {"guidance.scale": "5", "anagram.views": json.dumps(views)},
                 {"scale": 5, "anagram": {"views": views}}):  # fmt: skip
        recipe = sound([one(tricks=tricks, **said)])[0]
        assert [entry.options for entry in recipe.tricks] == [{"views": views}, {"scale": 5}]
    assert tricks == [{"trick": "anagram"}, {"trick": "guidance", "scale": 2}]
    recipe = sound([one(prompt="{scale}", tricks=["guidance"], scale=5)])[0]
    assert (recipe.prompt, recipe.tricks[0].options) == ("5", {})


def test_a_base_in_the_first_line() -> None:
    jobs = read_jobs(lines({"base": {"prompt": "a {animal}", "animal": "cat", "steps": 9, "tricks": ["guidance"]}},
                           {}, {"animal": "dog", "stride": 30}, {"prompt": ["x", "y"], "scale": 3}, {"steps": None},
                           {"base": {}}))  # fmt: skip
    first, second, third, fourth = sound(jobs[:4])
    assert (first.prompt, first.steps) == ("a cat", 9)
    assert (second.prompt, second.steps, second.stride) == ("a dog", None, 30)
    assert (third.prompt, third.count, third.tricks[0].options) == (["x", "y"], 2, {"scale": 3})
    assert fourth.steps is None
    assert jobs[0].fields == {"id": "0", "animal": "cat"}
    assert "the first line" in refused(jobs[4])


def test_a_base_in_a_file() -> None:
    """Its paths start at its own folder, also below that of the list."""
    Path("lists/shared").mkdir(parents=True)
    Path("lists/shared/model").mkdir()
    for file in ("lists/shared/recipe.toml", "lists/recipe.toml"):
        Path(file).write_text('prompt = "a"\nmodel = "model"\n[[tricks]]\ntrick = "sdedit"\nimage = "{name}.png"\n')
    rows = [{"name": "x"}, {"sdedit.image": "y.png", "model": "digits"}]
    first, second = sound(read_jobs(lines({"base": "shared/recipe.toml"}, *rows, name="lists/jobs.jsonl")))
    assert (first.tricks[0].options["image"], first.model) == ("lists/shared/x.png", "lists/shared/model")
    assert (second.tricks[0].options["image"], second.model) == ("lists/y.png", "digits")
    first, _ = sound(read_jobs(lines({"base": "recipe.toml"}, *rows, name="lists/jobs.jsonl")))
    assert first.tricks[0].options["image"] == "lists/x.png"
    Path("lists/shared/up.toml").write_text('picture = "../../{name}.png"\nfolder = "../.."\n')
    recipe = sound(read_jobs(lines({"base": "shared/up.toml"}, {"name": "x"}, name="lists/jobs.jsonl")))[0]
    assert os.path.normpath(str(recipe.picture)) == "x.png"


@pytest.mark.parametrize(
    ("base", "why"),
    [
        ({"steps": 0}, "steps: expected at least 1, got 0"), ("none.toml", "none.toml cannot be read: No such file"),
        (3, "expected a recipe, or the name of its file, as `base`, got 3"), ({"id": "a"}, "an `id` is of one job"),
        ("list.jsonl", "the base 'list.jsonl' is a list of jobs, expected a recipe"),
    ],
)  # fmt: skip
def test_a_base_that_is_none(base: Any, why: str) -> None:
    lines({"prompt": "a"}, name="list.jsonl")
    with pytest.raises(UsageError) as error:
        read_jobs(lines({"base": base}, {"prompt": "a"}))
    assert why in str(error.value)


def test_a_table() -> None:
    text = ("id,prompt,size,seed,steps,lora,tricks,n\n"
            'j1,"a, b",64x48,1,3,a.safetensors,"[{""trick"": ""guidance"", ""scale"": 2}]",007\n'
            ',,,,,,,\nj2,"two\nlines",[64],,,,,\n\n'
            'j3,"[""a"", ""b""]",64,"[4, 2]",,"[""a.safetensors"", ""b.safetensors:0.5""]",guidance,,\n'
            "j4,x\nj5,c,32,1-3,,,,8\n")  # fmt: skip
    first, second, third, fourth, fifth = read_jobs(table(text))
    assert first.recipe == Recipe(prompt="a, b", size=(64, 48), seed=1, steps=3, lora=["a.safetensors"],
                                  tricks=[{"trick": "guidance", "scale": 2}])  # fmt: skip
    assert first.fields["n"] == "007"
    assert refused(second).startswith("line 4 of jobs.csv: size")
    assert refused(third) == ("line 7 of jobs.csv: expected 8 cells, as there are columns, got 9; put what holds a"
                              " comma into quotes")  # fmt: skip
    assert fourth.recipe == Recipe(prompt="x")
    assert fifth.recipe == Recipe(prompt="c", size=(32, 32), seed=[1, 2, 3])
    assert fifth.fields["n"] == 8


def test_tabs_in_a_table_of_tabs() -> None:
    assert read_jobs(table("id,x\tprompt\na\tb, c\n", "jobs.tsv"))[0].fields == {
        "id": "0",
        "id,x": "a",
        "prompt": "b, c",
    }


@pytest.mark.parametrize("between", [",", ";", "\t"])
def test_what_stands_between_cells(between: str) -> None:
    text = f"\ufeffid{between}prompt\r\na{between}b\r\n"
    assert read_jobs(table(text))[0].fields == {"id": "a", "prompt": "b"}


def test_options_and_several_prompts_in_a_table() -> None:
    views = [["identity", "a"], ["flip", "b"]]
    Path("jobs.csv").write_text("")
    with Path("jobs.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["prompt", "tricks", "anagram.views", "scale"])
        rows.writerow([json.dumps(["x", "y"]), json.dumps(["anagram", "guidance"]), json.dumps(views), 4.5])
    recipe = sound(read_jobs("jobs.csv"))[0]
    assert recipe.prompt == ["x", "y"]
    assert [entry.options for entry in recipe.tricks] == [{"views": views}, {"scale": 4.5}]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (list[str], "a", ["a"]), (list[str], '["a"]', ["a"]), (str, "[1]", "[1]"), (str | None, "3", "3"),
        (float, "3", 3), (int | None, "3", 3), (Annotated[float, "share"], "0.5", 0.5), (bool, "True", True),
        (bool, "maybe", "maybe"), (Literal["a", "b"], "a", "a"), (float | Literal["auto"], "auto", "auto"),
        (float, "inf", "inf"), (tuple[int, int], "[1, 2]", [1, 2]), (dict[str, int], '{"a": 1}', {"a": 1}),
        (list[str], "[a", ["[a"]), (float, 3, 3),
    ],
)  # fmt: skip
def test_texts_of_options(kind: Any, text: Any, value: Any) -> None:
    assert of_option(kind, text) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a,a\n1,2\n", "jobs.csv has two columns 'a'; keep one of them"), ("prompt\n", "jobs.csv holds no jobs"),
        ("", "jobs.csv holds no jobs; expected such as"), ('"a\n', "line 1 of jobs.csv: expected a row of CSV"),
    ],
)  # fmt: skip
def test_a_table_that_is_none(text: str, why: str) -> None:
    with pytest.raises(UsageError) as error:
        read_jobs(table(text))
    assert why in str(error.value)


def test_a_bad_row_stops_no_other() -> None:
    jobs = read_jobs(table('prompt,\na,\n"b"c,\nd,e\n"f,\n'))
    assert [job.recipe.prompt if job.recipe else None for job in jobs] == ["a", None, None, None]
    assert refused(jobs[1]).startswith("line 3 of jobs.csv: expected a row of CSV")
    assert refused(jobs[2]) == ("line 4 of jobs.csv: the cell 'e' stands in a column without a name; give it one in the"
                                " first line")  # fmt: skip
    assert refused(jobs[3]).startswith("line 5 of jobs.csv: expected a row of CSV")


def test_jobs_in_toml() -> None:
    Path("jobs.toml").write_text("""
        prompt = "a {animal}"
        animal = "cat"
        [[tricks]]
        trick = "guidance"
        [[job]]
        id = "j1"
        [[job]]
        animal = "dog"
        day = 2026-01-02
        guidance.scale = 3
        [[job]]
        tricks = [{trick = "guidance", scale = 4}]
        steps = 2.5
    """)
    first, second, third = read_jobs("jobs.toml")
    assert sound([first])[0].prompt == "a cat"
    assert second.fields["day"] == "2026-01-02"
    assert refused(third).startswith("job 3 of jobs.toml: steps: expected a whole number")
    Path("base.toml").write_text('base = "jobs2.toml"\nsteps = 3\n[[job]]\n')
    Path("jobs2.toml").write_text('prompt = "b"\nsteps = 4\n')
    assert sound(read_jobs("base.toml")) == [Recipe(prompt="b", steps=3)]


def test_jobs_in_one_list_of_json() -> None:
    Path("jobs.json").write_text('\n[{"prompt": "a"}, 3, {"seed": "x"}]')
    first, second, third = read_jobs("jobs.json")
    assert sound([first]) == [Recipe(prompt="a")]
    assert refused(second) == "job 2 of jobs.json: expected a job as an object, got 3"
    assert refused(third).startswith("job 3 of jobs.json: seed: expected a whole number")


def test_fields_that_are_called_as_what_is_said_anyway() -> None:
    job = one(prompt="{number} {index}", number=7, index="i")
    assert sound([job])[0].prompt == "7 i"
    assert name_of("{number}-{index}.png", job, 1, 2) == Path("7-i.png")


def test_a_recipe_is_a_list_of_one() -> None:
    recipe = Recipe(prompt="a", seed=3, tricks=[{"trick": "guidance", "scale": 2}])
    Path("r.toml").write_text(recipe.to_toml("./recipe.schema.json"))
    Path("r.json").write_text(recipe.to_json())
    save(Image.new("RGB", (8, 8)), "r.png", {"record": 1, "recipe": recipe.data()})
    save(Image.new("RGB", (8, 8)), "r.jpg", {"record": 1, "recipe": recipe.data()})
    for name in ("r.toml", "r.json", "r.png", "r.jpg"):
        assert [(job.id, job.recipe) for job in read_jobs(name)] == [("0", recipe)]


def test_a_grid_over_a_recipe() -> None:
    Path("r.toml").write_text('prompt = "a {animal}"\nsteps = 9\n[[tricks]]\ntrick = "guidance"\n')
    axes = [axis_from(said) for said in ("animal=cat,big dog", "scale=2,3.5", "stride=30")]
    jobs = read_jobs("r.toml", axes)
    assert [job.id for job in jobs] == [f"animal-{a}-scale-{s}-stride-30" for a in ("cat", "big-dog") for s in (2, 3.5)]
    assert sound(jobs)[3] == Recipe(prompt="a big dog", stride=30, tricks=[{"trick": "guidance", "scale": 3.5}])
    assert jobs[3].fields == {"id": jobs[3].id, "animal": "big dog", "scale": 3.5, "stride": 30}
    wrong = read_jobs("r.toml", [axis_from("animal=a"), axis_from("steps=0,1")])
    assert refused(wrong[0]) == "r.toml, animal-a-steps-0: steps: expected at least 1, got 0"


def test_a_grid_over_nothing_and_over_a_list() -> None:
    axes = [axis_from("prompt=a,b"), axis_from("seed=1-2")]
    assert sound(read_jobs(None, axes))[1] == Recipe(prompt="a", seed=2)
    jobs = read_jobs(lines({"id": "x", "steps": 1}, {"steps": 2}, [3]), axes)
    assert [job.id for job in jobs] == [f"{row}-prompt-{p}-seed-{s}" for row in "x1" for p in "ab" for s in (1, 2)] + [
        "8"
    ]
    assert sound(jobs[:-1])[-1] == Recipe(prompt="b", seed=2, steps=2)
    long = read_jobs(None, [axis_from(f"v{i}={'x' * 50}") for i in range(4)])
    assert (long[0].id, len(sound(long))) == ("0", 1)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (None, "nothing says what to make; name a list of jobs, a recipe, or the values of a grid"),
        ("none.jsonl", "none.jsonl cannot be read: No such file or directory; expected a list of jobs (.jsonl, .csv"),
        ("empty.jsonl", 'empty.jsonl holds no jobs; expected such as {"id": "j1"'), ("a\0.csv", "cannot be read"),
        ("utf16.jsonl", "utf16.jsonl is no text in UTF-8 (invalid start byte at byte 0); save it as such"),
        ("odd.pdf", "odd.pdf: expected a list of jobs (.jsonl, .csv, .toml, or - for standard input), a recipe"),
        ("bad.toml", "bad.toml is not valid TOML"), ("list.json", "list.json holds no jobs"),
        ("round.toml", "begins with itself"),
        ("job.toml", "job.toml: expected each job as [[job]]"), ("none.toml", "none.toml holds no jobs"),
        (".", "read: Is a"),
        ("misspelt.toml", "steps: expected at least 1"), ("plain.png", "carries no diffusion-tricks record"),
    ],
)  # fmt: skip
def test_a_source_that_is_none(source: str | None, why: str) -> None:
    for name, text in (("empty.jsonl", "\n \n"), ("odd.pdf", ""), ("bad.toml", "a ="), ("list.json", "[]"),
                       ("job.toml", "job = 3"), ("none.toml", "job = []"),
                       ("misspelt.toml", "steps = 0"), ("round.toml", 'base = "round.toml"')):  # fmt: skip
        Path(name).write_text(text)
    Path("utf16.jsonl").write_text("{}", "utf-16")
    Image.new("RGB", (8, 8)).save("plain.png")
    with pytest.raises(UsageError) as error:
        read_jobs(source)
    assert why in str(error.value)


def test_jobs_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    text = '\ufeff{"base": {"steps": 3}}\n{"prompt": "a"}\nx\n'
    first, second = read_jobs("-", stream=io.StringIO(text))
    assert first.recipe == Recipe(prompt="a", steps=3)
    assert refused(second).startswith("line 3 of standard input is not valid JSON")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode() + b'{"prompt": "\xff"}')))
    *_, last = read_jobs("-")
    assert "a text that is none" in refused(last)


def test_one_job_at_a_time() -> None:
    """As a warm process takes them: lines or objects, which know of each other's ids."""
    taken: dict[str, str] = {}
    first = job_from('{"id": "a", "prompt": "x"}', 0, taken=taken)
    second = job_from('{"id": "a"}', 1, taken=taken, where="line 2 of standard input")
    third = job_from("{", 2, taken=taken)
    assert sound([first])[0].prompt == "x"
    assert "the id 'a' is that of job 1 already" in refused(second)
    assert taken.keys() == {"a", "a~2", "2"} == {first.id, second.id, third.id}
    assert "job 3 is not valid JSON" in refused(third)
    assert "expected a job as an object, got [3]" in refused(job_from([3], 3))


def test_a_broken_plugin_is_no_fault_of_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Recipe) -> list[Any]:
        raise PluginError("trick 'x' failed in being made")

    monkeypatch.setattr(Recipe, "build", broken)
    problem = one(prompt="a").problem
    assert type(problem) is PluginError
    assert str(problem) == "job 1: trick 'x' failed in being made"
    assert problem.exit_code == 3


# The same jobs, however they are written ---------------------------------------------------------------------------

WORDS = st.text(st.characters(exclude_categories=["C"], exclude_characters="{}"), min_size=1, max_size=12).filter(
    lambda text: text == text.strip() != "" and not text.startswith(("[", "{"))
)
ROWS = st.fixed_dictionaries(
    {"prompt": WORDS.map(lambda text: text + " {animal}"), "animal": WORDS},
    optional={
        "seed": st.integers(0, 2**63 - 1) | st.lists(st.integers(0, 99), min_size=2, max_size=3, unique=True),
        "steps": st.integers(1, 99), "guidance": st.integers(0, 9) | st.floats(0, 9, allow_subnormal=False),
        "size": st.lists(st.integers(1, 512), min_size=2, max_size=2), "negative": WORDS,
        "tricks": st.just([{"trick": "anagram", "views": [["identity", "a {animal}"], ["flip", "b"]]}]),
        "lora": st.lists(WORDS.map(lambda text: "x" + text.replace("/", "").replace(":", "")), min_size=1, max_size=2),
        "enlarge": st.integers(1, 4),
    },
)  # fmt: skip


def cell_of(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ROWS, min_size=1, max_size=4))
def test_the_same_jobs_from_lines_tables_and_toml(rows: list[dict[str, Any]]) -> None:
    Path("j.jsonl").write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    Path("j.toml").write_text(tomli_w.dumps({"job": rows}), "utf-8")
    names = list(dict.fromkeys(name for row in rows for name in row))
    with Path("j.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows([[cell_of(row[name]) if name in row else "" for name in names] for row in rows])
    expected = sound(read_jobs("j.jsonl"))
    assert expected[0].prompt == rows[0]["prompt"].replace("{animal}", rows[0]["animal"])
    assert sound(read_jobs("j.toml")) == expected
    assert sound(read_jobs("j.csv")) == expected


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS)
def test_a_job_is_the_same_in_another_list(row: dict[str, Any]) -> None:
    """What failed is written as a list that makes just that, from wherever it lies."""
    Path("work/out").mkdir(parents=True, exist_ok=True)
    job = read_jobs(lines(row, name="work/jobs.jsonl"))[0]
    again = read_jobs(lines(row_of(job, Path("work/out")), name="work/out/failed.jsonl"))[0]
    assert again.id == job.id
    assert again.fields["animal"] == row["animal"]
    first, second = sound([job, again])
    assert resolved(second) == resolved(first)


def resolved(recipe: Recipe) -> Recipe:
    return recipe.model_copy(update={"lora": [os.path.realpath(text) for text in recipe.lora]})


def test_a_job_with_files_in_another_list() -> None:
    Path("work/out/deep").mkdir(parents=True)
    Path("work/model").mkdir()
    row = {"base": {"model": "model", "tricks": ["sdedit"], "prompt": "a {{x}} {prompt1}", "prompt1": "b"}}
    job = read_jobs(lines(row, {"sdedit.image": "a.png", "strength": 0.5}, name="work/jobs.jsonl"))[0]
    moved = row_of(job, Path("work/out/deep"))
    assert moved["folder"] == "../.."
    assert "sdedit.image" not in moved
    assert "prompt1" not in moved
    again = read_jobs(lines(moved, name="work/out/deep/failed.jsonl"))[0]
    first, second = sound([job, again])
    assert first.prompt == second.prompt == "a {x} b"
    assert Path(second.tricks[0].options["image"]).resolve() == Path("work/a.png").resolve()
    assert Path(second.model).resolve() == Path("work/model").resolve()
    assert second.tricks[0].options["strength"] == 0.5


def test_a_job_with_a_problem_in_another_list() -> None:
    job = read_jobs(lines({"base": {"steps": 3}}, {"id": "a", "prompt": "{x}"}))[0]
    assert row_of(job, Path()) == {"steps": 3, "id": "a", "prompt": "{x}"}


def test_names_from_jobs() -> None:
    jobs = read_jobs(lines({"base": {"prompt": "a {animal}", "seed": 1}}, {"animal": "cat"}, {"animal": "dog"}))
    assert list(check_names(jobs, "out/{animal}/{prompt:slug}-{seed}.png").values()) == [
        [Path("out/cat/a-cat-1.png")],
        [Path("out/dog/a-dog-1.png")],
    ]


def test_reading_a_list_costs_no_torch() -> None:
    lines({"prompt": "a {x}", "x": "b", "tricks": ["guidance"], "scale": 3})
    code = (
        "import sys\nfrom diffusion_tricks_batch.lists.jobs import read_jobs\n"
        "from diffusion_tricks_batch.lists.names import check_names\n"
        "jobs = read_jobs('jobs.jsonl')\nassert jobs[0].recipe, jobs[0].problem\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_error_keeps_its_kind() -> None:
    assert type(one(steps=0).problem) is RecipeError
