"""Tiny models of other families than the one of all tests."""

from __future__ import annotations

from pathlib import Path

import pytest


def _saved(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from diffusion_tricks.testing import tiny_pipeline

    folder = tmp_path_factory.mktemp("models") / kind
    tiny_pipeline(kind).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a tiny Stable Diffusion, of latents."""
    return _saved("sd", tmp_path_factory)


@pytest.fixture(scope="session")
def tiny_plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a tiny model that takes no prompt."""
    return _saved("ddpm", tmp_path_factory)


@pytest.fixture(scope="session")
def tiny_flow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a tiny Stable Diffusion 3, which predicts a flow."""
    return _saved("sd3", tmp_path_factory)
