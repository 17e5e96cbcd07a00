"""Simulated participants, over HTTP or in a real browser."""
