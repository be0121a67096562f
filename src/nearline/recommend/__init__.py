"""From a request to an answer: one pipeline for one user and for many."""
