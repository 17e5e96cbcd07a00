"""The database of a study's answers: tables, queries, keys and deletion."""
