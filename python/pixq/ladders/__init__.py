"""Ladders of rising distortion: where a person begins to notice, and at which places."""
