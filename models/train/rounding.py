"""Rounding a matrix so that its products stay close, rather than its entries.

The last layer's weights are small integers, since its sums over many large inputs
must fit; rounding each to the nearest would be felt.
"""

import numpy as np

DAMPING = 0.01


def rounded_with_feedback(weight, inputs):
    """The rounded matrix, and what to add to the bias for it.

    weight is [outputs, inputs]. Columns are rounded one by one, and the columns left
    take over the error as far as their inputs correlate (as in GPTQ); the error on
    the mean input goes into the bias.
    """
    mean = inputs.mean(0)
    centred = inputs - mean
    covariance = centred.T @ centred / len(inputs)
    covariance += DAMPING * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    feedback = np.linalg.cholesky(np.linalg.inv(covariance)).T

    rest = weight.copy()
    rounded = np.zeros_like(weight)
    for i in range(weight.shape[1]):
        rounded[:, i] = np.rint(rest[:, i])
        error = (rest[:, i] - rounded[:, i]) / feedback[i, i]
        rest[:, i + 1:] -= np.outer(error, feedback[i, i + 1:])
    return rounded.astype(np.int64), (weight - rounded) @ mean
