"""Reading files, and writing them atomically, with messages that name the file."""
