"""Npy: the head of numpy's own format."""

import io
from functools import lru_cache
from typing import Any

import numpy as np


@lru_cache(maxsize=64)
def npy_head(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """Return what stands before the values of an array, lowest byte of each number first."""
    file = io.BytesIO()
    about = {
        "descr": np.lib.format.dtype_to_descr(dtype.newbyteorder("<")),
        "fortran_order": False,
        "shape": shape,
    }
    np.lib.format.write_array_header_1_0(file, about)
    return file.getvalue()
