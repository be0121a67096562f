"""Damaged files of a store: opening it succeeds or raises an error of `nearline.errors`.

    python -m benchmarks.robustness.fuzz_files TARGET SEED NUMBER SECONDS FOLDER

Input n depends only on the seed and on n. For each, a line of JSON is printed.
"""

import json
import logging
import random
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
import msgspec
import numpy as np
from benchmarks.robustness.fuzz_requests import damaged, mutated
from safetensors.numpy import load_file, save_file

import nearline as nl
from nearline.config import Config
from nearline.errors import NearlineError, UnknownItem, UnknownUser
from nearline.schema import RecommendationRequest
from nearline.snapshots import manifest as manifests
from nearline.snapshots.arrays import TAGS, describe
from nearline.state import checkpoint as checkpoints

MEMORY_MB = 1_000
# An input in this share has a correct checksum, so that the code behind it is reached.
SEALED = 0.6
MODELS = (
    *("item_graph", "popularity", "item_knn", "user_knn", "implicit_als", "bpr", "ease", "slim"),
    *("rp3beta", "content", "hybrid_weighted"),
)
NOW = 1.75e9


def make_store(folder: Path, model: str, seed: int) -> None:
    """Create a store with events of several kinds, contexts, a catalogue, and a trained model."""
    rng = random.Random(seed)
    settings = {"search": {"evaluations": 0}} if model == "item_graph" else {}
    items = [
        nl.Item(
            item_id=f"i{n}",
            timestamp=NOW,
            title=f"title {n % 7}",
            text=" ".join(f"word{rng.randrange(50)}" for _ in range(8)),
            categories=[f"c{n % 3}"],
            attributes={"price": n, "tags": ["a", f"t{n % 4}"]},
            vectors={"v": [rng.random() for _ in range(4)]},
        )
        for n in range(40)
    ]
    events = [
        nl.Event(
            user_id=f"u{n % 30}",
            item_id=f"i{rng.randrange(40)}",
            event=rng.choice(("view", "purchase", "dislike", "rating")),
            value=float(rng.randrange(1, 6)),
            event_id=f"e{n}",
            timestamp=NOW + 60.0 * n,
            context={"country": rng.choice("ABC"), "hour": rng.randrange(24)},
        )
        for n in range(600)
    ]
    with nl.Recommender(folder, config=Config(model=model, settings=settings)) as engine:
        engine.put_items(items).result()
        engine.append_events(events).result()
        engine.forget("u29").result()
        engine.delete_item("i39").result()
        engine.fit(seed=seed)
        engine.observe("u1", "new", timestamp=NOW + 50_000.0)


def use(folder: Path) -> str:
    """Open a store, and call the methods that read and change its parts; return what was open."""
    with nl.Recommender(folder) as engine:
        outcome = "opened" if engine.model_id != "untrained" else "opened without a model"
        engine.recommend("u1", k=10)
        engine.recommend("u2", k=5, context={"country": "A"}, category="c1", explain=True)
        engine.recommend("nobody", k=5, preferences="word1 word2")
        engine.answer(RecommendationRequest(history=("i1", "i2", "new"), k=5))
        engine.recommend_many(["u2", "u3", "u4"], k=5)
        engine.similar("i1", k=5)
        engine.rank("u1", ["i1", "i5", "i39"])
        for name in ("u1", "u2", "u3"):
            with suppress(UnknownUser):  # the log may be cut off
                engine.user(name)
        with suppress(UnknownItem):
            engine.explain("u1", "i2")
            engine.item("i3")
        engine.observe("u5", "i7", timestamp=NOW + 60_000.0)
        engine.observe("u6", "i8", "dislike", timestamp=NOW, context={"country": "B"})
        engine.put_item("fresh", title="title 1", vectors={"v": [1.0, 0.0, 0.0, 0.0]})
        engine.recommend("u5", k=40)
        engine.forget("u1").result()
        engine.delete_event("e5").result()
        engine.recommend("u3", k=40)
    with nl.Recommender(folder) as engine:
        engine.recommend("u3", k=5)
    return outcome


def damage_array(array: Any, rng: random.Random) -> Any:
    """Return an array with other values, another length, shape or type."""
    kind = rng.random()
    if kind < 0.6 and array.size:
        changed = array.copy()
        for _ in range(rng.choice((1, 1, 10))):
            at = rng.randrange(changed.size)
            if changed.dtype.kind == "f":
                changed.flat[at] = rng.choice((0.0, -1.0, 1e30, -1e30, 1e-40, 3.0))
            elif changed.dtype.kind == "b":
                changed.flat[at] = not changed.flat[at]
            else:
                info = np.iinfo(changed.dtype)
                near = (
                    0,
                    1,
                    int(changed.flat[at]) + 1,
                    info.max,
                    info.min,
                    rng.randrange(1_000),
                    2**40,
                )
                changed.flat[at] = np.clip(int(rng.choice(near)), info.min, info.max)
        return changed
    if kind < 0.75:
        return array[: rng.randrange(len(array) + 1)] if array.ndim else array
    if kind < 0.85:
        return np.concatenate((array, array[: rng.randrange(1, 20)])) if array.ndim else array
    if kind < 0.92:
        return np.ascontiguousarray(array.reshape(-1) if array.ndim > 1 else array[:, None])
    with np.errstate(all="ignore"):
        return np.nan_to_num(array).astype(rng.choice(list(TAGS)), copy=False)


