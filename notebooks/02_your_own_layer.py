# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your own layer
#
# A layer that phiz does not have: a **gated convolution**. One convolution proposes a feature, a second one
# decides, pixel by pixel, how much of it passes:
#
# $$Z_i(x) = \tanh\big(A_i(x)\big) \cdot \sigma\big(G_i(x)\big).$$
#
# One file with its equation is all that it takes. Then it is derived, generated, verified and trained like
# the built-in ones, and no other file changes.

# %%
import inspect
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown, display

from phiz.codegen import display as show
from phiz.codegen.folder import write
from phiz.codegen.generate import generate
from phiz.codegen.user_file import combined, load_definitions
from phiz.derive import DefinitionError, derive_definition
from phiz.runtime import Network, PhizError, Settings, layer, load_split, train
from phiz.runtime.verify.verify import verify

plt.rcParams.update(
    {
        "figure.dpi": 96,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
    }
)
folder = Path(tempfile.mkdtemp())


def code(text, language):
    """Source text, highlighted."""
    return Markdown(f"```{language}\n{text.rstrip()}\n```")


# %% [markdown]
# ## 1. One file
#
# The definition declares what is indexed (the maps below, this layer's maps, a window), the parameters, and
# returns $Z$. `A` and `G` are *stages*: named intermediate values, each of which gets a delta of its own.
# `rank=(1, 2)` makes it a layer for signals and for images.

# %%
DEFINITION = '''\
from phiz.derive import Definition, Layer, Sum, layer, sigmoid, tanh


@layer(rank=(1, 2))
def gated_convolution(L: Layer, rank: int) -> Definition:
    """A convolution whose values pass a gate, which is a convolution itself."""
    Y = L.input(rank)
    i, j, M = L.maps("i"), Y.j, L.sizes("M", "kernel", rank)
    u = L.window("u", M)
    x = L.coordinates("x", Y.H - M + 1)
    w, b = L.parameter("w", i, j, u), L.parameter("b", i)
    v, c = L.parameter("v", i, j, u), L.parameter("c", i)
    A = L.stage("A", i, x)(Sum(Y[j, x + u] * w[i, j, u], j, u) + b[i])
    G = L.stage("G", i, x)(Sum(Y[j, x + u] * v[i, j, u], j, u) + c[i])
    return L.output(i, x)(tanh(A[i, x]) * sigmoid(G[i, x]))
'''
file = folder / "my_layers.py"
file.write_text(DEFINITION)
display(code(DEFINITION, "python"))

# %% [markdown]
# ## 2. What is derived from it
#
# The product rule, the derivatives of tanh and σ, and the sum over the two ways in which the input matters:
# all of it follows from $Z$. For one coordinate:

# %%
definitions = load_definitions([file])
family = definitions.families[0]
derivation = derive_definition(family, {"rank": 1})
headings = {
    "forward": "Forward (equation 1)",
    "delta": "Deltas (equation 7)",
    "gradient": "Gradients (equation 8)",
}
for role, heading in headings.items():
    lines = [f"$${kernel.latex}$$" for kernel in derivation.kernels if kernel.role == role]
    display(Markdown("\n\n".join([f"**{heading}**", *lines])))

# %% [markdown]
# ## 3. Generate
#
# On the command line: `phiz generate my_layers.py --out my_kernels`. From Python it is two calls. The folder
# then holds readable kernels, the equations as pages, and a manifest with the digest of every file.

# %%
needed, families = combined(definitions)
kernels = folder / "my_kernels"
written = write(kernels, generate(families, needed.activations, needed.losses).files)
print("\n".join(name for name in written if "loss_" not in name and "__init__" not in name))

# %% [markdown]
# The delta of the gate's argument, as an OpenCL kernel: one more map over all samples, with everything from
# the equation in place.

# %%
text = show.kernels(derive_definition(family, {"rank": 2}), needed.activations, "opencl")
kernel = text[text.index("static void delta_G_item(") :]
display(code(kernel[: kernel.index("\n}\n") + 3], "c"))

