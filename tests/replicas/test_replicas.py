"""Servers that share a log: what one stores, all reflect; promotions and erasures reach all."""

import pytest
from tests.replicas.conftest import OpenReplica
from tests.replicas.digest import digest, same_offset

from nearline.engine import Recommender
from nearline.errors import StaleLease, StoreInUse
from nearline.log import SharedLog
from nearline.testing.log_case import WAIT, event

pytestmark = pytest.mark.servers


def log_of(engine: Recommender) -> SharedLog:
    log = engine._current.deployment.log
    assert isinstance(log, SharedLog)
    return log


def fill(*engines: Recommender) -> None:
    """Store events of 20 users, in turn through each engine."""
    for number in range(60):
        engine = engines[number % len(engines)]
        user, item = number % 20, (number + number // 20) % 9
        engine.observe(user_id=f"u{user}", item_id=f"i{item}", timestamp=1e9 + number)


def test_replicas_are_equal_to_a_single_server(replica: OpenReplica) -> None:
    first, second, third = replica("a"), replica("b"), replica("c")
    fill(first, second, third)
    first.put_item("i1", title="green tea")
    second.delete_item("i2").result(WAIT)
    same_offset(first, second, third)
    records = [record for _, record in log_of(first).read()]
    third.forget("u3").result(WAIT)
    same_offset(first, second, third)
    assert digest(first) == digest(second) == digest(third)
    with Recommender() as alone:  # the oracle: one server
        alone._current.deployment.log.append(records).result(WAIT)  # type: ignore[arg-type]
        alone.forget("u3").result(WAIT)
        assert digest(alone) == digest(first)


def test_a_promotion_reaches_all_servers(replica: OpenReplica) -> None:
    first, second = replica("a"), replica("b")
    fill(first)
    first.fit()
    same_offset(first, second)
    assert second.model_id == first.model_id != "untrained"
    assert digest(first) == digest(second)
    before = first.model_id
    second.fit(seed=1)
    same_offset(first, second)
    second.versions.rollback()
    same_offset(first, second)
    assert first.model_id == second.model_id == before
    third = replica("c")  # opened later
    same_offset(first, third)
    assert third.model_id == before


def test_only_one_server_trains_and_a_stale_one_promotes_nothing(replica: OpenReplica) -> None:
    first, second = replica("a"), replica("b")
    fill(first)
    log = log_of(first)
    lease = log.lease("training", 60.0)
    assert lease is not None
    assert log.lease("training", 60.0) == lease  # kept
    with pytest.raises(StoreInUse, match="another server"):
        second.fit()
    log.release(lease)
    second.fit()
    with pytest.raises(StaleLease, match="training"):
        log.append_under(lease, [event("u")]).result(WAIT)
    assert [v.serving for v in second.versions.list()] == [True]


def test_an_erasure_is_complete_once_every_server_has_forgotten(replica: OpenReplica) -> None:
    first, second = replica("a"), replica("b")
    fill(first)
    first.forget("u3").result(WAIT)
    # The second server has acknowledged before the records were overwritten.
    assert second.stamp is not None
    assert second.stamp.erasures == 1
    same_offset(first, second)
    assert digest(first) == digest(second)
