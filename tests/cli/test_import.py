"""Imports of files in common formats, each by one command."""

import gzip
from pathlib import Path
from typing import Any

import pytest
from tests.cli.running import run, run_json

from nearline.ingest import kept_summaries


def write(folder: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    path = folder / name
    data = text.encode(encoding)
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


COLUMN = "--column"
NUMBERED = (COLUMN, "user_id=1", COLUMN, "item_id=2", COLUMN, "value=3", COLUMN, "timestamp=4")
FILES: dict[str, tuple[str, str, str, tuple[str, ...], dict[str, Any]]] = {
    # name of the file, text, encoding, options, what is expected
    "MovieLens 100K": (
        "u.data",
        "196\t242\t3\t881250949\n186\t302\t3\t891717742\n",
        "utf-8",
        ("--no-header", *NUMBERED),
        {"rows": 2, "times": (881250949.0, 891717742.0)},
    ),
    "MovieLens 1M": (
        "ratings.dat",
        "1::1193::5::978300760\n1::661::3::978302109\n",
        "utf-8",
        ("--no-header", *NUMBERED),
        {"rows": 2, "times": (978300760.0, 978302109.0)},
    ),
    "MovieLens 25M": (
        "ratings.csv",
        "userId,movieId,rating,timestamp\n1,296,5.0,1147880044\n1,306,3.5,1147868817\n",
        "utf-8",
        (COLUMN, "user_id=userId", COLUMN, "item_id=movieId", COLUMN, "value=rating"),
        {"rows": 2, "times": (1147868817.0, 1147880044.0)},
    ),
    "MovieTweetings": (
        "ratings.dat",
        "1::0114508::8::1381006850\n2::0208092::5::1586466072\n",
        "utf-8",
        ("--no-header", *NUMBERED),
        {"rows": 2, "times": (1381006850.0, 1586466072.0)},
    ),
    "Book-Crossing": (
        "BX-Book-Ratings.csv",
        '"User-ID";"ISBN";"Book-Rating"\n"276725";"034545104X";"0"\n"276726";"Qu\u00e9";"5"\n'
        '"276727";"say \\"x\\"; y";"5"\n',
        "latin-1",
        (
            *("--encoding", "latin-1", COLUMN, "user_id=User-ID", COLUMN, "item_id=ISBN"),
            *(COLUMN, "value=Book-Rating"),
        ),
        {"rows": 3, "how": ""},
    ),
    "HetRec": (
        "user_artists.dat",
        "userID\tartistID\tweight\n2\t51\t13883\n2\t52\t11690\n",
        "utf-8",
        (COLUMN, "user_id=userID", COLUMN, "item_id=artistID", COLUMN, "value=weight"),
        {"rows": 2, "how": ""},
    ),
    "H&M transactions": (
        "transactions_train.csv",
        "t_dat,customer_id,article_id,price,sales_channel_id\n"
        "2018-09-20,000058a1,0663713001,0.0508,2\n2018-09-21,000058a1,0541518023,0.0304,2\n",
        "utf-8",
        (
            *(COLUMN, "user_id=customer_id", COLUMN, "item_id=article_id"),
            *(COLUMN, "timestamp=t_dat", COLUMN, "value=price", "--event", "purchase"),
        ),
        {"rows": 2, "times": (1537401600.0, 1537488000.0), "kinds": ["purchase"]},
    ),
    "anime": (
        "rating.csv",
        "user_id,anime_id,rating\n1,20,-1\n1,24,10\n",
        "utf-8",
        (COLUMN, "item_id=anime_id", COLUMN, "value=rating"),
        {"rows": 2, "how": ""},
    ),
    "GA4": (
        "events.json",
        '{"event_name": "add_to_cart", "event_timestamp": "1611856800000000", '
        '"user_pseudo_id": "1.2", "items": [{"item_id": "A"}, {"item_id": "B"}]}\n'
        '{"event_name": "purchase", "event_timestamp": "1611856801000000", '
        '"user_pseudo_id": "1.2", "items": [{"item_id": "A"}]}\n',
        "utf-8",
        (
            *(COLUMN, "user_id=user_pseudo_id", COLUMN, "item_id=items.item_id"),
            *(COLUMN, "timestamp=event_timestamp", COLUMN, "event=event_name"),
        ),
        {
            "rows": 3,
            "times": (1611856800.0, 1611856801.0),
            "kinds": ["add_to_cart", "purchase"],
        },
    ),
    "Segment": (
        "track.jsonl",
        '{"event": "Product Viewed", "userId": "u1", "timestamp": "2021-01-01T10:00:00.000Z", '
        '"properties": {"product_id": "p1"}}\n',
        "utf-8",
        (COLUMN, "user_id=userId", COLUMN, "item_id=properties.product_id"),
        {"rows": 1, "times": (1609495200.0, 1609495200.0), "kinds": ["Product Viewed"]},
    ),
    "Shopify": (
        "orders_export.csv",
        "Name,Email,Created at,Lineitem sku,Lineitem price,Notes\n"
        '#1001,ann@x.org,2021-01-02 10:00:00 +0100,MUG-1,"1,234.50","leave it\nat the door"\n'
        "#1001,ann@x.org,2021-01-02 10:00:00 +0100,TEA-1,4.50,\n",
        "utf-8",
        (
            *(COLUMN, "user_id=Email", COLUMN, "item_id=Lineitem sku"),
            *(COLUMN, "timestamp=Created at", COLUMN, "value=Lineitem price", "--event", "order"),
        ),
        {"rows": 2, "times": (1609578000.0, 1609578000.0)},
    ),
    "WooCommerce": (
        "orders.csv",
        "Order Date,Customer User ID,SKU,Item Cost\n"
        '01/31/2021 8:05,7,MUG-1,"$12.50"\n02/01/2021 9:00,8,TEA-1,"$4.00"\n',
        "utf-8",
        (
            *(COLUMN, "user_id=Customer User ID", COLUMN, "item_id=SKU"),
            *(COLUMN, "timestamp=Order Date", COLUMN, "value=Item Cost"),
        ),
        {"rows": 2, "times": (1612080300.0, 1612170000.0)},
    ),
    "REES46": (
        "2019-Oct.csv.gz",
        "event_time,event_type,product_id,category_id,brand,price,user_id,user_session\n"
        "2019-10-01 00:00:00 UTC,view,44600062,2103807459595387724,shiseido,35.79,541312140,72d\n"
        "2019-10-01 00:00:01 UTC,remove_from_cart,3900821,2053013552326770905,aqua,33.20,1,9\n",
        "utf-8",
        (
            *(COLUMN, "item_id=product_id", COLUMN, "timestamp=event_time"),
            *(COLUMN, "event=event_type", COLUMN, "value=price"),
        ),
        {
            "rows": 2,
            "times": (1569888000.0, 1569888001.0),
            "kinds": ["remove_from_cart", "view"],
        },
    ),
    "Amazon reviews": (
        "reviews_Toys.json.gz",
        '{"reviewerID": "A1", "asin": "0439893577", "helpful": [0, 0], "overall": 5.0, '
        '"unixReviewTime": 1390953600, "reviewTime": "01 29, 2014"}\n'
        '{"reviewerID": "A2", "asin": "0439893577", "overall": NaN, '
        '"unixReviewTime": 1390953601, "reviewTime": "01 29, 2014"}\n',
        "utf-8",
        (
            *(COLUMN, "user_id=reviewerID", COLUMN, "item_id=asin"),
            *(COLUMN, "timestamp=unixReviewTime", COLUMN, "value=overall"),
        ),
        {"rows": 2, "times": (1390953600.0, 1390953601.0)},
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_public_files(tmp_path: Path, name: str) -> None:
    file, text, encoding, options, expected = FILES[name]
    path = write(tmp_path, file, text, encoding)
    found = run_json("import", "--store", tmp_path / "s", path, *options)
    report = found["report"]
    assert report["rows_kept"] == found["records_stored"] == expected["rows"]
    assert report["dropped"] == []
    if "times" in expected:
        assert (report["times"]["first"], report["times"]["last"]) == expected["times"]
    else:
        assert report["times"]["how"] == expected["how"]
    if "kinds" in expected:
        assert sorted(kind["event"] for kind in report["kinds"]) == expected["kinds"]
    again = run_json("import", "--store", tmp_path / "s", path, *options)
    assert again["records_stored"] == 0
    assert again["report"]["known"] == expected["rows"]


@pytest.mark.parametrize(
    ("name", "text", "encoding", "says"),
    [
        ("a.csv", "zo\u00eb;tea\n", "latin-1", "--encoding latin-1"),
        ("a.csv", "1,31,2.5,1260759144\n1,32,3,1260759179\n", "utf-8", "--no-header"),
        ("a.csv", "1,1,4.0,964982703\n1,3,4.0,964981247\n", "utf-8", "--no-header"),
        ("a.dat", "1::1193::5::978300760\n1::661::3::978302109\n", "utf-8", "--no-header"),
        ("a.csv", "who,what\nann,tea\n", "utf-8", "--column 'user_id=your column'"),
        ("a.csv", "user_id,item_id,timestamp\na,x,1/2/2021\n", "utf-8", "--day-first"),
        ("a.csv", "user_id,item_id,timestamp\na,x,16e8\na,y,16e11\n", "utf-8", "--time-format"),
        ("a.csv", "user_id,item_id,timestamp\na,x,soon\n", "utf-8", "--time-format"),
        ("a.csv", "user_id,item_id\n1,2,3\n1,2,3\n", "utf-8", "--separator"),
        ("a.txt", "user_id|item,item_id\na|b,c\na|d,e\n", "utf-8", "--separator"),
    ],
)
def test_errors_name_the_option(
    tmp_path: Path, name: str, text: str, encoding: str, says: str
) -> None:
    result = run("import", "--store", tmp_path / "s", write(tmp_path, name, text, encoding))
    assert result.exit_code == 1
    assert says in result.stderr
    assert not (tmp_path / "s").exists()


def test_unknown_kinds_are_marked_and_can_have_weights(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "e.csv",
        "user_id,item_id,timestamp,event\na,p,1600000000,addtocart\na,q,1600000001,seen it\n"
        "a,r,1600000002,seen it\n",
    )
    shown = run("import", "--store", tmp_path / "s", path).stdout
    assert "seen it? 2 (weight 1), addtocart 1 (weight 2)" in shown
    assert "--weights KIND=NUMBER" in shown
    given = ("--weights", "seen it=0,cart=4")
    found = run_json("import", "--store", tmp_path / "t", path, *given)["report"]["kinds"]
    assert [(kind["weight"], kind["known"]) for kind in found] == [(0.0, True), (4.0, True)]


@pytest.mark.parametrize("given", ["purchase", "=2", "purchase=much", "a=1,,b=2", "a=1,b"])
def test_wrong_weights_are_wrong_use(tmp_path: Path, given: str) -> None:
    result = run("train", "--store", tmp_path, "--weights", given)
    assert result.exit_code == 2
    assert "KIND=NUMBER" in result.stderr


def test_info_shows_the_summary_again(tmp_path: Path) -> None:
    store = tmp_path / "s"
    path = write(tmp_path, "e.csv", "user_id,item_id\nann,tea\n-,pot\n")
    shown = run("import", "--store", store, path).stdout
    again = run("info", "--store", store)
    assert again.exit_code == 0
    for line in (
        "users: 1, items: 1",
        "times: no timestamp in the source",
        "kinds of events: view 1",
    ):
        assert line in shown
        assert line in again.stdout
    assert "user_id='-'" in again.stdout
    found = run_json("info", "--store", store)
    assert (found["records"], found["erasures"], found["model"]) == (1, 0, None)
    assert found["imports"] == kept_summaries(store)


def test_info_needs_a_store(tmp_path: Path) -> None:
    result = run("info", "--store", tmp_path / "none")
    assert result.exit_code == 1
    assert "there is no store" in result.stderr
