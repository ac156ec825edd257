"""The pages that people read: their links lead somewhere, their snippets run, their commands are commands."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from phiz.cli import main

ROOT = Path(__file__).resolve().parent.parent
PAGES = tuple(sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/results/**/*.md"))))
WRITTEN = tuple(page for page in PAGES if "results" not in page.parts)
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
MOST_LINES = 150
"""Of the README; what does not fit belongs to ``docs/``."""


def name(page: Path) -> str:
    """The page's path from the root."""
    return page.relative_to(ROOT).as_posix()


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """What a link may name in ``page``: each heading in lower case, without punctuation, dashes for
    spaces.
    """
    return {
        re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-")
        for title in HEADING.findall(prose(page))
    }


def lost(page: Path, text: str) -> list[str]:
    """The links in ``text`` that lead from ``page`` to nothing."""
    found = []
    for link in LINK.findall(text):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if "://" in link:
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


def test_links_lead_to_files_and_headings() -> None:
    assert len(PAGES) > 8 and sum(len(LINK.findall(prose(page))) for page in PAGES) > 30
    for page in PAGES:
        assert not lost(page, prose(page)), name(page)
    assert lost(ROOT / "README.md", "[a](docs/speed.md) [b](no_such.md) [c](docs/devices.md#no-such)") == [
        "no_such.md",
        "docs/devices.md#no-such",
    ]


def test_the_readme_is_short_and_names_every_page() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= MOST_LINES
    everywhere = "".join(page.read_text(encoding="utf-8") for page in WRITTEN)
    for page in ROOT.glob("docs/*.md"):
        assert f"(docs/{page.name}" in readme, page.name
    for command in main.COMMANDS:
        assert f"`phiz {command}" in readme, command
    for picture in ("peers.png", "roofline.png"):
        assert f"benchmarks/results/{picture}" in everywhere


def test_the_picture_of_the_house_shows_every_folder() -> None:
    """Each room has a tree of its own; a folder stands in it by its name, under the folder that holds it."""
    shown: set[Path] = set()
    for _, block in FENCED.findall((ROOT / "docs" / "rooms.md").read_text(encoding="utf-8")):
        above: dict[int, Path] = {}
        for line in block.splitlines():
            found = re.match(r"( *)(\w+)/", line)
            if found is not None:
                depth = len(found[1])
                above[depth] = above.get(depth - 2, ROOT) / found[2]
                shown.add(above[depth])
    rooms = [ROOT / room for room in ("derive", "codegen", "runtime", "benchmarks")]
    there = {path.parent for room in rooms for path in room.rglob("__init__.py")}
    assert shown == there, sorted(map(str, shown ^ there))


# --------------------------------------------------------------------------------------------------- snippets
def snippets(page: Path) -> Iterator[tuple[str, str]]:
    """The page's Python, each with the file that the line above it names, or ""."""
    text = page.read_text(encoding="utf-8")
    for block in FENCED.finditer(text):
        if block[1] == "python":
            named = re.search(r"`(\w+\.py)`:\n\n\Z", text[: block.start()])
            yield (named[1] if named else ""), block[2]


def commands(page: Path) -> list[list[str]]:
    """The page's ``phiz`` commands in fenced blocks, without what a ``#`` says about them."""
    lines = [
        line
        for kind, block in FENCED.findall(page.read_text(encoding="utf-8"))
        if not kind
        for line in block.splitlines()
    ]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("phiz ")]


@pytest.mark.quickly_built
@pytest.mark.parametrize("page", [page for page in WRITTEN if list(snippets(page))], ids=name)
def test_snippets_run(page: Path, tmp_path: Path) -> None:
    """In the page's order, in a process and a folder of their own; files that the page names are
    written and generated.
    """
    program = []
    for file, text in snippets(page):
        if file:
            (tmp_path / file).write_text(text, encoding="utf-8")
            generating = next(one for one in commands(page) if one[:2] == ["generate", file])
            assert main.main(_within(tmp_path, generating)) == 0
        else:
            program.append(text)
    (tmp_path / "program.py").write_text("\n".join(program), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _within(folder: Path, command: list[str]) -> list[str]:
    """Paths of ``command`` in ``folder``: the process's own folder stays what it is."""
    return [str(folder / word) if word.endswith(".py") or word == "mine" else word for word in command]


# --------------------------------------------------------------------------------------------------- commands
def test_commands_are_understood() -> None:
    """Every ``phiz`` line is parsed as the command itself would; none of them runs."""
    found = [command for page in WRITTEN for command in commands(page)]
    assert len(found) > 6
    for command in found:
        main._parser(command).parse_args(command)
    with pytest.raises(SystemExit):
        main._parser(["train", "--no-such"]).parse_args(["train", "--no-such"])


def test_options_in_the_text_are_the_commands_own(capsys: pytest.CaptureFixture[str]) -> None:
    """``phiz bench --paper``: what follows a command between backquotes is in its help."""
    found = {text for page in WRITTEN for text in re.findall(r"`phiz ([a-z]+[^`]*)`", prose(page))}
    assert len(found) > 8
    for text in sorted(found):
        command = text.split()[0]
        with pytest.raises(SystemExit) as ended:
            main._parser([command]).parse_args([command, "--help"])
        shown = capsys.readouterr().out
        assert ended.value.code == 0 and not [
            option for option in re.findall(r"--[a-z-]+", text) if option not in shown
        ], text


def test_the_convolution_of_the_readme_is_the_built_in_one() -> None:
    """Line by line, but for the types."""
    block = next(text for _, text in snippets(ROOT / "README.md"))
    source = (ROOT / "derive" / "layers" / "convolution.py").read_text(encoding="utf-8")
    for line in block.splitlines()[4:]:
        assert line in source.splitlines(), line
