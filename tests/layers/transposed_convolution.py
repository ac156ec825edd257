"""Transposed convolution: the adjoint of a strided convolution as a layer."""

from phiz.derive.language.layer import Definition, Eq, Layer, Sum, layer


@layer(rank=(1, 2, 3))
def transposed_convolution(L: Layer, rank: int) -> Definition:
    """Every value below adds its multiple of the kernel at k y - p."""
    Y = L.input(rank)
    i, M = L.maps("i"), L.sizes("M", "kernel", rank, minimum=2, random=(2, 3))
    k, d = L.sizes("k", "stride", rank, default=1), L.sizes("d", "dilation", rank, default=1)
    p = L.sizes("p", "crop", rank, default=0, minimum=0, random=(0, 0))
    u, x = L.window("u", M), L.coordinates("x", k * (Y.H - 1) + d * (M - 1) + 1 - 2 * p)
    w, b = L.parameter("w", i, Y.j, u), L.parameter("b", i)
    return L.output(i, x)(
        Sum(Y[Y.j, Y.y] * w[i, Y.j, u], Y.j, Y.y, u, where=Eq(k * Y.y + d * u - p, x)) + b[i]
    )
