"""Prints the two commands that README begins with: the lines of its first two shell blocks."""

import re
import sys
from pathlib import Path

blocks = re.findall(r"^```(?:sh|bash|shell)\n(.*?)^```", Path(sys.argv[1]).read_text(encoding="utf-8"), re.S | re.M)
for block in blocks[:2]:
    print(" ".join(block.replace("\\\n", " ").split()))
