"""From two images to scores and a quality map."""
