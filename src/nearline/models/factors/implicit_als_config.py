"""Settings of `ImplicitAls`."""

from msgspec import Struct

from nearline.models.settings import require, require_one_of


class ImplicitAlsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `ImplicitAls`.

    Attributes
    ----------
    factors : int
        Number of factors, 1 to 1024.
    regularization : float
        L2 penalty on the factors, at least 1e-6; below that, single precision is not sufficient.
    alpha : float
        Increase of the confidence, which is at least 1, per unit of weight; above 0.
    iterations : int
        Number of sweeps over users and items, at least 1.
    solver : str
        ``"cg"``, conjugate gradients that start from the previous sweep, or ``"cholesky"``, which
        is exact and takes O(factors^2) time per interaction.
    cg_steps : int
        Number of conjugate gradient steps in each half-sweep, at least 1.
    """

    factors: int = 64
    regularization: float = 10.0
    alpha: float = 3.0
    iterations: int = 10
    solver: str = "cg"
    cg_steps: int = 2

    def __post_init__(self) -> None:
        require(self, "factors", 1, 1024)
        require(self, "regularization", 1e-6, 1e9)
        require(self, "alpha", 0, 1e9, above=True)
        require(self, "iterations", 1, 10_000)
        require_one_of(self, "solver", ("cg", "cholesky"))
        require(self, "cg_steps", 1, 1_000)
