"""Training runs on disk: the recipe, the run directory, the model in it."""
