"""Trains the embedded scorer, a small CLIP (arXiv:2103.00020), in one process:

    OMP_NUM_THREADS=1 python -m diffusion_tricks.training.scorer --out DIR --minutes 55
    OMP_NUM_THREADS=1 python -m diffusion_tricks.training.scorer --out DIR --minutes 30 --easing 0 --peak 4e-4 \
        --from-weights diffusion_tricks/models/scorer --generated generated.npz

Pictures and captions of all emoji are pulled together by the symmetric contrastive loss. What makes it work in an hour
on one core: a learned proxy for each emoji (arXiv:1703.07464), dropped at the end, so that every picture and caption
is told from all 1,593 and not only from its batch; batches of neighbours in Unicode's order, which look and are called
alike; and pictures that are easy at first and grow harder. In the end they are varied, softened, roughened and
recoloured, as a generator's are, and a hybrid's from afar. With `--generated` half of every batch is what a generator
drew (`data/generated.py`), its anagrams and its estimates on the way, and all is mixed with others through the views.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from transformers import CLIPModel, CLIPTokenizer

from diffusion_tricks.training.clip import (
    SIZE,
    clip,
    embed_pictures,
    embed_texts,
    save,
    start_from_principal_patches,
    train_tokenizer,
)
from diffusion_tricks.training.data.captions import with_article
from diffusion_tricks.training.data.emoji import EmojiSource, Variety, all_emoji, caption_texts, concepts, premultiplied
from diffusion_tricks.training.data.generated import Generated, GeneratedSource, learnt, mixed, unseen
from diffusion_tricks.training.data.rough import blurred, roughened
from diffusion_tricks.training.data.stream import Batch, Source, Stream

RARE = 3  # a keyword is a caption of a thing if at most so many things have it
GROUP = 4  # neighbours in a batch
PROXY_SCALE = 20.0  # 1 / temperature
WARM_UP, REPORT = 100, 50  # steps
SAVE = 600  # seconds


class Neighbours:
    """A source whose items are groups of `GROUP` that follow each other in `inner`, wherever they begin."""

    def __init__(self, inner: Source):
        self.inner, self.channels, self.size, self.classes = inner, inner.channels, inner.size, inner.classes

    def __len__(self) -> int:
        """Groups in an epoch."""
        return len(self.inner) // GROUP

    def draw(self, indices: Sequence[int], random: np.random.Generator) -> Batch:
        """`GROUP` pictures for each index."""
        offset = int(random.integers(GROUP))
        members = [(GROUP * i + offset + k) % len(self.inner) for i in indices for k in range(GROUP)]
        return self.inner.draw(members, random)


class Favoured:
    """A source that shows the embedded model's concepts `times` more often than all else of `inner`."""

    def __init__(self, inner: EmojiSource, times: int):
        self.inner, self.channels, self.size, self.classes = inner, inner.channels, inner.size, inner.classes
        known = concepts()
        own = [i for i, name in enumerate(inner.classes) if name in known]
        self.which = [*range(len(inner.classes)), *own * times]

    def __len__(self) -> int:
        """Pictures in an epoch."""
        return self.inner.looks * len(self.which)

    def draw(self, indices: Sequence[int], random: np.random.Generator) -> Batch:
        """The pictures at `indices`."""
        return self.inner.draw([self.which[i % len(self.which)] for i in indices], random)


def captions_of_all() -> dict[str, tuple[str, ...]]:
    """Every emoji's name, with the other captions it may go by: the embedded model's, and keywords that few share."""
    counts = Counter(word for emoji, _ in all_emoji() for word in set(emoji.keywords))
    known = concepts()
    return {
        emoji.name: (*known.get(emoji.name, ()), *(w for w in emoji.keywords if counts[w] <= RARE and w != emoji.name))
        for emoji, _ in all_emoji()
    }


def contrastive(pictures: Tensor, texts: Tensor, scale: Tensor, same: Tensor) -> Tensor:
    """The symmetric loss of CLIP over unit vectors (b d); `same` (b b) marks pairs that belong together, as well."""
    logits = scale * pictures @ texts.T
    target = same.float() / same.sum(1, keepdim=True)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def alike(batch: Batch) -> Tensor:
    """Which pictures go with which captions (b b): their own, those of the same thing, and equal ones."""
    numbers = {caption: i for i, caption in enumerate(dict.fromkeys(batch.captions))}
    captions = torch.tensor([numbers[caption] for caption in batch.captions])
    return (captions[:, None] == captions) | (batch.classes[:, None] == batch.classes)


