# %% [markdown]
# # Optimizers, side by side
#
# Every method works on one flat parameter vector, and asks its objective for nothing but $f(x)$ and $\nabla
# f(x)$; Levenberg-Marquardt also wants residuals and their Jacobian. So the same call serves a formula and a
# network whose gradients were derived by phiz.
#
# | | method | what it remembers | cost of a step beside $f$ and $\nabla f$ |
# |---|---|---|---|
# | `gd` | gradient descent with a line search (equation 118) | nothing | $n$ |
# | `momentum` | heavy ball (121) | one vector | $n$ |
# | `cg` | conjugate gradients, Hestenes-Stiefel+ or Polak-Ribière+ (164-169) | one direction | $n$ |
# | `lbfgs` | limited-memory BFGS (Algorithms 2 and 3) | 10 pairs of vectors | $40\,n$ |
# | `bfgs` | BFGS (Algorithm 1) | an $n \times n$ matrix | $n^2$ |
# | `lm` | Levenberg-Marquardt (104-117) | an $n \times n$ matrix | $n^3/3$, and the Jacobian |
#
# In the pictures one *evaluation* is a call for $f$, with its gradient where it is asked for; a Jacobian
# counts as one more. Time says what that hides.

# %%
import matplotlib.pyplot as plt
import numpy as np
import scipy.optimize

from phiz.runtime import (
    LeastSquares,
    Network,
    NetworkObjective,
    EvaluationSet,
    architecture,
    error_curve,
    from_arrays,
    layer,
    load_split,
    minimize,
    predict_memory,
)
from threadpoolctl import threadpool_limits

threadpool_limits(1)  # matrices of this size only wait for a second BLAS thread
plt.rcParams.update(
    {
        "figure.dpi": 96,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
    }
)
COLOURS = {
    "gd": "#7a8ba3",
    "momentum": "#b08ac0",
    "cg": "#c8953d",
    "lbfgs": "#1f6fb4",
    "bfgs": "#3a9a6b",
    "lm": "#c8553d",
}

# %% [markdown]
# ## 1. Rosenbrock's valley
#
# $f = \tfrac12 \sum_k r_k^2$ with $r = \sqrt2\,(10\,(x_2 - x_1^2),\; 1 - x_1)$: a curved valley with steep
# walls. Descent zigzags along the floor; methods that learn the curvature turn with it. Because $f$ is a sum
# of squares, Levenberg-Marquardt sees more of it than the others do.


# %%
def rosenbrock_residuals(x):
    """Residuals (2,) of Rosenbrock's function, f = 1/2 ||r||^2."""
    return np.sqrt(2) * np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]])


def rosenbrock_jacobian(x):
    """dr/dx, (2, 2)."""
    return np.sqrt(2) * np.array([[-20 * x[0], 10.0], [-1.0, 0.0]])


def trace(objective, x0, method, **options):
    """The run, and its path as an array of points."""
    path = [np.array(x0, dtype=float)]
    result = minimize(
        objective, x0, method, callback=lambda progress: path.append(progress.x.copy()), **options
    )
    return result, np.array(path)


valley = LeastSquares(rosenbrock_residuals, rosenbrock_jacobian)
start = np.array([-1.2, 1.0])
runs = {
    name: trace(valley, start, name, maxiter=3000, **options)
    for name, options in {
        "gd": {},
        "momentum": {"step": 1e-3},
        "cg": {},
        "lbfgs": {},
        "bfgs": {},
        "lm": {},
    }.items()
}
for name, (result, _) in runs.items():
    counts = f"{result.nit:4} iterations, {result.nfev:5} evaluations"
    print(f"{name:9} f = {result.fun:8.1e} after {counts}: {result.status.name.lower()}")
assert all(runs[name][0].fun < 1e-8 for name in ("cg", "lbfgs", "bfgs", "lm"))

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.0), layout="constrained")
x1, x2 = np.meshgrid(np.linspace(-1.6, 1.4, 300), np.linspace(-0.6, 1.6, 300))
height = 100 * (x2 - x1**2) ** 2 + (1 - x1) ** 2
left.contour(x1, x2, height, levels=10.0 ** np.arange(-1, 3.5, 0.5), colors="#b5bcc6", linewidths=0.7)
for name in ("gd", "momentum", "cg", "lbfgs", "lm"):
    left.plot(*runs[name][1].T, color=COLOURS[name], marker=".", markersize=3, linewidth=1, label=name)
left.plot(1, 1, "k*", markersize=10)
left.set(xlabel="$x_1$", ylabel="$x_2$", xlim=(-1.6, 1.4), ylim=(-0.6, 1.6), title="Paths")
left.grid(visible=False)
for name, (result, _) in runs.items():
    counts = result.history.column("nfev") + (result.history.column("njev") if name == "lm" else 0)
    right.loglog(counts, np.maximum(result.history.column("fun"), 1e-16), color=COLOURS[name], label=name)
