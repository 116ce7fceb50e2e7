"""Weighted and long prompts, against embeddings that are put together by hand from the pipeline's own text encoders."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion_tricks import Model, UsageError, load_model, sample
from diffusion_tricks.plugin import Step, answered_at
from diffusion_tricks.testing import tiny_pipeline

LONG = "a quick brown fox jumps over the lazy dog and then it sleeps in the sun all the day long, and all the night"


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return {kind: load_model(tiny_pipeline(kind), device="cpu") for kind in ("if", "sd", "sdxl", "sd3", "flux", "qwen")}


def row(model: Model, prompt: str) -> dict[str, Any]:
    return model.encode_prompts([prompt], model.family.size)[prompt]


@torch.no_grad()
def clip(pipe: Any, ids: list[int], layer: int | None = None) -> Tensor:
    """The hidden state (1 77 d) of token ids with CLIP's marks around them, padded by hand."""
    t = pipe.tokenizer
    full = [t.bos_token_id, *ids, t.eos_token_id]
    full += [t.pad_token_id] * (77 - len(full))
    out = pipe.text_encoder(torch.tensor([full]), output_hidden_states=True)
    return out.last_hidden_state if layer is None else out.hidden_states[layer]


def ids(pipe: Any, text: str) -> list[int]:
    return list(pipe.tokenizer(text, add_special_tokens=False).input_ids)


def test_a_weight_moves_a_words_embedding_away_from_that_of_the_empty_text(models: dict[str, Model]) -> None:
    model = models["sd"]
    plain, empty = clip(model.pipe, ids(model.pipe, "a big cat")), clip(model.pipe, [])
    w = torch.ones(77)
    w[2:5] = 1.5  # after the first mark and "a": the tiny tokenizer knows single letters
    expected = torch.where(w[:, None] == 1, plain, empty + w[:, None] * (plain - empty))
    got = row(model, "a (big:1.5) cat")["encoder_hidden_states"]
    torch.testing.assert_close(got, expected, rtol=0, atol=0)
    assert not torch.equal(got, plain)


@pytest.mark.parametrize("kind", ["if", "sd", "sdxl", "sd3", "flux", "qwen"])
def test_brackets_without_weight_and_escapes_are_the_plain_prompt(models: dict[str, Model], kind: str) -> None:
    model = models[kind]
    plain = row(model, "a big cat")
    other = row(model, "a big cat" if kind == "qwen" else "a (big:1) cat")
    for name, value in plain.items():
        if isinstance(value, Tensor):
            assert torch.equal(value, other[name]), name


def test_what_is_longer_than_clip_reads_is_read_in_chunks(models: dict[str, Model]) -> None:
    model = models["sd"]
    tokens = ids(model.pipe, LONG)
    assert 75 < len(tokens) <= 150
    expected = torch.cat([clip(model.pipe, tokens[:75]), clip(model.pipe, tokens[75:])], dim=1)
    got = row(model, LONG)["encoder_hidden_states"]
    assert torch.equal(got, expected)
    assert model.unread[LONG] == []


def test_break_begins_a_chunk(models: dict[str, Model]) -> None:
    model = models["sd"]
    expected = torch.cat([clip(model.pipe, ids(model.pipe, word)) for word in ("a cat", "a dog")], dim=1)
    assert torch.equal(row(model, "a cat BREAK a dog")["encoder_hidden_states"], expected)


def test_sdxl_reads_both_texts_so_and_pools_the_first_chunk(models: dict[str, Model]) -> None:
    model = models["sdxl"]
    got, plain = row(model, "a (cat:2) BREAK a dog"), row(model, "a cat")
    first = got["encoder_hidden_states"][:, :77]
    width = model.pipe.text_encoder.config.hidden_size
    layer, empty = (clip(model.pipe, tokens, -2) for tokens in (ids(model.pipe, "a cat"), []))
    expected = layer.clone()
    expected[:, 2:5] = empty[:, 2:5] + 2 * (layer - empty)[:, 2:5]
    torch.testing.assert_close(first[..., :width], expected, rtol=0, atol=0)
    assert got["encoder_hidden_states"].shape[1] == 154
    pooled = "added_cond_kwargs"
    assert torch.equal(got[pooled]["text_embeds"], plain[pooled]["text_embeds"])


