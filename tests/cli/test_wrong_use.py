"""A hundred wrong command lines: each error names the bad value, what is allowed and what to do.

None of them shows a traceback, since `run` raises unexpected exceptions.
"""

import shlex
from pathlib import Path

import pytest
from tests.cli.running import run

# Command line, the bad value as the message shows it, and what the message says is allowed or
# comes next. STORE, EVENTS, ITEMS and FOLDER stand for paths of a small trained store, its files
# and an empty folder.
WRONG = [
    # Commands and options that do not exist.
    ("recomend u1", "recomend", "recommend"),
    ("Import EVENTS", "Import", "import"),
    ("recommend --store STORE u1 --kk 3", "--kk", "--k"),
    ("recommend --store STORE u1 --catgory red", "--catgory", "--category"),
    ("import --store FOLDER/s EVENTS --colum user_id=u", "--colum", "--column"),
    ("import --store FOLDER/s EVENTS --item ITEMS", "--item", "--items"),
    ("train --store STORE --sed 1", "--sed", "--seed"),
    ("serve --store STORE --prot 80", "--prot", "--port"),
    ("export --store STORE FOLDER/x --user f.csv", "--user", "--users"),
    ("evaluate EVENTS --spilt time", "--spilt", "--split"),
    # Arguments that are missing or too many.
    ("recommend --store STORE", "USER", "nearline recommend --help"),
    ("similar --store STORE", "ITEM", "nearline similar --help"),
    ("explain --store STORE u1", "ITEM", "nearline explain --help"),
    ("export --store STORE", "FOLDER", "nearline export --help"),
    ("promote --store STORE", "ID", "nearline promote --help"),
    ("evaluate", "DATA", "nearline evaluate --help"),
    ("recommend u1", "--store", "NEARLINE_STORE"),
    ("train", "--store", "NEARLINE_STORE"),
    ("serve", "--store", "NEARLINE_STORE"),
    ("import EVENTS", "--store", "NEARLINE_STORE"),
    ("recommend --store STORE u1 u2", "u2", "nearline recommend --help"),
    ("train --store STORE EVENTS", "events.csv", "nearline train --help"),
    # Numbers that are not numbers, or out of range.
    ("recommend --store STORE u1 -k ten", "ten", "1<=x<=1000"),
    ("recommend --store STORE u1 -k 0", "0", "1<=x<=1000"),
    ("recommend --store STORE u1 -k -5", "-5", "1<=x<=1000"),
    ("recommend --store STORE u1 -k 1001", "1001", "1<=x<=1000"),
    ("recommend --store STORE u1 -k 3.5", "3.5", "1<=x<=1000"),
    ("similar --store STORE r1 -k 0", "0", "1<=x<=1000"),
    ("export --store STORE FOLDER/x -k 5000", "5000", "1<=x<=1000"),
    ("train --store STORE --seed -1", "-1", "0<=x<=4294967295"),
    ("train --store STORE --seed one", "one", "0<=x<=4294967295"),
    ("train --store STORE --search -1", "-1", "x>=0"),
    ("serve --store STORE --port 0", "0", "1<=x<=65535"),
    ("serve --store STORE --port 65536", "65536", "1<=x<=65535"),
    ("serve --store STORE --port http", "http", "1<=x<=65535"),
    ("evaluate EVENTS --fraction 0", "0", "0<x<1"),
    ("evaluate EVENTS --fraction 1.5", "1.5", "0<x<1"),
    ("evaluate EVENTS --fraction half", "half", "0<x<1"),
    ("evaluate EVENTS -k 0", "0", "1<=x<=1000"),
    ("evaluate EVENTS --seed -3", "-3", "0<=x<=4294967295"),
    # Names that are not among the choices.
    ("evaluate EVENTS --split random-ish", "random-ish", "leave-one-out"),
    ("evaluate EVENTS --protocol loose", "loose", "strict"),
    ("evaluate movielens-1k", "movielens-1k", "movielens-100k"),
    ("train --store STORE --model itemgraph", "itemgraph", "item_graph"),
    ("train --store STORE --model eaze", "eaze", "ease"),
    ("train --store STORE --model ease --set l3=5", "l3", "l2"),
    ("train --store STORE --model ease --set l2=many", "many", "l2"),
    ("train --store STORE --model ease --set l2=-1", "-1", "l2"),
    ("train --store STORE --model ease --set l2", "l2", "NAME=VALUE"),
    ("train --store STORE --model ease --set =5", "=5", "NAME=VALUE"),
    ("train --store STORE --model svd", "svd", "nearline compare --ratings"),
    ("models itemgraph", "itemgraph", "item_graph"),
    ("compare EVENTS --models ease,eaze", "eaze", "ease"),
    ("replay movielens", "movielens", "movielens-100k"),
    ("bench hot-reads", "hot-reads", "hot-read"),
    # Files.
    ("import --store FOLDER/s FOLDER/event.csv", "event.csv", "there is no file"),
    ("import --store FOLDER/s", "FILE", "--items"),
    ("import --store FOLDER/s FOLDER", "FOLDER", "file"),
    ("import --store FOLDER/s EVENTS --items FOLDER/none.csv", "none.csv", "there is no file"),
    ("import --store FOLDER/s FOLDER/notes.xyz", "notes.xyz", ".csv"),
    ("import --store FOLDER/s FOLDER/empty.csv", "empty.csv", "is empty"),
    ("import --store FOLDER/s FOLDER/broken.parquet", "broken.parquet", "Parquet"),
    ("import --store FOLDER/s FOLDER/binary.csv", "binary.csv", "--encoding"),
    ("import --store FOLDER/s FOLDER/header.csv", "header.csv", "rows"),
    ("import --store FOLDER/s FOLDER/foreign.csv", "customer", "--column"),
    ("import --store FOLDER/s EVENTS --time-format fortnight", "fortnight", "yyyymmdd"),
    ("import --store FOLDER/s EVENTS --column user_id=custommer", "custommer", "user_id"),
    ("import --store FOLDER/s EVENTS --column user=user_id", "user=user_id", "'user_id'"),
    ("import --store FOLDER/s EVENTS --column user_id", "user_id", "FIELD=COLUMN"),
    ("import --store FOLDER/s EVENTS --column =user_id", "=user_id", "FIELD=COLUMN"),
    ("import --store FOLDER/s EVENTS --encoding utf-9", "utf-9", "latin-1"),
    ("import --store FOLDER/s EVENTS --separator ,,,", "'user_id,item_id", "--separator ','"),
    ("evaluate FOLDER/event.csv", "event.csv", "there is no file"),
    ("evaluate EVENTS --items FOLDER/none.csv", "none.csv", "there is no file"),
    ("export --store STORE FOLDER/x --users FOLDER/none.csv", "none.csv", "there is no file"),
    ("export --store STORE FOLDER/x --users ITEMS", "items.csv", "user_id"),
    ("export --store STORE EVENTS", "events.csv", "folder"),
    # Stores.
    ("recommend --store FOLDER u1", "FOLDER", "nearline import --store"),
    ("recommend --store FOLDER/none u1", "none", "nearline import --store"),
    ("recommend --store EVENTS u1", "events.csv", "nearline import --store"),
    ("train --store FOLDER/none", "none", "nearline import --store"),
    ("similar --store FOLDER/none r1", "none", "nearline import --store"),
    ("explain --store FOLDER/none u1 r1", "none", "nearline import --store"),
    ("export --store FOLDER/none FOLDER/x", "none", "nearline import --store"),
    ("snapshots --store FOLDER/none", "none", "nearline import --store"),
    ("promote --store FOLDER/none 0123456789abcdef", "none", "nearline import --store"),
    ("rollback --store FOLDER/none", "none", "nearline import --store"),
    ("serve --store EVENTS", "events.csv", "folder"),
    ("import --store EVENTS EVENTS", "events.csv", "folder"),
    ("doctor --store FOLDER/none", "none", "nearline import --store"),
    # Ids, contexts and addresses.
    ("similar --store STORE r9", "r9", "neither events nor"),
    ("explain --store STORE u1 r9", "r9", "neither events nor"),
    ("promote --store STORE xyz", "xyz", "16 hex digits"),
    ("promote --store STORE 0123456789abcdef", "0123456789abcdef", "nearline snapshots"),
    ("rollback --store STORE", "promoted before", "train again"),
    ("recommend --store STORE u1 --context country", "country", "NAME=VALUE"),
    ("recommend --store STORE u1 --context =FR", "=FR", "NAME=VALUE"),
    ("recommend --store STORE u1 --rerank", "rerank", "--llm-url"),
    ("recommend --store STORE u1 --llm-url nonsense --llm-model m", "nonsense", "http"),
    ("recommend --store STORE u1 --llm-url http://127.0.0.1:9/v1", "llm", "--llm-model"),
    ("serve --store STORE --host example", "example", "localhost"),
    ("serve --store STORE --host 0.0.0.0", "0.0.0.0", "API key"),
    ("train --store STORE --encoder FOLDER/none", "none", "encoder"),
    ("similar --store STORE ''", "item_id is empty", "1 to 512 bytes"),
    ("recommend --store STORE ''", "user_id is empty", "1 to 512 bytes"),
    # Options of lists.
    ("recommend --store STORE u1 --repeats sometimes", "sometimes", "exclude, include, auto"),
    ("recommend --store STORE u1 --diversity 2", "2.0", "0<=x<=1"),
    ("recommend --store STORE u1 --diversity much", "much", "0<=x<=1"),
    ("recommend --store STORE u1 --diversity-method magic", "magic", "mmr or dpp"),
    ("recommend --store STORE u1 --calibration -1", "-1.0", "0<=x<=1"),
    ("recommend --store STORE u1 --max-per brand", "'brand'", "NAME=VALUE"),
    ("recommend --store STORE u1 --max-per brand=0", "is 0", "from 1 to 1,000"),
    ("recommend --store STORE u1 --max-per brand=two", "'two'", "a whole number"),
    ("recommend --store STORE u1 --scenario nonesuch", "nonesuch", "none is stored"),
    ("recommend --store STORE u1 --scenario ''", "scenario is empty", "1 to 512 bytes"),
    ("recommend --store STORE u1 --cursor rubbish", "rubbish", "leave cursor out"),
    ("recommend --store STORE u1 --exclude ''", "exclude is empty", "1 to 512 bytes"),
    ("recommend --store STORE u1 --history ''", "history is empty", "1 to 512 bytes"),
    ("export --store STORE FOLDER/x --scenario nonesuch", "nonesuch", "none is stored"),
    ("export --store STORE FOLDER/x --max-per brand=0", "is 0", "from 1 to 1,000"),
    ("evaluate EVENTS --repeats never", "never", "'exclude', 'include', 'auto'"),
    ("train --store STORE --weights view=nan", "nan", "from -1e6 to 1e6"),
    # Scenarios and rules.
    ("scenarios remove --store STORE home", "remove", "nearline scenarios --help"),
    ("scenarios put --store STORE", "NAME", "nearline scenarios put --help"),
    ("scenarios put --store STORE '' -k 5", "name is empty", "1 to 512 bytes"),
    ("scenarios put --store STORE home -k 0", "0", "1<=x<=1000"),
    ("scenarios put --store STORE home --repeats sometimes", "sometimes", "auto"),
    ("scenarios delete --store STORE nonesuch", "nonesuch", "none is stored"),
    ("scenarios list --store FOLDER/none", "none", "nearline import --store"),
    ("rules put --store STORE r", "none of them", "exactly one of pin, bury and scale"),
    ("rules put --store STORE r --pin r1", "--pin", "--position"),
    ("rules put --store STORE r --pin r1 --position 0", "0", "1<=x<=1000"),
    ("rules put --store STORE r --pin r9 --position 1", "r9", "store the item first"),
    ("rules put --store STORE r --scale 'price < 3'", "--scale", "--factor"),
    ("rules put --store STORE r --scale 'price < 3' --factor -2", "-2.0", "0<=x<="),
    ("rules put --store STORE r --pin r1 --position 1 --from soon", "soon", "RFC 3339"),
    ("rules delete --store STORE nonesuch", "nonesuch", "none is stored"),
    ("rules list --store FOLDER/none", "none", "nearline import --store"),
    # Users.
    ("user --store STORE nobody", "nobody", "neither events nor"),
    ("user --store STORE u1 --set age", "'age'", "NAME=VALUE"),
    ("critique --store STORE u1 --more-like r9", "r9", "name an item of a list"),
    ("critique --store STORE u1 --less-of =red", "=red", "NAME=VALUE"),
    ("critique --store STORE u1 --revoke nonesuch", "nonesuch", "list the critiques"),
    ("critique --store STORE u1 --more-like r1 --not r2", "more_like and not", "exactly one"),
    ("critique --store STORE u1 --lasting", "--lasting", "--more-like"),
    ("import --store FOLDER/s --users ITEMS", "user_id", "--column"),
    # Settings.
    ("config chek", "chek", "check"),
    ("config check", "--store", "--config"),
    ("config check --store FOLDER/none", "none", "--config"),
    ("config check --config FOLDER/none.toml", "none.toml", "name a file of settings"),
    ("config check --config EVENTS", "events.csv", "line 1"),
    ("config check --config FOLDER/unknown.toml", "state.histry", "did you mean"),
    ("recommend --store STORE u1 --config FOLDER/none.toml", "none.toml", "name a file"),
    ("info --store FOLDER/none", "none", "nearline import --store"),
    ("import --store FOLDER/s EVENTS --item-column title=name", "--item-column", "--items"),
    (
        "import --store FOLDER/s EVENTS --items ITEMS --item-column title=nam",
        "--item-column title=nam",
        "'title'",
    ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of files, each with one error."""
    folder = tmp_path_factory.mktemp("FOLDER")
    (folder / "notes.xyz").write_text("user_id,item_id\na,b\n")
    (folder / "empty.csv").touch()
    (folder / "broken.parquet").write_bytes(b"PAR1 and nothing else")
    (folder / "binary.csv").write_bytes(b"user_id,item_id\n\xff\xfe\xfa,b\n")
    (folder / "header.csv").write_text("user_id,item_id\n")
    (folder / "unknown.toml").write_text("[state]\nhistry = 3\n")
    (folder / "foreign.csv").write_text("customer,product\na,b\n")
    return folder


def test_there_are_a_hundred() -> None:
    assert len(WRONG) >= 100
    assert len({line for line, _, _ in WRONG}) == len(WRONG)


@pytest.mark.parametrize(("line", "bad", "allowed"), WRONG, ids=[line for line, _, _ in WRONG])
def test_a_wrong_command_line_says_what_is_wrong_and_what_to_do(
    line: str, bad: str, allowed: str, shop: Path, folder: Path
) -> None:
    places = {
        "STORE": str(shop),
        "FOLDER": str(folder),
        "EVENTS": str(shop.parent / "events.csv"),
        "ITEMS": str(shop.parent / "items.csv"),
    }
    arguments = []
    for word in shlex.split(line):
        for name, path in places.items():
            word = word.replace(name, path)
        arguments.append(word)
    result = run(*arguments)
    assert result.exit_code in (1, 2), result.output
    assert "Traceback" not in result.output
    assert bad in result.output
    assert allowed in result.output