right.set(xlabel="evaluations", ylabel="f", title="Who finds the way")
right.legend(frameon=False)
plt.show()

# %% [markdown]
# ## 2. The digits network
#
# Two convolutions, max pooling and a softmax: 1,954 parameters, cross-entropy with a small penalty on the
# weights, in single precision. The objective is the generated kernels; the whole training set is evaluated at
# once. Everybody gets the same start. (`phiz train --optimizer lbfgs --network lenet-digits-small` does the
# same from the command line.)

# %%
parts = load_split("digits", "float32", seed=0)
chosen = architecture("lenet-digits-small", parts.train)
network = Network(chosen.layers, chosen.input_shape, chosen.loss, "auto", "float32", seed=0)
digits, unseen = (
    NetworkObjective(EvaluationSet(network, parts.train), alpha=3e-4),
    EvaluationSet(network, parts.test),
)
n = network.parameter_count
for name in ("lbfgs", "bfgs", "lm"):
    print(
        f"{name:6} needs {predict_memory(name, n, np.float32) / 2**20:6.1f} MiB for itself, for {n:,} "
        "parameters"
    )
digits.value_and_gradient(network.parameters)  # builds the kernels, so that nobody's clock counts it

# %%
LIMITS = {"gd": 60, "momentum": 60, "cg": 30, "lbfgs": 60, "bfgs": 40, "lm": 3}
learned = {}
for name, limit in LIMITS.items():
    options = {"momentum": {"step": 0.1}, "lm": {"damping": 0.1}}.get(name, {})
    learned[name] = minimize(digits, network.parameters, name, maxiter=limit, **options)
print("method     iterations  training loss  unseen digits read correctly")
for name, result in learned.items():
    print(f"{name:9} {result.nit:11} {result.fun:14.4f}  {unseen.score(result.x).accuracy:.1%}")
assert learned["lbfgs"].fun < learned["gd"].fun
assert unseen.score(learned["lbfgs"].x).accuracy > 0.95


# %%
def against_both(results, title, label, ylabel="f"):
    """Loss against evaluations and against seconds."""
    _, axes = plt.subplots(1, 2, figsize=(9.6, 3.8), layout="constrained", sharey=True)
    for name, result in results.items():
        history = result.history
        counts = history.column("nfev") + (history.column("njev") if name == "lm" else 0)
        for axis, across in zip(axes, (counts, np.maximum(history.column("seconds"), 1e-4)), strict=True):
            axis.loglog(across, history.column("fun"), color=COLOURS[name], label=name)
    axes[0].set(xlabel="evaluations", ylabel=ylabel, title=title)
    axes[1].set(xlabel="seconds", title=label)
    axes[1].legend(frameon=False)
    plt.show()


against_both(learned, "Digits, 1,954 parameters", "The same against time", "mean cross-entropy + penalty")

# %% [markdown]
# Each step of Levenberg-Marquardt takes the network further than any other's, and has its price: a Jacobian
# has ten rows per digit, and $J^\top J$ alone takes $10 N n^2 \approx 5 \cdot 10^{10}$ operations. At this
# size L-BFGS is the method to take. With 150 iterations it reads 98.8 % of the unseen digits correctly (mean
# of three seeds).
#
# ## 3. A regression: diabetes
#
# 442 patients, ten features, a hidden layer of 16. The data are noisy and few, so the training loss alone
# would reward
# overfitting: the penalty is large, and the loss on the patients kept back is printed beside it.

# %%
tables = load_split("diabetes", "float64", seed=0)
chosen = architecture("mlp", tables.train)
small = Network(chosen.layers, chosen.input_shape, chosen.loss, "auto", "float64", seed=0)
diabetes = NetworkObjective(EvaluationSet(small, tables.train), alpha=0.03)
kept_back = EvaluationSet(small, tables.test, tables.scaling)
diabetes.value_and_gradient(small.parameters)
fitted = {
    name: minimize(
        diabetes,
        small.parameters,
        name,
        maxiter=limit,
        gtol=1e-8,
        **({"step": 0.1} if name == "momentum" else {}),
    )
    for name, limit in {"gd": 150, "momentum": 150, "cg": 150, "lbfgs": 150, "bfgs": 150, "lm": 60}.items()
}
print("method     evaluations  objective  error on patients kept back")
for name, result in fitted.items():
    total = result.nfev + (result.njev if name == "lm" else 0)
    print(f"{name:9} {total:12} {result.fun:10.6f}  {kept_back.score(result.x).deviation:.1f}")
