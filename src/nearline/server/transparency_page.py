"""The page that says by which criteria lists are made, in English and Chinese."""

from html import escape

from nearline.recommend.criteria import Transparency

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse } td, th { text-align: left; padding: 0.3rem 1rem 0.3rem 0 }
@media (prefers-color-scheme: dark) { body { background: #111; color: #ddd } a { color: #8cf } }
"""
_WORDS = {
    "en": {
        "title": "How recommendations are made",
        "criteria": "Criteria",
        "importance": "Importance",
        "order": "Order of a list",
        "options": "What you can do",
        "model": "Model",
        "other": '<a href="?lang=zh" lang="zh">中文</a>',
    },
    "zh": {
        "title": "推荐结果是如何产生的",
        "criteria": "标准",
        "importance": "重要程度",
        "order": "列表的顺序",
        "options": "您的选择",
        "model": "模型",
        "other": '<a href="?lang=en" lang="en">English</a>',
    },
}


def transparency_page(found: Transparency, language: str) -> str:
    """Return the page in a language, "en" or "zh"."""
    words, chinese = _WORDS[language], language == "zh"
    criteria = [
        f"<tr><td>{escape(one.meaning_zh if chinese else one.meaning)}"
        f" (<code>{escape(one.name)}</code>)</td><td>{one.importance:.1%}</td></tr>"
        for one in found.criteria
    ]
    options = [
        f"<li>{escape(one.effect_zh if chinese else one.effect)}<br>"
        f"<code>{escape(one.call)}</code></li>"
        for one in found.options
    ]
    return "\n".join(
        [
            "<!doctype html>",
            f'<html lang="{language}"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{words['title']}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{words['title']}</h1><p>{words['other']}</p>",
            f"<table><thead><tr><th>{words['criteria']}</th><th>{words['importance']}</th></tr>",
            f"</thead><tbody>{''.join(criteria)}</tbody></table>",
            f"<h2>{words['order']}</h2><p>{escape(found.order_zh if chinese else found.order)}</p>",
            f"<h2>{words['options']}</h2><ul>{''.join(options)}</ul>",
            f"<p>{words['model']}: {escape(found.algorithm)}, {escape(found.model)}</p>",
            "</body></html>",
        ]
    )
