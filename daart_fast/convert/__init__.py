"""Hand labels of other programs -> the one-hot files that daart_fast reads."""

from daart_fast.convert.annotation import Annotation
from daart_fast.convert.formats import FORMATS, read_annotations
from daart_fast.convert.onehot import match_sessions, one_hot, one_hot_text

__all__ = [
    "FORMATS",
    "Annotation",
    "match_sessions",
    "one_hot",
    "one_hot_text",
    "read_annotations",
]
