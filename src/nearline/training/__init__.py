"""Training: from the log to a snapshot by dataset, fit, evaluation, acceptance and compaction."""
