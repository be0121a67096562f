"""Compilation of the kernels before they are needed."""

from tempfile import TemporaryDirectory


def compile_kernels() -> None:
    """Compile the kernels that training and serving need, into the compiler's cache.

    Trains and asks a small recommender in memory. Takes about a minute on two cores the first time,
    and a few seconds once the kernels are there.
    """
    from nearline.data import synthetic_shop
    from nearline.engine import Recommender
    from nearline.server.host import load_kernels

    shop = synthetic_shop(users=200, items=60, events=3_000, seed=0)
    with Recommender() as untrained:
        untrained.put_item("a", title="green tea")
        untrained.observe(user_id="u", item_id="a")
        untrained.recommend("u", explain=True)
    with Recommender() as rec:
        rec.put_items(shop.items).result()
        rec.fit(shop.interactions)
        user, item = shop.interactions["user_id"][0].as_py(), shop.items[0].item_id
        rec.observe(user_id=user, item_id=item)
        for diversity in (0.0, 0.5):
            rec.recommend(user, explain=True, diversity=diversity)
        rec.recommend_many()
        rec.similar(item)
        rec.explain(user, item)
        rec.rank(user, [item])
        rec.search("a")
        rec.trending()
    load_kernels()
    with TemporaryDirectory() as folder:
        with Recommender(folder) as rec:
            rec.fit(shop.interactions)
        # A snapshot is read from files, whose arrays cannot be written: kernels differ by that.
        with Recommender(folder) as rec:
            rec.recommend(user, explain=True)
            rec.similar(item)
            rec.observe(user_id=user, item_id=item)
            rec.recommend(user)
