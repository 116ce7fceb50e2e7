"""`scores.csv`: a row for each picture, in the order of the list of jobs. Equal runs give equal bytes. No torch here.

    id,path,seed,guidance,prompt,alignment,concealment,sep_min,view_1,view_1_prompt,view_1_alignment,view_1_rank,...

Values stand as they are, also what a spreadsheet would take for a formula: import the file as text. Lists are JSON.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from diffusion_tricks_batch.results.made import SCORES, Made

OWN = ("id", "path", "seed")
OF_A_VIEW = {"": "name", "_prompt": "prompt", "_alignment": "alignment", "_rank": "rank", "_margin": "margin"}


def table(made: Sequence[Made]) -> bytes:
    """The table, as CSV in UTF-8; a field of the jobs that is called as another column is `field.NAME`."""
    fields = list(dict.fromkeys(name for one in made for name in one.job.fields if name not in ("id", "seed")))
    views = max((len(one.views) for one in made), default=0)
    of_views = [f"view_{n}{end}" for n in range(1, views + 1) for end in OF_A_VIEW]
    taken = {*OWN, *SCORES, *of_views}
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([*OWN, *(f"field.{name}" if name in taken else name for name in fields), *SCORES, *of_views])
    for one in made:
        said = [one.job.fields.get(name) for name in fields]
        scores = [one.scores().get(name) for name in SCORES]
        seen = [view.get(name) for view in one.views for name in OF_A_VIEW.values()]
        row = [one.job.id, one.path, one.seed, *said, *scores, *seen]
        rows.writerow(map(cell, row + [None] * (len(of_views) - len(seen))))
    return text.getvalue().encode()


def cell(value: Any) -> str:
    """A value as the text of a cell."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
