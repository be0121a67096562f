"""Neural models: sequence models, two towers and neural collaborative filtering."""
