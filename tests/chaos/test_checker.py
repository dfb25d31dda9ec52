"""The judge of histories: silent about a right one, and each wrong one is caught by the rule made for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.chaos.checker import Limits, check
from benchmarks.chaos.history import Call, File, Window
from benchmarks.chaos.state import AttemptRow, State, TrialRow

LIMITS = Limits(ttl_s=2.0, overload=(Window(90.0, 91.0),))

# Worker a claims trial 1, is silent for too long and loses it to b, which reports and completes it.
CLAIM_A = Call("a", "claim", 0.0, 0.1, "ok", leases=((1, 1),))
REPORT_A = Call("a", "report", 0.2, 0.3, "ok", 1, 1, {1: 0.5})
CLAIM_B = Call("b", "claim", 5.0, 5.1, "ok", leases=((1, 2),))
LATE_A = Call("a", "report", 5.2, 5.3, "stale", 1, 1, {2: 0.4}, zombie=True)
REPORT_B = Call("b", "report", 5.4, 5.5, "ok", 1, 2, {1: 0.6})
END_B = Call("b", "complete", 5.6, 5.7, "ok", 1, 2, outcome="complete", status="complete")
CALLS = (CLAIM_A, REPORT_A, CLAIM_B, LATE_A, REPORT_B, END_B)
STATE = State(
    trials={1: TrialRow("complete", 2, 1.0, 0.1)},
    attempts={(1, 1): AttemptRow("a", "lost"), (1, 2): AttemptRow("b", "complete")},
    points={(1, 1, 1): 0.5, (1, 2, 1): 0.6},
    studies={1: "complete"},
)


def rules(calls: tuple[Call, ...] = CALLS, **changes: Any) -> set[str]:
    return {violation.rule for violation in check(calls, replace(STATE, **changes), LIMITS)}


def said(call: Call, verdict: Any, **changes: Any) -> Call:
    return replace(call, verdict=verdict, **changes)


def test_a_right_history_is_right() -> None:
    assert rules() == set()


@pytest.mark.parametrize("call", CALLS)
def test_an_answer_that_was_lost_proves_nothing(call: Call) -> None:
    unknown = said(call, "unknown", answered=None, leases=(), status="")
    assert rules(tuple(unknown if one is call else one for one in CALLS)) == set()


def test_an_end_sent_again_after_a_lost_answer_is_right() -> None:
    first = said(END_B, "unknown", answered=None, status="")
    again = replace(END_B, invoked=9.0, answered=9.1)
    assert rules((CLAIM_A, REPORT_A, CLAIM_B, REPORT_B, first, again)) == set()


def test_a_release_acknowledged_again_after_the_next_claim_is_right() -> None:
    release = Call("a", "release", 1.0, None, "unknown", 1, 1, outcome="preempted")
    again = replace(release, invoked=6.0, answered=6.1, verdict="ok", status="complete")
    attempts = {(1, 1): AttemptRow("a", "preempted"), (1, 2): AttemptRow("b", "complete")}
    calls = (CLAIM_A, REPORT_A, release, CLAIM_B, REPORT_B, END_B, again)
    assert rules(calls, attempts=attempts, trials={1: TrialRow("complete", 2, 2.0, 0.1)}) == set()


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("lost", {"points": {(1, 1, 1): 0.5}}),
        ("lost", {"points": STATE.points | {(1, 2, 1): 0.7}}),
        ("lost", {"attempts": {(1, 1): AttemptRow("a", "lost"), (1, 2): AttemptRow("c", "complete")}}),
        ("lost", {"attempts": {(1, 1): AttemptRow("a", "lost"), (1, 2): AttemptRow("b", "lost")}}),
        ("terminal", {"trials": {1: TrialRow("queued", 2, 1.0, None)}}),
        ("doubled", {"trials": {1: TrialRow("complete", 2, 2.0, 0.1)}}),
        ("doubled", {"attempts": {(1, 1): AttemptRow("a", "complete"), (1, 2): AttemptRow("b", "complete")}}),
        ("stuck", {"trials": {1: TrialRow("leased", 2, 1.0, None)}}),
        ("stuck", {"studies": {1: "running"}}),
        ("numbered", {"trials": {1: TrialRow("complete", 3, 1.0, 0.1)}}),
        ("numbered", {"attempts": {(1, 2): AttemptRow("b", "complete")}}),
        ("damaged", {"damage": ("row 3 missing from index",)}),
    ],
)
def test_a_state_that_does_not_fit_what_was_acknowledged_is_caught(rule: str, changes: dict[str, Any]) -> None:
    assert rule in rules(**changes)


@pytest.mark.parametrize("kind", ["heartbeat", "report", "put", "fetch"])
def test_a_write_of_an_old_attempt_accepted_after_the_next_claim_breaks_the_fence(kind: Any) -> None:
    accepted = said(LATE_A, "ok", kind=kind, values={1: 0.5})
    assert rules((*CALLS, accepted)) == {"fence"}


def test_an_old_attempts_write_invoked_before_the_next_claim_was_answered_is_right() -> None:
    assert rules((*CALLS, said(LATE_A, "ok", invoked=4.9, values={1: 0.5}))) == set()


def test_an_end_of_an_old_attempt_that_was_never_sent_before_breaks_the_fence() -> None:
    late = Call("a", "release", 5.2, 5.3, "ok", 1, 1, outcome="preempted", status="leased")
    attempts = STATE.attempts | {(1, 1): AttemptRow("a", "preempted")}
    assert "fence" in rules((*CALLS, late), attempts=attempts, trials={1: TrialRow("complete", 2, 2.0, 0.1)})


def test_a_write_accepted_after_the_end_is_caught() -> None:
    late = Call("b", "report", 6.0, 6.1, "ok", 1, 2, {1: 0.6})
    assert rules((*CALLS, late)) == {"terminal"}


def test_a_trial_handed_out_after_its_end_is_caught() -> None:
    attempts = STATE.attempts | {(1, 3): AttemptRow("c", "lost")}
    again = Call("c", "claim", 6.0, 6.1, "ok", leases=((1, 3),))
    assert "terminal" in rules((*CALLS, again), attempts=attempts)


CHECKPOINT = File("checkpoint", 1, 5, "aa")
PUT = Call("a", "put", 0.4, 0.5, "ok", 1, 1, file=CHECKPOINT)


@pytest.mark.parametrize("offered", [{}, {1: replace(CHECKPOINT, step=4)}, {1: replace(CHECKPOINT, sha256="bb")}])
def test_a_claim_that_does_not_resume_from_the_last_acknowledged_checkpoint_is_caught(offered: dict[int, File]) -> None:
    assert rules((CLAIM_A, REPORT_A, PUT, replace(CLAIM_B, resume=offered), *CALLS[3:])) == {"file"}


def test_a_claim_that_resumes_from_that_checkpoint_or_a_later_one_is_right() -> None:
    for file in (CHECKPOINT, replace(CHECKPOINT, step=6, sha256="bb")):
        assert rules((CLAIM_A, REPORT_A, PUT, replace(CLAIM_B, resume={1: file}), *CALLS[3:])) == set()


def test_an_acknowledged_model_that_is_not_kept_is_caught() -> None:
    put = Call("b", "put", 5.55, 5.58, "ok", 1, 2, file=File("model", 2, 12, "cc"))
    assert rules((*CALLS, put)) == {"file"}
    assert rules((*CALLS, put), files={(1, "model"): put.file}) == set()


def test_an_acknowledged_study_that_is_not_there_is_caught() -> None:
    created = Call("driver", "create", 0.0, 0.05, "ok", study=2)
    assert rules((created, *CALLS)) == {"lost"}


def test_an_attempt_handed_to_two_workers_is_caught() -> None:
    assert "doubled" in rules((*CALLS, replace(CLAIM_B, worker="c")))


def test_two_acknowledged_results_are_caught() -> None:
    other = Call("a", "complete", 5.0, 5.05, "ok", 1, 1, outcome="diverged", status="diverged")
    assert "doubled" in rules((*CALLS, other))


def test_an_end_that_stands_and_is_refused_when_sent_again_is_caught() -> None:
    again = said(END_B, "stale", invoked=9.0, answered=9.1, status="")
    assert "idempotent" in rules((*CALLS, again))


def test_another_end_than_the_one_that_stands_may_be_refused() -> None:
    other = said(END_B, "stale", invoked=9.0, answered=9.1, outcome="diverged", status="")
    assert rules((*CALLS, other)) == set()


def test_a_lease_refused_before_its_time_is_caught() -> None:
    early = said(REPORT_B, "stale", invoked=5.15, answered=5.2)
    assert rules((CLAIM_A, REPORT_A, CLAIM_B, LATE_A, early, REPORT_B, END_B)) == {"held"}


def test_a_lease_that_ran_out_may_be_refused() -> None:
    late = said(REPORT_A, "stale", invoked=2.3, answered=2.4)
    assert rules((CLAIM_A, REPORT_A, late, *CALLS[2:])) == set()


def test_a_server_error_is_a_fault_whatever_the_nemesis_did() -> None:
    assert rules((*CALLS, said(LATE_A, "fault", invoked=90.1, answered=90.2))) == {"fault"}


def test_overload_is_caught_unless_the_database_was_away_or_its_lock_was_waited_for() -> None:
    turned_away = said(LATE_A, "overloaded", invoked=80.0, answered=80.2)
    assert rules((*CALLS, turned_away)) == {"overload"}
    assert rules((*CALLS, replace(turned_away, answered=110.5))) == set()
    assert rules((*CALLS, replace(turned_away, invoked=90.1, answered=90.2))) == set()
