"""For the tests of plugin authors: tiny pipelines, exact denoisers, what every view and trick must hold; plugins that
are registered for a while, and the command line in this process. `testing.fixtures` gives them to pytest.
"""

from __future__ import annotations

from diffusion_tricks.devices.quiet import quiet_libraries
from diffusion_tricks.testing.checks import check_trick, check_view
from diffusion_tricks.testing.command import Outcome, run_command
from diffusion_tricks.testing.denoisers import denoiser_model, exact_model, posterior_mean
from diffusion_tricks.testing.memory import registered

with quiet_libraries():  # they warn, once imported, of a torchvision that nothing here needs
    from diffusion_tricks.testing.pipelines import tiny_arguments, tiny_controlnet, tiny_pipeline, tiny_upscaler

__all__ = [
    "Outcome",
    "check_trick",
    "check_view",
    "denoiser_model",
    "exact_model",
    "posterior_mean",
    "registered",
    "run_command",
    "tiny_arguments",
    "tiny_controlnet",
    "tiny_pipeline",
    "tiny_upscaler",
]
