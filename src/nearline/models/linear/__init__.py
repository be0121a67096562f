"""Linear models with one weight matrix between items."""