def encodable(value: Any) -> bool:
    """Return whether a value can be written as JSON and MessagePack."""
    try:
        msgspec.json.encode(value)
        msgspec.msgpack.encode(value)
    except (OverflowError, UnicodeEncodeError, ValueError, TypeError):
        return False
    return isinstance(value, dict)


def damage_file(path: Path, rng: random.Random) -> str:
    path.write_bytes(damaged(path.read_bytes(), rng))
    return f"bytes of {path.name}"


def damage_snapshot(folder: Path, rng: random.Random) -> str:
    """Damage the promoted snapshot; return what was changed."""
    snapshots = folder / "snapshots"
    snapshot = snapshots / (snapshots / "PROMOTED").read_text().split()[-1]
    if rng.random() > SEALED:
        names = [
            snapshots / "PROMOTED",
            snapshot / "manifest.json",
            snapshot / "arrays.safetensors",
        ]
        return damage_file(rng.choice(names), rng)
    manifest = json.loads((snapshot / "manifest.json").read_bytes())
    changed = "manifest"
    if rng.random() < 0.2:
        specs = manifest.pop("arrays")
        fresh = mutated(manifest, rng)
        manifest = {**(fresh if encodable(fresh) else manifest), "arrays": specs}
    else:
        arrays = load_file(snapshot / "arrays.safetensors")
        name = rng.choice(sorted(arrays))
        arrays[name] = np.asarray(damage_array(arrays[name], rng), order="C")
        changed = f"array {name} of {manifest['model']}"
        save_file(arrays, snapshot / "arrays.safetensors")
        spec = describe(arrays[name])
        manifest["arrays"][name] = msgspec.to_builtins(spec)
    identity, content = "0" * 16, msgspec.json.encode(manifest)
    with suppress(msgspec.ValidationError):  # then it is refused whatever its ID
        made = msgspec.convert({**manifest, "id": identity}, manifests.Manifest)
        identity = manifests.id_of(made)
        content = manifests.encode(msgspec.structs.replace(made, id=identity))
    (snapshot / "manifest.json").write_bytes(content)
    snapshot.rename(snapshots / identity)
    (snapshots / "PROMOTED").write_text(f"{identity}\n")
    return changed