def test_t5_is_weighed_as_well(models: dict[str, Model]) -> None:
    model = models["if"]
    pipe: Any = model.pipe
    told = pipe.tokenizer("a big cat", padding="max_length", max_length=77, return_tensors="pt")
    none = pipe.tokenizer("", padding="max_length", max_length=77, return_tensors="pt")
    with torch.no_grad():
        plain, empty = (pipe.text_encoder(t.input_ids, attention_mask=t.attention_mask)[0] for t in (told, none))
    got = row(model, "a (big:0) cat")["encoder_hidden_states"]
    assert pipe.tokenizer.convert_ids_to_tokens(told.input_ids[0])[2:6] == ["▁", "b", "i", "g"]
    big, others = [2, 3, 4, 5], [0, 1, *range(6, 77)]
    torch.testing.assert_close(got[:, big], empty[:, big], rtol=0, atol=1e-6)
    assert torch.equal(got[:, others], plain[:, others])


@pytest.mark.parametrize(("kind", "limit"), [("if", 77), ("qwen", 1024 + 34)])
def test_what_is_cut_is_told_word_by_word(models: dict[str, Model], kind: str, limit: int) -> None:
    model = models[kind]
    words = [f"w{i}" for i in range(600)]
    prompt = " ".join(words)
    row(model, prompt)
    (note,) = model.unread[prompt]
    told = note.split("not told '")[1].removesuffix("'").removesuffix(" ...")
    assert f"{limit} tokens" in note
    assert told in prompt
    kept = prompt[: prompt.index(told)]
    assert limit - 90 < len(model.pipe.tokenizer(kept, truncation=False).input_ids) <= limit + 1  # Qwen's has a chat


def test_a_run_notes_what_was_cut(models: dict[str, Model]) -> None:
    steps = list(sample(models["if"], prompt=LONG, steps=1))
    (note,) = steps[-1].run.facts[0]["notes"]
    assert note.endswith("night'")
    assert "77 tokens" in note


def test_weights_are_refused_where_nothing_heeds_them(models: dict[str, Model]) -> None:
    with pytest.raises(UsageError, match=r"cannot weigh the words.*neither CLIP nor T5"):
        row(models["qwen"], "a (big:1.5) cat")
    with pytest.raises(UsageError, match="weigh"):
        row(load_model(tiny_pipeline("ddpm"), device="cpu"), "a (big:1.5) cat")
    literal = row(models["qwen"], "a (big) cat")
    assert torch.equal(literal["encoder_hidden_states"], row(models["qwen"], "a (big) cat")["encoder_hidden_states"])


def test_a_schedule_asks_another_prompt_from_its_step_on(models: dict[str, Model]) -> None:
    model = models["sd"]

    def made(prompt: str) -> list[Step]:
        return list(sample(model, prompt=prompt, steps=4, seed=3, scheduler="ddim"))

    mixed, first = made("a [cat:dog:0.5]"), made("a cat")
    assert torch.equal(mixed[1].x, first[1].x)
    at_two = answered_at(mixed[2], mixed[1].x, 2, "a dog")
    assert torch.equal(mixed[2].estimate.noise, at_two.noise)
    assert not torch.equal(at_two.noise, first[2].estimate.noise)


def test_several_prompts_in_one_are_refused_without_guidance(models: dict[str, Model]) -> None:
    with pytest.raises(UsageError, match="2 in one, which `guidance` composes"):
        list(sample(models["sd"], prompt="a cat AND a dog", steps=1))
