"""The report of a run, and runs side by side: HTML files that need nothing beside them."""