def joined(one: Batch, other: Batch) -> Batch:
    """Two batches as one."""
    pictures, classes = torch.cat([one.pictures, other.pictures]), torch.cat([one.classes, other.classes])
    return Batch(pictures, [*one.captions, *other.captions], classes)


@torch.no_grad()
def ranked(model: CLIPModel, tokenizer: CLIPTokenizer, pixels: Tensor, names: Sequence[str], things: Tensor) -> Tensor:
    """The place (n) of every picture's own name among all names, 0 the first.

    pixels: (n 3 h w) in -1..1.  things: of each picture the place in `names` (n).
    """
    texts = names_embedded(model, tokenizer, names)
    cosines = torch.cat([embed_pictures(model, part) for part in torch.split(pixels, 128)]) @ texts.T
    places: Tensor = (cosines > cosines.gather(1, things[:, None])).sum(1)
    return places


@torch.no_grad()
def names_embedded(model: CLIPModel, tokenizer: CLIPTokenizer, names: Sequence[str]) -> Tensor:
    """All names, with their articles, as unit vectors (n d)."""
    return torch.cat([embed_texts(model, tokenizer, part) for part in _parts(list(map(with_article, names)))])


def shares(places: Tensor, prefix: str = "") -> dict[str, float]:
    """How many (0..1) are first, and among the first five."""
    return {f"{prefix}top{k}": round(float((places < k).float().mean()), 4) for k in (1, 5)}


def _parts(texts: list[str]) -> list[list[str]]:
    return [texts[i : i + 128] for i in range(0, len(texts), 128)]


