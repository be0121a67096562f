"""Neural models, most of them of sequences."""
