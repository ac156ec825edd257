"""Definition files that raise: one line with the file and the line, whatever the file does."""

from __future__ import annotations

from pathlib import Path

import pytest
from phiz.cli.main import main
from phiz.derive import Definition, Eq, Layer, Sum, derive_definition, layer
from phiz.derive.print.text import plain

HEAD = "from phiz.derive import Eq, Sum, activation, layer, piecewise\n\n"
BODY = HEAD + "@layer()\ndef own(L):\n    Y = L.input()\n    i = L.own(Y)\n    return L.output(i)({})\n"
FILES: dict[str, tuple[str, str]] = {
    "raises": (HEAD + "x = 1 / 0\n", "my.py:3: ZeroDivisionError: division by zero"),
    "raises far below": (
        HEAD + "def f(n):\n    return [][n]\n\nf(2)\n",
        "my.py:4: IndexError: list index out of range",
    ),
    "no Python": (HEAD + "def f(:\n", "my.py:3: SyntaxError: invalid syntax"),
    "no text": ("\0", "my.py"),
    "ends the process": (HEAD + "raise SystemExit(0)\n", "my.py:3: SystemExit: 0"),
    "endless": (HEAD + "def f():\n    return f()\nf()\n", "my.py:4: RecursionError"),
    "several lines": (HEAD + "raise ValueError('one\\ntwo')\n", "my.py:3: ValueError: one two"),
    "an activation of two variables": (
        HEAD + "@activation\ndef a(z):\n    from sympy import Symbol\n    return z * Symbol('q')\n",
        "activation a: phi depends on q",
    ),
    "decorated without parentheses": (
        HEAD + "@layer\ndef own(L):\n    pass\n",
        "my.py:3: TypeError: layer()",
    ),
    "option of one value": (
        HEAD + "@layer(rank=2)\ndef own(L, rank):\n    pass\n",
        "option rank: expected a tuple of its values, got 2",
    ),
    "option that it does not take": (
        HEAD + "@layer(rank=(1,))\ndef own(L):\n    pass\n",
        "layer own_1d: TypeError: own() got an unexpected keyword argument 'rank' (my.py:3)",
    ),
    "unknown declaration": (
        BODY.format("Y[i] * L.random()"),
        "layer own: there is no L.random; L has axis, connections,",
    ),
    "misspelled declaration": (BODY.format("Y[i] * L.siez('a', 'b')"), "did you mean L.size? (my.py:7)"),
    "another's attribute": (
        BODY.format("Y[i].nothing"),
        "layer own: AttributeError: 'Symbol' object has no attribute 'nothing' (my.py:7)",
    ),
    "in a helper": (
        BODY.format("help(Y[i])") + "\ndef help(v):\n    return v + None\n",
        "layer own: TypeError: unsupported operand type(s) for +: 'Symbol' and 'NoneType' (my.py:10)",
    ),
    "refused by the language": (BODY.format("Sum(Y[i])"), "has none (my.py:7)"),
    "refused by the derivation": (
        BODY.format("Y[i] * piecewise((2, i > 1), (1, True))"),
        "layer own: Piecewise((2, i > 1), (1, True)) is no integer expression that the IR can hold",
    ),
    "nothing returned": (
        HEAD + "@layer()\ndef own(L):\n    L.input()\n",
        "layer own: the definition must return L.output(...)(Z), it returned None (my.py:3)",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_one_line_with_file_and_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text, message = FILES[name]
    (tmp_path / "my.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    for command in (["generate", "my.py", "--out", "out"], ["verify", "--definition", "my.py"]):
        assert main(command) == 2
        out, err = capsys.readouterr()
        assert out == "" and len(err.splitlines()) == 1, err
        assert err.startswith("phiz: ") and message in err and "my.py" in err
    assert not (tmp_path / "out").exists()


def test_conditions_of_vectors_and_windows_of_numbers() -> None:
    """``Eq`` of ``phiz.derive`` is that of the language, and sizes may be numbers."""

    @layer()
    def enlarged(L: Layer) -> Definition:
        Y = L.input(2)
        i, y, r, x = L.own(Y), Y.y, L.window("r", (2, 3)), L.coordinates("x", (4, Y.H[1] * 3))
        return L.output(i, x)(Sum(Y[i, y], y, r, where=Eq(y * 2 + r, x)))

    derivation = derive_definition(enlarged, {})
    extents = [plain(axis.extent) for axis in derivation.definition.tensors["Z"].axes]
    assert extents == ["J", "X0", "X1"]
    assert [str(derivation.definition.sizes[f"X{r}"].value) for r in (0, 1)] == ["4", "3*H1"]
