"""One process of a training that `launch` started; the first writes down what came of it."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from diffusion_tricks.errors import DiffusionTricksError
from diffusion_tricks.training.interrupts import Interrupted


def main() -> int:
    """Does the work that the one argument says, and gives the exit code."""
    work = json.loads(sys.argv[1])
    threading.Thread(target=_ends_with, args=(os.getppid(),), daemon=True).start()
    try:
        said: dict[str, Any] = {"trained": _worked(work)}
        code = 0
    except (DiffusionTricksError, Interrupted) as error:
        said = {"error": type(error).__name__, "message": str(error)}
        code = 130 if isinstance(error, Interrupted) else getattr(error, "exit_code", 1)
    except KeyboardInterrupt:  # before there was anything to save
        return 130
    if os.environ["RANK"] == "0":
        Path(work["answer"]).write_text(json.dumps(said), encoding="utf-8")
    return code


def _ends_with(parent: int) -> None:
    """Ends this process once its parent is dead, so that what was killed does not train on."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _worked(work: dict[str, Any]) -> dict[str, Any]:
    from diffusion_tricks.training.run import go_on

    done = asdict(go_on(Path(work["home"]), fresh=work["fresh"], quiet=work["quiet"]))
    return {**done, "folder": str(done["folder"])}


if __name__ == "__main__":
    sys.exit(main())
