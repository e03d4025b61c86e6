"""Connected pixels of one block of a raster, numbered by a scan with a union of what turns out to be one."""

import numpy as np

from earthlab.analysis.kernels.compiling import Array, compiled, inlined


@compiled
def label_block(keys: Array, labels: Array, diagonal: bool) -> int:  # noqa: FBT001 - compiled code takes places, not words
    """Fill ``labels`` with the number of each pixel's patch, from 1, and give how many patches there are.

    Parameters
    ----------
    keys : numpy.ndarray
        (row, column) of integers: neighbours with the same key are one patch; 0 belongs to none.
    labels : numpy.ndarray
        Written, int32, of the same shape; 0 where the key is 0.
    diagonal : bool
        Whether pixels that only touch at a corner are neighbours.
    """
    rows, columns = keys.shape
    parents = np.empty(rows * columns + 1, np.int32)
    used = 0
    for row in range(rows):
        for column in range(columns):
            key = keys[row, column]
            labels[row, column] = 0
            if key == 0:
                continue
            left = labels[row, column - 1] if column > 0 and keys[row, column - 1] == key else 0
            above = labels[row - 1, column] if row > 0 and keys[row - 1, column] == key else 0
            if diagonal and row > 0 and above == 0:  # a pixel above has joined the corners and the left one already
                if column + 1 < columns and keys[row - 1, column + 1] == key:
                    above = labels[row - 1, column + 1]
                if left == 0 and column > 0 and keys[row - 1, column - 1] == key:
                    left = labels[row - 1, column - 1]
            if above == 0 and left == 0:
                used += 1
                parents[used] = used
                labels[row, column] = used
            elif above == 0 or left == 0:
                labels[row, column] = above + left
            else:
                labels[row, column] = _join(parents, above, left)
    return _renumber(parents, used, labels)


@inlined
def _join(parents: Array, one: int, other: int) -> int:
    while parents[one] != one:
        parents[one] = parents[parents[one]]
        one = parents[one]
    while parents[other] != other:
        parents[other] = parents[parents[other]]
        other = parents[other]
    root = min(one, other)
    parents[max(one, other)] = root
    return root


@inlined
def _renumber(parents: Array, used: int, labels: Array) -> int:
    count = 0
    for at in range(1, used + 1):  # a parent is never above its child, so that it has its new number already
        if parents[at] == at:
            count += 1
            parents[at] = count
        else:
            parents[at] = parents[parents[at]]
    for row in range(labels.shape[0]):
        for column in range(labels.shape[1]):
            if labels[row, column] > 0:
                labels[row, column] = parents[labels[row, column]]
    return count
