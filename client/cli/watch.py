"""`switchback watch`: a study, live, to its end."""

from __future__ import annotations

from client import DEFAULT_URL
from client.cli.following import follow
from client.cli.options import Poll, StudyId, Timeout, Url, connect, output


def watch(study_id: StudyId, timeout: Timeout = None, poll: Poll = 1.0, url: Url = DEFAULT_URL) -> None:
    """Follow a study until it ends, then show its result.

    Survives a restart of the service. Ctrl-C ends the watching, not the study. Where the output is no terminal, a line
    is printed for each change. Exit codes: 0 with a result, 1 failed or without one, 4 when --timeout was not enough.
    """
    with connect(url) as client:
        follow(client, study_id, output(), poll_s=poll, timeout_s=timeout)
