"""Short texts in seven languages, 200 in each: 5 things times 4 remarks for each of 10 topics.

A file has one line per topic: its name, a search text, 5 things and 4 remarks, separated by " / ".
The first line has the frames that put them together; their words occur in every topic. Things and
remarks of a topic share words, but mostly in other forms or as parts of longer words.
"""

from pathlib import Path
from typing import NamedTuple

LANGUAGES = ("arabic", "chinese", "french", "german", "japanese", "korean", "thai")


class Text(NamedTuple):
    """A text with its topic, and the numbers of its thing and remark."""

    text: str
    topic: str
    thing: int
    remark: int


def read(language: str) -> tuple[list[Text], dict[str, str]]:
    """Return the texts of a language, and the search text of each topic."""
    file = Path(__file__).with_name(f"{language}.tsv")
    (_, *frames), *topics = (line.split("\t") for line in file.read_text("utf-8").splitlines())
    texts = []
    for topic, _, things, remarks in topics:
        for thing, named in enumerate(things.split(" / ")):
            for remark, said in enumerate(remarks.split(" / ")):
                frame = frames[(thing + remark) % len(frames)]
                texts.append(Text(frame.format(thing=named, remark=said), topic, thing, remark))
    return texts, {topic: search for topic, search, *_ in topics}
