"""A net under the names: no function of a generated file declares a name that is already visible there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ...derive.ir import IRError
from ...derive.symbols.names import shown

_TOKEN = re.compile(r"^[ \t]*#(?:\\\n|[^\n])*|//[^\n]*|\"[^\"]*\"|[A-Za-z_]\w*|\d[\w.]*|\S", re.MULTILINE)
#: Counters of the kernels' own that loops inside each other share: only the loop's head reads them.
_AGAIN = frozenset(("edge",))
_DEFINED = re.compile(r"\s*#\s*define\s+(\w+)")
_TYPES = frozenset(("int", "integer", "realv", "REAL", "void", "loosev"))
_QUALIFIERS = frozenset(
    (
        "const",
        "static",
        "restrict",
        "WIDE",
        "inline",
        "__kernel",
        "__global",
        "__local",
        "__constant",
        "__private",
    )
)


def check_scopes(where: str, text: str) -> None:
    """IRError, naming ``where`` and the function, where the OpenCL ``text`` declares a name twice in nested
    scopes.

    Alternatives of the preprocessor do not see each other.  A kernel's name may be that of what it writes:
    nothing calls it.
    """
    found = next(_Reader(text).faults(), None)
    if found is not None:
        function, name = found
        raise IRError(
            f"{where}: {function} declares {name} twice, which would hide one of them: {shown(name)}"
        )


class _Reader:
    """Reads a file token by token; ``scopes``: the names that each open scope has declared, the file's
    first.
    """

    def __init__(self, text: str) -> None:
        self.tokens = [t for t in _TOKEN.findall(text) if not t.startswith(("//", '"'))]
        self.scopes: list[set[str]] = [set()]
        self.branches: list[tuple[list[set[str]], list[set[str]]]] = []
        self.at = 0
        self.function = "the file"

    def faults(self) -> Iterator[tuple[str, str]]:
        """Function and name of everything that is declared twice."""
        while self.at < len(self.tokens):
            token = self.tokens[self.at].lstrip()
            if token.startswith("#"):
                self._directive(token)
                self.at += 1
            else:
                yield from self._at_file_scope()

    def _directive(self, text: str) -> None:
        def copy() -> list[set[str]]:
            return [set(scope) for scope in self.scopes]

        if defined := _DEFINED.match(text):
            self.scopes[0].add(defined[1])
        elif re.match(r"#\s*if", text):
            self.branches.append((copy(), copy()))
        elif re.match(r"#\s*el", text) and self.branches:
            start, union = self.branches[-1]
            self.branches[-1] = start, [a | b for a, b in zip(union, self.scopes, strict=False)]
            self.scopes = [set(scope) for scope in start]
        elif re.match(r"#\s*endif", text) and self.branches:
            _, union = self.branches.pop()
            self.scopes = [a | b for a, b in zip(union, self.scopes, strict=False)] + self.scopes[
                len(union) :
            ]

    def _closing(self, at: int, opening: str, closing: str, depth: int = 0) -> int:
        """The place after ``at`` where what is open is closed."""
        for n in range(at, len(self.tokens)):
            depth += (self.tokens[n] == opening) - (self.tokens[n] == closing)
            if self.tokens[n] == closing and depth == 0:
                return n
        return len(self.tokens) - 1

    def _at_file_scope(self) -> Iterator[tuple[str, str]]:
        """A type, an enumeration, or a function."""
        end = self.at
        while (
            end < len(self.tokens) and self.tokens[end] not in "({;" and not self.tokens[end].startswith("#")
        ):
            end += 1
        words = self.tokens[self.at : end]
        if words and words[0] == "typedef":
            self.at = self.tokens.index(";", self.at) + 1
        elif words and words[0] == "enum":
            self.at = self._closing(end, "{", "}") + 1
            for name in (self.tokens[n] for n in range(end + 1, self.at) if self.tokens[n - 1] in "{,"):
                yield from self._declare(name)
        elif end < len(self.tokens) and self.tokens[end] == "(":
            yield from self._function(words, end)
        else:
            self.at = end + 1

    def _function(self, words: Sequence[str], at: int) -> Iterator[tuple[str, str]]:
        """A function after its first ``words``; its parameters, from ``at`` on, open a scope."""
        if "__kernel" not in words:
            yield from self._declare(words[-1])
        self.function = words[-1]
        self.scopes.append(set())
        self.at, depth, before = at, 0, ""
        while depth or self.at == at:
            token = self.tokens[self.at].lstrip()
            self.at += 1
            if token.startswith("#"):
                self._directive(token)
                continue
            depth += (token == "(") - (token == ")")
            if token in ",)" and before:
                yield from self._declare(before)
            before = token if re.match(r"[A-Za-z_]\w*$", token) else "" if token in ",()" else before
        self.at += 1
        if self.tokens[self.at - 1] == "{":
            yield from self._body()
        else:
            self.scopes.pop()

    def _body(self) -> Iterator[tuple[str, str]]:
        """The statements of a function, up to its closing brace."""
        loops: list[tuple[int, bool]] = []  # depth of braces at a loop's head, and whether it has braces
        depth = 1
        while depth:
            token, end = self.tokens[self.at].lstrip(), (0, False)
            self.at += 1
            if token.startswith("#"):
                self._directive(token)
            elif token == "for":
                yield from self._head()
                loops.append((depth, self.tokens[self.at] == "{"))
            elif token == "if":
                self.at = self._closing(self.at, "(", ")") + 1
            elif token == "{":
                depth += 1
                self.scopes.append(set())
            elif token == "}":
                depth -= 1
                self.scopes.pop()
                end = depth, True
            elif token != "else":
                self.at -= 1
                yield from self._statement()
                end = depth, False
            while loops and loops[-1] == end:
                loops.pop()
                self.scopes.pop()
        self.function = "the file"

    def _head(self) -> Iterator[tuple[str, str]]:
        """The head of a loop, which opens a scope."""
        self.scopes.append(set())
        self.at += 1
        yield from self._statement()
        self.at = self._closing(self.at, "(", ")", 1) + 1

    def _statement(self) -> Iterator[tuple[str, str]]:
        """Up to a semicolon; what it declares."""
        start = self.at
        while self.tokens[self.at] != ";":
            self.at += 1
        words = [t for t in self.tokens[start : self.at] if not t.lstrip().startswith("#")]
        self.at += 1
        n = 0
        while n < len(words) and (words[n] in _QUALIFIERS or words[n].startswith("SPACE_")):
            n += 1
        if n >= len(words) or words[n] not in _TYPES:
            return
        name = words[n + 1]
        if words[n:] == ["integer", name, "=", f"{name}0"]:
            return  # the first place of a tile: loops over it declare the variable of its places again
        for declared in _declarators(words[n + 1 :]):
            yield from self._declare(declared)

    def _declare(self, name: str) -> Iterator[tuple[str, str]]:
        if name not in _AGAIN and any(name in scope for scope in self.scopes):
            yield self.function, name
        self.scopes[-1].add(name)


def _declarators(words: Sequence[str]) -> Iterator[str]:
    """The names that a declaration declares: the first word, and the first behind each comma outside
    brackets.
    """
    depth, wanted = 0, True
    for word in words:
        depth += (word in "([") - (word in ")]")
        if depth == 0 and word == ",":
            wanted = True
        elif wanted and depth == 0 and re.match(r"[A-Za-z_]\w*$", word) and word not in _QUALIFIERS:
            wanted = False
            yield word
