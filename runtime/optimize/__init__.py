"""The optimizers of the paper on one flat parameter vector.

    from phiz.runtime.optimize import minimize
    result = minimize(fun, x0, method="lbfgs")        # fun(x) -> (f, gradient)
"""

from .base.objective import FunctionObjective, LeastSquares, Objective, ResidualObjective, SampledObjective
from .base.result import History, OptimizeResult, Progress, Record, Status
from .minimize import METHODS, make_method, minimize, predict_memory

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
