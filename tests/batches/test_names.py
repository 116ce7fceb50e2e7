"""Names of files: what stands in them, that they stay in their folder, apart from each other and from what is read."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusion_tricks import DiffusionTricksError, UsageError
from diffusion_tricks.plugin import OutputError, UnknownName
from diffusion_tricks_batch.lists.jobs import Job, job_from
from diffusion_tricks_batch.lists.names import check_names, home_of, name_of
from diffusion_tricks_batch.lists.places import LONGEST, escaped, filled, slug


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def job(number: int = 0, **said: Any) -> Job:
    one = job_from({"prompt": "a", "seed": 5} | said, number, used=said)
    assert one.problem is None
    return one


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("out", "out/j1.png"), ("out/", "out/j1.png"), ("there.v2", "there.v2/j1.png"), ("{id}.jpg", "j1.jpg"),
        ("out/{id}/{prompt:slug}-{seed}.png", "out/j1/a-rabbit-brown-41.png"),
        ("{seed:04}_{index}.webp", "0041_2.webp"),
        ("{number:03}.png", "007.png"), ("{animal}.png", "Röb.png"), ("{n:04}-{x:.2f}.png", "0012-0.50.png"),
        ("{steps}-{size}.png", "9-64x48.png"), ("{model}.png", "emoji.png"), ("{{{id}}}.png", "{j1}.png"),
        ("{id}.{form}", "j1.tif"), ("a/{{b}}/{dir}/c.png", "a/{b}/x/y/c.png"), ("{prompt}.png", "a Rabbit, brown.png"),
        ("{anagram.views:slug}.png", "identity-a-flip-b.png"), ("{ok}.png", "true.png"), ("fixed.png", "fixed.png"),
    ],
)  # fmt: skip
def test_what_stands_in_braces(template: str, name: str) -> None:
    Path("there.v2").mkdir()
    said = {"animal": "Röb", "n": "12", "x": 0.5, "form": "tif", "dir": "x/y", "ok": True, "unsaid": None}
    views = {"tricks": ["anagram"], "anagram.views": [["identity", "a"], ["flip", "b"]]}
    one = job(7, id="j1", steps=9, size=[64, 48], **said, **views, prompt="a {kind}, brown", kind="Rabbit")
    assert name_of(template, one, 41, 2) == Path(name)


def test_prompts_of_several_pictures() -> None:
    one = job(id="j", prompt=["a", "b c"], seed=None)
    assert [name_of("{prompt:slug}.png", one, 1, index).name for index in (0, 1)] == ["a.png", "b-c.png"]


@pytest.mark.parametrize(
    ("template", "home"),
    [
        ("out", "out"), ("out/", "out"), ("out/{id}.png", "out"), ("out/x-{id}.png", "out"), ("{id}.png", "."),
        ("a/b/{id}/c.png", "a/b"), ("/data/{id}.png", "/data"), ("../a/{id}", "../a"), ("a/{{b}}/{id}.png", "a/{b}"),
        ("a/b.png", "a"),
    ],
)  # fmt: skip
def test_the_folder_of_all(template: str, home: str) -> None:
    assert home_of(template) == Path(home)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("../x", "job 'j': its v, '../x', leads out of its folder, and cannot be part of a name; use {v:slug}"),
        ("a/../../x", "leads out"), ("/etc/x", "leads out"), ("a//b", "leads out"), ("a/", "leads out"),
        (".. ", "leads out"), ("...", "leads out"), (".", "leads out"), ("C:x", "begins with a drive"),
        ("a\\b", "holds a backslash"), ("a\nb", "holds control characters"), ("a\0b", "holds control characters"),
        ("a\u2028b", "holds control characters"), ("", "is empty"), ("x" * 252, "is longer than the 255 bytes"),
        ("é" * 126, "is longer than the 255 bytes"), ("COM1", "is the name of a device on some systems"),
        ("aux.b", "is the name of a device"), ("nul/a", "is the name of a device"), ("a" * 256 + "/b", "is longer"),
    ],
)  # fmt: skip
def test_values_that_lead_out_are_refused(said: str, why: str) -> None:
    with pytest.raises(UsageError) as error:
        check_names([job(id="j", v=said)], "out/{v}.png")
    assert why in str(error.value)
    assert "job 'j'" in str(error.value)
    assert name_of("out/{v:slug}-x.png", job(v=said), 1, 0).parent == Path("out")


def test_a_template_that_leads_back_is_refused() -> None:
    """Behind a placeholder; before it, it says which folder is meant."""
    with pytest.raises(UsageError, match=r"job 'j' would be written to 'out/b/\.\./x.png', where '\.\.' is no name"):
        name_of("out/{v}/../x.png", job(id="j", v="b"), 1, 0)
    assert name_of("../out/{v}.png", job(v="b"), 1, 0) == Path("../out/b.png")


def test_a_record_beside_the_picture_has_to_fit() -> None:
    assert name_of("{v}.png", job(v="x" * 251), 1, 0)
    assert name_of("{v}.jpg", job(v="x" * 246), 1, 0)
    with pytest.raises(UsageError, match="longer than the 255 bytes"):
        name_of("{v}.jpg", job(v="x" * 247), 1, 0)


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    Path("out").mkdir()
    Path("elsewhere").mkdir()
    Path("out/within").symlink_to("deeper")
    assert name_of("out/{v}/x.png", job(v="within"), 1, 0)
    Path("out/link").symlink_to(tmp_path / "elsewhere")
    Path("out/round").symlink_to("round")
    for said in ("link", "link/deeper", "round"):
        with pytest.raises(UsageError, match=r"job 'j' would be written to out/.*, which leads out of out by a link"):
            check_names([job(id="j", v=said)], "out/{v}/x.png")


NAMES = st.text(st.characters(exclude_categories=()), max_size=20) | st.text("./\\ a:~", max_size=8)


@given(
    NAMES, NAMES, st.sampled_from(["out/{a}{b}.png", "out/{a}/{b}.png", "out/{a:slug}/{b:slug}.png", "out/x{b}/y.png"])
)
def test_names_never_leave_their_folder(a: str, b: str, template: str) -> None:
    one = Job("j", 0, None, {"a": a, "b": b})
    try:
        path = name_of(template, one, 1, 0)
    except DiffusionTricksError:
        assert "slug" not in template
        return
    home = os.path.abspath("out")
    assert os.path.abspath(path).startswith(home + os.sep)
    assert ".." not in path.parts
    assert not any(unicodedata.category(one) == "Cc" for one in str(path))


@given(st.text(st.characters(exclude_categories=()), max_size=200))
def test_every_slug(text: str) -> None:
    found = slug(text)
    assert 1 <= len(found) <= LONGEST
    assert found == slug(found) or unicodedata.category(text[:1] or "a") == "So"
    assert all(one == "-" or unicodedata.category(one)[0] in "LMN" for one in found)
    assert not found.startswith("-")
    assert not found.endswith("-")
    assert len(os.fsencode(f"{found}.png")) <= 255


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A rabbit, brown!", "a-rabbit-brown"), ("Crème Brûlée", "creme-brulee"), ("Straße", "strasse"),
        ("ἄλφα", "ἄλφα"), ("兎とアヒル", "兎とアヒル"), ("हिन्दी", "हिन्दी"), ("สวัสดี ครับ", "สวัสดี-ครับ"), ("Ёж", "ёж"),
        ("한국어", "한국어"), ("🐇", "rabbit"), ("🐇🦆", "rabbit-duck"), ("a 🐇", "a"), ("x" * 99, "x" * 60),
        ("½", "1-2"), ("a" * 59 + " b", "a" * 59), ("ﬁre", "fire"), ("İ", "i"),
    ],
)  # fmt: skip
def test_slugs_keep_every_script(text: str, expected: str) -> None:
    assert slug(text) == expected


def test_what_has_no_letters_is_told_apart() -> None:
    assert len({slug("!!!"), slug("???"), slug("")}) == 3
    assert slug("!!!") == slug("!!!")


@given(st.text(max_size=30))
def test_braces_come_back(text: str) -> None:
    assert filled(escaped(text), lambda name: pytest.fail(name)) == text


@pytest.mark.parametrize(
    ("template", "error", "why"),
    [
        ("out/{anmal}.png", UnknownName, "unknown placeholder '{anmal}'; did you mean '{animal}'?"),
        ("out/{zzz}.png", UnknownName, "known are: {animal}, {id}, {index}, {number}, {prompt}, {second}, {seed}"),
        ("out/{second}.png", UnknownName, "unknown placeholder for job '1': '{second}'"),
        ("out/{steps}.png", UnknownName, "unknown placeholder for job '0': '{steps}'"),
        ("out/{id:xx}.png", UsageError,
         "job '0': {id:xx}: expected `slug`, or the format of a number such as 04 or .2f"),
        ("out/{animal:04}.png", UsageError, "{animal:04}: expected a number, got 'rabbit'"),
        ("out/{seed:0999999999}.png", UsageError, "expected `slug`, or the format of a number"),
        ("out/{half:04d}.png", UnknownName, "{half}"), ("out/{id}.gif", OutputError, "got '.gif'; rename the output"),
        ("out/{id}", OutputError, "got no extension"), ("out.gif", OutputError, "got '.gif'"),
        ("  ", UsageError, "or a folder, got nothing"), ("out/{animal}.png", UsageError,
         "jobs '0' and '1' would both be written to out/rabbit.png; put more into the name, as {id}"),
        ("out/fixed.png", UsageError, "jobs '0' and '1' would both be written to out/fixed.png"),
        ("fixed/{seed}.png", UsageError, "jobs '0' and '1' would both be written to fixed/5.png"),
    ],
)  # fmt: skip
def test_what_no_names_are(template: str, error: type[Exception], why: str) -> None:
    with pytest.raises(error) as raised:
        check_names([job(0, id="0", animal="rabbit", second="x"), job(1, id="1", animal="rabbit")], template)
    assert why in str(raised.value)


def test_a_number_that_is_not_whole() -> None:
    with pytest.raises(UsageError, match=r"expected a whole number, got '0\.5'"):
        name_of("{half:04d}.png", job(half="0.5"), 1, 0)


@pytest.mark.parametrize(
    ("first", "second"), [("Duck", "duck"), ("stra\u00dfe", "STRASSE"), ("cr\u00e8me", "cre\u0300me"), ("a", "a")]
)
def test_names_that_are_one_file_where_case_does_not_count(first: str, second: str) -> None:
    with pytest.raises(UsageError, match="jobs '0' and '1' would both be written to") as error:
        check_names([job(0, id="0", v=first), job(1, id="1", v=second)], "out/{v}.png")
    assert ("which are one file where case does not count" in str(error.value)) == (first != second)


def test_a_file_in_the_place_of_a_folder() -> None:
    with pytest.raises(UsageError, match=r"out/a.png is the file of job '0', and job '1' needs a folder of that name"):
        check_names([job(0, id="0", v="a.png"), job(1, id="1", v="a.png/b.png")], "out/{v}")


def test_a_folder_of_the_run_itself() -> None:
    with pytest.raises(UsageError, match=r"'Ledger/a' would be written to out/Ledger/a.png, where the run keeps what"):
        check_names([job(id="Ledger/a")], "out", others=[Path("out/ledger")])
    assert check_names([job(id="ledger")], "out", others=[Path("out/ledger")])


def test_several_pictures_of_one_job() -> None:
    one = job(id="j", count=3, seed=7)
    with pytest.raises(UsageError, match=r"the pictures of job 'j' would all be written to out/j.png; put \{index\}"):
        check_names([one], "out")
    assert check_names([one], "out/{id}-{index}.png")["j"] == [Path(f"out/j-{i}.png") for i in range(3)]
    assert check_names([one], "out/{seed}.png")["j"] == [Path(f"out/{i}.png") for i in (7, 8, 9)]
    listed = job(id="k", seed=[3, 1])
    assert check_names([listed], "{seed}.png")["k"] == [Path("3.png"), Path("1.png")]


def test_jobs_with_a_problem_have_no_names() -> None:
    wrong = job_from({"promt": "a"}, 0)
    assert wrong.problem is not None
    assert check_names([wrong], "out/{foo}.png") == {}


def test_a_picture_that_is_only_finished_has_no_seed() -> None:
    one = job(id="j", prompt=None, picture="a.png", seed=None)
    assert check_names([one], "out") == {"j": [Path("out/j.png")]}
    with pytest.raises(UsageError, match=r"job 'j' has no seed, as its picture is only finished; leave \{seed\} out"):
        check_names([one], "out/{seed}.png")


def test_inputs_are_never_overwritten() -> None:
    Path("out").mkdir()
    for name in ("photo.png", "photo.jpg.json", "jobs.jsonl"):
        Path("out", name).touch()
    os.link("out/photo.png", "photo.png")
    read = job(id="photo", prompt=None, picture="photo.png", seed=None)
    paged = job(id="photo", prompt=None, picture="photo.png[1]", seed=None)
    for one in (read, paged):
        with pytest.raises(
            OutputError, match=r"'photo' would be written to out/photo.png, which is the input photo.png"
        ):
            check_names([one], "out")
    other = job(id="photo")
    assert check_names([other], "out")
    with pytest.raises(OutputError, match=r"written to out/photo.jpg.json, which is the input out/photo.jpg.json"):
        check_names([other], "out/{id}.jpg", inputs=[Path("out/photo.jpg.json")])
    with pytest.raises(
        UsageError, match=r"'photo' would be written to out/photo.jpg, where the run keeps what it notes"
    ):
        check_names([other], "out/{id}.jpg", others=[Path("out/PHOTO.JPG")])


@pytest.mark.parametrize(("template", "brace"), [
    ("o/{id.png", "{"), ("o/id}.png", "}"), ("{", "{"), ("{id}/{seed:{04}.png", "{"), ("{}", "{"),
])  # fmt: skip
def test_a_brace_alone_is_refused(template: str, brace: str) -> None:
    with pytest.raises(UsageError, match=rf"a \{brace} stands alone; .* for a brace itself \{brace}\{brace}"):
        name_of(template, job(id="j1"), 5, 0)
