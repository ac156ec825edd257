"""CSV and NPZ: what they hold arrives, and what they cannot mean is refused with its place."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from phiz.runtime.data import tables
from phiz.runtime.errors import DataError


def csv_file(folder: Path, text: str | bytes) -> Path:
    path = folder / "table.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def npz_file(folder: Path, **arrays: np.ndarray) -> Path:
    path = folder / "arrays.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t", ", "])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_csv_with_header(tmp_path: Path, delimiter: str, end: str) -> None:
    rows = [["width", "y", "height"], ["1.5", "2", "-3e2"], ["4", "5", "6"]]
    path = csv_file(tmp_path, "".join(delimiter.join(row) + end for row in rows))
    table = tables.read_csv(path)
    assert table.names == ("width", "height") and table.target == "y"
    assert table.inputs.tolist() == [[1.5, -300.0], [4.0, 6.0]] and table.targets.tolist() == [2.0, 5.0]


def test_csv_without_header_takes_the_last_column_and_numbers_the_names(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "5.1,3.5,Iris-setosa\n6.2,2.9,Iris-virginica\n")
    table = tables.read_csv(path)
    assert table.names == ("1", "2") and table.target == "3"
    assert table.targets.tolist() == ["Iris-setosa", "Iris-virginica"]
    with pytest.raises(
        DataError, match=r"row 1 \(line 1\), column '3': expected a number, got 'Iris-setosa'"
    ):
        tables.read_csv(path, target="1")


FLOATS = "0.5,1.5,2.5\n3.5,4.5,5.5\n"


@pytest.mark.parametrize(
    ("first", "below"),
    [
        ("2019,2020,2021", FLOATS),  # years above measurements
        ("id,2019,2020", "1,2,3\n4,5,6\n"),  # a name above numbers alone
        ("2019,2020,species", "0.5,1.5,red\n3.5,4.5,blue\n"),
        ("-1,0,+1", FLOATS),
        ("inf,b,c", FLOATS),  # float() takes the first for a number
        ("1,2,3", "a,b,c\nd,e,f\n"),
    ],
)
def test_numbers_that_are_names(tmp_path: Path, first: str, below: str) -> None:
    path = csv_file(tmp_path, f"{first}\n{below}")
    names = first.split(",")
    rows = tables._split_header(path, list(tables._rows(path)))[1]
    assert tables._has_header(list(tables._rows(path))) and [row.number for row in rows] == [1, 2]
    if below == FLOATS:
        table = tables.read_csv(path)
        assert (*table.names, table.target) == tuple(names) and table.header
        assert table.inputs.tolist() == [[0.5, 1.5], [3.5, 4.5]] and table.targets.tolist() == [2.5, 5.5]


@pytest.mark.parametrize(
    "text",
    [
        "1,2,3\n4,5,6\n",  # integers above integers
        "1,2,3\n0.5,4,0.5\n",
        "2019,2019,2021\n" + FLOATS,  # one name twice
        "1.5,2,3\n" + FLOATS,
        "1e3,2,3\n" + FLOATS,
        "5.1,3.5,setosa\n6.2,2.9,virginica\n",
        "5,3,setosa\n6,2,virginica\n",
        "1,2,3\n",
        *(f"1,{missing},3\n4,5,6\n" for missing in ("NA", "nan", "null", "None", "?", "-", "")),
    ],
)
def test_a_first_sample_is_no_header(tmp_path: Path, text: str) -> None:
    path = csv_file(tmp_path, text)
    assert not tables._has_header(list(tables._rows(path)))


def test_sixty_rows_below_years_are_sixty_samples(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 3))
    table = tables.read_csv(
        csv_file(tmp_path, "2019,2020,2021\n" + "".join(f"{a},{b},{c}\n" for a, b, c in rows))
    )
    assert table.names == ("2019", "2020") and table.target == "2021"
    np.testing.assert_array_equal(table.inputs, rows[:, :2])


def test_csv_byte_order_mark_and_quotes(tmp_path: Path) -> None:
    path = csv_file(tmp_path, '\ufeff"a,b",target\n"1.5",2\n'.encode())
    table = tables.read_csv(path)
    assert table.names == ("a,b",) and table.inputs.tolist() == [[1.5]]


@pytest.mark.parametrize(
    ("text", "target", "expected"),
    [
        ("", None, "empty file"),
        ("\n\n", None, "empty file"),
        ("a,b\n", None, "at least one sample"),
        ("1\n2\n", None, "at least two columns"),
        ("a,b\n1,2\nx,3\n", None, r"row 2 \(line 3\), column 'a': expected a number, got 'x'"),
        ("a,b\n1,2\n,3\n", None, r"row 2 \(line 3\), column 'a': expected a number, got an empty cell"),
        ("a,b\n1,2\n,\n", None, r"row 2 \(line 3\), column 'a'.*an empty cell"),
        ("a,b\n1_0,2\n", None, "'1_0'"),
        ("a,b\n1,2\n\nnan,3\n", None, r"row 2 \(line 4\), column 'a': expected a finite number, got 'nan'"),
        ("a,b\n1,-inf\n", None, r"row 1 \(line 2\), column 'b': expected a finite number, got '-inf'"),
        ("a,b\n1,2\n1,x\n", None, r"row 2 \(line 3\), column 'b': expected a number, got 'x'"),
        ("a,b\n1,x\n1,\n", None, r"row 2 \(line 3\), column 'b': expected a target, got an empty cell"),
        ("a,b\n1,2,3\n4,5\n", None, r"row 1 \(line 2\): expected 2 cells, got 3$"),
        ("a,b\n1,2\n3\n", None, "expected 2 cells, got 1: the file may be truncated"),
        (",a,b\n0,1,2\n", None, "column 1 has no name"),
        ("a,b\n1,2\n", "c", "target column 'c', but the columns are a, b"),
        ("a,a\n1,2\n", "a", "more than one column"),
        ('a,b\n1,"2\n', None, "line 2: expected CSV"),
        (b"a,b\n1,\xff\n", None, "UTF-8"),
        (b"a,b\n1,\x00\n", None, "binary"),
    ],
)
def test_bad_csv_is_refused_with_its_place(
    tmp_path: Path, text: str | bytes, target: str | None, expected: str
) -> None:
    path = csv_file(tmp_path, text)
    with pytest.raises(DataError, match=expected) as caught:
        tables.read_csv(path, target)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_every_prefix_of_a_csv_is_refused_or_is_a_start_of_the_table(tmp_path: Path) -> None:
    text = "width,height,kind\n1.25,2.5,red\n-3e2,4,blue\n5,6.125,red\n"
    whole = tables.read_csv(csv_file(tmp_path, text))
    loaded = 0
    for length in range(len(text) + 1):
        try:
            table = tables.read_csv(csv_file(tmp_path, text[:length]))
        except DataError:
            continue
        loaded += 1
        lines = text[:length].count("\n") - 1
        assert len(table.inputs) in (lines, lines + 1)
        np.testing.assert_array_equal(table.inputs, whole.inputs[: len(table.inputs)])
        np.testing.assert_array_equal(table.targets[:lines], whole.targets[:lines])
    assert 3 <= loaded <= 20  # all but the cuts after a row, and inside a row's last cell, are seen


def test_a_line_cut_off_is_loaded_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tables.read_csv(csv_file(tmp_path, "a,b\n1,2\n"))
    assert not caplog.records
    tables.read_csv(csv_file(tmp_path, "a,b\n1,2"))
    assert "last line does not end" in caplog.text


@pytest.mark.parametrize(
    "names", [("x", "y"), ("inputs", "targets"), ("X", "Y"), ("data", "labels"), ("x_train", "y_train")]
)
def test_npz_names(tmp_path: Path, names: tuple[str, str]) -> None:
    table = tables.read_npz(npz_file(tmp_path, **{names[0]: np.ones((2, 3)), names[1]: np.arange(2)}))
    assert table.inputs.shape == (2, 3) and table.targets.tolist() == [0, 1] and table.target == names[1]


def test_npz_target_by_name_and_parts(tmp_path: Path) -> None:
    path = npz_file(
        tmp_path, x_train=np.ones((2, 1)), y_train=np.arange(2), x_test=np.zeros((3, 1)), y_test=np.arange(3),
        age_train=np.array([7.0, 8.0]), age_test=np.array([1.0, 2.0, 3.0]),
    )  # fmt: skip
    assert tables.read_npz(path, part="test").targets.tolist() == [0, 1, 2]
    assert tables.read_npz(path, target="age").targets.tolist() == [7, 8]
    assert tables.read_npz(path, target="age_train", part="test").targets.tolist() == [1, 2, 3]
    assert tables.npz_has_part(path, "test") and not tables.npz_has_part(path, "validation")


def test_bad_npz_is_refused(tmp_path: Path) -> None:
    x, y = np.ones((2, 3)), np.arange(2)
    with pytest.raises(DataError, match=r"inputs in an array named inputs, .* the arrays are a, y"):
        tables.read_npz(npz_file(tmp_path, a=x, y=y))
    with pytest.raises(DataError, match=r"targets in an array named kind; the arrays are x, y"):
        tables.read_npz(npz_file(tmp_path, x=x, y=y), target="kind")
    with pytest.raises(DataError, match="as many rows in 'y' as in 'x', got 3 and 2"):
        tables.read_npz(npz_file(tmp_path, x=x, y=np.arange(3)))
    with pytest.raises(DataError, match="at least one sample"):
        tables.read_npz(npz_file(tmp_path, x=x[:0], y=y[:0]))
    with pytest.raises(DataError, match="array 'x': expected finite numbers, got nan at sample 1, column 2"):
        tables.read_npz(npz_file(tmp_path, x=np.array([[1, 1, 1], [1, 1, np.nan]]), y=y))
    with pytest.raises(DataError, match=r"got -inf at sample 1, index \(0, 1, 0\)"):
        images = np.ones((2, 1, 2, 2))
        images[1, 0, 1, 0] = -np.inf
        tables.read_npz(npz_file(tmp_path, x=images, y=y))
    with pytest.raises(DataError, match="array 'x': expected numbers, got dtype complex128"):
        tables.read_npz(npz_file(tmp_path, x=x * 1j, y=y))
    with pytest.raises(DataError, match="one row a sample"):
        tables.read_npz(npz_file(tmp_path, x=np.float64(1), y=y))
    with pytest.raises(DataError, match="no such file"):
        tables.read_npz(tmp_path / "absent.npz")


class Trap:
    """Unpickling this would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


def test_a_pickle_in_an_npz_is_refused_and_never_run(tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    path = npz_file(tmp_path, x=np.array([Trap(trap)], dtype=object), y=np.arange(1))
    with pytest.raises(DataError, match=r"pickle|Object arrays"):
        tables.read_npz(path)
    assert not trap.exists()
    np.load(path, allow_pickle=True)["x"]
    assert trap.exists()  # so the trap was real


@pytest.mark.parametrize("compressed", [False, True])
def test_every_prefix_and_flipped_byte_of_an_npz(tmp_path: Path, compressed: bool) -> None:
    x, y = np.arange(6.0).reshape(2, 3), np.arange(2)
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, x=x, y=y)
    data = buffer.getvalue()
    path = tmp_path / "a.npz"
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(DataError) as caught:
            tables.read_npz(path)
        assert "\n" not in str(caught.value)
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        try:
            table = tables.read_npz(path)
        except DataError:
            continue
        np.testing.assert_array_equal(table.inputs, x)  # a byte that does not matter, such as a date
        np.testing.assert_array_equal(table.targets, y)


def test_an_npz_with_a_member_that_is_no_array(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"hello")
        archive.writestr("y", b"hello")
    with pytest.raises(DataError):
        tables.read_npz(path)
