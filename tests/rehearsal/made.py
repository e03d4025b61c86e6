"""A rehearsal that never was, for tests of what is made of one."""

from collections.abc import Sequence

from earthlab.rehearsal.story import Failure, Rehearsal, Sample, Span, Story

GB = 1_000_000_000


def made_sample(
    second: float, *, people: tuple[int, ...] = (), available: int = 20 * GB, seats: int = 0, **memory: int
) -> Sample:
    processes = dict.fromkeys(memory, 1)
    return Sample(second, seats, memory, memory, processes, dict.fromkeys(memory, second), available, people)


def made_rehearsal(failures: Sequence[Failure] = (), **changed: object) -> Rehearsal:
    stories = []
    for index in range(4):
        story = Story(f"repetition-{index + 1:03d}", "steady", arrived=float(index), finished=True, cells_run=2)
        story.signed_in, story.lab_ready = index + 1.0, index + 4.0
        story.first_cell, story.thought_before_cell = index + 15.0, 5.0
        story.first_picture, story.thought_before_picture = index + 27.0 + index, 10.0
        story.spans = [Span("sign-in", index, index + 1.0), Span("cell", index + 10.0, index + 15.0)]
        stories.append(story)
    people = tuple(int(size * GB / 10) for size in (9, 10, 11, 10))
    words = {
        "notebook": "notebooks/start/premiers-pas.ipynb",
        "cells": 2,
        "seats": 4,
        "within": 3.0,
        "minutes": 1.0,
        "seed": 1,
        "began": "2026-11-21T17:00:00+00:00",
        "seconds": 80.0,
        "machine": {"cores": 2, "memory": 24 * GB},
        "versions": {"earthlab": "0.1.0"},
        "stories": stories,
        "failures": list(failures),
        "samples": [
            made_sample(0, hub=GB // 10),
            made_sample(30, seats=4, hub=GB // 10, server=GB, kernel=3 * GB, people=people),
            made_sample(70, hub=GB // 10),
        ],
        "class_ended": 60.0,
    }
    return Rehearsal(**(words | changed))  # type: ignore[arg-type]
