"""A phone that opens pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from show.illusions import SIDE


@pytest.fixture
def phone(browser: Any) -> Iterator[Any]:
    """A page as on a phone; what it says, or asks of the network, fails the test."""
    context = browser.new_context(viewport={"width": SIDE + 32, "height": 844}, has_touch=True, reduced_motion="reduce")
    page, wrong = context.new_page(), list[str]()
    page.set_default_timeout(8000)
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda asked: wrong.append(asked.url) if not asked.url.startswith(("data:", "file:")) else None)
    yield page
    assert wrong == []
    context.close()
