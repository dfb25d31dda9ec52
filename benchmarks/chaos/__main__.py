"""Kills a working service many times and counts what was lost: nothing. Or, with --mutants, what a broken one loses.

`python -m benchmarks.chaos [--quick] [--postgres] [--kills N] [--seed N]` and `python -m benchmarks.chaos --mutants`.
"""

from __future__ import annotations

import argparse
import statistics
import sys

from benchmarks import Figure, publish
from benchmarks.chaos.farm import LEAVE_S
from benchmarks.chaos.mutants import MUTANTS, SQLITE_ONLY
from benchmarks.chaos.storm import Outcome, Plan, run

QUICK, FULL = 25, 100


def figures(outcome: Outcome) -> list[Figure]:
    """The promises as counts."""
    plan, done = outcome.plan, outcome.done
    reports = sum(call.kind == "report" and call.verdict == "ok" for call in outcome.calls)
    refused, accepted = outcome.said("stale", zombie=True), outcome.said("ok", zombie=True)
    restart = f"{plan.workers} workers; restart {statistics.median(outcome.restarts_s):.2f} s median"
    others = ", ".join(f"{name} {count}" for name, count in sorted(done.items()) if name != "service killed")
    said = f"{outcome.said('ok')} ok, {outcome.said('unknown')} unknown, {outcome.said('overloaded')} overloaded"
    trials, seconds = len(outcome.state.trials), f"{outcome.seconds:.0f} s"
    stale = f"{outcome.said('stale')} stale in all"
    odd = sum(code is None for code in outcome.drains)
    return [
        Figure("SIGKILLs of the service", done["service killed"], f">= {plan.kills}", restart),
        Figure("acknowledged writes lost", outcome.broken("lost"), "<= 0", f"{reports} reports acknowledged; {said}"),
        Figure("trials or studies stuck", outcome.broken("stuck"), "<= 0", f"{trials} trials, {seconds}"),
        Figure("doubled", outcome.broken("doubled", "numbered"), "<= 0", "results, owners, seconds, attempts"),
        Figure("zombie writes tried", refused + accepted, f">= {5 * plan.kills}", stale),
        Figure("zombie writes accepted", accepted + outcome.broken("fence", "terminal"), "<= 0"),
        Figure("ends refused that stand", outcome.broken("idempotent"), "<= 0"),
        Figure("leases lost before their time", outcome.broken("held"), "<= 0", "two clocks in three an hour off"),
        Figure("faults, needless overload", outcome.broken("fault", "overload"), "<= 0", others),
        Figure("damage found by the database", outcome.broken("damaged"), "<= 0"),
        Figure(f"drains that did not end in {LEAVE_S:g} s", odd, "<= 0", f"of {len(outcome.drains)}"),
    ]


def mutants(*, postgres: bool, seed: int) -> int:
    """Every mutant and, beside them, the service as it is, in the same storm."""
    found: list[Figure] = []
    for name in (None, *MUTANTS):
        if postgres and name in SQLITE_ONLY:
            continue
        outcome = run(Plan(kills=5, workers=8, at_least_s=25, seed=seed, postgres=postgres, mutant=name))
        own = MUTANTS[name].breaks if name else frozenset(outcome.rules)
        times = [found.at - outcome.begun for found in outcome.violations if found.rule in own and found.at is not None]
        counts = ", ".join(f"{rule} {count}" for rule, count in outcome.rules.most_common())
        note = f"{counts or 'nothing'}{f'; first after {min(times):.1f} s' if times else ''}; {outcome.seconds:.0f} s"
        what = f"{name}: by {' or '.join(sorted(own))}" if name else "control, unmutated: by any rule"
        found.append(Figure(what, outcome.broken(*own), ">= 1" if name else "<= 0", note))
        print(found[-1].name, found[-1].note, file=sys.stderr)
    return publish(f"chaos-mutants{'-postgres' * postgres}", found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} kills instead of {FULL}")
    parser.add_argument("--postgres", action="store_true", help="on PostgreSQL instead of SQLite")
    parser.add_argument("--kills", type=int)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mutants", action="store_true", help="show that the checker catches a service made wrong")
    given = parser.parse_args()
    if given.mutants:
        return mutants(postgres=given.postgres, seed=given.seed)
    kills = given.kills or (QUICK if given.quick else FULL)
    outcome = run(Plan(kills=kills, workers=given.workers, seed=given.seed, postgres=given.postgres))
    for violation in outcome.violations[:50]:
        print(f"{violation.rule}: {violation.text}", file=sys.stderr)
    if outcome.violations:
        print(outcome.errors, file=sys.stderr)
    return publish(f"chaos{'-postgres' * given.postgres}", figures(outcome))


if __name__ == "__main__":
    sys.exit(main())
