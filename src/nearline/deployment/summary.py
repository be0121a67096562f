"""Summary of a training in sentences: what the data were like, and what was chosen."""

from nearline.snapshots import Manifest

_ORDERS = {
    "times": "Interactions are ordered by time.",
    "positions": "Interactions are ordered by position.",
    "none": "Interactions of a user have no order: they are trained on as a set, and validated on "
    "random ones.",
}
_METRIC = "validation_ndcg@10"
_SAMPLE = "validation_sample"


def training_summary(manifest: Manifest) -> list[str]:
    """Return sentences about the order of interactions, the sample, and the comparison of models.

    Snapshots of earlier versions have neither.
    """
    lines = [_ORDERS[manifest.order]] if manifest.order in _ORDERS else []
    if _SAMPLE in manifest.metrics:
        share = manifest.metrics[_SAMPLE]
        lines.append(
            f"Settings were chosen on a sample of {share:.1%} of the users, with all of their "
            "interactions."
        )
    prefix = f"{_METRIC}_"
    simple = {
        name.removeprefix(prefix): value
        for name, value in manifest.metrics.items()
        if name.startswith(prefix)
    }
    if _METRIC in manifest.metrics and simple:
        others = ", ".join(f"{name} {value:.4f}" for name, value in simple.items())
        lines.append(
            f"Chosen: {_named(manifest)}, with an NDCG@10 of {manifest.metrics[_METRIC]:.4f} on "
            f"validation data ({others})."
        )
    return lines


def _named(manifest: Manifest) -> str:
    """Return the name of a model, with those of its parts."""
    parts = [part["model"] for part in manifest.config.get("parts", ())]
    return f"{manifest.model} of {', '.join(parts)}" if parts else manifest.model
