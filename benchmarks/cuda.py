"""The one command that measures on CUDA; what it does is in `gpu`.

python benchmarks/cuda.py                                   every measure, and the curve, pictures_per_second.png
python benchmarks/cuda.py --only compiled --repeats 9       one of them
python benchmarks/cuda.py --small                           the same code with tiny weights on the CPU, in seconds
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ != "__main__":
    raise ImportError("this is a benchmark to be run, and not NVIDIA's package of the same name, which torch looks for")

here = str(Path(__file__).resolve().parent)
sys.path[:] = [place for place in sys.path if str(Path(place).resolve()) != here]
import torch  # noqa: E402, F401  while this file does not stand in for that package

sys.path.append(here)
from gpu import main  # noqa: E402

sys.path.remove(here)
main()
