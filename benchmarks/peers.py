"""What others do, written out plainly, to be measured against: one picture at a time, an unconditional row per prompt.

    eps_i = u_i + s (c_i - u_i)
    anagram: eps = mean_i v_i^-1(eps_i(v_i(x))), or one i after the other      Visual Anagrams, arXiv:2311.17919
    hybrid:  eps = G eps_far + (1 - G) eps_near        Factorized Diffusion, arXiv:2404.11615, section 3

Nothing of diffusion_tricks is used here. A pipeline is any of DeepFloyd IF's first stage.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Pipeline = Any
Map = Callable[[Tensor], Tensor]


def embeddings(pipe: Pipeline, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Of the prompts and, as often, of the empty one: (n l d) each."""
    encoded: tuple[Tensor, Tensor] = pipe.encode_prompt(list(prompts), do_classifier_free_guidance=True)
    return encoded


def anagram(
    pipe: Pipeline,
    texts: tuple[Tensor, Tensor],
    views: Sequence[tuple[Map, Map]],
    *,
    scale: float,
    steps: int,
    seed: int,
    alternate: bool = False,
) -> Tensor:
    """One anagram (1 c h w); views: (view, its inverse) for each prompt.

    alternate: whether views take turns instead of their mean; all are asked in every step, as in the paper's code.
    """

    def look(x: Tensor) -> Tensor:
        return torch.cat([view(x) for view, _ in views])

    def reducer() -> Map:
        turns = itertools.cycle(range(len(views)))

        def combine(seen: Tensor) -> Tensor:
            turned = torch.stack([back(row[None]) for (_, back), row in zip(views, seen, strict=True)])
            return turned[next(turns)] if alternate else turned.mean(0)

        return combine

    return denoised(pipe, texts, look, reducer(), reducer(), scale=scale, steps=steps, seed=seed)


def hybrid(pipe: Pipeline, texts: tuple[Tensor, Tensor], *, scale: float, steps: int, seed: int) -> Tensor:
    """One hybrid (1 c h w) of two prompts, the far one first."""
    kernel = gaussian(pipe.unet.config.sample_size).to(pipe.unet.device, torch.float32)

    def combine(eps: Tensor) -> Tensor:
        far, near = eps[:1], eps[1:]
        return blurred(far, kernel) + near - blurred(near, kernel)

    def combine_variances(variances: Tensor) -> Tensor:
        return variances.mean(0, keepdim=True)

    def look(x: Tensor) -> Tensor:
        return torch.cat([x, x])

    return denoised(pipe, texts, look, combine, combine_variances, scale=scale, steps=steps, seed=seed)


@torch.no_grad()
def denoised(
    pipe: Pipeline,
    texts: tuple[Tensor, Tensor],
    look: Map,
    combine: Map,
    combine_variances: Map,
    *,
    scale: float,
    steps: int,
    seed: int,
) -> Tensor:
    """The sampler: look at x in n ways, guide each of them, combine the n estimates into one."""
    unet, config = pipe.unet, pipe.unet.config
    generator = torch.Generator().manual_seed(seed)
    solver = copy.deepcopy(pipe.scheduler)
    solver.set_timesteps(steps)
    learned = str(solver.config.get("variance_type")).startswith("learned")
    conds, unconds = texts
    encoded = torch.cat([unconds, conds])
    shape = (1, config.in_channels, config.sample_size, config.sample_size)
    noise = torch.randn(shape, generator=generator, dtype=unet.dtype)
    x: Tensor = noise.to(unet.device) * solver.init_noise_sigma
    more = pipe.prepare_extra_step_kwargs(generator, 0.0)
    for t in solver.timesteps:
        seen = solver.scale_model_input(look(x), t)
        output = unet(torch.cat([seen, seen]), t, encoder_hidden_states=encoded, return_dict=False)[0].float()
        (uncond, _), (cond, variances) = (half.split(config.in_channels, dim=1) for half in output.chunk(2))
        eps = combine(uncond + scale * (cond - uncond))
        estimate = torch.cat([eps, combine_variances(variances)], dim=1) if learned else eps
        x = solver.step(estimate.to(unet.dtype), t, x, **more, return_dict=False)[0]
    return x


def gaussian(side: int) -> Tensor:
    """The papers' Gaussian, sigma 2 and 33 taps at 64 pixels, at `side` pixels: (k)."""
    scale = side / 64
    radius = int(33 * scale) // 2
    at = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-at.square() / (2 * (2 * scale) ** 2))
    return kernel / kernel.sum()


def blurred(x: Tensor, kernel: Tensor) -> Tensor:
    """x (b c h w), filtered down and across, with reflected edges."""
    channels, radius = x.shape[1], len(kernel) // 2
    down = kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
    padded = F.pad(x, (radius, radius, radius, radius), mode="reflect")
    return F.conv2d(F.conv2d(padded, down, groups=channels), down.mT, groups=channels)