# %% [markdown]
# ## 4. Verify
#
# On the command line: `phiz verify --definition my_layers.py`. Random legal configurations are drawn, and
# every kernel is compared with finite differences, with Taylor's theorem and, where there is OpenCL, backend
# against backend.

# %%
report = verify(["gated_convolution"], kernels, backend="numpy", cases=4, seed=0)
checks = sorted({row.check for row in report.rows})
lines = ["| check | comparisons | failures | tightest |", "|---|---:|---:|---|"]
for check in checks:
    rows = [row for row in report.rows if row.check == check]
    worst = max(rows, key=lambda row: row.strain)
    failures, where = sum(not row.passed for row in rows), f"`{worst.kernel or worst.tensor}`, {worst.dtype}"
    lines.append(f"| {check} | {len(rows)} | {failures} | {where} |")
display(Markdown("\n".join(lines)))
assert not report.failures

# %% [markdown]
# ## 5. Train
#
# A network names the folder in `manifests=`, and the new layer stands beside the built-in ones. For
# comparison, an ordinary convolution takes its place, with one map more, so that both networks have about 900
# parameters.

# %%
split = load_split("digits", seed=0)
TAIL = [layer("max_pooling", window=2), layer("softmax", maps=10)]
gated = Network(
    [layer("gated_convolution", maps=8, kernel=3), *TAIL],
    (1, 8, 8),
    "ce",
    "auto",
    manifests=[kernels],
    micro_batch=64,
)
plain = Network(
    [layer("convolution", maps=9, kernel=3, activation="tanh"), *TAIL],
    (1, 8, 8),
    "ce",
    "auto",
    micro_batch=64,
)
settings = Settings(optimizer="momentum", epochs=15, rate=0.1)
outcomes = {}
for name, network in {"gated convolution": gated, "convolution": plain}.items():
    outcomes[name] = outcome = train(network, split, settings)
    print(
        f"{name:18} {network.parameter_count:5} parameters   {outcome.test.accuracy:.1%} on "
        f"{outcome.test.samples} unseen digits"
    )

# %%
figure, axes = plt.subplots(figsize=(7.2, 3.8), layout="constrained")
for (name, outcome), colour in zip(outcomes.items(), ("#1f6fb4", "#c8553d"), strict=True):
    axes.semilogy(
        [e.number for e in outcome.history.epochs],
        [e.loss for e in outcome.history.epochs],
        color=colour,
        label=name,
    )
axes.set(xlabel="epoch", ylabel="mean cross-entropy", title="Training loss on 1,347 digits")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# On images this small the gate buys nothing: the plain convolution fits them a little sooner. That is a
# finding about the layer, and it took one equation to make it.
#
# ### What a gate does
#
# The stages are ordinary tensors and the generated NumPy kernels ordinary functions, so they can be called to
# look inside. For the map whose gate is the most selective: the feature $\tanh A$ that the map proposes,
# where its gate $\sigma(G)$ is open, and the product, which is all that the next layer sees.

# %%
first = gated.layers[0]
module = first.info.folder.module("numpy/gated_convolution_2d.py")
shown = [np.flatnonzero(split.test.labels == digit)[0] for digit in (0, 3, 4, 7)]
images = split.test.inputs[shown]


def stage(name, weights, bias):
    """A stage of the first layer for the images shown, ``(images, maps, height, width)``."""
    forward = getattr(module, f"forward_{name}")
    arguments = {
        size: first.sizes[size] for size in inspect.signature(forward).parameters if size in first.sizes
    }
    samples_last = forward(
        np.moveaxis(images, 0, -1), gated.parameter(0, weights), gated.parameter(0, bias), **arguments
    )
    return np.moveaxis(samples_last, -1, 0)


