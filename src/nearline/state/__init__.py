"""What the log amounts to, held in memory."""
