"""Every hook, on one screen.

Host hooks are called once a process and register names; they must not import torch (`hosting.host_hooks`):

    register_tricks(register)    register("hybrid", "my_package.hybrid:Hybrid", summary="two pictures in one")
    register_views(register)     register("flip", "my_package.views:Flip", summary="top to bottom")
    register_models(register)    register("emoji", "path or hub name", summary="..."), or the place of a function
    register_schedulers(register)    register("karras", "EulerDiscreteScheduler", settings={"use_karras_sigmas": True})
    register_families(register)      register(FamilyRow(...)): what opens which pipelines of diffusers
    register_scorers(register)       register("my-clip", "my_package.score:my_clip"), of a function of a device
    register_masks(register)         register("star", "my_package.masks:Star", summary="x,y,r"): a form of `--mask`
    register_movements(register)     register("cartwheel", "my_package.films:cartwheel", view="rotate_cw"), for films
    register_engines(register)       register("lan", "my_package.lan:Lan", summary="idle machines"), for `batch`
    register_commands(cli)       add commands to the command line

Run hooks are filled by the tricks of one run, in command order, the first outermost (`sampling.run_hooks`):

    prepare(run)                 before all else: read pictures, check options against the model and the size
    prompts(run)                 every prompt that will be asked, so that all are encoded once
    start(run)                   the first latents and the first step; exclusive; the default is pure noise
    before_step(step)            change step.x at the present noise level
    estimate_noise(ask, step)    a generator: yield lists of asks, be sent lists of estimates, return one estimate
    after_step(step)             see or change step.x at the next noise level; step.repeat() takes the step again, and
                                 step.go_back(index) all from that one on
    close(run)                   after the last step, or where the run ends before it: undo what was done to the model
    finish_image(run, image, index, facts)    work on the decoded picture; each trick gets what the last returned
    report(run, image, index)    measure the finished picture, and note it in run.facts[index]

Before weights are read, a run is rehearsed on a stand-in of the model's shape: `prepare`, the first steps, `close` and
`finish_image`, in that order, on other tensors. `run.rehearsal` says so, and `run.network`, the denoiser, is None then:
what a trick wants of a network it asks in the run itself, and what it does to the world it does not do twice.

What they are given has, among others (all of it: docs/hooks.md):

    step    index  t  x  alpha  sigma  fraction (0..1, of the schedule)  last  next_level  run,
            and once answered estimate
    run     count  size  prompt  latent_shape  noise  model  network  rehearsal  tricks  facts  state(trick, kind)
            source  latents_of(pixels)  pixels()
    ask     x  prompt  inside  gradient  but(...)  moved(...);  estimate  noise  clean  with_noise(eps)
            with_clean(x0)  + - * /
"""

from __future__ import annotations

from diffusion_tricks.diffusion.ask import Asking
from diffusion_tricks.hosting.host_hooks import PROJECT, HostHooks, hookimpl, hookspec
from diffusion_tricks.sampling.run_hooks import RunHooks

__all__ = ["PROJECT", "Asking", "HostHooks", "RunHooks", "hookimpl", "hookspec"]
