"""Opening a store, the active model, online learning, and versions."""
