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
# # From an equation to a kernel
#
# A convolution is written down once, as an equation. This notebook follows it all the way: to the equations
# of its delta and its gradients, which nobody writes by hand; to loops with exact bounds; to NumPy and OpenCL
# text; to a check that the derivatives are derivatives; and to a small network that learns to read digits.
#
# | | what it is | where it is made |
# |---|---|---|
# | 1 | the definition | a Python function of a few lines |
# | 2 | the derived equations | `phiz.derive`, with SymPy |
# | 3 | loops | the kernel IR, no SymPy left |
# | 4 | source text | `phiz.codegen`, with Mako |
# | 5 | a gradient, checked | `phiz.runtime`, with NumPy and OpenCL |
# | 6 | training | the same |

# %%
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown, display

from phiz.codegen import display as show
from phiz.codegen.pages.pseudocode import pseudocode
from phiz.codegen.user_file import BUILT_IN
from phiz.runtime import Network, layer, load_split

plt.rcParams.update(
    {
        "figure.dpi": 96,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
    }
)

# %% [markdown]
# ## 1. The definition
#
# This is all that phiz is told about convolutions, for one, two and three coordinates, with stride, dilation
# and padding, fully connected or through a table of connections. There is a combinator function $Z$ (the
# expression in the last line), and nothing about its derivatives.

# %%
family, derivation = show.pick(BUILT_IN.families, "convolution_1d")


def code(text, language):
    """Source text, highlighted."""
    return Markdown(f"```{language}\n{text.rstrip()}\n```")


display(code(show.source(family), "python"))

# %% [markdown]
# ## 2. The derived equations
#
# The definition is differentiated with the fundamental equations of the paper. With $r$ the error of one
# sample and $\delta = \partial r / \partial Z$,
#
# - equation 1 is the forward pass, $Y = \phi(Z)$;
# - equation 7 carries the delta to the layer below:
#   $\delta^{(l-1)}_j = \phi'(Z^{(l-1)}_j) \sum_i \delta^{(l)}_i \,\partial Z_i / \partial Y_j$;
# - equation 8 gives the gradient of each parameter.
#
# Differentiating $Z$ by an entry of $Y$ leaves an indicator: "the entry that is read *is* this one". phiz
# solves it for the output coordinate with integer arithmetic of its own. That is where the divisibility
# condition $k \mid \ldots$
# comes from: with stride 2, an input at an even place meets other taps of the kernel than one at an odd
# place. One coordinate keeps the formulas short; for images, read `generated/equations/convolution_2d.md`.


# %%
def equations(derivation, *roles):
    """The derived equations of the given roles, rendered."""
    return Markdown("\n\n".join(f"$${k.latex}$$" for k in derivation.kernels if k.role in roles))


display(Markdown("**Forward (equation 1)**"), equations(derivation, "forward"))
display(Markdown("**Delta of the layer below (equation 7)**"), equations(derivation, "delta"))
display(Markdown("**Gradients of the parameters (equation 8)**"), equations(derivation, "gradient"))

# %% [markdown]
# ### Is it true?
#
# A derivation can be checked against nothing but its definition. Below, the delta is computed from the
# derived sum, with its divisibility condition, and again by brute force: each output reads some inputs, so
# send its delta back to exactly those. Stride 2, dilation 3, padding 1.

# %%
H, M, k, d, p = 11, 3, 2, 3, 1
X = (H + 2 * p - d * (M - 1) - 1) // k + 1
random = np.random.default_rng(0)
w, delta = random.normal(size=M), random.normal(size=X)

brute = np.zeros(H)
for x in range(X):
    for u in range(M):
        if 0 <= d * u + k * x - p < H:  # the definition: Z[x] reads Y[d u + k x - p]
            brute[d * u + k * x - p] += delta[x] * w[u]

derived = np.zeros(H)
for y in range(H):
    for u in range(M):
        x, rest = divmod(y + p - d * u, k)  # the derived delta: x = (y + p - d u) / k
        if rest == 0 and 0 <= x < X:
            derived[y] += delta[x] * w[u]

print("brute force ", brute.round(3))
print("derived     ", derived.round(3))
assert np.array_equal(brute, derived)

# %% [markdown]
# ## 3. Loops
#
# The derived sum becomes a *kernel* of the intermediate representation: frozen dataclasses with no SymPy in
# them. A `Nest` holds its loops, the integers that the index solver found, and what is summed.

