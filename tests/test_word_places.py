"""Words among the tokens of a prompt, against tokens that are read one by one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from diffusion_tricks import UsageError
from diffusion_tricks.plugin import word_places
from diffusion_tricks.testing import tiny_pipeline


@pytest.mark.parametrize("kind", ["sd", "if"])
def test_each_word_is_where_its_own_tokens_are(kind: str) -> None:
    pipe = tiny_pipeline(kind)
    placed = word_places(pipe, "A (big:1.5) cat, [a Dog:a Fox:0.5]")
    assert [word for word, _ in placed] == ["A", "big", "cat,", "a", "Fox"]
    heard = str.lower if kind == "if" else str
    whole = pipe.tokenizer(heard("A big cat, a Fox")).input_ids
    for word, places in placed:
        assert [whole[i] for i in places] == pipe.tokenizer(heard(word), add_special_tokens=False).input_ids
    said = [i for _, places in placed for i in places]
    assert said == sorted(set(said))


class Chatting:
    """Stands for a tokenizer that puts a prompt between the words of a conversation."""

    def __init__(self, template: str | None):
        self.chat_template = template

    def __call__(self, text: str, **_: Any) -> dict[str, Any]:
        return {"offset_mapping": [(0, len(text))]}


def test_a_tokenizer_that_has_a_template_of_a_chat_is_refused() -> None:
    assert word_places(SimpleNamespace(tokenizer=Chatting(None)), "cat") == [("cat", [0])]
    for tokenizer in (Chatting("<user>{{ text }}</user>"), None):
        with pytest.raises(UsageError, match="SimpleNamespace does not tell at which tokens"):
            word_places(SimpleNamespace(tokenizer=tokenizer), "cat")
    with pytest.raises(UsageError, match="DDPMPipeline does not tell"):
        word_places(tiny_pipeline("ddpm"), "cat")
