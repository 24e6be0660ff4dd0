"""What the recipe is worth."""
