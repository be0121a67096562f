"""Transparency: the criteria by which lists are made, and how people can change them."""

from msgspec import Struct

from nearline.config import Config
from nearline.models.criteria import criteria
from nearline.recommend.lists import View

# What each criterion means, in English and Chinese.
MEANINGS = {
    "transitions": (
        "items that people took shortly after the items of your history",
        "其他人在您的历史内容之后不久选择的内容",
    ),
    "coengagement": (
        "items that people with some of the same items took, too",
        "与您有相同选择的人也选择的内容",
    ),
    "content": (
        "items whose texts resemble those of your history",
        "文字描述与您的历史内容相似的内容",
    ),
    "projected": (
        "items whose descriptions people treat like those of your history",
        "描述特征与您的历史内容相近的内容",
    ),
    "popularity": ("how many people took an item", "内容的受欢迎程度"),
}
VECTORS = (
    "items whose images or other features resemble those of your history",
    "图像或其他特征与您的历史内容相似的内容",
)
MODEL = (
    "what a model of this name computes from your history",
    "该模型根据您的历史计算的结果",
)
OPTIONS = (
    (
        "PUT /v1/users/{user_id}/consent",
        "With profiling false, your lists are those of a stranger, and no model uses your data.",
        "将 profiling 设为 false 后，您看到的列表与陌生人相同，任何模型都不使用您的数据。",
    ),
    (
        "profiling=false",
        "On a request: this list is that of a stranger.",
        "用于单次请求：本次列表不使用您的个人数据。",
    ),
    (
        "GET, DELETE /v1/users/{user_id}/tags",
        "See the interest tags of your profile, and delete them.",
        "查看并删除您的兴趣标签。",
    ),
    (
        "POST /v1/users/{user_id}/critiques",
        "Say what you want more of, less of, or not at all.",
        "告诉系统您想多看、少看或不看什么。",
    ),
    (
        "GET /v1/users/{user_id}/export",
        "Get everything that is stored about you, and why each item is in your list.",
        "导出与您有关的全部数据，以及每项推荐的原因。",
    ),
    (
        "DELETE /v1/users/{user_id}",
        "Erase everything that is stored about you.",
        "删除与您有关的全部数据。",
    ),
)
ORDER = (
    "Lists begin with what follows from your history. If that is not enough, they continue with "
    "your stated preferences and attributes, what is popular in the context of the request, what "
    "is trending, and what is popular.",
    "列表首先是根据您的历史得出的内容；不足时，依次补充您说明的偏好和属性、当前情境中受欢迎的内容、近期热门内容和总体受欢迎的内容。",
)


class Criterion(Struct, frozen=True, kw_only=True):
    """A criterion of lists; the importances of all sum to 1. Meanings in English and Chinese."""

    name: str
    importance: float
    meaning: str
    meaning_zh: str


class ControlOption(Struct, frozen=True, kw_only=True):
    """Something that people can do about their lists, in English and in Chinese."""

    call: str
    effect: str
    effect_zh: str


class Transparency(Struct, frozen=True, kw_only=True):
    """How lists are made: the model that serves, its criteria, and what people can do.

    Attributes
    ----------
    model : str
        ID of the active snapshot; ``untrained`` without one.
    algorithm : str
        Name of the model.
    offset : int
        Every record before it is reflected.
    criteria : tuple of Criterion
        The most important first.
    order, order_zh : str
        The order of the parts of a list, in English and Chinese.
    repeats : str
        Whether lists have items of the history.
    rules : tuple of str
        Names of the merchandising rules that apply now to lists without a scenario.
    options : tuple of ControlOption
    """

    model: str
    algorithm: str
    offset: int
    criteria: tuple[Criterion, ...]
    order: str
    order_zh: str
    repeats: str
    rules: tuple[str, ...]
    options: tuple[ControlOption, ...]


def transparency(view: View, config: Config) -> Transparency:
    """Return how lists are made now."""
    shares = criteria(view.model)
    rules = view.state.definitions.active(None, view.now)
    return Transparency(
        model=view.model_id,
        algorithm=view.model.name,
        offset=view.state.offset,
        criteria=tuple(_criterion(name, share) for name, share in shares.items()),
        order=ORDER[0],
        order_zh=ORDER[1],
        repeats=config.repeats,
        rules=tuple(sorted(rules)),
        options=tuple(
            ControlOption(call=call, effect=effect, effect_zh=effect_zh)
            for call, effect, effect_zh in OPTIONS
        ),
    )


def _criterion(name: str, share: float) -> Criterion:
    own = VECTORS if name.startswith("vector") else MODEL
    meaning, meaning_zh = MEANINGS.get(name, own)
    return Criterion(name=name, importance=share, meaning=meaning, meaning_zh=meaning_zh)