class Training:
    """The model, what it learns from, and how far it is."""

    def __init__(self, options: argparse.Namespace):
        torch.manual_seed(options.seed)
        self.options, names = options, captions_of_all()
        self.source = EmojiSource(names, SIZE)
        own = options.batch // 2 if options.generated else options.batch
        self.stream = Stream(Neighbours(Favoured(self.source, options.favour)), own // GROUP, options.seed)
        self.generated: Stream | None = None
        self.unseen: GeneratedSource | None = None
        if options.generated:
            self.generated, self.unseen = self._generated(names)
        if options.from_weights and options.from_weights.is_dir():
            self._open(options.from_weights)
        else:
            self._begin(options, names)
        self.parameters = [*self.model.parameters(), self.proxies]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=options.peak, betas=(0.9, 0.98), weight_decay=0.05)
        self.average = EMAModel(self.parameters, decay=0.995, use_ema_warmup=True, inv_gamma=1.0, power=0.75)
        pixels = premultiplied([picture for _, picture in all_emoji()], SIZE)
        self.originals = (pixels[:, :3] + 1 - pixels[:, 3:]).clamp(0, 1) * 2 - 1
        if not options.from_weights:
            start_from_principal_patches(self.model, self.originals)
        self.seen = 0

    def _open(self, folder: Path) -> None:
        """Goes on from a scorer, whose proxies are no longer there: its names take their place."""
        self.tokenizer = CLIPTokenizer.from_pretrained(folder)
        self.model = CLIPModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").train()
        self.proxies = nn.Parameter(names_embedded(self.model, self.tokenizer, self.source.classes))

    def _begin(self, options: argparse.Namespace, names: Mapping[str, tuple[str, ...]]) -> None:
        """From nothing, or from what a training left."""
        self.tokenizer = train_tokenizer([*caption_texts(), *(w for n, ws in names.items() for w in (n, *ws))])
        self.model = clip(len(self.tokenizer), options.width, options.layers)
        # short, so that Adam soon turns those of like things to each other
        self.proxies = nn.Parameter(0.1 * torch.randn(len(names), self.model.config.projection_dim))
        if options.from_weights:
            known = torch.load(options.from_weights, weights_only=True)
            self.model.load_state_dict(known["model"])
            self.proxies.data = known["proxies"]

    def _generated(self, names: Mapping[str, tuple[str, ...]]) -> tuple[Stream, GeneratedSource]:
        """What is learnt of what the generator drew, and what is not."""
        made = Generated.read(self.options.generated)
        first, last = (GeneratedSource(part(made), names, SIZE) for part in (learnt, unseen))
        return Stream(first, self.options.batch // 2, self.options.seed), last

    def step(self, done: float) -> float:
        """One step at `done` (0..1) of the time; gives the loss."""
        hard = min(1.0, done / self.options.easing) if self.options.easing else 1.0
        self.source.variety = variety(hard)
        batch = self.stream.next()
        random = np.random.default_rng([self.options.seed, 2, self.stream.position])
        if self.generated:
            batch = joined(replace(batch, pictures=mixed(batch.pictures, random)), self.generated.next())
        rate = self.options.peak * min(1, self.stream.position / WARM_UP) * (1 + math.cos(math.pi * done)) / 2
        self.optimizer.param_groups[0]["lr"] = rate
        shown = roughened(batch.pictures, hard, random)
        with torch.autocast("cpu", torch.bfloat16):
            pictures = embed_pictures(self.model, shown)
            texts = embed_texts(self.model, self.tokenizer, batch.captions)
        scale = self.model.logit_scale.exp()
        proxies = F.normalize(self.proxies, dim=1)
        loss = contrastive(pictures, texts, scale, alike(batch))
        for x in (pictures, texts):
            loss = loss + F.cross_entropy(PROXY_SCALE * x @ proxies.T, batch.classes, label_smoothing=0.1)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.step(self.parameters)
        with torch.no_grad():
            self.model.logit_scale.clamp_(max=math.log(100))
        self.seen += len(batch.captions)
        return float(loss.detach())

    def saved(self) -> dict[str, float]:
        """Writes the averaged weights, and gives how many originals they recognise."""
        self.average.store(self.parameters)
        self.average.copy_to(self.parameters)
        self.model.eval()
        far = blurred(self.originals, 2 * SIZE / 64)
        everything = torch.arange(len(self.originals))
        places = [self._ranked(x, everything) for x in (self.originals, far)]
        drawn = shares(self._ranked(*self.unseen.plain()), "drawn_") if self.unseen else {}
        save(self.model, self.tokenizer, self.source.classes, self.options.out)
        kept_on = {"model": self.model.state_dict(), "proxies": self.proxies.data}
        torch.save(kept_on, self.options.out.with_name(f"{self.options.out.name}-training.pt"))
        self.average.restore(self.parameters)
        self.model.train()
        own = [i for i, name in enumerate(self.source.classes) if name in concepts()]
        return shares(places[0]) | shares(places[1], "far_") | shares(places[0][own], "own_") | drawn

    def _ranked(self, pixels: Tensor, things: Tensor) -> Tensor:
        return ranked(self.model, self.tokenizer, pixels, self.source.classes, things)


def variety(hard: float) -> Variety:
    """How much pictures differ, from hardly (0) to strongly (1).

    Rarely mirrored even then: an arrow to the left is not one to the right.
    """
    return Variety(
        zoom=(0.95 - 0.21 * hard, 1 + 0.04 * hard), angle=0.15 * hard, mirrored=0.1 * hard, gain=0.12 * hard,
        styled=0.2 * hard, named_ground=0.2 * hard, other_ground=0.2 * hard,
    )  # fmt: skip


def train(options: argparse.Namespace) -> None:
    """Trains for the minutes given; saves, and says how many originals are recognised, now and then and at the end."""
    training = Training(options)
    began = saved = time.monotonic()
    total = 0.0
    while (done := (time.monotonic() - began) / 60 / options.minutes) < 1:
        total += training.step(done)
        step = training.stream.position
        if step % REPORT == 0:
            speed = training.seen / (time.monotonic() - began)
            print(f"{done:4.0%} step {step} loss {total / REPORT:.3f} {speed:.0f} pictures/s", flush=True)
            total = 0.0
        if time.monotonic() - saved > SAVE:
            print(json.dumps({"seen": training.seen, **training.saved()}), flush=True)
            saved = time.monotonic()
    print(json.dumps({"seen": training.seen, "minutes": options.minutes, **training.saved()}), flush=True)


def main() -> None:
    """Trains for the given time and leaves a directory that `Scorer` loads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=55)
    parser.add_argument(
        "--from-weights", type=Path, help="go on from a DIR-training.pt this wrote, or a scorer's directory"
    )
    parser.add_argument("--generated", type=Path, metavar="FILE", help="what `data/generated.py` wrote")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--easing", type=float, default=0.7, help="share of the time until pictures are hardest")
    parser.add_argument("--favour", type=int, default=12, help="how much more often the embedded model's concepts come")
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--peak", type=float, default=1.5e-3, help="learning rate after the warm-up")
    parser.add_argument("--seed", type=int, default=100)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
