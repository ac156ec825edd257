"""Folders that were generated apart: layers, activations and losses of one go with those of another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from phiz.cli.main import main
from phiz.runtime import Network, layer
from phiz.runtime.errors import PhizError

FILES = {
    "mish": "from phiz.derive import activation, softplus, tanh\n\n"
    "@activation\ndef mish(z):\n    return z * tanh(softplus(z))\n",
    "bent": "from phiz.derive import activation, sqrt\n\n"
    "@activation\ndef bent(z):\n    return z + (sqrt(z**2 + 1) - 1) / 2\n\n"
    "@activation\ndef sigmoid(z):\n    return z / 3\n",
    "quartic": "from phiz.derive import Loss\nfrom phiz.derive.language.losses import t, y\n\n"
    'quartic = Loss("quartic", (t - y) ** 4 / 4)\n',
}
PHI = {
    "mish": lambda z: z * np.tanh(np.log1p(np.exp(z))),
    "bent": lambda z: z + (np.sqrt(z * z + 1) - 1) / 2,
    "sigmoid": lambda z: z / 3,
    "tanh": np.tanh,
    "linear": lambda z: z,
}
LOSS = {"mse": lambda t, y: ((t - y) ** 2 / 2).sum(), "quartic": lambda t, y: ((t - y) ** 4 / 4).sum()}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One folder for each file, the built-in ones beneath."""
    root, found = tmp_path_factory.mktemp("apart"), []
    for name, text in FILES.items():
        (root / f"{name}.py").write_text(text)
        assert main(["generate", str(root / f"{name}.py"), "--out", str(root / name)]) == 0
        found.append(root / name)
    return found


def test_a_folder_holds_what_its_file_defines(folders: list[Path]) -> None:
    for folder in folders:
        files = {path.stem for path in folder.rglob("*.cl")}
        assert files - {"prelude", "activations"} == (
            {"loss_quartic"} if folder.name == "quartic" else {"loss_mse", "loss_ce", "loss_binary_ce"}
        )


@pytest.mark.quickly_built
@pytest.mark.parametrize("backend", ["numpy", "opencl"])
@pytest.mark.parametrize(
    ("first", "second", "loss"),
    [
        ("mish", "bent", "mse"),
        ("bent", "mish", "mse"),
        ("tanh", "sigmoid", "mse"),  # the user's sigmoid, in a layer that knows another of that name
        ("mish", "linear", "quartic"),
        ("sigmoid", "tanh", "quartic"),
    ],
)
def test_they_compute_what_is_written(
    first: str, second: str, loss: str, backend: str, folders: list[Path]
) -> None:
    """Against the layers' formulas, and central differences of them."""
    random = np.random.default_rng(3)
    x, t = random.normal(size=(5, 4)), random.normal(size=(5, 2))
    layers = [layer("dense", maps=3, activation=first), layer("dense", maps=2, activation=second)]
    network = Network(layers, 4, loss, backend=backend, dtype="float64", manifests=folders)

    def error(p: np.ndarray) -> float:
        w, b, v, c = p[:12].reshape(3, 4), p[12:15], p[15:21].reshape(2, 3), p[21:]
        return float(LOSS[loss](t, PHI[second](PHI[first](x @ w.T + b) @ v.T + c)))

    p = random.normal(size=network.parameter_count)
    value, gradient = network.value_and_gradient(p, x, t)
    assert value == pytest.approx(error(p), rel=1e-12)
    steps = 1e-5 * np.eye(p.size)
    np.testing.assert_allclose(
        gradient, [(error(p + h) - error(p - h)) / 2e-5 for h in steps], rtol=1e-6, atol=1e-8
    )


def test_a_loss_and_an_activation_that_never_met_are_to_be_generated_together(folders: list[Path]) -> None:
    with pytest.raises(PhizError) as caught:
        Network([layer("dense", maps=2, activation="mish")], 3, "quartic", backend="numpy", manifests=folders)
    files = [f"{(folder.parent / folder.name).resolve()}.py" for folder in (folders[2], folders[0])]
    assert f"they were generated apart, run: phiz generate {' '.join(files)} --out DIR" in str(caught.value)
    together = folders[0].parent / "together"
    assert main(["generate", *files, "--out", str(together)]) == 0
    Network([layer("dense", maps=2, activation="mish")], 3, "quartic", backend="numpy", manifests=[together])
