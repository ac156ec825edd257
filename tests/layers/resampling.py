"""Layers that move values: up-sampling, shuffling, differences, diagonals, periodic maps."""

from phiz.derive.language.layer import Definition, Eq, Layer, Sum, layer


@layer(rank=(1, 2))
def nearest_upsampling(L: Layer, rank: int) -> Definition:
    """Every value K times in each direction."""
    Y = L.input(rank)
    i, K, y = L.own(Y), L.sizes("K", "factor", rank, default=2), Y.y
    r, x = L.window("r", K), L.coordinates("x", K * Y.H)
    return L.output(i, x)(Sum(Y[i, y], y, r, where=Eq(K * y + r, x)))


@layer()
def linear_upsampling(L: Layer) -> Definition:
    """Linear interpolation between neighbours at K points of each gap."""
    Y = L.input(1)
    i, (K,), (y,) = L.own(Y), L.sizes("K", "factor", 1, default=2), Y.y
    r, x = L.axis("r", K, "window"), L.coordinates("x", K * (Y.H - 1))
    return L.output(i, x)(
        Sum((Y.padded[i, y] * (K - r) + Y.padded[i, y + 1] * r) / K, y, r, where=Eq(K * y + r, *x))
    )


@layer()
def rational_resampling(L: Layer) -> Definition:
    """Nearest value at the ratio a / b: output x reads input floor(b x / a)."""
    Y = L.input(1)
    i, (y,), a, b = L.own(Y), Y.y, L.size("a", "numerator"), L.size("b", "denominator")
    r, (x,) = L.axis("r", a, "window"), L.coordinates("x", Y.H * a // b)
    return L.output(i, x)(Sum(Y[i, y], y, r, where=Eq(a * y + r, b * x)))


@layer()
def pixel_shuffle(L: Layer) -> Definition:
    """R x R maps become one map, R times larger in both directions."""
    Y = L.input(2)
    R = L.size("R", "factor", default=2)
    L.require(Eq(Y.J % (R * R), 0), "every R x R maps become one")
    i, y, r, x = (
        L.axis("i", L.derived_size("I", Y.J // (R * R))),
        Y.y,
        L.window("r", (R, R)),
        L.coordinates("x", Y.H * R),
    )
    return L.output(i, x)(Sum(Y[R * R * i + R * r[0] + r[1], y], y, r, where=Eq(R * y + r, x)))


@layer(rank=(1, 2))
def channel_shuffle(L: Layer, rank: int) -> Definition:
    """Map G r + g of this layer is map c g + r of the layer below."""
    Y = L.input(rank)
    G = L.size("G", "groups")
    L.require(Eq(Y.J % G, 0), "groups divide the maps")
    c = L.derived_size("c", Y.J // G)
    g, r, x = L.axis("g", G), L.axis("r", c), L.coordinates("x", Y.H)
    i = L.axis("i", G * c)
    return L.output(i, x)(Sum(Y[c * g + r, x], g, r, where=Eq(G * r + g, i)))


@layer()
def finite_difference(L: Layer) -> Definition:
    """The difference of neighbours in a row."""
    Y = L.input(2)
    i, (H0, H1) = L.own(Y), Y.H
    x0, x1 = L.coordinates("x", (H0, H1 - 1))
    return L.output(i, x0, x1)(Y[i, x0, x1 + 1] - Y[i, x0, x1])


@layer()
def diagonal(L: Layer) -> Definition:
    """The diagonal of every map times a weight."""
    Y = L.input(2)
    i, (x,) = L.own(Y), L.coordinates("x", (Y.H[0],))
    w = L.parameter("w", i, x)
    return L.output(i, x)(w[i, x] * Y[i, x, x])


@layer()
def flipped_convolution(L: Layer) -> Definition:
    """A convolution in the mathematical sense: the kernel runs backwards."""
    Y = L.input(1)
    i, (M,) = L.maps("i"), L.sizes("M", "kernel", 1)
    u, (x,) = L.axis("u", M, "window"), L.coordinates("x", Y.H - M + 1)
    w = L.parameter("w", i, Y.j, u)
    return L.output(i, x)(Sum(Y[Y.j, x - u + M - 1] * w[i, Y.j, u], Y.j, u))


@layer()
def periodic_convolution(L: Layer) -> Definition:
    """A convolution on a circle: reads at x + u modulo H."""
    Y = L.input(1)
    i, j, (M,), (H,), (y,) = L.maps("i"), Y.j, L.sizes("M", "kernel", 1), Y.H, Y.y
    u, n, (x,) = L.axis("u", M, "window"), L.axis("n", M, "window"), L.coordinates("x", Y.H)
    w = L.parameter("w", i, j, u)
    return L.output(i, x)(Sum(Y[j, y] * w[i, j, u], j, u, n, y, where=Eq(y + H * n, x + u)))


@layer()
def mirrored_difference(L: Layer) -> Definition:
    """Every value minus its mirror image, read backwards."""
    Y = L.input(1)
    i, (H,), (x,) = L.own(Y), Y.H, L.coordinates("x", Y.H)
    return L.output(i, x)(Y[i, x] - Y[i, H - 1 - x])
