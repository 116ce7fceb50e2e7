"""A stream that cannot be written to goes silent; what was asked for is made all the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from diffusion_tricks_cli.streams import Lasting, apart

COVER = f'"{sys.executable}" -m diffusion_tricks_cli cover in.png --title x -o out.png --json'
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")


@needs_full
def test_a_full_stream_is_forgotten_and_remembers_why() -> None:
    with open("/dev/full", "w") as full:
        stream = Lasting(full)
        stream.write("hello")
        stream.flush()
        assert stream.lost is not None
        assert stream.write("more") == 4
        stream.flush()  # to nowhere, by now


def test_a_stream_that_is_closed_is_nowhere() -> None:
    stream = Lasting(None)
    assert stream.write("hello") == 5
    assert stream.lost is None


@needs_full
@pytest.mark.parametrize("to", ["2>&-", ">&-", ">/dev/full", "2>/dev/full", ">/dev/full 2>&1"])
def test_what_was_asked_is_made(tmp_path: Path, to: str) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "in.png")
    done = subprocess.run(["bash", "-c", f"{COVER} {to}"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, (tmp_path / "out.png").is_file()) == (0, True), done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert ("could not be written to stdout" in done.stderr) == (to == ">/dev/full")


def test_what_is_printed_while_a_result_is_made_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    def results() -> object:
        for i in range(2):
            print(f"making {i}")
            yield i

    for result in apart(results()):  # type: ignore[arg-type, var-annotated]
        print(f"result {result}")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("result 0\nresult 1\n", "making 0\nmaking 1\n")
