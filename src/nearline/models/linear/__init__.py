"""Linear models, which learn one matrix of weights between items."""
