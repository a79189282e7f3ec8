"""The site's Markdown, as MyST's own parser reads it: its tokens, its directives, and HTML for slides."""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser

LEFT_OUT = "\0"  # stands for a reference in a text, in which the parser leaves no such character
REFERENCES = re.compile(rf"\s*\(\s*{LEFT_OUT}([,;\s]*{LEFT_OUT})*\s*\)|^{LEFT_OUT}\s+|\s*{LEFT_OUT}")


def tokens_of(text: str, above: int = 0) -> Iterator[tuple[int, Token]]:
    """(lines above the text that it is of, token) of a text, and of the bodies of its directives, but for solutions."""
    for token in MYST.parse(text):
        yield above, token
        if directive(token) not in ("", "solution") and token.map:
            yield from tokens_of(token.content, above + token.map[0] + 1)


def directive(token: Token) -> str:
    """The name of a directive, "math" of ```{math}; empty for any other token."""
    named = token.type in ("fence", "colon_fence") and token.info.startswith("{")
    return token.info[1:].partition("}")[0] if named else ""


def body_of(token: Token) -> str:
    """What a directive holds below its options, or a displayed formula."""
    lines = itertools.dropwhile(lambda line: line.startswith(":"), token.content.splitlines())
    return "\n".join(lines).strip()


def _parser() -> MarkdownIt:
    """What reads the site's pages, with HTML for slides: roles as text, and formulas as they are, for MathJax."""
    extensions = {"amsmath", "colon_fence", "deflist", "dollarmath"}  # as in _config.yml
    myst = create_md_parser(MdParserConfig(enable_extensions=extensions), RendererHTML)
    myst.core.ruler.before("text_join", "roles", _roles_as_text)
    myst.add_render_rule("text", _text)
    myst.add_render_rule("math_inline", _formula)
    return myst


def _roles_as_text(state: StateCore) -> None:
    """Pages by their name, figures and theorems as such; of other references ``LEFT_OUT`` is left, for ``_text``."""
    for role in [child for token in state.tokens for child in token.children or ()]:
        if role.type != "myst_role":
            continue
        name, role.type = role.meta["name"], "text"
        if name in ("numref", "prf:ref"):
            role.content = "the figure" if name == "numref" else "the theorem"
        elif name.startswith("cite") or name in ("eq", "ref"):
            role.content = LEFT_OUT
        else:
            role.content = role.content.partition("<")[0].strip().replace("_", " ")


def _text(self, tokens: Sequence[Token], place: int, options, env) -> str:
    """Text without the references that are left out, and without brackets that hold nothing else."""
    return html.escape(REFERENCES.sub("", tokens[place].content), quote=False)


def _formula(self, tokens: Sequence[Token], place: int, options, env) -> str:
    return f"\\({html.escape(tokens[place].content)}\\)"


MYST = _parser()