def damage_checkpoint(folder: Path, rng: random.Random) -> str:
    """Damage the checkpoint; return what was changed."""
    path = folder / "state.checkpoint"
    if rng.random() > SEALED:
        return damage_file(path, rng)
    header, sections = checkpoints._read(memoryview(path.read_bytes()), path)
    if rng.random() < 0.2:
        fields = {"offset": header.offset, "erasures": header.erasures, "config": header.config}
        offset = rng.choice((0, -1, 1, header.offset - 5, 2**62, header.offset // 2))
        fields["offset"], changed = offset, f"offset {offset}"
        shown = [(n, a.dtype.str, len(a)) for n, a in sections.items()]
        if rng.random() < 0.5:
            at = rng.randrange(len(shown))
            shown[at] = rng.choice(
                (
                    (
                        shown[at][0],
                        rng.choice(("<i8", "<f8", "|u1", "|O", "x", "<U4")),
                        shown[at][2],
                    ),
                    (shown[at][0], shown[at][1], rng.choice((-1, 0, 2**40, 3))),
                    ("other", shown[at][1], shown[at][2]),
                )
            )
            changed = f"sections {shown[at]}"
        header = msgspec.structs.replace(header, **fields, sections=shown)
    else:
        name = rng.choice(sorted(sections))
        section = np.array(sections[name])
        if section.dtype == np.uint8 and rng.random() < 0.7:  # MessagePack
            value = mutated(msgspec.msgpack.decode(section.data), rng)
            try:
                section = np.frombuffer(msgspec.msgpack.encode(value), np.uint8)
            except (OverflowError, UnicodeEncodeError):
                section = section[:-1]
        else:
            section = np.ascontiguousarray(damage_array(section, rng).reshape(-1))
        sections[name], changed = section, f"section {name}"
        shown = [(n, a.dtype.str, len(a)) for n, a in sections.items()]
        header = msgspec.structs.replace(header, sections=shown)
    path.write_bytes(b"".join(checkpoints._parts(header, sections)))
    return changed


def damage_log(folder: Path, rng: random.Random) -> str:
    """Damage the log; return what was changed."""
    path = folder / "log.db"
    if rng.random() < 0.3:  # let the whole log be read
        (folder / "state.checkpoint").unlink()
    if rng.random() > SEALED:
        return damage_file(path, rng)
    db = apsw.Connection(str(path))
    try:
        db.pragma("journal_mode", "delete")
        kind = rng.choice(("payload", "payload", "payload", "meta", "keys", "offset", "sql"))
        at = rng.randrange(db.execute("SELECT count(*) FROM log").get)
        if kind == "payload":
            payload = db.execute("SELECT payload FROM log WHERE offset = ?", (at,)).get
            try:
                fresh = msgspec.msgpack.encode(mutated(msgspec.msgpack.decode(payload), rng))
            except (OverflowError, UnicodeEncodeError, msgspec.DecodeError):
                fresh = damaged(payload, rng)
            if rng.random() < 0.3:
                fresh = damaged(payload, rng)
            db.execute("UPDATE log SET payload = ? WHERE offset = ?", (fresh, at))
        elif kind == "meta":
            name = rng.choice(("erasures", "indexed"))
            number = rng.choice((-1, 0, 1, at, 2**40, 2**63 - 1))
            db.execute("UPDATE meta SET value = ? WHERE name = ?", (number, name))
        elif kind == "keys":
            table = rng.choice(("users", "event_ids"))
            order = rng.choice(("DELETE FROM {0}", "UPDATE {0} SET offset = offset + 7"))
            db.execute(order.format(table))
        elif kind == "offset":
            moved = rng.choice((-1, -5, 2**40, 2**63 - 1, at + 10_000))
            db.execute("UPDATE log SET offset = ? WHERE offset = ?", (moved, at))
        else:
            db.execute(
                rng.choice(
                    (
                        "DROP TABLE event_ids",
                        "DROP TABLE meta",
                        "DELETE FROM meta",
                        "ALTER TABLE log RENAME COLUMN payload TO p",
                        "DELETE FROM log WHERE offset % 3 = 0",
                        "DELETE FROM log",
                        "PRAGMA user_version = 99",
                        "PRAGMA user_version = -1",
                        "PRAGMA user_version = 1",
                        "CREATE TRIGGER t AFTER INSERT ON log BEGIN DELETE FROM log; END",
                    )
                )
            )
    except apsw.Error as error:
        return f"{kind} failed: {error}"
    finally:
        db.close()
    return f"{kind} at {at}"


FILES: dict[str, Callable[[Path, random.Random], str]] = {
    "snapshot": damage_snapshot,
    "checkpoint": damage_checkpoint,
    "log": damage_log,
}


def try_input(folder: Path, target: str, seed: int, number: int) -> dict[str, Any]:
    """Damage a copy of a store and use it; return the outcome."""
    rng = random.Random(f"{seed} {target} {number}")
    model = rng.choice(MODELS) if target == "snapshot" else MODELS[0]
    whole, copy = folder / model, folder / "damaged"
    if not whole.exists():
        make_store(folder / "partial", model, seed)
        (folder / "partial").rename(whole)
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(whole, copy)
    changed = FILES[target](copy, rng)
    finding, forget_peak = None, Path("/proc/self/clear_refs")
    if forget_peak.exists():
        forget_peak.write_text("5")
    try:
        outcome = use(copy)
    except NearlineError as error:
        outcome = type(error).__name__
    except Exception as error:
        outcome = "crashed"
        frames = traceback.extract_tb(error.__traceback__)
        places = [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames[-4:]]
        finding = f"{changed}: {error!r:.200} at {' > '.join(places)}"
    memory = peak_memory_mb()
    if finding is None and memory > MEMORY_MB:
        finding = f"{changed}: {memory:.0f} MB"
    return {"number": number, "outcome": outcome, "finding": finding, "memory_mb": memory}


def peak_memory_mb() -> float:
    """Return the peak of the resident memory since it was last reset, in MB."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    line = next(one for one in status.read_text().splitlines() if one.startswith("VmHWM"))
    return int(line.split()[1]) * 1_024 / 1e6


def main() -> None:
    """Try inputs from a number on until the time is over."""
    target, seed, number, seconds, folder = sys.argv[1:]
    logging.disable(logging.CRITICAL)
    Path(folder).mkdir(parents=True, exist_ok=True)
    at, end = int(number), time.perf_counter() + float(seconds)
    while time.perf_counter() < end:
        print(json.dumps(try_input(Path(folder), target, int(seed), at)), flush=True)
        at += 1


if __name__ == "__main__":
    main()
