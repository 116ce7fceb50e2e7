"""How well a picture shows what was asked for, by CLIP (arXiv:2103.00020), and the best of several.

    S_ij = cosine of CLIP(view_i of the picture) and CLIP(prompt_j)        Visual Anagrams, arXiv:2311.17919,
    alignment    A = min_i S_ii                                            section 4.2
    concealment  C = tr softmax(S / tau) / N, the mean over both directions of the softmax

What a picture should show, and through which views, its tricks say themselves (`Trick.views_of`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from diffusion_tricks.devices.quiet import quiet_libraries
from diffusion_tricks.errors import ModelError, UsageError
from diffusion_tricks.io.pixels import flatten, to_images, to_tensor
from diffusion_tricks.registry.calls import guarded
from diffusion_tricks.registry.trick import Shown
from diffusion_tricks.registry.view import view_named

if TYPE_CHECKING:
    from PIL.Image import Image

    from diffusion_tricks.recipes.recipe import Recipe

EMBEDDED = Path(__file__).parent.parent / "models" / "scorer"
CAPTIONS_FILE = "captions.json"
ROWS = 64  # pictures or texts that go through CLIP together
BEST = 5  # captions named for each view
T = TypeVar("T")


@dataclass(frozen=True)
class ViewScore:
    """How well one view shows its prompt.

    alignment: cosine, -1..1.  rank: of the prompt among all known captions, 1 the first.  captions: the known ones
    that fit the view best, the best first.
    """

    name: str
    prompt: str
    alignment: float
    rank: int
    captions: tuple[str, ...]


@dataclass(frozen=True)
class Score:
    """How well a picture shows what it should: alignment A (-1..1) is that of its worst view, concealment C is 0..1."""

    views: tuple[ViewScore, ...]
    alignment: float
    concealment: float

    @property
    def order(self) -> tuple[float, float]:
        """What decides between pictures: alignment, and concealment where that is equal."""
        return self.alignment, self.concealment

    def data(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


class Scorer:
    """A CLIP model that compares pictures with texts.

    clip: the directory or hub name of a CLIP model; None is the small one inside, which knows emoji.  device: where
    it runs.  Only safetensors are read.  Raises ModelError for what is no CLIP model.
    """

    def __init__(self, clip: str | Path | None = None, device: str = "cpu"):
        self.name = "embedded" if clip is None else str(clip)
        self.device = torch.device(device)
        self.model, self.tokenizer, self.processor = _loaded(str(EMBEDDED if clip is None else clip), self.device)

    @property
    def temperature(self) -> float:
        """tau = exp(-logit_scale): about 0.01."""
        return float((-self.model.logit_scale.detach()).exp())

    @cached_property
    def known(self) -> tuple[str, ...]:
        """The captions that a prompt is ranked among: the names of all emoji, those of the embedded model included."""
        return tuple(json.loads((EMBEDDED / CAPTIONS_FILE).read_text(encoding="utf-8")))

    @cached_property
    def _known_texts(self) -> Tensor:
        return self.texts(self.known)

    @torch.no_grad()
    def pictures(self, pictures: Sequence[Image]) -> Tensor:
        """Pictures of any size as unit vectors (n d); the model's own image processor prepares them."""
        _check_some(pictures, "picture")
        flat = [flatten(picture) for picture in pictures]
        parts = [self._picture_part(part) for part in groups(flat, ROWS)]
        return F.normalize(torch.cat(parts), dim=1)

    def _picture_part(self, pictures: Sequence[Image]) -> Tensor:
        pixels = self.processor(images=list(pictures), return_tensors="pt").pixel_values.to(self.device)
        features: Tensor = self.model.get_image_features(pixel_values=pixels).pooler_output
        return features

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """Texts as unit vectors (m d); longer ones than the model reads are cut."""
        _check_some(texts, "text")
        return F.normalize(torch.cat([self._text_part(part) for part in groups(texts, ROWS)]), dim=1)

    def _text_part(self, texts: Sequence[str]) -> Tensor:
        longest = self.model.config.text_config.max_position_embeddings
        rows = self.tokenizer(list(texts), padding=True, truncation=True, max_length=longest, return_tensors="pt")
        features: Tensor = self.model.get_text_features(**rows.to(self.device)).pooler_output
        return features

    def similarity(self, pictures: Sequence[Image], texts: Sequence[str]) -> Tensor:
        """Cosines (n m) of n pictures and m texts. Raises UsageError where there is none of either."""
        return self.pictures(pictures) @ self.texts(texts).T

    def score(self, views: Sequence[Shown]) -> Score:
        """The score of one picture by its views, of which there must be at least one."""
        seen, said = self.pictures([v.picture for v in views]), self.texts([v.prompt for v in views])
        similarity = seen @ said.T  # (n n)
        own, known = similarity.diagonal(), seen @ self._known_texts.T  # (n), (n k)
        best = known.topk(min(BEST, len(self.known)), dim=1).indices.tolist()
        ranks = [self._rank(v.prompt, float(o), row) for v, o, row in zip(views, own, known, strict=True)]
        each = tuple(
            ViewScore(v.name, v.prompt, float(o), rank, tuple(self.known[i] for i in places))
            for v, o, rank, places in zip(views, own, ranks, best, strict=True)
        )
        return Score(each, alignment(similarity), concealment(similarity, self.temperature))

    def _rank(self, prompt: str, own: float, known: Tensor) -> int:
        """1, and one more for every known caption (k) but the prompt itself that fits better."""
        better: list[str] = [self.known[i] for i in torch.nonzero(known > own)[:, 0].tolist()]
        return 1 + sum(caption.lower() != prompt.strip().lower() for caption in better)


