"""Weights that do not fit the configuration beside them, in a sentence: the libraries speak of their own options."""

from __future__ import annotations

import re
import traceback

SPEAKS_OF = "ignore_mismatched_sizes"  # whatever loads them, it offers to draw them anew
LOADERS = ("load_sub_model", "load_single_file_sub_model")  # of diffusers; `name` in them is the component's
SHAPES = re.compile(r"([\w.]+) expected shape torch\.Size\(([^)]*)\), but got torch\.Size\(([^)]*)\)")


def misfit(error: BaseException) -> str | None:
    """Whose weights do not fit, and which, where an error of loading says that some do not; else None."""
    if SPEAKS_OF not in str(error):
        return None
    found = SHAPES.search(str(error))
    where = ": {} is to have the shape {}, and has {}".format(*found.groups()) if found else ""
    return f"the weights of {_part(error)} do not fit its config.json{where}; fetch both anew, from one place"


def _part(error: BaseException) -> str:
    """The component that was being loaded when an error arose, which only the frames it came through know."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if frame.f_code.co_name in LOADERS]
    return str(frames[0].f_locals.get("name", "a component")) if frames else "a component"
