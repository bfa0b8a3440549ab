"""The way back of a displacement, to make pairs whose displacement is known."""

from __future__ import annotations

import numpy as np

from cimnet.registration.matrices import Matrix, square


def invert(matrix: Matrix) -> Matrix:
    """The matrix of the way back.

    Raises:
        numpy.linalg.LinAlgError: there is none.
    """
    return np.asarray(np.linalg.inv(square(matrix))[:2], np.float64)
