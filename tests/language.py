#!/usr/bin/env python3
"""Checks the style of the repository's text: line lengths, and words that are not standard.

Comments have at most 100 columns, and the prose of Markdown 120; formatters see to code. Words are
checked in prose only: in comments, doc strings and Markdown, without code in backticks.

Usage: language.py [<path>...]

Without paths it checks every file that git tracks. It prints one line for each finding, and exits
with status 1 if there is any.
"""

import re
import subprocess
import sys
from bisect import bisect_right
from pathlib import Path
from typing import Iterator, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
MAX_COLUMNS = 100
MAX_MARKDOWN_COLUMNS = 120

# Patterns of phrases, and what to write instead. A space matches any white space.
BANNED = {
    r"guests?": "name the mechanism: connection, connection limit",
    r"strangers?": "write: untrusted input, unknown client",
    r"(im)?patien(ce|t|tly)": "write: timeout, wait limit",
    r"manners?": "write: options, mode",
    r"company": "write: exclusive run, shared run",
    r"keepers?": "name the role: guard, probe, reaper",
    r"doors?": "name the mechanism: connection limit, validation",
    r"dice": "write: random number generator",
    r"moods?|whims?|whimsical": "write: at random",
    r"essays?": "write: documentation",
    r"twins?": "name the other item",
    r"walk(s|ed|ing)?": "write: iterate, traverse, list",
    r"loudly": "write: logs a warning",
    r"he|she|his|hers": "name the role: the caller, the reader",
    r"(there )?(is|are|was|were) no (?!longer|more|less|later)": "write: is not a, is invalid",
    r"(is|are|was|were) none": "write: is missing, does not exist",
    r"not to be had": "write: is unavailable",
    r"(is|are) there again": "write: is kept, is available again",
    r"in vain": "write: without effect, without a result",
    r"com(e|es|ing) (to be|into being|to nothing)": "write: happens, is created, fails",
    r"mak(e|es|ing) no sense": "write: is invalid",
    r"worked by": "write: used, executed",
    r"br(eaks?|oke) off": "write: is interrupted",
    r"in good order": "write: gracefully",
    r"somebody else's|nobody's": "name the owner",
    r"in (its|their) tracks": "write: suspended",
    r"without a word": "write: without a message",
}
ANY_BANNED = re.compile(rf"\b(?:{'|'.join(BANNED)})\b".replace(" ", r"\s+"), re.IGNORECASE)

# Phrases that are right: the path (`*`: any) and the text (`*`: any), with a reason.
ALLOWED = {
    ("tests/language.py", "*"): "lists the phrases",
    ("*", "there is no"): "standard English before a noun",
    ("*", "there are no"): "standard English before a noun",
    ("*", "there was no"): "standard English before a noun",
    ("*", "there were no"): "standard English before a noun",
}
GENERATED = {"docs/cli.md"}  # From the help texts, by `make docs`.

SLASHES = r"//[^\n]*|/\*.*?\*/"
HASH = r"(?:(?<=\s)|\A)#[^\n]*"
QUOTED = r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'"
RUST_STRING = r"""b?r(?P<hashes>#*)".*?"(?P=hashes)|b?"(?:\\.|[^"\\])*"|b?'(?:\\[^']+|[^'\\\n])'"""
# By the suffix of a file: its strings and its comments.
SYNTAX = {
    ".rs": (RUST_STRING, SLASHES),
    ".proto": (QUOTED, SLASHES),
    ".lua": (rf"{QUOTED}|\[\[.*?\]\]", r"--[^\n]*"),
    ".py": (QUOTED, r'(?m:^ *""".*?""")|' + HASH),
    ".sh": (QUOTED, HASH),
    ".yaml": (QUOTED, HASH),
    ".yml": (QUOTED, HASH),
    ".toml": (QUOTED, HASH),
    "Makefile": (r"(?!)", HASH),
}
MARKER = re.compile(r'(?m)^[ \t]*(//[/!]?|/\*|--+|#+|""")')
MARKDOWN_BLOCK = re.compile(r"(?ms)^(?P<indent> *)```.*?^(?P=indent)```|^ *\|[^\n]*")
CODE_SPAN = re.compile(r"`[^`]*`")
LINK = re.compile(r"(?m)\]\([^)\s]*\)|<?https?://\S+|^\[[^]]*\]: .*")
UNBREAKABLE = re.compile(r"\s*(\S{1,3} )?\S+")


