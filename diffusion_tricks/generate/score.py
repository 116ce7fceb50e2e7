"""How well a picture shows what was asked for, by CLIP (arXiv:2103.00020), and the best of several.

    S_ij = cosine of CLIP(view_i of the picture) and CLIP(prompt_j)        Visual Anagrams, arXiv:2311.17919,
    alignment    A = min_i S_ii                                            section 4.2
    concealment  C = tr softmax(S / tau) / N, the mean over both directions of the softmax
    sep_min      min_i ( p_i,own - max_j p_ij ),  p_i = softmax_j( S_ij / tau' ),  j over the own prompt, what the other
                 views show and all known captions, but for those that mean the same as the own prompt

Alignment decides between pictures: neither is proven to choose well, and of the two an independent judge agrees more
with alignment (`benchmarks/README.md`). The tau' of sep_min is fitted on drawings that the scorer never saw:
`calibration.json` beside it says the value and how; for a scorer without one it is its own tau. It also says how alike
two texts must be to mean the same, and so which prompts the scorer knows nothing of: those that no known caption is
alike to.

What a picture should show, and through which views, its tricks say themselves (`Trick.views_of`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from diffusion_tricks.diffusion.prompt_grammar import plain
from diffusion_tricks.errors import ModelError, UsageError
from diffusion_tricks.families.gradients import differentiable
from diffusion_tricks.generate.clip_input import as_prepared
from diffusion_tricks.io.pixels import flatten
from diffusion_tricks.loading.clip import loaded_clip
from diffusion_tricks.registry.branch import said_in_words
from diffusion_tricks.registry.trick import Shown

if TYPE_CHECKING:
    from PIL.Image import Image

EMBEDDED = Path(__file__).parent.parent / "models" / "scorer"
CAPTIONS_FILE = "captions.json"
CALIBRATION_FILE = "calibration.json"
ROWS = 64  # pictures or texts that go through CLIP together
BEST = 5  # captions named for each view
T = TypeVar("T")


@dataclass(frozen=True)
class ViewScore:
    """How well one view shows its prompt.

    alignment: cosine, -1..1.  rank: of the prompt among all known captions, 1 the first.  captions: the known ones
    that fit the view best, the best first.  margin: how far the prompt's share is ahead of the next best, -1..1.
    known: whether the scorer knows what the prompt names, and seen: whether it knows what looks like the view; None
    where nothing says so.
    """

    name: str
    prompt: str
    alignment: float
    rank: int
    captions: tuple[str, ...]
    margin: float
    known: bool | None = None
    seen: bool | None = None


@dataclass(frozen=True)
class Score:
    """How well a picture shows what it should.

    alignment: A of its worst view, -1..1.  concealment: C, 0..1.  sep_min: the least margin of its views, -1..1.
    """

    views: tuple[ViewScore, ...]
    alignment: float
    concealment: float
    sep_min: float

    @property
    def order(self) -> tuple[float, float]:
        """What decides between pictures: alignment, and the weakest view's margin where that is equal."""
        return self.alignment, self.sep_min

    @property
    def outside(self) -> list[str]:
        """The prompts that are outside what the scorer knows, each once: what is said of them says little."""
        return list(dict.fromkeys(view.prompt for view in self.views if view.known is False))

    @property
    def strange(self) -> list[str]:
        """The views that look like nothing the scorer knows, as photographs do to one that was taught drawings."""
        return [view.name for view in self.views if view.seen is False]

    def data(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


class Calibration(BaseModel):
    """What was fitted for a scorer. temperature: tau', above 0.  alike: the least cosine of texts that mean the same.

    seen: the least cosine of a picture of a kind that it was taught with the caption that fits it best.  how: what on.
    A scorer whose `alike` is None takes only equal texts for the same; one whose `seen` is None says nothing of that.
    """

    model_config = ConfigDict(frozen=True)

    temperature: float = Field(gt=0)
    alike: float | None = Field(None, ge=-1, le=1)
    seen: float | None = Field(None, ge=-1, le=1)
    how: str = ""


class Scorer:
    """A CLIP model that compares pictures with texts.

    clip: the directory or hub name of a CLIP model; None is the small one inside, which knows emoji.  device: where
    it runs.  Only safetensors are read.  Raises ModelError for what is no CLIP model.
    """

    def __init__(self, clip: str | Path | None = None, device: str = "cpu"):
        self.name = "embedded" if clip is None else str(clip)
        self.device = torch.device(device)
        place = EMBEDDED if clip is None else clip
        self.model, self.tokenizer, self.processor = loaded_clip(str(place), self.device)
        self.calibration = calibration_of(Path(place)) or Calibration(temperature=self.temperature)

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

    def pixels(self, pixels: Tensor) -> Tensor:
        """Pictures (b 3 H W) in -1..1 as unit vectors (b d), differentiable; the gradient is of the pixels alone."""
        with differentiable(self.model, pixels):
            prepared = as_prepared(self.processor, pixels.to(self.device).float())
            features: Tensor = self.model.get_image_features(pixel_values=prepared).pooler_output
        return F.normalize(features, dim=1)

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """Texts as unit vectors (m d); weights and schedules are left out, longer ones than the model reads are cut."""
        _check_some(texts, "text")
        return F.normalize(torch.cat([self._text_part(part) for part in groups(texts, ROWS)]), dim=1)

    def _text_part(self, texts: Sequence[str]) -> Tensor:
        longest = self.model.config.text_config.max_position_embeddings
        rows = self.tokenizer(
            [plain(text) for text in texts], padding=True, truncation=True, max_length=longest, return_tensors="pt"
        )
        features: Tensor = self.model.get_text_features(**rows.to(self.device)).pooler_output
        return features

    def similarity(self, pictures: Sequence[Image], texts: Sequence[str]) -> Tensor:
        """Cosines (n m) of n pictures and m texts. Raises UsageError where there is none of either."""
        return self.pictures(pictures) @ self.texts(texts).T

    def score(self, views: Sequence[Shown]) -> Score:
        """The score of one picture by its views that are said in words, of which there must be at least one."""
        views = said_in_words(views)
        seen, said = self.pictures([v.picture for v in views]), self.texts([v.prompt for v in views])
        similarity = seen @ said.T  # (n n)
        known = seen @ self._known_texts.T  # (n k)
        best = known.topk(min(BEST, len(self.known)), dim=1).indices.tolist()
        least, nearest = self.calibration.seen, known.amax(1).tolist()
        margins, taught = self.margins(views, seen, said).tolist(), self._taught(said)
        each = tuple(
            ViewScore(
                v.name, v.prompt, own := float(similarity[i, i]), self._rank(v.prompt, own, known[i]),
                tuple(self.known[place] for place in best[i]), margins[i], taught[i],
                None if least is None else nearest[i] >= least,
            )
            for i, v in enumerate(views)
        )  # fmt: skip
        return Score(each, alignment(similarity), concealment(similarity, self.temperature), min(margins))

    def margins(self, views: Sequence[Shown], seen: Tensor, said: Tensor) -> Tensor:
        """Every view's margin (n), -1..1, see `margin`. seen, said: its picture and prompt as unit vectors (n d)."""
        texts = torch.cat([said, self._known_texts])  # (n+k d)
        names = [*(v.prompt for v in views), *self.known]
        if self.calibration.alike is None:
            equal = [[same_text(v.prompt, name) for name in names] for v in views]
            others = ~torch.tensor(equal, device=said.device)
        else:
            others = apart(said @ texts.T, self.calibration.alike)
        return margin((seen * said).sum(1), seen @ texts.T, others, self.calibration.temperature)

    def _taught(self, said: Tensor) -> list[bool | None]:
        """Whether a known caption means the same as each prompt (n d); None where nothing says what is alike."""
        if self.calibration.alike is None:
            return [None] * len(said)
        known: list[bool | None] = (~apart(said @ self._known_texts.T, self.calibration.alike)).any(1).tolist()
        return known

    def _rank(self, prompt: str, own: float, known: Tensor) -> int:
        """1, and one more for every known caption (k) but the prompt itself that fits better."""
        better: list[str] = [self.known[i] for i in torch.nonzero(known > own)[:, 0].tolist()]
        return 1 + sum(not same_text(caption, prompt) for caption in better)


def calibration_of(folder: Path) -> Calibration | None:
    """What was fitted for the scorer in a directory, if anything. Raises ModelError for a file that is damaged."""
    file = folder / CALIBRATION_FILE
    if not file.is_file():
        return None
    try:
        return Calibration.model_validate_json(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ModelError(f"{file} is damaged: expected a temperature above 0 and alike, -1 to 1; {error}") from error


def same_text(one: str, other: str) -> bool:
    """Whether two texts are the same but for capitals and the space around them."""
    return one.strip().lower() == other.strip().lower()


def apart(cosines: Tensor, alike: float) -> Tensor:
    """Which texts (n m) mean something else, by their cosines."""
    return cosines < alike


def groups(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """`size` items at a time, at the end what is left."""
    rest = iter(items)
    while group := list(islice(rest, size)):
        yield group


def _check_some(rows: Sequence[object], kind: str) -> None:
    if not len(rows):
        raise UsageError(f"expected at least one {kind} to compare, got none")


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


def margin(own: Tensor, cosines: Tensor, others: Tensor, temperature: float) -> Tensor:
    """p_own - max_j p_j of each view (n), -1..1, where p is the softmax of S / tau over its own prompt and the others.

    own: cosines of views and their prompts (n).  cosines, others: with further texts, and which of them count (n m).
    temperature: tau, above 0.
    """
    logits = torch.cat([own[:, None], cosines.masked_fill(~others, -torch.inf)], 1).double() / temperature
    share = logits.softmax(1)  # (n 1+m)
    return share[:, 0] - share[:, 1:].amax(1)
