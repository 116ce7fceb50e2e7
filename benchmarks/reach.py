"""How far the embedded model reaches: every measure of the table, the goal beside it, met or not.

    python benchmarks/reach.py --train-judge 30 --judge judge.pt --drawings all.npz      once: half an hour of one core
    python benchmarks/reach.py --judge judge.pt --drawings all.npz --out sheets --json reach.json

The judge is a network trained apart from the model and from the scorer: another seed, another architecture, another
augmentation; but on the same pictures, so it says that the right thing was drawn, not that it is pretty. It ranks the
names of all 1,593 emoji. Where the best of several is kept, the scorer chooses and the judge only gives its verdict.
`--out` also makes sheets of pictures to look at: captions, anagrams, hybrids, edits, inpaintings.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

import judge as judging
import looks
import measures
import reworked
import sheets
from diffusion_tricks import Recipe, load_model
from diffusion_tricks.generate.score import Scorer

PARTS = ("captions", "looks", "anagrams", "hybrids", "inpainting", "edits", "speed", "sheets")
CHOSEN = {"anagrams", "hybrids"}  # where the best of several is kept


def measured(bench: measures.Bench, given: argparse.Namespace) -> tuple[list[measures.Row], dict[str, Any]]:
    """The rows of the parts that were asked for, and what stands behind them; sheets are written on the way."""
    parts: Sequence[str] = given.only or PARTS
    rows, details = [], dict[str, Any]()
    if "captions" in parts:
        found, details["captions"] = measures.captions(bench)
        rows += found
    for part, measure in (("anagrams", measures.anagrams), ("hybrids", measures.hybrids)):
        if part in parts:
            found, made = measure(bench)
            rows += found
            details[part] = [one.data() for one in made]
            if given.out:
                sheets.illusions(made).save(given.out / f"{part}.png")
    if "looks" in parts and given.drawings:
        rows += looks.looks(bench, given.drawings)
    elif "looks" in parts:
        bench.tell("speckle and diversity are left out: they need --drawings")
    if "inpainting" in parts:
        rows += reworked.inpaintings(bench)[0]
    if "edits" in parts:
        rows += reworked.edits(bench)[0]
    if "speed" in parts:
        rows += measures.speed(bench, given.model, given.repeats)
    if "sheets" in parts and given.out:
        sheets.write(bench, given.out)
    return rows, details


def table(rows: Sequence[measures.Row]) -> str:
    """The rows to read."""
    lines = [f"{'measure':40} {'found':>8} {'goal':>9}         {'':4} "]
    for row in rows:
        goal = f"{'<=' if row.most else '>='} {row.goal:g}"
        verdict = "met" if row.met else "not met"
        lines.append(f"{row.name:40} {row.value:8.1f} {goal:>9} {row.unit:6} {verdict:8} {row.note}".rstrip())
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judge", type=Path, required=True, help="the judge's weights, read or written")
    parser.add_argument("--train-judge", type=float, metavar="MINUTES", help="train the judge, and do nothing else")
    parser.add_argument(
        "--drawings", type=Path, help="`training.data.sets --all`: what the judge learns, and `looks` needs"
    )
    parser.add_argument("--model", default="emoji", help="a known name or a directory")
    parser.add_argument("--scorer", help="the CLIP that chooses; default: the one inside")
    parser.add_argument("--only", action="append", choices=PARTS, help="may be given several times")
    parser.add_argument("--limit", type=int, help="only the first so many of everything, for a quick look")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--scheduler")
    parser.add_argument("--sigma", type=float, help="blur that the far things of hybrids are seen through, in pixels")
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=7, help="of what is timed")
    parser.add_argument("--out", type=Path, help="a folder for the sheets")
    parser.add_argument("--json", type=Path, help="also write all numbers here")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    if given.train_judge:
        right = judging.train(given.train_judge, given.judge, drawings=given.drawings)
        print(f"{right:.1%} of the originals are recognised")
        return
    began = time.perf_counter()
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
    recipe = Recipe(seed=given.seed, steps=given.steps, guidance=given.guidance, scheduler=given.scheduler)
    judge, names = judging.load(given.judge)
    scorer = Scorer(given.scorer) if CHOSEN & set(given.only or PARTS) else None
    bench = measures.Bench(load_model(given.model), judge, names, scorer, recipe, given.limit, sigma=given.sigma)
    rows, details = measured(bench, given)
    minutes = (time.perf_counter() - began) / 60
    defaults = asdict(bench.model.defaults)
    print(f"{given.model}, {defaults}, {torch.get_num_threads()} threads, {minutes:.1f} minutes\n{table(rows)}")
    if given.json:
        said = {"model": given.model, "defaults": defaults, "minutes": round(minutes, 1)}
        table_rows = [asdict(row) | {"met": row.met} for row in rows]
        given.json.write_text(json.dumps(said | {"rows": table_rows, **details}, indent=2) + "\n")


if __name__ == "__main__":
    main()
