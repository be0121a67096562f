"""Small files in the layouts of well-known public data sets, each imported by one command.

Every file is written by hand in the layout of its source: separator, quoting, encoding, header,
forms of dates and of missing values. A test gives the number of events, users and items, the time
of one event and the kinds of events, as one reads them in the file.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.cli.running import run_json

from nearline.log import open_log, url_of
from nearline.schema import Event, Item


class Layout(NamedTuple):
    """A file of interactions, the options that import it, and the expected content."""

    file: str
    content: bytes
    options: tuple[str, ...]
    events: int
    users: int
    items: int
    first: tuple[str, str, str]  # user, item and UTC time of the earliest event
    kinds: dict[str, int] | None = None


def columns(**names: str) -> tuple[str, ...]:
    return tuple(
        part for field, column in names.items() for part in ("--column", f"{field}={column}")
    )


LAYOUTS = {
    "MovieLens 100K": Layout(
        "u.data",
        b"196\t242\t3\t881250949\n186\t302\t3\t891717742\n196\t377\t1\t878887116\n",
        ("--no-header", *columns(user_id="1", item_id="2", value="3", timestamp="4")),
        3,
        2,
        3,
        ("196", "377", "1997-11-07T07:18:36"),
    ),
    "MovieLens 1M": Layout(
        "ratings.dat",
        b"1::1193::5::978300760\n1::661::3::978302109\n2::1193::4::978298413\n",
        (
            "--separator",
            "::",
            "--no-header",
            *columns(user_id="1", item_id="2", value="3", timestamp="4"),
        ),
        3,
        2,
        2,
        ("2", "1193", "2000-12-31T21:33:33"),
    ),
    "MovieLens 20M": Layout(
        "ratings.csv",
        b"userId,movieId,rating,timestamp\n1,2,3.5,1112486027\n1,29,3.5,1112484676\n",
        columns(user_id="userId", item_id="movieId", value="rating"),
        2,
        1,
        2,
        ("1", "29", "2005-04-02T23:31:16"),
    ),
    "Book-Crossing": Layout(
        "BX-Book-Ratings.csv",
        '"User-ID";"ISBN";"Book-Rating"\n"276725";"034545104X";"0"\n"276726";"0155061224";"5"\n'
        '"276729";"052165615X";"3"\n"276736";"Köln-08";"8"\n'.encode("latin-1"),
        (
            "--separator",
            ";",
            "--encoding",
            "latin-1",
            *columns(user_id="User-ID", item_id="ISBN", value="Book-Rating"),
        ),
        4,
        4,
        4,
        ("", "", ""),
    ),
    "MovieTweetings": Layout(
        "ratings.dat",
        b"1::0114508::8::1381006850\n2::0102926::9::1590148016\n2::0208092::5::1586466072\n",
        (
            "--separator",
            "::",
            "--no-header",
            *columns(user_id="1", item_id="2", value="3", timestamp="4"),
        ),
        3,
        2,
        3,
        ("1", "0114508", "2013-10-05T21:00:50"),
    ),
    "HetRec MovieLens": Layout(
        "user_ratedmovies-timestamps.dat",
        b"userID\tmovieID\trating\ttimestamp\n75\t3\t1\t1162160236000\n75\t32\t4.5\t1162160624000\n"
        b"78\t3\t2\t1176066612000\n",
        (
            "--separator",
            "\\t",
            *columns(user_id="userID", item_id="movieID", value="rating"),
        ),
        3,
        2,
        2,
        ("75", "3", "2006-10-29T22:17:16"),
    ),
    "H&M transactions": Layout(
        "transactions_train.csv",
        b"t_dat,customer_id,article_id,price,sales_channel_id\n"
        b"2018-09-20,000058a12d5b43e6,0663713001,0.050830508,2\n"
        b"2018-09-20,000058a12d5b43e6,0541518023,0.030491525,2\n"
        b"2018-09-21,00007d2de826758b,0505221004,0.015237288,2\n",
        columns(user_id="customer_id", item_id="article_id", timestamp="t_dat"),
        3,
        2,
        3,
        ("000058a12d5b43e6", "0663713001", "2018-09-20T00:00:00"),
    ),
    "anime": Layout(
        "rating.csv",
        b"user_id,anime_id,rating\n1,20,-1\n1,24,-1\n3,20,8\n3,154,6\n",
        columns(item_id="anime_id", value="rating"),
        4,
        2,
        3,
        ("", "", ""),
    ),
    "GA4 export": Layout(
        "events.jsonl",
        b'{"event_date":"20210131","event_timestamp":1612069510766593,"event_name":"view_item",'
        b'"user_pseudo_id":"1026454.4271","items":[{"item_id":"GGOEGXXX","item_name":"Tee"}]}\n'
        b'{"event_date":"20210131","event_timestamp":1612069520000000,"event_name":"purchase",'
        b'"user_pseudo_id":"1026454.4271","items":[{"item_id":"GGOEGXXX"},'
        b'{"item_id":"GGOEABCD"}]}\n',
        columns(
            user_id="user_pseudo_id",
            item_id="items.item_id",
            timestamp="event_timestamp",
            event="event_name",
        ),
        3,
        1,
        2,
        ("1026454.4271", "GGOEGXXX", "2021-01-31T05:05:10"),
        {"view_item": 1, "purchase": 2},
    ),
    "Segment": Layout(
        "track.json",
        b'{"type":"track","event":"Product Viewed","userId":"019mr8mf4r","properties":'
        b'{"product_id":"507f1f77"},"timestamp":"2012-12-02T00:30:08.276Z"}\n'
        b'{"type":"track","event":"Product Added","userId":"019mr8mf4r","properties":'
        b'{"product_id":"505bd76785"},"timestamp":"2012-12-02T00:31:08.276Z"}\n',
        columns(user_id="userId", item_id="properties.product_id"),
        2,
        1,
        2,
        ("019mr8mf4r", "507f1f77", "2012-12-02T00:30:08"),
    ),
    "Shopify orders": Layout(
        "orders_export.csv",
        b"Name,Email,Financial Status,Created at,Lineitem quantity,Lineitem name,Lineitem sku\n"
        b"#1003,jo@example.com,paid,2023-01-31 10:03:22 -0500,1,Green tea,TEA-01\n"
        b'#1003,jo@example.com,paid,2023-01-31 10:03:22 -0500,2,"Mug, blue",MUG-07\n'
        b"#1004,al@example.com,paid,2023-02-01 08:00:00 -0500,1,Green tea,TEA-01\n",
        columns(user_id="Email", item_id="Lineitem sku", timestamp="Created at"),
        3,
        2,
        2,
        ("jo@example.com", "TEA-01", "2023-01-31T15:03:22"),
    ),
    "WooCommerce orders": Layout(
        "orders.csv",
        '\ufeff"Order Number","Order Date","Customer User ID","SKU","Item Name","Quantity"\n'
        '"727","2021-03-04 09:12","14","woo-tee","T-Shirt ""Logo""","1"\n'
        '"728","2021-03-04 09:31","15","woo-cap","Cap","2"\n'.encode(),
        columns(user_id="Customer User ID", item_id="SKU", timestamp="Order Date"),
        2,
        2,
        2,
        ("14", "woo-tee", "2021-03-04T09:12:00"),
    ),
    "REES46": Layout(
        "2019-Oct.csv",
        b"event_time,event_type,product_id,category_id,category_code,brand,price,user_id,"
        b"user_session\n"
        b"2019-10-01 00:00:00 UTC,view,44600062,2103807459595387724,,shiseido,35.79,541312140,72d\n"
        b"2019-10-01 00:00:04 UTC,cart,1004775,2053013555631882655,electronics.smartphone,xiaomi,"
        b"183.27,535871217,c6b\n"
        b"2019-10-01 00:00:09 UTC,purchase,1004775,2053013555631882655,electronics.smartphone,"
        b"xiaomi,183.27,535871217,c6b\n",
        columns(item_id="product_id", timestamp="event_time", event="event_type"),
        3,
        2,
        2,
        ("541312140", "44600062", "2019-10-01T00:00:00"),
        {"view": 1, "cart": 1, "purchase": 1},
    ),
    "Amazon reviews 2014": Layout(
        "reviews_Beauty.json",
        b'{"reviewerID": "A1YJEY40YUW4SE", "asin": "7806397051", "helpful": [3, 4], "reviewText":'
        b' "Very oily\\nand creamy.", "overall": 1.0, "unixReviewTime": 1391040000}\n'
        b'{"reviewerID": "A60XNB876KYML", "asin": "7806397051", "helpful": [1, 1], "reviewText":'
        b' "ok", "overall": 3.0, "unixReviewTime": 1397779200}\n',
        columns(user_id="reviewerID", item_id="asin", value="overall", timestamp="unixReviewTime"),
        2,
        2,
        1,
        ("A1YJEY40YUW4SE", "7806397051", "2014-01-30T00:00:00"),
    ),
    "Amazon reviews 2023": Layout(
        "All_Beauty.jsonl",
        b'{"rating": 5.0, "title": "Great", "text": "t", "images": [], "asin": "B00YQ6X8EO",'
        b' "parent_asin": "B00YQ6X8EO", "user_id": "AGKHLEW2SOWHNMFQ", "timestamp": 1588687728923,'
        b' "helpful_vote": 0, "verified_purchase": true}\n',
        columns(item_id="parent_asin", value="rating"),
        1,
        1,
        1,
        ("AGKHLEW2SOWHNMFQ", "B00YQ6X8EO", "2020-05-05T14:08:48"),
    ),
}


