"""The recommendation pipeline: from a request to an answer, for one user or many."""
