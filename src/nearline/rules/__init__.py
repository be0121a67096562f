"""What may stand in a list, and what fills it when the model has too little to say."""

from nearline.rules.fallback import PERSONAL_FLOOR, Line, fallback_lines, fill, stated_lines
from nearline.rules.filters import allowed_items

__all__ = ["PERSONAL_FLOOR", "Line", "allowed_items", "fallback_lines", "fill", "stated_lines"]
