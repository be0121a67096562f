from nearline.models.item_graph.config import Vectors
from nearline.models.registry import make_model
from nearline.models.sequence.sequence_model import SequenceObjective
from nearline.models.sequence.training_config import TrainingConfig


def test_missing_settings_have_the_defaults_of_the_model() -> None:
    ncf = make_model("ncf", {"training": {"epochs": 3}}).config
    assert ncf.training == TrainingConfig(epochs=3, rate=0.003)
    towers = make_model("two_tower", {"objective": {"temperature": 0.2}}).config
    assert towers.objective == SequenceObjective(unit=True, temperature=0.2, in_batch=1024)
    graph = make_model("item_graph", {"vectors": {"look": {"power": 2.0}}}).config
    assert graph.vectors == {"look": Vectors(power=2.0)}
