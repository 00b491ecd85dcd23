"""The results of a sweep with labels: an `xarray.Dataset`, in memory or read from a store when asked."""

from __future__ import annotations

import dataclasses

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from toysup import store as stores
from toysup.grid import DIMENSIONS, Plan

LABELS = {  # long_name and units; "1" is a pure number
    "density": ("density p: probability that a feature is active", "1"),
    "relative_density": ("density of one feature, relative to the others", "1"),
    "relative_importance": ("importance of one feature, relative to 1", "1"),
    "importance_decay": ("importance of a feature, relative to the feature before it", "1"),
    "n": ("features", "count"),
    "m": ("hidden dimensions", "count"),
    "readout": ("readout", "name"),
    "seed": ("seed of the random starts and draws", "1"),
    "restart": ("random start", "index"),
    "hidden": ("hidden dimension", "index"),
    "feature": ("feature", "index"),
    "W": ("weights", "1"),
    "b": ("biases", "1"),
    "loss": ("expected loss", "1"),
    "loss_error": ("standard error of the loss, 0 where it is exact", "1"),
    "reached": ("restarts within 0.1 % of the lowest loss of their model", "count"),
    "norm": ("norm of the direction of a feature", "1"),
    "feature_dimensionality": ("share of a dimension that a feature has", "1"),
    "represented": ("features whose norm is above 0.5", "count"),
}


def to_dataset(plan: Plan, results, attributes: dict) -> xr.Dataset:
    """Label results: arrays by name, (models, ...) in the order of the plan, or the Store that holds them."""
    variables = {}
    for name in plan.shapes:
        if isinstance(results, stores.Store):
            lazy = indexing.LazilyIndexedArray(StoredArray(plan, results, name))
            data = indexing.CopyOnWriteArray(lazy)
        else:
            data = _arranged(plan, results[name])
        variables[name] = xr.Variable((*plan.dimensions, *_tail(plan, name)), data, _label(name))
    return xr.Dataset(variables, _coordinates(plan), attributes)


def _tail(plan: Plan, name: str) -> tuple[str, ...]:
    """The names of the axes behind those of the sweep."""
    own = {"W": ("hidden", "feature"), "b": ("feature",), "norm": ("feature",), "feature_dimensionality": ("feature",)}
    restart = ("restart",) if plan.keep == "all" and name != "reached" else ()
    return (*restart, *own.get(name, ()))


def _coordinates(plan: Plan) -> dict:
    found = {}
    for name in DIMENSIONS:
        many = name in plan.dimensions
        found[name] = xr.Variable((name,) if many else (), plan.values[name][slice(None) if many else 0], _label(name))
    sizes = dict(zip(_tail(plan, "W"), plan.shapes["W"], strict=True))
    return found | {name: xr.Variable((name,), np.arange(size), _label(name)) for name, size in sizes.items()}


def _label(name: str) -> dict[str, str]:
    long_name, units = LABELS[name]
    return {"long_name": long_name, "units": units}


def _sizes(plan: Plan) -> tuple[int, ...]:
    return tuple(plan.size(name) for name in plan.dimensions)


def _axes(plan: Plan) -> tuple[int, ...]:
    """Where each dimension of the sweep lies among the axes in which models are numbered."""
    return tuple(plan.order.index(name) for name in plan.dimensions)


def _arranged(plan: Plan, a: np.ndarray) -> np.ndarray:
    """A view of (models, ...) with the dimensions of the sweep in front, in the order given."""
    a = a.reshape(*(plan.size(name) for name in plan.order), *a.shape[1:])
    front, behind = _axes(plan), range(len(plan.order), a.ndim)
    single = tuple(i for i in range(len(plan.order)) if i not in front)
    return a.transpose(*front, *single, *behind).reshape((*_sizes(plan), *a.shape[len(plan.order) :]))


@dataclasses.dataclass
class StoredArray(BackendArray):
    """One result of a sweep on disk; indexing reads the chunks that are touched, and keeps nothing."""

    plan: Plan
    store: stores.Store
    name: str

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of all axes."""
        return (*_sizes(self.plan), *self.plan.shapes[self.name])

    @property
    def dtype(self) -> np.dtype:
        """The type of an entry."""
        return self.plan.dtype(self.name)

    def __getitem__(self, key):
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key) -> np.ndarray:
        """Entries at integers, slices and arrays of integers, one for each axis, each on its own (outer indexing)."""
        dimensions = len(self.plan.dimensions)
        picks = [np.arange(size)[k] for size, k in zip(_sizes(self.plan), key[:dimensions], strict=True)]
        models = self._numbers([np.atleast_1d(p) for p in picks])
        rows = self._rows(models.reshape(-1)).reshape((*models.shape, *self.plan.shapes[self.name]))
        rows = rows[tuple(0 if np.ndim(p) == 0 else slice(None) for p in picks)]
        kept = sum(1 for p in picks if np.ndim(p))
        for axis, k in reversed(list(enumerate(key[dimensions:]))):
            rows = rows[(*[slice(None)] * (kept + axis), k)]
        return rows

    def _numbers(self, picks) -> np.ndarray:
        """The numbers of the models at these places."""
        if not picks:
            return np.zeros((), int)
        strides = np.cumprod([1, *[self.plan.size(name) for name in self.plan.order[:0:-1]]])[::-1]
        steps = [strides[axis] * p for axis, p in zip(_axes(self.plan), picks, strict=True)]
        return sum(np.ix_(*steps))

    def _rows(self, models: np.ndarray) -> np.ndarray:
        missing = 0 if self.dtype.kind == "i" else np.nan
        out = np.full((len(models), *self.plan.shapes[self.name]), missing, self.dtype)
        chunk, row = self.plan.place(models)
        order = np.argsort(chunk, kind="stable")
        for here in np.split(order, np.flatnonzero(np.diff(chunk[order])) + 1):
            a = self._chunk(int(chunk[here[0]]))
            out[(here, *map(slice, a.shape[1:]))] = a[row[here]]
        return out

    def _chunk(self, chunk: int) -> np.ndarray:
        try:
            return stores.read_chunk(self.store, chunk, [self.name])[self.name]
        except stores.BadChunk as bad:
            file = self.store.file(chunk)
            raise stores.BadChunk(f"{file} {bad}. Call the same sweep again: it is computed again") from bad
