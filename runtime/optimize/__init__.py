"""The paper's optimizers on one flat parameter vector: methods, line searches, stop rules, the driver.
May import NumPy, SciPy's linear algebra, errors and files.
Never networks, kernels or data: ``minimize`` takes any function ``fun(x) -> (f, gradient)``.
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
