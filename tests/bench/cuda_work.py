"""What each kernel of the CUDA backend has to do in a fit of a resident dataset: bytes and flops.

The formulas are here and nowhere else, in the names of cost(). Bytes are those that have to come from
or go to the device's memory at least once; what a kernel reads again, from a cache or not, is its
own affair, so that the achieved share of the limits tells of it. The limit of memory is that of a copy;
what only reads may pass it by a few percent. Host work that kernels wait for (marks such as
"until_the_search") has none of either.
"""

import math

FOLDS = 10  # of the search for thresholds: a fifth of the rows tests, the rest trains
CV_FOLDS = 10  # of the local cross-validation
CONSENSUS, VALUES = 11, 3  # of the grid
START, POINTS = 41, 51  # of the Gaussian process: to start with, and with those that it chose
PART = 256  # samples of a block that walks over rows
GRID_PART = 128  # and of one that sums the squares of the grid

# What a mark in a trace is about that no kernel is.
HOST = ("until_the_search", "tables_of_the_folds", "until_the_repairs", "lists_of_repairs",
        "lists_of_the_grid", "tables_of_the_grid", "tables_of_changes", "open", "until_the_maps")  # fmt: skip


def cost(fit):
    """{kernel: (bytes, flops)} of a fit that bench_cuda printed."""
    e, c, t = fit["epochs"], fit["channels"], fit["times"]
    # Bytes of a sample as it is kept, and of one that is reckoned with.
    kept, w = {"float64": (8, 8), "float32": (4, 4)}.get(fit["precision"], (2, 4))
    p = (t + 31) // 32 * 32  # samples of a row as it lies in memory
    m = 2 * e  # rows of a pick: its epochs and their predictions
    row, x = p * kept, e * c * p * kept  # bytes of a row, and of all samples
    made = p * w  # and of a row that is neither a sample nor a prediction
    capacity = 1 << (m - 1).bit_length()  # rows that are sorted: a power of two
    parts, grid_parts = -(-p // PART), -(-p // GRID_PART)
    cells = CONSENSUS * CV_FOLDS
    costs = {
        # Every sample from the host's layout into rows.
        "spread": (2 * x, 0),
        # Of the predictions; those of the samples were taken when they came.
        "amplitudes": (x, 2 * e * c * t),
        # All samples once for 128 picks, all predictions. Of 16 bits it is not the arithmetic that
        # cuda_limits measures.
        "product": ((-(-c // 128) + 1) * x, 2.0 * e * c * c * p if kept == w else 0),
        "gather_amplitudes": (c * (m * 8 + capacity * 12), 0),
        # At least once there and back; a bitonic network goes over them log^2 / 2 times, in cache.
        "sort_rows": (2 * c * capacity * 12, c * capacity / 2 * math.log2(capacity) ** 2 / 2),
        # Numbers of the rows of all sets.
        "place_rows": ((FOLDS * math.ceil(m / 5) + e) * 8, 0),
        # Every row that tests in some fold (all but 0.8^10 of them) once; the folds of the
        # cross-validation likewise; a comparison with either bound for each value of each set.
        "select_medians": ((1 - 0.8**FOLDS) * 2 * x + x + c * (FOLDS + CV_FOLDS) * made,
                           2.0 * (FOLDS * math.ceil(m / 5) + e) * c * p),
        "count_train_rows": (c * m * (4 + 2 + FOLDS * 4), 0),
        # Every row once; per fold that it trains a difference and a sum, per fold a square.
        "walk_rows": (2 * x + c * parts * m * FOLDS * 8, (0.8 * 2 + 2) * m * c * p * FOLDS),
        "add_losses": (c * m * FOLDS * (8 * parts + 4) + 2 * c * m * 8, 2.0 * c * m * FOLDS),
        # A row of the factor for every point. Those of the start are made eight at a time from the
        # rows before the eight; each one after from all before, with its mean and variance.
        "search": (c * m * 8 * (sum(range(0, START, 8)) + START + 3 + sum(range(START, POINTS)) + (POINTS - START) * 8),
                   2.0 * c * m * (POINTS * POINTS / 2 + 4 * POINTS)),
        # Epochs into cells.
        "sum_cells": (x + c * cells * made, e * c * p),
        # What was kept of them, for another fit with the same votes.
        "recall_cells": (2 * c * cells * made, 0),
        # Cells and medians, for each value of n_interpolate; every fold leaves one cell out.
        "sum_squares": (VALUES * c * (cells + CV_FOLDS) * made,
                        VALUES * c * p * CONSENSUS * CV_FOLDS * (CV_FOLDS + 4.0)),
        "add_picks": (VALUES * c * grid_parts * cells * 8, VALUES * c * grid_parts * cells),
    }  # fmt: skip
    if repairs := fit.get("repairs"):
        r = repairs["rows"]
        costs |= {
            # Weights of every set: a factorisation, and two substitutions for each pick.
            "solve_sets": (r * c * 8, repairs["cubes"] / 3 + 2 * repairs["squares"] * c),
            # Samples of the epochs with a row to repair, weights, repaired rows.
            "apply_weights": (repairs["epochs"] * c * row + r * c * 8 + r * row, 2.0 * r * c * p),
            # New rows and those they stand for, at most.
            "change_cells": (2 * r * row, 2 * r * p),
        }
    return costs


def map_model(sensors, left_out, sets, vectors=0):
    """{kernel: (bytes, flops)} of field maps of sets, each without `left_out` sensors. A model, not a
    measurement: of the eigenvectors the operations that tridiagonal form, divide and conquer, and the
    vectors' way back take (4/3, 8/3 and 2 n^3), and three passes over the matrices; a third of the
    eigenvalues taken for kept. Half of the work on the tridiagonal form is products with one vector,
    which caches bound: expect fewer."""
    side = -(-(sensors - left_out) // 8) * 8
    kept, square, rows = side / 3, 8.0 * side * side, -(-left_out // 8)
    return {
        "multiply_basis": (sets * vectors * 16.0 * sensors, 2.0 * sets * vectors * sensors**2),
        "finish_rest": (sets * vectors * 24.0 * sensors, 4.0 * sets * vectors**2 * sensors),
        "gather_matrices": (sets * (square + vectors * 16.0 * sensors), sets * side**2 * (4.0 * vectors + 2)),
        "gather_columns": (sets * left_out * 8.0 * side, sets * left_out * sensors * (4.0 * vectors + 1)),
        "eigenvectors": (sets * 3 * square, sets * 6.0 * side**3),
        "choose_values": (sets * 16.0 * side, sets * 3.0 * side),
        "apply_vectors": (sets * rows * 2 * 8.0 * kept * side, sets * left_out * 4.0 * kept * side),
    }  # fmt: skip


def predicted_sets_per_s(sensors, left_out, limits, vectors=0):
    """At most, by map_model(): every kernel at the limits of the card."""
    model = map_model(sensors, left_out, 1, vectors).values()
    return 1.0 / sum(max(moved / limits["copy_bytes_per_s"], flops / limits["dgemm_flop_per_s"])
                     for moved, flops in model)  # fmt: skip


def table(fit, limits):
    """Of each mark of a traced fit: milliseconds, what had to be done, and how near to the limits."""
    costs = cost(fit)
    flop_limit = limits["dgemm_flop_per_s" if fit["precision"] == "float64" else "sgemm_flop_per_s"]
    rows = []
    for name, milliseconds in sorted(fit["milliseconds_per_kernel_resident"].items(), key=lambda item: -item[1]):
        made = {"name": name, "milliseconds": milliseconds}
        if name in HOST:
            made["host"] = True
        elif name in costs and milliseconds > 0:
            moved, flops = costs[name]
            seconds = milliseconds * 1e-3
            by_memory, by_flops = moved / limits["copy_bytes_per_s"], flops / flop_limit
            made |= {
                "bytes": round(moved),
                "flops": round(flops),
                "gigabytes_per_s": round(moved / seconds * 1e-9, 1),
                "gigaflops": round(flops / seconds * 1e-9, 1),
                "bound_milliseconds": round(max(by_memory, by_flops) * 1e3, 4),
                "bound_by": "memory" if by_memory >= by_flops else "arithmetic",
                "share_of_the_limit": round(max(by_memory, by_flops) / seconds, 3),
            }
        rows.append(made)
    return rows
