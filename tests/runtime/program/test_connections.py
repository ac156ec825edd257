"""Connection tables against their definition: sets of connections, and the transpose C_j = {i : j in D_i}."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phiz.runtime.errors import ShapeError
from phiz.runtime.manifest.loading import builtin
from phiz.runtime.program.connections import ConnectionTable, connection_table
from phiz.runtime.program.layer import instantiate, layer
from phiz.runtime.program.shape import Shape

LISTS = st.integers(1, 6).flatmap(
    lambda inputs: st.tuples(
        st.just(inputs), st.lists(st.lists(st.integers(0, inputs - 1), max_size=5), min_size=1, max_size=6)
    )
)


@given(LISTS)
def test_transpose_is_the_definition_of_c(case: tuple[int, list[list[int]]]) -> None:
    inputs, lists = case
    relation = connection_table("D", {"i": len(lists), "j": inputs}, lists)
    assert len(relation) == sum(len(entry) for entry in lists)
    for i, entry in enumerate(lists):
        assert relation.j[relation.rows("i", i)].tolist() == entry
    for j in range(inputs):
        expected = [i for i, entry in enumerate(lists) for k in entry if k == j]
        assert relation.i[relation.rows("j", j)].tolist() == expected
        assert (np.diff(relation.rows("j", j)) > 0).all()


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 2)), max_size=12), st.randoms()
)
def test_rows_of_any_order(rows: list[tuple[int, int, int]], random: object) -> None:
    columns = {c: [row[n] for row in rows] for n, c in enumerate("ijq")}
    relation = ConnectionTable("D", columns, {"i": 4, "j": 5, "q": 3})
    for n, column in enumerate("ijq"):
        pointers, order = relation.group(column)
        assert pointers[-1] == len(rows) == len(order)
        for key in range(relation.sizes[column]):
            assert relation.rows(column, key).tolist() == [r for r, row in enumerate(rows) if row[n] == key]
    assert relation.rows("", 0).tolist() == list(range(len(rows)))


def test_full_and_one_to_one() -> None:
    full = connection_table("D", {"i": 2, "j": 3, "q": None}, "full")
    rows = list(zip(full.i, full.j, full.q, strict=True))
    assert rows == [(0, 0, 0), (0, 1, 1), (0, 2, 2), (1, 0, 3), (1, 1, 4), (1, 2, 5)]
    single = connection_table("D", {"i": 3, "j": 3, "q": None}, "one-to-one", "map")
    assert single.i.tolist() == single.j.tolist() == single.q.tolist() == [0, 1, 2]
    with pytest.raises(ShapeError, match="got 2 and 3"):
        connection_table("D", {"i": 2, "j": 3}, "one-to-one")


def test_sharing() -> None:
    lists = [[1, 0], [], [0]]
    by_map = connection_table("D", {"i": 3, "j": 2, "q": None}, lists, "map")
    assert by_map.q.tolist() == [0, 0, 2] and by_map.sizes["q"] == 3
    for table in ([2, 0, 2], [[2, 0], [], [2]]):
        shared = connection_table("D", {"i": 3, "j": 2, "q": None}, lists, table)
        assert shared.q.tolist() == [2, 0, 2] and shared.sizes["q"] == 3
    with pytest.raises(ShapeError, match="2 ids, expected 3"):
        connection_table("D", {"i": 3, "j": 2, "q": None}, lists, [0, 1])
    with pytest.raises(ShapeError, match="'pair', 'map'"):
        connection_table("D", {"i": 3, "j": 2, "q": None}, lists, "all")


def test_explicit_rows_keep_their_order() -> None:
    relation = connection_table("D", {"i": 3, "j": 2, "q": None}, {"i": [2, 0], "j": [1, 0], "q": [5, 1]})
    assert relation.i.tolist() == [2, 0] and relation.q.tolist() == [5, 1] and relation.sizes["q"] == 6
    assert connection_table("D", {"i": 3, "j": 2, "q": None}, {"i": [2, 0], "j": [1, 0]}).q.tolist() == [0, 1]


def test_no_connection_at_all() -> None:
    relation = connection_table("D", {"i": 2, "j": 3, "q": None}, [[], []])
    assert len(relation) == 0 and relation.sizes["q"] == 0
    assert relation.rows("j", 2).tolist() == [] and relation.group("i")[0].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "connections,words",
    [
        ([[0], [3]], "connection 1 has j = 3, expected 0 <= j < 3"),
        ([[-1], []], "j = -1"),
        ([[0]], "1 lists of connections, expected 2"),
        ([0, 1], "must be a list"),
        ([[0.5], [1]], "must hold integers"),
        ("some", "'full', 'one-to-one'"),
        ({"i": [0], "j": [0, 1]}, "different lengths"),
        ({"i": [0]}, "'j' is missing"),
        ({"i": [0], "j": [0], "x": [0]}, "unknown column 'x'"),
    ],
)
def test_bad_connections(connections: object, words: str) -> None:
    with pytest.raises(ShapeError, match=words):
        connection_table("D", {"i": 2, "j": 3}, connections)


@pytest.mark.parametrize(
    ("family", "keywords"),
    [
        ("irregular", {"units": 2}),
        ("linear_combination", {"maps": 2, "connections": "table"}),
        ("linear_combination_table", {"maps": 2}),
    ],
)
def test_a_table_that_is_missing_is_asked_for(family: str, keywords: dict[str, object]) -> None:
    with pytest.raises(ShapeError) as caught:
        instantiate(builtin(), layer(family, **keywords), 0, Shape.of(3))  # type: ignore[arg-type]
    assert str(caught.value) == (
        f"layer 0 ({family}): connections= is missing, expected 'full', 'one-to-one', a list of j for each "
        "i, or a mapping of columns i, j, q"
    )
    whole = layer(family, **{**keywords, "connections": [[0, 1], [2]]})  # type: ignore[arg-type]
    assert instantiate(builtin(), whole, 0, Shape.of(3)).connection_tables["D"].count == 3
