"""Speed of the real server, measured from another process: `nearline bench`."""
