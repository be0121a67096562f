"""From the log to a snapshot: dataset, fit, evaluation, acceptance, compaction."""
