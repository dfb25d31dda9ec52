"""The access token a client sends: from the environment, or from a file that the environment names."""

from __future__ import annotations

import os
import re
from pathlib import Path

from client.errors import BadToken

TOKEN, TOKEN_FILE = "SWITCHBACK_TOKEN", "SWITCHBACK_TOKEN_FILE"  # names of variables
FORM = re.compile(r"sbk_[A-Za-z0-9_-]{16,180}")


def token() -> str | None:
    """SWITCHBACK_TOKEN, else what is in the file SWITCHBACK_TOKEN_FILE names, else None. The value is never shown."""
    given = os.environ.get(TOKEN, "").strip()
    name = TOKEN
    if not given and (path := os.environ.get(TOKEN_FILE)):
        name = f"{TOKEN_FILE} ({path})"
        try:
            given = Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise BadToken(f"{name}: must be a file that can be read: {error.strerror}") from error
        if not given:
            raise BadToken(f"{name}: must hold an access token, got an empty file")
    if given and not FORM.fullmatch(given):
        raise BadToken(f"{name}: must hold an access token, `sbk_...`, as `switchback token create` prints it")
    return given or None


def use_file(path: Path | None) -> None:
    """Take the token from this file, here and in the processes started from here; None changes nothing."""
    if path is not None:
        os.environ.pop(TOKEN, None)
        os.environ[TOKEN_FILE] = str(path.resolve())