# %%
delta_kernel = next(kernel for kernel in derivation.kernels if kernel.name == "delta_Y")
nest = delta_kernel.nests[0]
print(f"{delta_kernel.name}: {delta_kernel.role} of {delta_kernel.target}, finish {delta_kernel.finish!r}")
print("axes       ", ", ".join(axis.name for axis in delta_kernel.axes))
print("loops      ", ", ".join(loop.name for loop in nest.loops))
print("solved     ", ", ".join(let.name for let in nest.lets))
print(
    "conditions ",
    len(nest.conditions),
    "in the sum;",
    len(nest.guards),
    "left as a guard, the others became loop bounds",
)
print("body       ", nest.body)

# %% [markdown]
# As indented text it reads like the program that it will become. The derivation does not test the
# divisibility
# condition in every turn: `u0` starts at the first tap that satisfies it and steps over the others. With `g =
# gcd(k, d)`, that first tap needs the inverse of `d/g` modulo `k/g`. Only one guard is left, outside of what
# bounds can say, and it does not depend on the tap.

# %%
print(pseudocode(delta_kernel))

# %% [markdown]
# ## 4. Source text
#
# The same kernel twice. NumPy is the reference: it runs everywhere and is meant to be read. This is what
# stands in `generated/numpy/convolution_1d.py`.


# %%
def kernel_text(backend, start):
    """One kernel out of a generated file, which holds all kernels of the layer."""
    text = show.kernels(derivation, BUILT_IN.activations, backend)
    after = text[text.index(start) :]
    return after[: after.index("\n}\n") + 3] if backend == "opencl" else after.split("\n\n\n")[0]


display(code(kernel_text("numpy", "def delta_Y("), "python"))

# %% [markdown]
# The OpenCL kernel computes `V` samples in every vector (`realv` is a `float8` on most processors), a tile of
# maps per work item, and multiplies by $\phi'$ of the layer below while the sum is still in a register. All
# control flow is about indices and the same for every sample, so no lane ever waits for another. Where no tap
# is cut off at an edge, the innermost loop has a constant length. Sizes are macros: the compiler folds the
# bounds, and with stride 1 and dilation 1 the whole index arithmetic disappears.

# %%
display(code(kernel_text("opencl", "static void delta_Y_item("), "c"))

# %% [markdown]
# ## 5. A gradient, checked
#
# The committed kernels for images (the two-dimensional variant of the same definition) make up a network: two
# convolutions, max pooling, softmax. `value_and_gradient` gives the error $E$, summed over the samples, and
# its gradient for the flat parameter vector.

# %%
split = load_split("digits", seed=0)
train, test = split.train, split.test
LAYERS = [
    layer("convolution", maps=8, kernel=3, padding=1, activation="tanh"),
    layer("max_pooling", window=2),
    layer("convolution", maps=16, kernel=3, activation="tanh"),
    layer("softmax", maps=10),
]
network = Network(LAYERS, (1, 8, 8), "ce", backend="auto", dtype="float64")
for one in network.layers:
    parameters = ", ".join(f"{name} ({count})" for name, count in one.parameters) or "–"
    print(f"{one.label:24} {one.below!s:>8} -> {one.output!s:8} parameters {parameters}")
print(f"\n{network.parameter_count} parameters; backend {network.backend.name}")

# %% [markdown]
# The sharpest test of a gradient $g$ is Taylor's theorem. Along a direction $v$,
#
# $$E(p + h v) - E(p) = O(h), \qquad E(p + h v) - E(p) - h\, g^\top v = O(h^2).$$
#
# Halve $h$, and the first difference halves while the second falls to a quarter, until rounding is all that
# is left. A gradient that is wrong in a single sign falls back to slope 1: the red curve takes the right
# gradient and flips one of its 1,898 entries, the one that matters most along $v$.

# %%
x, t = train.inputs[:32], train.targets[:32]
p = network.parameters
value, g = network.value_and_gradient(p, x, t)
v = random.normal(size=p.size) / np.sqrt(p.size)
wrong = g.copy()
wrong[np.argmax(np.abs(g * v))] *= -1

