"""Reading and writing files: whole or not at all, with messages that name the file."""
