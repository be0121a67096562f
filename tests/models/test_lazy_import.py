"""Model classes by class name from `nearline.models`, loaded when they are asked for."""

import subprocess
import sys

import pytest

import nearline.models
from nearline.models.registry import discover


@pytest.mark.parametrize("kind", discover().values(), ids=lambda kind: kind.name)
def test_every_model_class_is_an_attribute(kind: type) -> None:
    assert getattr(nearline.models, kind.__name__) is kind


def test_other_names_are_rejected() -> None:
    for name in ("NoSuchModel", "no_such_module"):
        with pytest.raises(AttributeError, match=f"no attribute or model class '{name}'"):
            getattr(nearline.models, name)


def test_only_the_requested_class_is_loaded() -> None:
    code = (
        "import sys, nearline.models as m\n"
        "assert 'nearline.models.base' not in sys.modules\n"
        "from nearline.models import Ease\n"
        "assert Ease.name == 'ease'\n"
        "assert 'nearline.models.factors.bpr' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_serving_imports_neither_scipy_nor_narwhals() -> None:
    code = (
        "import sys, nearline as nl, nearline.server\n"
        "rec = nl.Recommender()\n"
        "rec.put_item('tea', text='green tea')\n"
        "rec.observe('ann', 'tea')\n"
        "rec.recommend('ben')\n"
        "print({'scipy.sparse', 'narwhals'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