def records(store: Path, kind: type[Any]) -> list[Any]:
    """Return the records of one kind in the log of a store."""
    with open_log(url_of(store / "log.db"), read_only=True) as log:
        return [record for _, record in log.read(0) if isinstance(record, kind)]


@pytest.mark.parametrize("name", LAYOUTS)
def test_interactions_of_a_public_layout(name: str, tmp_path: Path) -> None:
    layout = LAYOUTS[name]
    file = tmp_path / layout.file
    file.write_bytes(layout.content)
    run_json("import", "--store", tmp_path / "store", file, *layout.options)
    events: list[Event] = records(tmp_path / "store", Event)
    assert len(events) == layout.events
    assert len({event.user_id for event in events}) == layout.users
    assert len({event.item_id for event in events}) == layout.items
    user, item, time = layout.first
    if time:
        earliest = min(event.timestamp for event in events)
        first = {(e.user_id, e.item_id) for e in events if e.timestamp == earliest}
        assert (user, item) in first
        assert datetime.fromtimestamp(earliest, UTC).strftime("%Y-%m-%dT%H:%M:%S") == time
    if layout.kinds is not None:
        found = [event.event for event in events]
        assert {kind: found.count(kind) for kind in layout.kinds} == layout.kinds


class Catalogue(NamedTuple):
    """A catalogue file, the options that import it, and one entry as it must be read."""

    file: str
    content: bytes
    options: tuple[str, ...]
    entries: int
    one: str
    title: str
    categories: set[str]


