"""MovieLens 100K in both layouts and from all sources."""

import logging
import zipfile
from pathlib import Path

import pyarrow.compute as pc
import pytest

from nearline.data import PublicDataset, load_dataset, make_dataset, read_users
from nearline.data.public.movielens import TERMS
from nearline.errors import DataNotFound, InvalidInput
from nearline.schema import Item

ORIGINAL = {
    "u.data": "1\t10\t4\t900\n1\t11\t2\t800\n2\t10\t5\t700\n",
    "u.item": (
        "10|Misérables, Les (1995)|01-Jan-1995||http://x/|0|1" + "|0" * 16 + "|1\n"
        '11|"Odd|||http://y/|1' + "|0" * 18 + "\n"
    ),
    "u.user": "1|24|M|technician|85711\n2|53|F|other|94043\n",
}
RECBOLE = {
    "ml-100k.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "1\t10\t4\t900\n1\t11\t2\t800\n2\t10\t5\t700\n",
    "ml-100k.item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    '10\tMisérables, Les\t1995\tAction Western\n11\t"Odd\tunknown\tunknown\n',
    "ml-100k.user": "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
    "1\t24\tM\ttechnician\t85711\n2\t53\tF\tother\t94043\n",
}


def store(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(parents=True)
    for name, text in files.items():
        encoding = "latin-1" if name == "u.item" else "utf-8"
        (folder / name).write_bytes(text.encode(encoding))
    return folder


@pytest.mark.parametrize("files", [ORIGINAL, RECBOLE])
def test_both_layouts_give_equal_data(tmp_path: Path, files: dict[str, str]) -> None:
    data = load_dataset("movielens-100k", store(tmp_path / "deep" / "ml-100k", files).parent)
    assert data.interactions.to_pydict() == {
        "user_id": ["1", "1", "2"],
        "item_id": ["10", "11", "10"],
        "timestamp": [900.0, 800.0, 700.0],
        "event": ["rating"] * 3,
        "value": [4.0, 2.0, 5.0],
    }
    assert data.items == [
        Item(
            item_id="10",
            timestamp=700.0,
            title="Misérables, Les",
            categories=["Action", "Western"],
            attributes={"year": 1995},
        ),
        Item(item_id="11", timestamp=800.0, title='"Odd', categories=["unknown"]),
    ]
    assert data.users is not None
    assert data.users["age"].to_pylist() == [24, 53]
    assert data.users["zip_code"].to_pylist() == ["85711", "94043"]
    assert "no passing on" in data.terms


def test_a_zip_file(tmp_path: Path) -> None:
    folder = store(tmp_path / "ml-100k", ORIGINAL)
    with zipfile.ZipFile(tmp_path / "ml.zip", "w") as packed:
        for name in ORIGINAL:
            packed.write(folder / name, f"ml-100k/{name}")
    assert load_dataset("movielens-100k", tmp_path / "ml.zip").interactions.num_rows == 3


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK no more")
    with pytest.raises(InvalidInput, match="neither a folder nor a complete zip"):
        load_dataset("movielens-100k", tmp_path / "a.zip")
    folder = store(tmp_path / "half", {"u.data": "1\t1\t1\t1\n"})
    with pytest.raises(InvalidInput, match=r"holds neither u\.data, u\.item, u\.user"):
        load_dataset("movielens-100k", folder)


def test_the_cache_is_used_without_a_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NEARLINE_DATA", raising=False)
    store(tmp_path / "movielens-100k", RECBOLE)
    notices: list[str] = []
    data = load_dataset("movielens-100k", cache=tmp_path, notify=notices.append)
    assert data.interactions.num_rows == 3
    assert notices == []


def test_the_error_says_what_to_do_if_the_download_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("NEARLINE_DATA", raising=False)
    for variable in ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")  # nothing listens there
    for setting, value in (("NO_INDEX", "1"), ("FIND_LINKS", ""), ("RETRIES", "0")):
        monkeypatch.setenv(f"PIP_{setting}", value)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with (
        caplog.at_level(logging.INFO),
        pytest.raises(DataNotFound, match=r"pip cannot fetch .*by hand .*'synthetic'"),
    ):
        load_dataset("movielens-100k", cache=tmp_path)
    assert caplog.messages == [TERMS]
    assert not any(tmp_path.iterdir())


@pytest.fixture(scope="session")
def movielens(tmp_path_factory: pytest.TempPathFactory) -> tuple[PublicDataset, list[str], Path]:
    cache = tmp_path_factory.mktemp("cache")
    notices: list[str] = []
    try:
        data = load_dataset("movielens-100k", cache=cache, notify=notices.append)
    except DataNotFound as error:
        pytest.skip(f"MovieLens cannot be fetched here: {error}")
    return data, notices, cache


def test_the_real_data_set(movielens: tuple[PublicDataset, list[str], Path]) -> None:
    data, _, _ = movielens
    assert data.interactions.num_rows == 100_000
    assert len(set(data.interactions["user_id"].to_pylist())) == 943
    assert len(data.items) == 1_682
    assert pc.mean(data.interactions["value"]).as_py() == pytest.approx(3.52986)
    assert data.interactions["item_id"].to_pylist().count("1") == 452
    first = data.items[0]
    assert (first.item_id, first.title, first.attributes) == ("1", "Toy Story", {"year": 1995})
    assert sorted(first.categories) == ["Animation", "Children's", "Comedy"]
    assert data.users is not None
    assert data.users.num_rows == 943


def test_attributes_of_the_real_users(
    movielens: tuple[PublicDataset, list[str], Path],
) -> None:
    users = movielens[0].users
    assert users is not None
    table, report = read_users(users)
    assert (table.num_rows, report.rows_dropped) == (943, 0)
    data = make_dataset(movielens[0].interactions, users=table)
    assert data.user_encoder is not None
    assert data.user_features is not None
    # Almost all zip codes are distinct.
    columns = [column.name for column in data.user_encoder.columns]
    assert columns == ["age", "gender", "occupation"]
    assert data.user_features.shape == (943, 1 + 2 + 21)
    sums = dict(zip(data.user_encoder.names, data.user_features.sum(axis=0), strict=True))
    assert (sums["gender=M"], sums["gender=F"], sums["occupation=student"]) == (670, 273, 196)
    assert data.user_encoder.columns[0].mean == pytest.approx(34.05, abs=0.01)


def test_the_real_data_set_is_downloaded_once(
    movielens: tuple[PublicDataset, list[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, notices, cache = movielens
    if (Path(cache) / "movielens-100k").exists():  # else it came from NEARLINE_DATA
        assert notices == [TERMS]
        again = load_dataset("movielens-100k", cache=cache, notify=notices.append)
        assert notices == [TERMS]
        assert again.interactions.equals(data.interactions)
        assert [entry.name for entry in cache.iterdir()] == ["movielens-100k"]
