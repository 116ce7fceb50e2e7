"""What a model learns from: pictures with captions or classes, drawn so that a position is all there is to resume."""

from diffusion_tricks.training.data.stream import Batch, Source, Stream

__all__ = ["Batch", "Source", "Stream"]
