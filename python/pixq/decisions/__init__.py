"""Decisions: the cuts that turn scores into Red, Orange and Green, and how sure they are."""
