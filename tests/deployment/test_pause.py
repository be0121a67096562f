"""An import pauses online learning at any moment, also while an event is being learned."""

from typing import Any

import pytest

from nearline.deployment.online_learner import OnlineLearner
from nearline.engine import Recommender


def test_a_pause_while_an_event_is_learned_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    learn = OnlineLearner._observe

    def learn_then_pause(learner: OnlineLearner, *arguments: Any) -> None:
        learn(learner, *arguments)
        learner._learner = None

    with Recommender() as rec:
        rec.observe("u", "i")
        monkeypatch.setattr(OnlineLearner, "_observe", learn_then_pause)
        rec.observe("u", "j")
        rec.observe("u", "k")
        assert len(rec.user("u").history) == 3
