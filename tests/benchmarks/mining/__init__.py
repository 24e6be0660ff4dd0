"""How often mining takes a relevant document for a negative, and what the index costs."""
