"""The dataset `stdlib_chars`: the next character in the Python standard library's own source, real text everywhere."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import numpy as np
import torch

from worker.tasks.classification import Dataset, Refusal, Signature
from worker.tasks.task import Data, Split, TaskError

LENGTH = 64
"""Characters an example shows, and predicts: each position the one that follows it."""

VOCABULARY = "\n" + "".join(map(chr, range(32, 127)))
"""Token i is character i of this; all others (tabs, letters beyond ASCII) are the token after the last."""

TOKENS = len(VOCABULARY) + 1

# Single files in every Python from 3.11 on, in this order, whole files to a part: no line is both learned and tested.
TRAIN = (
    *("argparse", "ast", "base64", "bdb", "bisect", "calendar", "cmd", "code", "codecs", "codeop", "compileall"),
    *(
        "configparser",
        "contextlib",
        "copy",
        "csv",
        "dataclasses",
        "difflib",
        "dis",
        "doctest",
        "enum",
        "filecmp",
        "fileinput",
    ),
    *("fractions", "ftplib", "functools", "getopt", "gettext", "glob", "gzip", "hashlib", "heapq", "imaplib"),
    *("inspect", "locale", "mailbox", "modulefinder", "ntpath", "optparse", "pdb", "pickle", "pickletools", "platform"),
    *("plistlib", "poplib", "posixpath", "pprint", "pyclbr", "queue", "random", "runpy", "selectors", "shlex"),
    *(
        "shutil",
        "site",
        "smtplib",
        "socket",
        "socketserver",
        "ssl",
        "statistics",
        "subprocess",
        "tarfile",
        "tempfile",
        "timeit",
        "trace",
    ),
    *("traceback", "typing", "uuid", "warnings", "weakref", "webbrowser"),
)
VALIDATION = ("fnmatch", "sched", "tokenize")
TEST = ("cProfile", "numbers", "textwrap")


def folder() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def missing() -> Refusal:
    """Some distributions ship the library compiled only."""
    absent = [name for name in (*TRAIN, *VALIDATION, *TEST) if not (folder() / f"{name}.py").is_file()]
    return f"needs the standard library's source, and {folder() / absent[0]}.py is not there" if absent else None


def load() -> Data:
    """Windows of 64 characters that follow one another without overlap, int64 [n, 64], and the same moved on by one."""
    if (refusal := missing()) is not None:
        raise TaskError(f"stdlib_chars: {refusal}")
    return Data(*(_windows(names) for names in (TRAIN, VALIDATION, TEST)))


def _windows(names: tuple[str, ...]) -> Split:
    text = "".join((folder() / f"{name}.py").read_text(encoding="utf-8") for name in names)
    tokens = torch.from_numpy(encode(text))
    count = (len(tokens) - 1) // LENGTH
    inputs, targets = (tokens[start : start + count * LENGTH].view(count, LENGTH) for start in (0, 1))
    return Split(inputs.clone(), targets.clone())


def encode(text: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Characters to tokens, int64 [len(text)]."""
    table = np.full(128, TOKENS - 1, dtype=np.int64)
    table[[ord(character) for character in VOCABULARY]] = np.arange(TOKENS - 1)
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    return np.where(codes < 128, table[np.minimum(codes, 127)], TOKENS - 1)


STDLIB_CHARS = Dataset("stdlib_chars", Signature(shape=(LENGTH,), classes=TOKENS, kind="tokens"), load, missing)
