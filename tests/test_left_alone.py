"""What is left as it is: a caller's own pipeline, a VAE whose pipeline does not raise it, folders outside a model's."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from diffusion_tricks.devices.memory import Memory
from diffusion_tricks.devices.oom import memory_is_full
from diffusion_tricks.devices.text_encoders import leave
from diffusion_tricks.errors import ModelError
from diffusion_tricks.families.open import family_of
from diffusion_tricks.loading.checks import read_index
from diffusion_tricks.testing.pipelines import tiny_pipeline


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.moves: list[Any] = []

    def to(self, *where: Any, **_: Any) -> Any:
        self.moves.append(where[0])
        return self


@pytest.mark.parametrize(("lent", "mode", "moved"), [(False, "auto", 1), (True, "auto", 0), (True, "low", 1)])
def test_text_encoders_of_a_pipeline_of_the_callers_stay(lent: bool, mode: str, moved: int) -> None:
    encoder = Encoder()
    pipe = SimpleNamespace(components={"text_encoder": encoder}, text_encoder=encoder)
    leave(SimpleNamespace(pipe=pipe, device=torch.device("cuda"), memory=Memory(mode, lent=lent)))
    assert len(encoder.moves) == moved


@pytest.mark.parametrize(("kind", "expected"), [("sd", torch.float16), ("sdxl", torch.float32)])
def test_a_vae_is_raised_to_float32_where_its_pipeline_does_it(kind: Any, expected: torch.dtype) -> None:
    pipe = tiny_pipeline(kind).to(torch.float16)
    assert pipe.vae.config.force_upcast
    seen: list[torch.dtype] = []
    pipe.vae.decode = lambda x, **_: seen.append(x.dtype) or (x,)
    family_of(pipe).decode(torch.zeros(1, 4, 8, 8, dtype=torch.float16))
    assert (seen, pipe.vae.dtype) == ([expected], torch.float16)


@pytest.mark.parametrize("text", ["CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"])
def test_a_full_memory_is_known_by_what_cuda_says(text: str) -> None:
    assert memory_is_full(RuntimeError(text))
    assert not memory_is_full(ValueError(text))
    assert not memory_is_full(RuntimeError("shapes do not fit"))


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/b"])
def test_a_component_is_a_folder_of_the_model(tmp_path: Path, name: str) -> None:
    index = {"_class_name": "StableDiffusionPipeline", name: ["diffusers", "UNet2DConditionModel"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="expected names of components, which are folders beside it, got"):
        read_index(tmp_path)