against_both(
    fitted,
    f"Diabetes, {small.parameter_count} parameters",
    "The same against time",
    "half mean square + penalty",
)

# %% [markdown]
# ## 4. A function fit, where Levenberg-Marquardt shines
#
# One input, ten tanh units, one output; 1,000 samples of a wiggly function, no noise. The problem is small
# and badly conditioned, and the residual becomes tiny: then $J^\top J$ is nearly the Hessian, and
# Levenberg-Marquardt nearly Newton's method. The others get ten times its evaluations: L-BFGS does not catch
# up, BFGS with its full matrix just about.

# %%
x = np.random.default_rng(0).uniform(-1, 1, (1000, 1))
wiggly = np.sin(3 * x) + 0.3 * np.cos(7 * x)
tiny = Network(
    [layer("dense", maps=10, activation="tanh"), layer("dense", maps=1)], 1, "mse", "auto", "float64", seed=0
)
fit = NetworkObjective(EvaluationSet(tiny, from_arrays(x, wiggly, "float64")))
fit.value_and_gradient(tiny.parameters)
next(fit.residuals_and_jacobian_chunks(tiny.parameters))
marquardt = minimize(fit, tiny.parameters, "lm", maxiter=60, damping=1e-4, scaling="running-max")
budget = 10 * (marquardt.nfev + marquardt.njev)
rivals = {
    name: minimize(fit, tiny.parameters, name, maxfev=budget, gtol=0.0)
    for name in ("gd", "cg", "lbfgs", "bfgs")
}
fits = rivals | {"lm": marquardt}
for name, result in fits.items():
    total = result.nfev + (result.njev if name == "lm" else 0)
    print(f"{name:6} f = {result.fun:.1e} after {total:5} evaluations")
assert rivals["lbfgs"].fun > 2 * marquardt.fun
against_both(
    fits, f"Function fit, {tiny.parameter_count} parameters", "The same against time", "half mean square"
)

# %% [markdown]
# ## 5. The error along the descent direction
#
# Section 8 of the paper looks at what a line search sees: $\varphi(\alpha) = f(x + \alpha d)$. Below are the
# start of the digits network and a point where training has almost ended, each along the negative gradient
# and along the direction that L-BFGS took there. Strokes are the slopes $\varphi'$, which the kernels give
# with every value. Near the end the lowest point along the gradient is a hundred times closer than at the
# start, and hardly lower than where one stands. Along the quasi-Newton direction the curve falls further, and
# $\alpha = 1$ is close to its lowest
# point: that is why the line search tries it first, and mostly needs one evaluation.

# %%
points = []
minimize(
    digits,
    network.parameters,
    "lbfgs",
    maxiter=40,
    callback=lambda progress: points.append(progress.x.copy()),
)
places = {"at the start": (network.parameters, points[0]), "after 39 steps": (points[-2], points[-1])}
figure, axes = plt.subplots(2, 2, figsize=(9.6, 6.4), layout="constrained")
for row, (where, (here, following)) in zip(axes, places.items(), strict=True):
    for axis, direction, what in zip(
        row, (None, following - here), ("negative gradient", "step of L-BFGS"), strict=True
    ):
        alphas = None if direction is None else np.linspace(0, 4, 31)
        curve = error_curve(digits, here, direction, alphas=alphas, span=2.0, points=31)
        curve.plot(axis)
        axis.set_title(f"{where}: {what}", fontsize=10)
        axis.get_legend().set_frame_on(False)
        print(
            f"{where}, {what}: lowest at alpha = {curve.lowest:.3g}, distance "
            f"{curve.lowest * curve.length:.2g}, "
            f"fall {curve.values[0] - np.nanmin(curve.values):.1e}"
        )
plt.show()

# %% [markdown]
# ## 6. The same front for plain functions
#
# `minimize` takes any `f` with its gradient. Here is one of SciPy's test functions, in 50 dimensions, beside
# SciPy's own methods at the same gradient tolerance.

# %%
x0 = np.tile([-1.2, 1.0], 25)
names = {"cg": "CG", "bfgs": "BFGS", "lbfgs": "L-BFGS-B"}
for ours, theirs in names.items():
    mine = minimize(scipy.optimize.rosen, x0, ours, jac=scipy.optimize.rosen_der, gtol=1e-5)
    options = {"gtol": 1e-5, "maxiter": 5000} | ({"ftol": 0.0} if theirs == "L-BFGS-B" else {})
    other = scipy.optimize.minimize(
        scipy.optimize.rosen, x0, jac=scipy.optimize.rosen_der, method=theirs, options=options
    )
    print(
        f"{ours:6} {mine.nfev:4} evaluations, f = {mine.fun:.1e};   SciPy {theirs:9} {other.nfev:4}, f = "
        f"{other.fun:.1e}"
    )
