"""A survey with a question of every kind, for the tests of what a study asks at the end."""

from __future__ import annotations

from typing import Any

#: Every kind of question; one is required, and one text has one line.
SURVEY: list[dict[str, Any]] = [
    {
        "name": "screen", "kind": "choice", "required": True,
        "question": {"en": "Which screen did you use?", "de": "Welchen Bildschirm haben Sie benutzt?"},
        "options": [
            {"value": "laptop", "text": {"en": "The one of a laptop", "de": "Den eines Laptops"}},
            {"value": "desk", "text": {"en": "One on a desk", "de": "Einen auf dem Schreibtisch"}},
        ],
    },
    {
        "name": "tired", "kind": "scale", "steps": 7,
        "question": {"en": "How tired are your eyes?", "de": "Wie müde sind Ihre Augen?"},
        "low": {"en": "not at all", "de": "gar nicht"}, "high": {"en": "very", "de": "sehr"},
    },
    {
        "name": "age", "kind": "number", "min": 18, "max": 99.5,
        "question": {"en": "How old are you?", "de": "Wie alt sind Sie?"}, "unit": {"en": "years", "de": "Jahre"},
    },
    {
        "name": "job", "kind": "text", "max_length": 40,
        "question": {"en": "What is your profession?", "de": "Was sind Sie von Beruf?"},
    },
    {
        "name": "notes", "kind": "text",
        "question": {"en": "What else should we know?", "de": "Was sollten wir noch wissen?"},
    },
]  # fmt: skip
#: What somebody answers to it.
SURVEY_ANSWERS: dict[str, Any] = {"screen": "desk", "tired": 7, "age": 20.5, "job": "=1+1", "notes": None}
