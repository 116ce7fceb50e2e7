"""The options of guidance."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from diffusion_tricks.plugin import Share, TrickOptions, option
from diffusion_tricks_plugins.guidance_variants import Variant

SCALE, LAMBDA = 7.0, 0.6  # where none is said; the second of cfg++


class GuidanceOptions(TrickOptions):
    """Neutral is scale 1: the conditional estimate as it is, for no second row."""

    scale: float | None = option(
        None, "how strongly to follow the prompt; 1 is not at all more, and costs no second row; default 7, of cfg++"
        " 0.6", ge=0,
    )  # fmt: skip
    upscale_scale: float | None = option(None, "the scale in later stages; default each model's own", ge=0)
    negative: str | None = option(None, "what to move away from, instead of the unconditional")
    start: Share = option(0.0, "share of the steps after which guidance begins")
    stop: Share = option(1.0, "share of the steps after which guidance ends")
    rescale: Share = option(0.0, "how far to bring the estimate's spread back to the conditional's (arXiv:2305.08891)")
    normalise: Literal["auto", "on", "off"] = option(
        "auto", "bring the estimate's norm back to the conditional's by the model family's own rule, as Qwen-Image's"
        " pipeline does and Z-Image's can; auto is as that pipeline does by itself",
    )  # fmt: skip
    variant: Variant = option("cfg", "the rule that combines the two estimates")
    negative_weight: float = option(
        1.0,
        "perp-neg: how far to move away from what of the negative prompt does not speak against the prompt",
        ge=0,
        needs=("variant",),
    )
    threshold: Share | None = option(
        None, "dynamic thresholding (Imagen): share of the pixels of a clean estimate that are to lie in their range,"
        " such as 0.995; default no thresholding",
    )  # fmt: skip
    pag: float = option(0.0, "perturbed attention guidance (arXiv:2403.17377), such as 3; 0 is none", ge=0)
    seg: float = option(0.0, "smoothed energy guidance (arXiv:2408.00760), such as 3; 0 is none", ge=0)
    seg_blur: float | None = option(
        None, "seg: blur of the queries, sigma in tokens; default without end", gt=0, needs=("seg",)
    )
    layers: list[str] = option(
        [],
        "pag, seg: parts of names of the attention they change, such as mid_block; default the network's middle",
        flag="layer",
        needs=("pag", "seg"),
    )
    skip: list[int] = option(
        [], "skip-layer guidance: the number of a layer of a transformer, from 0; give it once for each; default none"
    )
    skip_scale: float = option(
        2.8, "skip: how far to move away from what is said without the layers", ge=0, needs=("skip",)
    )
    skip_start: Share = option(0.01, "skip: share of the steps after which it begins", needs=("skip",))
    skip_stop: Share = option(0.2, "skip: share of the steps after which it ends", needs=("skip",))

    @model_validator(mode="after")
    def _interval(self) -> GuidanceOptions:
        if self.start >= self.stop:
            raise ValueError(f"guidance must start before it stops, got start {self.start} and stop {self.stop}")
        if self.skip_start >= self.skip_stop:
            raise ValueError(
                f"skip must start before it stops, got skip_start {self.skip_start} and skip_stop {self.skip_stop}"
            )
        if any(layer < 0 for layer in self.skip):
            raise ValueError(f"skip takes numbers of layers from 0 on, got {min(self.skip)}")
        return self

    @model_validator(mode="after")
    def _of_variants(self) -> GuidanceOptions:
        if self.variant == "perp-neg" and self.negative is None:
            raise ValueError("variant perp-neg needs `negative`, the prompt that it moves away from")
        if self.variant == "cfg++" and self.strength > 1:
            raise ValueError(f"variant cfg++ takes a scale from 0 to 1, got {self.scale:g}")
        return self

    @property
    def strength(self) -> float:
        """The scale of the first stage."""
        if self.scale is not None:
            return self.scale
        return LAMBDA if self.variant == "cfg++" else SCALE


__all__ = ["GuidanceOptions"]