def groups(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """`size` items at a time, at the end what is left."""
    rest = iter(items)
    while group := list(islice(rest, size)):
        yield group


def _check_some(rows: Sequence[object], kind: str) -> None:
    if not len(rows):
        raise UsageError(f"expected at least one {kind} to compare, got none")


@lru_cache(maxsize=2)
def _loaded(clip: str, device: torch.device) -> tuple[Any, Any, Any]:
    """A CLIP model with its tokenizer and its image processor, which is Pillow's, the same on every machine."""
    from transformers import AutoConfig, AutoTokenizer, CLIPImageProcessorPil, CLIPModel

    local = {"local_files_only": Path(clip).is_dir()}
    try:
        with quiet_libraries():
            kind = AutoConfig.from_pretrained(clip, **local).model_type
            if kind != "clip":
                raise ModelError(f"{clip!r} is a model of the kind {kind!r}, expected a CLIP model to score with")
            model = CLIPModel.from_pretrained(clip, use_safetensors=True, **local)
            processor = CLIPImageProcessorPil.from_pretrained(clip, **local)
            model.to(device, torch.float32).eval()
            return model, AutoTokenizer.from_pretrained(clip, **local), processor
    except (OSError, ValueError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ModelError(
            f"no CLIP model can be loaded from {clip!r}: {reason}; expected a directory or hub name with a config, a"
            " tokenizer, an image processor and weights as .safetensors"
        ) from error


def alignment(similarity: Tensor) -> float:
    """A = min_i S_ii of cosines (n n) of views and prompts."""
    return float(similarity.diagonal().min())


def concealment(similarity: Tensor, temperature: float) -> float:
    """C = tr softmax(S / tau) / N of cosines (n n), the mean of the softmax over rows and over columns: 0..1.

    1 says that each view shows its own prompt and none of the others'; temperature: tau, above 0.
    """
    logits = similarity.double() / temperature
    both = (logits.softmax(0) + logits.softmax(1)) / 2
    return float(both.diagonal().mean())


def shown(recipe: Recipe, image: Image) -> list[Shown]:
    """What a finished picture of a recipe is to show: its tricks' own views, or the prompt where they have none.

    Raises UsageError for a recipe of one picture that says neither, and for one with a list of prompts.
    """
    tricks = recipe.build()
    views = [Shown(*view) for t in tricks for view in guarded(t.label(), "views_of", t.views_of, image)]
    if views:
        return views
    if not isinstance(recipe.prompt, str):
        raise UsageError("nothing says what the picture should show: expected one prompt, or a trick that has its own")
    return [Shown("identity", image, recipe.prompt)]


def shown_through(views: Iterable[tuple[str, str]], image: Image) -> list[Shown]:
    """A picture through views, each named as for anagrams, with what it should show."""
    return [
        Shown(name, seen_through(name, image), prompt, partial(seen_through, name, image)) for name, prompt in views
    ]


def seen_through(name: str, image: Image, share: float = 1.0) -> Image:
    """A picture through a view, which is named as for anagrams; at a share of the way there below 1, see `Shown`."""
    return to_images(view_named(name).frame(to_tensor(image), share))[0]
