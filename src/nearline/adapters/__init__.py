"""What lies outside this process: the only home of optional imports."""
