"""Snapshots beside the active one, which scenarios and variants of experiments name."""

from collections.abc import Iterable, Mapping

from nearline.deployment.active import MAX_OTHERS, ActiveDeployment
from nearline.errors import InvalidInput, UnknownSnapshot


def load_models(current: ActiveDeployment, kind: str, name: str, named: Mapping[str, str]) -> None:
    """Load the snapshots of a new definition beside those that definitions name already.

    Parameters
    ----------
    kind, name : str
        Of the definition, which replaces one of this name.
    named : mapping of str to str
        Snapshot IDs by the field that names them.

    Raises
    ------
    UnknownSnapshot, InvalidInput
        A snapshot does not exist; there are too many.
    """
    parts = current.open()
    for field, snapshot_id in named.items():
        try:
            known = parts.snapshots is not None and parts.snapshots.has(snapshot_id)
        except InvalidInput as error:
            raise InvalidInput(f"{field}: {error}", field=field) from None
        if not known and snapshot_id != parts.model_id:
            raise UnknownSnapshot(
                f"{field} is {snapshot_id!r:.100}, which is no snapshot of this store; list the "
                "snapshots"
            )
    if named:
        wanted = {*parts.state.definitions.models_beside(kind, name), *named.values()}
        if len(wanted - {parts.model_id}) > MAX_OTHERS:
            raise InvalidInput(
                f"scenarios and experiments would name {len(wanted - {parts.model_id})} snapshots "
                f"beside the active one; at most {MAX_OTHERS} can be loaded: stop an experiment, "
                "or change a scenario",
                field=next(iter(named)),
            )
        current.load_others(wanted, strict=True)


def models_of_scenario(fields: Mapping[str, object]) -> dict[str, str]:
    """Return the snapshot IDs in the stored fields of a scenario by the field that names them."""
    found: dict[str, str] = {}
    if isinstance(fields.get("model"), str):
        found["model"] = str(fields["model"])
    bandit = fields.get("bandit")
    policies: Iterable[tuple[str, Mapping[str, str]]] = (
        bandit["policies"].items() if isinstance(bandit, Mapping) else ()
    )
    found |= {f"bandit.policies.{n}.model": p["model"] for n, p in policies if "model" in p}
    return found
