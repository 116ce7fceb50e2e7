"""Pictures as addresses that need no network."""

from __future__ import annotations

import base64
import io

from PIL import Image


def png_url(image: Image.Image) -> str:
    """A picture as the address of its PNG."""
    data = io.BytesIO()
    image.save(data, "PNG", optimize=True)
    return data_url(data.getvalue(), "image/png")


def data_url(data: bytes, kind: str) -> str:
    """Bytes as an address; kind: of media."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
