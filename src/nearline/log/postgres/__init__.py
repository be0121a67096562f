"""Log in a PostgreSQL database, to which any number of servers append and which each follows."""