feature, gate = np.tanh(stage("A", "w", "b")), 1 / (1 + np.exp(-stage("G", "v", "c")))
i = int(gate.std(axis=(0, 2, 3)).argmax())
figure, panels = plt.subplots(len(shown), 4, figsize=(7.2, 7.2), layout="constrained")
for n, row in enumerate(panels):
    columns = {
        "digit": (images[n, 0], "gray", (0, 1)),
        r"feature $\tanh A$": (feature[n, i], "RdBu_r", (-1, 1)),
        r"gate $\sigma(G)$": (gate[n, i], "viridis", (gate[:, i].min(), gate[:, i].max())),
        "passes": (feature[n, i] * gate[n, i], "RdBu_r", (-1, 1)),
    }
    for axes, (title, (picture, colours, limits)) in zip(row, columns.items(), strict=True):
        drawn = axes.imshow(picture, cmap=colours, clim=limits)
        axes.set(xticks=[], yticks=[], title=title if n == 0 else "")
        axes.grid(visible=False)
        if n == len(shown) - 1:
            figure.colorbar(
                drawn, ax=panels[:, list(columns).index(title)], location="bottom", shrink=0.8, aspect=18
            )
plt.show()

# %% [markdown]
# ## 6. What is refused
#
# The language takes affine accesses (`k*x + u`), table look-ups, sums, maxima and the usual functions. What
# it cannot derive correctly it refuses at the definition, with the layer, the place and the reason.

# %%
BAD = {
    "an access that is not affine": """
    Y = L.input(1)
    i, x = L.own(Y), L.coordinates("x", Y.H)
    return L.output(i, x)(Y[i, x * x])
""",
    "an undeclared tensor": """
    Y = L.input()
    i, j = L.maps("i"), Y.j
    return L.output(i)(Sum(L.tensor("w")[i, j] * Y[j], j))
""",
    "a wrong number of indices": """
    Y = L.input(2)
    i, x = L.own(Y), L.coordinates("x", Y.H)
    return L.output(i, x)(Y[i, x[0]])
""",
    "a size that is no integer": """
    Y = L.input(1)
    i, x = L.own(Y), L.coordinates("x", Y.H / 2)
    return L.output(i, x)(Y[i, 2 * x])
""",
    "an index that nothing sums": """
    Y = L.input()
    i, j = L.maps("i"), Y.j
    w = L.parameter("w", i, j)
    return L.output(i)(w[i, j] * Y[j])
""",
}
for what, body in BAD.items():
    file = folder / "bad.py"
    file.write_text(f"from phiz.derive import Sum, layer\n\n\n@layer()\ndef bad(L):{body}")
    try:
        derive_definition(load_definitions([file]).families[0], {})
    except DefinitionError as error:
        print(f"{what}:\n    {error}\n")
    else:
        raise AssertionError(f"{what} was not refused")

# %% [markdown]
# The same holds where the layer is used, and for the generated files: an edited kernel is not run.


# %%
def edited_kernels():
    """Flip one sign in the generated delta, then use the folder."""
    path = kernels / "opencl" / "gated_convolution_2d.cl"
    path.write_text(path.read_text().replace("+=", "-=", 1))
    Network(
        [layer("gated_convolution", maps=8, kernel=3), *TAIL], (1, 8, 8), "ce", "numpy", manifests=[kernels]
    )


USES = {
    "a kernel larger than its map": lambda: Network(
        [layer("gated_convolution", maps=8, kernel=9), *TAIL], (1, 8, 8), "ce", "numpy", manifests=[kernels]
    ),
    "a missing size": lambda: Network(
        [layer("gated_convolution", maps=8), *TAIL], (1, 8, 8), "ce", "numpy", manifests=[kernels]
    ),
    "a layer without the folder that defines it": lambda: Network(
        [layer("gated_convolution", maps=8, kernel=3), *TAIL], (1, 8, 8), "ce", "numpy"
    ),
    "a kernel that was edited": edited_kernels,
}
for what, use in USES.items():
    try:
        use()
    except PhizError as error:
        print(f"{what}:\n    {str(error).replace(str(folder), '…')}\n")
    else:
        raise AssertionError(f"{what} was not refused")
