"""Files that a batch makes of its pictures; those of others that stand in their place are left as they are. No torch.

They are known by their hashes, which the ledger keeps; a new one is noted there before its file is written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256 as digest_of
from pathlib import Path

from diffusion_tricks.plugin import atomic_write, sha256
from diffusion_tricks_batch.records import AFTER, Records


class Ours:
    """The files, by their names as from the folder of the batch; and what they were made of."""

    def __init__(self, records: Records):
        self.home, self.path = records.home, records.folder / AFTER
        self.of = ""
        self.digests: dict[str, list[str]] = {}
        self._read()

    def _read(self) -> None:
        try:
            data = json.loads(self.path.read_bytes())
            self.of = str(data["of"])
            self.digests = {str(name): [str(one) for one in digests] for name, digests in data["files"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return  # nothing is known as ours then, and so nothing is replaced

    def note(self, of: str) -> None:
        """Writes down what is known; of: the digest of what the files were made of, empty while they are made."""
        self.of = of
        atomic_write(self.path, json.dumps({"of": of, "files": self.digests}).encode(), force=True)

    def may_write(self, name: str) -> bool:
        """Whether the place is free, or holds a file of ours."""
        path = self.home / name
        return not path.exists() or (path.is_file() and sha256(path) in self.digests.get(name, ()))

    def stand(self, of: str) -> bool:
        """Whether all files are there, as they were made of the same."""
        return bool(of) and self.of == of and all((self.home / name).is_file() for name in self.digests)

    def write(self, name: str, data: bytes) -> bool:
        """Writes a file; whether it did, and there is none of others in its place."""
        if not self.may_write(name):
            return False
        self._expect({name: digest_of(data).hexdigest()})
        atomic_write(self.home / name, data, force=(self.home / name).exists())
        return True

    def move(self, files: Mapping[str, Path]) -> list[str]:
        """Gives files of the same disk their places; gives the names of those in whose place there are others'."""
        free = {name: file for name, file in files.items() if self.may_write(name)}
        self._expect({name: sha256(file) for name, file in free.items()})
        for name, file in free.items():
            (self.home / name).parent.mkdir(parents=True, exist_ok=True)
            file.replace(self.home / name)
        return [name for name in files if name not in free]

    def _expect(self, digests: Mapping[str, str]) -> None:
        """Notes what files are to be, beside what they are."""
        for name, digest in digests.items():
            path = self.home / name
            self.digests[name] = [*([sha256(path)] if path.exists() else []), digest]
        self.note("")

    def remove_others(self, names: set[str]) -> None:
        """Removes files of ours but those: of an earlier, longer list, say."""
        for name in [one for one in self.digests if one not in names]:
            if self.may_write(name):
                (self.home / name).unlink(missing_ok=True)
            del self.digests[name]
