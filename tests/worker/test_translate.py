"""From the wire to the engines."""

from __future__ import annotations

from contract import tasks
from schedules import Span
from worker.engine import Augmentation, Resizing
from worker.translate import augmentation


def test_what_a_study_does_to_images_is_what_the_engine_does() -> None:
    given = {"crop": 4, "flip": True, "cutout": 8, "resizing": {"initial": 0.6, "end": "3 epochs", "multiple": 2}}
    growing = Resizing(initial=0.6, start=Span(0.0), end=Span(3, "epochs"), multiple=2)
    expected = Augmentation(crop=4, flip=True, cutout=8, resizing=growing)
    assert augmentation(tasks.Augmentation.model_validate(given)) == expected
    assert augmentation(None) is None


def test_the_defaults_of_resizing_are_the_same_on_both_sides() -> None:
    assert augmentation(tasks.Augmentation(resizing=tasks.Resizing())) == Augmentation(resizing=Resizing())
