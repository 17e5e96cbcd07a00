"""Evaluation: how often a run is right, how sure that is, and whether it beats simpler methods."""
