"""The sampled record of what was asked and scored, and what people said of it."""