class Finding(NamedTuple):
    """A line that violates a rule."""

    path: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


class Source:
    """A tracked file with the positions of its lines, strings and comments."""

    def __init__(self, path: str):
        self.path, self.text = path, (ROOT / path).read_text(encoding="utf-8")
        self.is_markdown = path.endswith(".md")
        self.lines = [match.start() for match in re.finditer(r"(?m)^", self.text)]
        self.strings: list[tuple[int, int]] = []
        self.comments = [(0, len(self.text))] if self.is_markdown else []
        if not self.is_markdown:
            strings, comments = SYNTAX[syntax_of(path)]
            for match in re.finditer(rf"(?s)(?P<comment>{comments})|{strings}", self.text):
                spans = self.strings if match["comment"] is None else self.comments
                spans.append(match.span())

    def prose(self) -> str:
        """Returns the text with everything but prose masked, at unchanged offsets."""
        parts, end = [], 0
        for start, stop in self.comments:
            parts += [re.sub(r"\S", "\0", self.text[end:start])]
            parts += [MARKER.sub(blank, self.text[start:stop])]
            end = stop
        text = "".join(parts)
        for code in (MARKDOWN_BLOCK, LINK, CODE_SPAN) if self.is_markdown else (CODE_SPAN, LINK):
            text = code.sub(blank, text)
        return text

    def long_lines(self) -> Iterator[Finding]:
        """Yields the lines over the limit that can be broken."""
        text, limit = self.text, MAX_COLUMNS
        if self.is_markdown:
            text = LINK.sub("]", MARKDOWN_BLOCK.sub(blank, text))
            limit = MAX_MARKDOWN_COLUMNS
        for number, line in enumerate(text.split("\n"), 1):
            length = len(line.rstrip())
            if length <= limit or self.is_code(number) or UNBREAKABLE.fullmatch(line):
                continue
            yield Finding(self.path, number, f"{length} columns; the limit is {limit}")

    def is_code(self, number: int) -> bool:
        """Whether a line ends with code: formatters see to its length, as far as they can."""
        start = self.lines[number - 1]
        stop = self.text.find("\n", start)
        is_comment = any(begin < stop <= end for begin, end in self.comments)
        return not is_comment and not self.is_markdown

    def banned_phrases(self) -> Iterator[Finding]:
        """Yields the phrases of BANNED, without those of ALLOWED."""
        for match in ANY_BANNED.finditer(self.prose()):
            found = " ".join(match[0].lower().split())
            if {(self.path, found), (self.path, "*"), ("*", found)} & ALLOWED.keys():
                continue
            advice = next(a for p, a in BANNED.items() if re.match(rf"(?:{p})\b", found + " x"))
            line = bisect_right(self.lines, match.start())
            yield Finding(self.path, line, f'"{found}": {advice}')


def blank(match: re.Match) -> str:
    """Returns spaces for a match. Line breaks stay."""
    return re.sub(r"[^\n]", " ", match[0])


def syntax_of(path: str) -> str:
    """Returns the key of SYNTAX for a file: its suffix, or its name."""
    return Path(path).suffix or Path(path).name


def main() -> int:
    """Prints the findings and returns the exit status."""
    command = ["git", "ls-files", "--", *sys.argv[1:]]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    findings: list[Finding] = []
    for path in listed.stdout.splitlines():
        if path.endswith(".md") or syntax_of(path) in SYNTAX:
            if path not in GENERATED and (ROOT / path).exists():
                source = Source(path)
                findings += sorted([*source.long_lines(), *source.banned_phrases()])
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
