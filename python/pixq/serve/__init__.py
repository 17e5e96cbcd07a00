"""`pixq serve`: a page, and the small HTTP service behind it, that show where two images differ visibly."""
