"""A tiny model that is recognised as a ViT-B, and a server of checkpoints."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import torch
from torch import nn

from napari_sam.nn import registry
from napari_sam.nn.registry import PretrainedConfig, register_model

Register = Callable[..., PretrainedConfig]


class TinyModel(nn.Module):
    """The keys by which an architecture is told, and a buffer of integers."""

    def __init__(self) -> None:
        super().__init__()
        self.image_encoder = nn.Module()
        self.image_encoder.patch_embed = nn.Module()
        self.image_encoder.patch_embed.proj = nn.Conv2d(3, 768, 2)
        self.image_encoder.norm = nn.BatchNorm2d(768)
        self.mask_decoder = nn.Linear(4, 4)


@pytest.fixture
def tiny_model() -> TinyModel:
    torch.manual_seed(0)
    return TinyModel()


@pytest.fixture
def tiny_state(tiny_model: TinyModel) -> dict[str, torch.Tensor]:
    return dict(tiny_model.state_dict())


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Register:
    """Register a tiny model for the length of a test."""
    registry.list_models()
    monkeypatch.setattr(registry, "_REGISTERED", dict(registry._REGISTERED))

    def add(name: str, **changes: Any) -> PretrainedConfig:
        settings: dict[str, Any] = {
            "url": f"http://127.0.0.1:9/{name}.pth",
            "filename": f"{name}.pth",
            "architecture": "vit_b",
        }
        config = PretrainedConfig(**(settings | changes))
        register_model(name, config=config)(TinyModel)
        return config

    return add


@dataclass
class Shelf:
    """What the server sends, and how badly.

    Attributes
    ----------
    content : bytes
    break_after : int or None
        Bytes after which the next transfer breaks off, once.
    honours_ranges : bool
    status : int
        Of every answer, if it is not 200.
    """

    address: str = ""
    content: bytes = bytes(range(256)) * 4000
    break_after: int | None = None
    honours_ranges: bool = True
    status: int = 200
    requests: list[tuple[str, str | None]] = field(default_factory=list)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def _handler(shelf: Shelf) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            shelf.requests.append((self.path, wanted))
            if shelf.status != 200:
                self.send_error(shelf.status)
                return
            start = 0
            if wanted and shelf.honours_ranges:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start and start >= len(shelf.content):
                self.send_error(416)
                return
            body = shelf.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            end, shelf.break_after = shelf.break_after, None
            self.wfile.write(body[:end])

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    return Handler


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """A server on this machine, reached directly."""
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    shelf = Shelf()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(shelf))
    shelf.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield shelf
    server.shutdown()
    server.server_close()
    thread.join()
