<%page args="helpers"/>\
% if "sigmoid_slope" in helpers:


def sigmoid_slope(z):
    """sigmoid(z) sigmoid(-z), in double precision: NumPy's float32 exp is exact to 2 units in the last place."""
    power = np.exp(-np.abs(z), dtype=np.float64)
    return (power / (1.0 + power * (2.0 + power))).astype(z.dtype)
% endif
% if "halves" in helpers:


def halves(x):
    """The upper and the lower half of the digits of x, whose products are exact (Veltkamp)."""
    spread = x * (4097.0 if x.dtype == np.float32 else 134217729.0)
    high = spread - (spread - x)
    return high, x - high
% endif
% if "square_rest" in helpers:


@np.errstate(over="ignore", invalid="ignore")
def square_rest(x):
    """What rounding takes from x^2; 0 where that is so large that it does not matter."""
    high, low = halves(x)
    rest = ((high * high - x * x) + 2.0 * high * low) + low * low
    return np.where(x * x < 1e10, rest, 0.0)
% endif
% if "product_rest" in helpers:


@np.errstate(over="ignore", invalid="ignore")
def product_rest(x, number, single, double):
    """What rounding takes from number x, where the precisions take ``single`` and ``double`` from number."""
    near = x.dtype.type(number)
    (high, low), (first, last) = halves(x), halves(near)
    rest = ((high * first - x * near) + high * last + low * first) + low * last
    lost = single if x.dtype == np.float32 else double
    return np.where(np.abs(x * near) < 1e5, rest + lost * x, 0.0)
% endif
% if "erfc" in helpers:


def erfc(x):
    """1 - erf(x); in float64 the C library's, because SciPy's loses up to 340 units in the last place."""
    return scipy_erfc(x) if x.dtype == np.float32 else np.vectorize(math.erfc, otypes=[np.float64])(x)
% endif
