"""Training: recipes, the loop, and the runs it leaves."""
