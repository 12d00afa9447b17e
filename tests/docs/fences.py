"""An extension of Python-Markdown for the site: it hides the words for tests that stand behind a fence's language."""

from __future__ import annotations

import re

from markdown import Markdown
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor

FENCE = re.compile(r"^(`{3,}\w+) .*$")
BEFORE_ALL_FENCES = 100


class _Hide(Preprocessor):
    def run(self, lines: list[str]) -> list[str]:
        return [FENCE.sub(r"\1", line) for line in lines]


class _Fences(Extension):
    def extendMarkdown(self, md: Markdown) -> None:
        md.preprocessors.register(_Hide(md), "words_for_tests", BEFORE_ALL_FENCES)


def makeExtension(**options: object) -> Extension:
    """What Python-Markdown calls."""
    return _Fences(**options)
