"""A secret key that an installation makes for itself."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile


def key_in(folder: Path) -> str:
    """The key kept in a folder; made when there is none yet, the same for all who ask."""
    path = folder / "secret_key"
    if not path.exists():
        # Written aside, then linked: nobody reads half a key, and the first one made stays.
        with NamedTemporaryFile("w", dir=folder) as file:  # its mode is 0600
            file.write(secrets.token_urlsafe(50))
            file.flush()
            with suppress(FileExistsError):
                os.link(file.name, path)
    return path.read_text()
