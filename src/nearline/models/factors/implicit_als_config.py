"""Settings of `ImplicitAls`."""

from msgspec import Struct

from nearline.models.settings import require, require_one_of


class ImplicitAlsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `ImplicitAls`.

    Attributes
    ----------
    factors : int
        Length of a factor, 1 to 1024.
    regularization : float
        Penalty l2 on squared factors; at least 1e-6, below which single precision fails.
    alpha : float
        Confidence that a unit of weight adds to the 1 of every pair of user and item; above 0.
    iterations : int
        Sweeps over users and items, at least 1.
    solver : str
        ``"cg"``, conjugate gradients from where the last sweep ended, or ``"cholesky"``, exact
        and O(factors^2) an interaction.
    cg_steps : int
        Steps of ``"cg"`` in each half-sweep, at least 1.
    """

    factors: int = 64
    regularization: float = 10.0
    alpha: float = 3.0
    iterations: int = 10
    solver: str = "cg"
    cg_steps: int = 2

    def __post_init__(self) -> None:
        require(self, "factors", 1, 1024)
        require(self, "regularization", 1e-6)
        require(self, "alpha", 0, above=True)
        require(self, "iterations", 1)
        require_one_of(self, "solver", ("cg", "cholesky"))
        require(self, "cg_steps", 1)
