"""The optimizers of the paper on one flat parameter vector.

    from phiz.runtime.optimize import minimize
    result = minimize(fun, x0, method="lbfgs")        # fun(x) -> (f, gradient)
"""

from .minimize import METHODS, make_method, minimize, predict_memory
from .objective import FunctionObjective, LeastSquares, Objective, ResidualObjective, SampledObjective
from .result import History, OptimizeResult, Progress, Record, Status

__all__ = [
    "METHODS",
    "FunctionObjective",
    "History",
    "LeastSquares",
    "Objective",
    "OptimizeResult",
    "Progress",
    "Record",
    "ResidualObjective",
    "SampledObjective",
    "Status",
    "make_method",
    "minimize",
    "predict_memory",
]
