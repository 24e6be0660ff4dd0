"""The shapes that travel between capabilities; they import nothing else of the project."""
