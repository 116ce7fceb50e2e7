"""What others wrote is read by one set of rules; what breaks them is a sentence, in the error that the caller names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from diffusion_tricks.errors import DiffusionTricksError, ModelError, RecipeError, UsageError
from diffusion_tricks.io.foreign import DEEPEST, object_in, read_head, read_object

DEEP = 100_000


@pytest.mark.parametrize(("name", "data", "message"), [
    ("a.json", b"\xff", "cannot be read as text in UTF-8: invalid start byte at byte 0; expected JSON"),
    ("a.toml", b"a = '\xe9'", "cannot be read as text in UTF-8: .*; expected TOML"),
    ("a.json", b"{", "is not valid JSON: Expecting property name"),
    ("a.toml", b"a =", "is not valid TOML: Invalid value"),
    ("a.json", b'{"a": ' + b"[" * DEEP, "is not valid JSON: it is nested too deeply"),
    ("a.toml", b"a = " + b"[" * DEEP, "is not valid TOML: it is nested too deeply"),
    ("a.toml", b".".join([b"a"] * 200) + b" = 1", f"is nested more than {DEEPEST} deep"),
    ("a.json", b'{"a":' * 65 + b"1" + b"}" * 65, f"is nested more than {DEEPEST} deep"),
    ("a.json", b'{"a": ' + b"9" * 5000 + b"}", "is not valid JSON: Exceeds the limit"),
    ("a.json", b'{"a": {"b": [0, ' + b"9" * 4000 + b"]}}", "holds a number of more than 128 bits as its 'a.b.1'"),
    ("a.json", b'{"a": NaN}', "holds nan, which is no number, as its 'a'"),
    ("a.json", b'{"a": -Infinity}', "holds -inf, which is no number, as its 'a'"),
    ("a.toml", b"a = nan", "holds nan, which is no number, as its 'a'"),
    ("a.json", b'{"a": "x\\ud800"}', r"holds a text that is none \('x\\ud800'\) as its 'a'"),
    ("a.json", b'{"a": "x\\u0000"}', r"holds a text that is none \('x\\x00'\) as its 'a'"),
    ("a.json", b'{"seed": 1, "b": 2, "seed": 2}', "is not valid JSON: 'seed' stands twice in one object"),
    ("a.json", b'{"a": [{"b": 1, "b": 1}]}', "is not valid JSON: 'b' stands twice in one object"),
    ("a.toml", b"seed = 1\nseed = 2", "is not valid TOML: Cannot overwrite a value"),
    ("a.json", b"[]", "holds a list, expected an object: names and what they stand for"),
    ("a.json", b"7", "holds a number, expected an object"),
    ("a.json", b"null", "holds null, expected an object"),
])  # fmt: skip
@pytest.mark.parametrize("raises", [ModelError, RecipeError, UsageError])
def test_what_breaks_a_rule_is_named(
    tmp_path: Path, name: str, data: bytes, message: str, raises: type[DiffusionTricksError]
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(raises, match=f"^the thing .*{name} {message}"):
        read_object(tmp_path / name, raises, called="the thing")


def test_what_keeps_the_rules() -> None:
    said = {"a": [1, -2.5, None, True, "é", 10**30, {"a": 1}], "b": {"a": {}}}
    assert object_in(json.dumps(said), "it", ModelError) == said
    deep = '{"a":' * DEEPEST + "1" + "}" * DEEPEST
    assert object_in(deep, "it", ModelError)["a"]


def test_libraries_write_infinities_and_texts_that_are_none() -> None:
    said = object_in('{"lambda_min_clipped": -Infinity, "pad": "\\u0000"}', "it", ModelError, libraries=True)
    assert said == {"lambda_min_clipped": float("-inf"), "pad": "\0"}
    with pytest.raises(ModelError, match="holds nan"):
        object_in('{"a": NaN}', "it", ModelError, libraries=True)


@pytest.mark.parametrize(("head", "message"), [
    (b'{"a": {}, "a": {}}', "the head of .* is not valid JSON: 'a' stands twice in one object"),
    (b"[]", "the head of .* holds a list, expected an object"),
    (b"7", "the head of .* holds a number"),
    (b'{"\xff": 1}', "cannot be read as safetensors: .*utf-8"),
    (b'{"a": 1}', "is not safetensors, or it is damaged: expected a shape of 'a'"),
    (b'{"a": {"shape": ["x"]}}', "expected a shape of 'a'"),
    (b'{"a": {"shape": [-1]}}', "expected a shape of 'a'"),
    (b'{"a":' * DEEP, "is not valid JSON: it is nested too deeply"),
])  # fmt: skip
def test_heads_of_safetensors(tmp_path: Path, head: bytes, message: str) -> None:
    file = tmp_path / "a.safetensors"
    file.write_bytes(len(head).to_bytes(8, "little") + head)
    with pytest.raises(ModelError, match=message):
        read_head(file, ModelError)
