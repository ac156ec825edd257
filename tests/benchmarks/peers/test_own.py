"""phiz as a peer: outputs of more samples than one pass takes."""

from __future__ import annotations

import numpy as np
from phiz.benchmarks.cases.cases import Case
from phiz.benchmarks.cases.models import Model
from phiz.benchmarks.peers.own import Reference, prepare
from phiz.runtime.program.layer import layer

LAYERS = (layer("dense", maps=5, activation="tanh"), layer("softmax", maps=3))


def test_outputs_come_from_as_many_passes_as_there_are() -> None:
    case = Case(Model("small", LAYERS, 4, (11,), outputs=3, micro_batch=4), 11, "predict", "t")
    expected = Reference.prepare(case, [], 1)[""]
    expected.call()
    forms = prepare(case, [], 1)
    assert set(forms) == {"placed", "host"}
    for form in forms.values():
        form.call()
        found = form.results()["outputs"]
        assert found.shape == (11, 3)
        assert np.allclose(found, expected.results()["outputs"], atol=1e-6)
