"""A hub on this machine, small and with models of its own, that huggingface_hub speaks to as to the real one."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

FIRST, SECOND = "1" * 40, "2" * 40


@dataclass
class Repository:
    """refs: what branches and tags stand for. commits: the files of each.

    refuses: status and error code instead of any file. unlisted: status instead of the list of files.
    """

    refs: dict[str, str]
    commits: dict[str, Path]
    refuses: tuple[int, str] | None = None
    unlisted: int | None = None

    def commit(self, revision: str) -> str | None:
        return self.refs.get(revision, revision if revision in self.commits else None)


@dataclass
class FakeHub:
    repositories: dict[str, Repository] = field(default_factory=dict)
    served: list[str] = field(default_factory=list)  # the files that were downloaded
    asked: list[str] = field(default_factory=list)  # the revisions that were asked for

    def add(self, name: str, folder: Path, commit: str = FIRST, refs: tuple[str, ...] = ("main",)) -> Repository:
        made = self.repositories.setdefault(name, Repository({}, {}))
        made.commits[commit] = folder
        made.refs |= dict.fromkeys(refs, commit)
        return made

    def start(self) -> tuple[ThreadingHTTPServer, str]:
        """Its server, which is to be shut down, and its address."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": self}))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server, f"http://127.0.0.1:{server.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Says nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        words = self.path.partition("?")[0].strip("/").replace("%2F", "/").split("/")
        api = words[:2] == ["api", "models"]
        owner, name, *rest = words[2:] if api else words
        repository = self.hub.repositories.get(f"{owner}/{name}")
        if repository is None:
            return self.answer(401 if api else 404, error="RepoNotFound")
        kind, revision = (rest[0], rest[1]) if rest else ("revision", "main")
        self.hub.asked.append(revision)
        commit = repository.commit(revision)
        if commit is None:
            return self.answer(404, error="RevisionNotFound")
        folder = repository.commits[commit]
        if api and repository.unlisted:
            return self.answer(repository.unlisted, error="Refused")
        if api:
            return self.answer(
                200, json.dumps(listing(folder, commit) if kind == "revision" else tree(folder)).encode()
            )
        if repository.refuses:
            return self.answer(repository.refuses[0], error=repository.refuses[1], commit=commit)
        file = folder / "/".join(rest[2:])
        if not file.is_file():
            return self.answer(404, error="EntryNotFound", commit=commit)
        if self.command == "GET":
            self.hub.served.append("/".join(rest[2:]))
        return self.answer(200, file.read_bytes(), commit=commit)

    def answer(self, status: int, body: bytes = b"", error: str = "", commit: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("X-HF-Warning", f"{id(self)}; log in, and be served sooner")
        if error:
            self.send_header("X-Error-Code", error)
        if commit:
            self.send_header("X-Repo-Commit", commit)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def files_of(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def listing(folder: Path, commit: str) -> dict[str, Any]:
    names = [
        {"rfilename": file.relative_to(folder).as_posix(), "size": file.stat().st_size} for file in files_of(folder)
    ]
    return {"id": "owner/name", "sha": commit, "siblings": names}


def tree(folder: Path) -> list[dict[str, Any]]:
    return [
        {"type": "file", "path": file.relative_to(folder).as_posix(), "size": file.stat().st_size,
         "oid": hashlib.sha1(file.read_bytes()).hexdigest()}
        for file in files_of(folder)
    ]  # fmt: skip


def laid_out(cache: Path, name: str, folder: Path, commit: str = FIRST, refs: tuple[str, ...] = ("main",)) -> Path:
    """A model as the hub's cache keeps it: the blobs, the snapshot of a commit that links to them, and its refs."""
    home = cache / f"models--{name.replace('/', '--')}"
    for file in files_of(folder):
        blob = home / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(file.read_bytes())
        link = home / "snapshots" / commit / file.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    for ref in refs:
        (home / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
        (home / "refs" / ref).write_text(commit)
    return home / "snapshots" / commit