CATALOGUES = {
    "MovieLens 100K": Catalogue(
        "u.item",
        "1|Toy Story (1995)|01-Jan-1995||http://us.imdb.com/M/title-exact?Toy%20Story|0|0\n"
        "543|Misérables, Les (1995)|01-Jan-1995||http://us.imdb.com/M/x|0|1\n".encode("latin-1"),
        (
            "--separator",
            "|",
            "--encoding",
            "latin-1",
            "--no-header",
            "--column",
            "item_id=1",
            "--column",
            "title=2",
        ),
        2,
        "543",
        "Misérables, Les (1995)",
        set(),
    ),
    "MovieLens 1M": Catalogue(
        "movies.dat",
        b"1::Toy Story (1995)::Animation|Children's|Comedy\n6::Heat (1995)::Action|Crime\n",
        (
            "--separator",
            "::",
            "--no-header",
            "--column",
            "item_id=1",
            "--column",
            "title=2",
            "--column",
            "categories=3",
        ),
        2,
        "1",
        "Toy Story (1995)",
        {"Animation", "Children's", "Comedy"},
    ),
    "MovieLens 20M": Catalogue(
        "movies.csv",
        b'movieId,title,genres\n1,Toy Story (1995),Adventure|Animation|Children\n11,"American'
        b' President, The (1995)",Comedy|Drama\n',
        ("--column", "item_id=movieId"),
        2,
        "11",
        "American President, The (1995)",
        {"Comedy", "Drama"},
    ),
    "H&M articles": Catalogue(
        "articles.csv",
        b"article_id,product_code,prod_name,product_type_name,colour_group_name,detail_desc\n"
        b"0108775015,0108775,Strap top,Vest top,Black,Jersey top with narrow shoulder straps.\n"
        b'0110065001,0110065,OP T-shirt (Idro),Bra,Black,"Microfibre T-shirt bra, moulded cups."\n',
        ("--column", "item_id=article_id", "--column", "title=prod_name"),
        2,
        "0108775015",
        "Strap top",
        {"Black"},
    ),
    "anime": Catalogue(
        "anime.csv",
        b"anime_id,name,genre,type,episodes,rating,members\n"
        b'32281,Kimi no Na wa.,"Drama, Romance, School, Supernatural",Movie,1,9.37,200630\n'
        b'21,One Piece,"Action, Adventure",TV,Unknown,8.58,504862\n',
        ("--column", "item_id=anime_id", "--column", "title=name"),
        2,
        "32281",
        "Kimi no Na wa.",
        {"Drama", "Romance", "School", "Supernatural"},
    ),
}


@pytest.mark.parametrize("name", CATALOGUES)
def test_catalogue_of_a_public_layout(name: str, tmp_path: Path) -> None:
    layout = CATALOGUES[name]
    file = tmp_path / layout.file
    file.write_bytes(layout.content)
    run_json("import", "--store", tmp_path / "store", "--items", file, *layout.options)
    entries: dict[str, Item] = {item.item_id: item for item in records(tmp_path / "store", Item)}
    assert len(entries) == layout.entries
    assert entries[layout.one].title == layout.title
    found = {label.rpartition("=")[2] for label in entries[layout.one].categories}
    assert layout.categories <= found
