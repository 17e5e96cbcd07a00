"""Patch sets: plan what to cut, build it, open it, show it, export it."""
