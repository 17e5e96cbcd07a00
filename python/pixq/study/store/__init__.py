"""Where a study keeps its answers: tables, queries, keys, deletion."""
