"""The one exception of this package: a value that breaks a rule, with the argument, the rule and the value."""

from __future__ import annotations


class ScheduleError(ValueError):
    """`argument: rule, got value`; `argument` is a path such as `schedule.shape.profile.d` when a document was read."""

    def __init__(self, argument: str, rule: str, value: object) -> None:
        super().__init__(argument, rule, value)
        self.argument = argument
        self.rule = rule
        self.value = value

    def __str__(self) -> str:
        return f"{self.argument}: {self.rule}, got {self.value}"

    def at(self, path: str) -> ScheduleError:
        """The same error, its argument placed under `path`."""
        return ScheduleError(f"{path}.{self.argument}", self.rule, self.value)
