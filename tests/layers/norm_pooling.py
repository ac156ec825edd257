"""L2 pooling: the root of a sum of squares; log-sum-exp pooling; products in a window."""

from phiz.derive.language.layer import Definition, Layer, Max, Sum, exp, layer, log, root


@layer(rank=(1, 2))
def norm_pooling(L: Layer, rank: int) -> Definition:
    """The Euclidean norm of each window."""
    Y = L.input(rank)
    i, K = L.own(Y), L.sizes("K", "window", rank, default=2)
    x, u = L.coordinates("x", Y.H // K), L.window("u", K)
    return L.output(i, x)(root(Sum(Y[i, K * x + u] ** 2, u)))


@layer(rank=(1, 2))
def log_sum_exp_pooling(L: Layer, rank: int) -> Definition:
    """The logarithm of the sum of exponentials of each window, shifted by its maximum."""
    Y = L.input(rank)
    i, K = L.own(Y), L.sizes("K", "window", rank, default=2)
    x, u = L.coordinates("x", Y.H // K), L.window("u", K)
    m = L.shift("m", i, x)(Max(Y[i, K * x + u], u))
    return L.output(i, x)(m[i, x] + log(Sum(exp(Y[i, K * x + u] - m[i, x]), u)))


@layer(rank=(1, 2))
def product_pooling(L: Layer, rank: int) -> Definition:
    """The product of each window's positive values, as the exponential of a sum of logarithms."""
    Y = L.input(rank)
    i, K = L.own(Y), L.sizes("K", "window", rank, default=2)
    x, u = L.coordinates("x", Y.H // K), L.window("u", K)
    return L.output(i, x)(exp(Sum(log(Y[i, K * x + u]), u)))


@layer()
def power_mean_pooling(L: Layer) -> Definition:
    """The generalised mean of each window with a learned exponent for every map."""
    Y = L.input(1)
    i, K = L.own(Y), L.sizes("K", "window", 1, default=2)
    x, u, a = L.coordinates("x", Y.H // K), L.window("u", K), L.parameter("a", i, initial=1.0)
    mean = Sum(exp(a[i] * log(Y[i, K * x + u])), u) / K.product
    return L.output(i, x)(exp(log(mean) / a[i]))
