"""The model service. It ships alone in the image and imports nothing of the rest of the project."""