steps = 2.0 ** -np.arange(2, 27)
change = np.array([network.value(p + h * v, x, t) - value for h in steps])
curves = {
    "$|E(p+hv) - E(p)|$": (np.abs(change), "#7a8ba3", "o"),
    "minus $h\\,g^\\top v$, one sign of $g$ flipped": (np.abs(change - steps * (wrong @ v)), "#c8553d", "s"),
    "minus $h\\,g^\\top v$": (np.abs(change - steps * (g @ v)), "#1f6fb4", "D"),
}
figure, axes = plt.subplots(figsize=(7.2, 4.4), layout="constrained")
for name, (error, colour, marker) in curves.items():
    axes.loglog(
        steps, np.maximum(error, 1e-18), color=colour, marker=marker, markersize=4, linewidth=1.5, label=name
    )
falling = 3 * np.abs(change - steps * (g @ v))[0] * (steps / steps[0]) ** 2
axes.loglog(steps[:16], falling[:16], "k:", linewidth=1, label="slope 2")
axes.invert_xaxis()
axes.set(xlabel="step $h$", ylabel="absolute value", title="One wrong sign is seen at once")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# Entry by entry, against central differences, and against the other backend. Double precision throughout.

# %%
chosen = random.choice(p.size, 40, replace=False)
slopes = np.array(
    [(network.value(p + h, x, t) - network.value(p - h, x, t)) / 2e-5 for h in 1e-5 * np.eye(p.size)[chosen]]
)
reference = Network(LAYERS, (1, 8, 8), "ce", backend="numpy", dtype="float64")
other = reference.value_and_gradient(p, x, t)[1]
differences = np.abs(g[chosen] - slopes).max() / np.abs(g).max()
backends = np.abs(g - other).max() / np.abs(g).max()
print("central differences agree to 1e-7:", bool(differences < 1e-7))
print("NumPy's kernels agree to 1e-12:   ", bool(backends < 1e-12))

# %% [markdown]
# ## 6. A few steps of training
#
# With a value and a gradient, training is a loop: gradient descent on mini-batches of 32, with the paper's
# heavy ball (equation 121), $\Delta \leftarrow \mu \Delta - \eta\, g$. (`phiz train` does this properly, with
# validation, early stopping and checkpoints.)

# %%
learner = Network(LAYERS, (1, 8, 8), "ce", backend="auto", dtype="float32", seed=0, micro_batch=512)
p, velocity = learner.parameters, np.zeros(learner.parameter_count)
shuffle = np.random.default_rng(0)
history = []


def accuracy(data):
    """Share of samples whose largest output is their class."""
    return float((learner.forward(p, data.inputs).argmax(axis=1) == data.labels).mean())


for _ in range(12):
    total = 0.0
    for batch in np.array_split(shuffle.permutation(len(train)), len(train) // 32):
        error, gradient = learner.value_and_gradient(p, train.inputs[batch], train.targets[batch])
        velocity = 0.9 * velocity - 0.05 * gradient / len(batch)
        p = (p + velocity).astype("float32")
        total += error
    history.append((total / len(train), accuracy(test)))

print(f"after {len(history)} epochs: {history[-1][1]:.1%} of {len(test)} unseen digits are read correctly")

# %%
mosaic = [["loss", "loss", "loss", "loss"], *np.arange(8).reshape(2, 4).astype(str).tolist()]
figure, panels = plt.subplot_mosaic(mosaic, figsize=(7.2, 6.0), layout="constrained", height_ratios=[2, 1, 1])
epochs = np.arange(1, len(history) + 1)
panels["loss"].semilogy(
    epochs, [loss for loss, _ in history], color="#1f6fb4", marker="o", label="training loss"
)
panels["loss"].set(xlabel="epoch", ylabel="mean cross-entropy", title="Twelve epochs with derived gradients")
right = panels["loss"].twinx()
right.plot(epochs, [share for _, share in history], color="#c8553d", marker="s", label="test accuracy")
right.set_ylabel("test accuracy")
right.grid(visible=False)
handles = [*panels["loss"].lines, *right.lines]
panels["loss"].legend(handles, [line.get_label() for line in handles], frameon=False, loc="center right")
kernels = learner.parameter(0, "w", p)[:, 0]
limit = np.abs(kernels).max()
for n in range(8):
    panels[str(n)].imshow(kernels[n], cmap="RdBu_r", vmin=-limit, vmax=limit)
    panels[str(n)].set(xticks=[], yticks=[], title=f"map {n}")
    panels[str(n)].title.set_fontsize(9)
    panels[str(n)].grid(visible=False)
plt.show()

# %% [markdown]
# The eight squares are the learned kernels of the first convolution: edges and strokes in several directions.
# Nobody wrote their gradient. [The next notebook](02_your_own_layer.ipynb) does the same with a layer that
# phiz has never seen.
