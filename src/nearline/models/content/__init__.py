"""Content-based models: recommend items by their text, categories and vectors."""
