"""One participant's session: its plan, its events, its judgement."""
