"""Sessions of participants: their plan, their events, and how answers are judged."""
