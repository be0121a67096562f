"""What serves: opening a store, the active model, online learning, versions."""
