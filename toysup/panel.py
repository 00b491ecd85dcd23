"""Sliders that drive a callback: what the reader of a notebook touches.

    panel = Panel(draw, sparsity=Slider(0.0, 0.99, 0.9, label="sparsity S", step=0.01))

`draw` takes numbers and returns plots (`toysup.marks`) and one line of text. A hand on the slider, `panel.set(...)`
and the grid of `panel.bake(...)` all go through it. With a kernel the panel calls `draw`; without one it
shows the grid.
"""

from __future__ import annotations

import base64
import dataclasses
import inspect
import itertools
import json
import math
import pathlib
import threading
from collections.abc import Callable, Iterable, Sequence

import anywidget
import numpy as np
import traitlets

from toysup import page, plots
from toysup.marks import Plot, pack

_HERE = pathlib.Path(__file__).parent
_MOST_STATES, _MOST_BYTES = 20_000, 8_000_000


@dataclasses.dataclass(frozen=True)
class Slider:
    """A number between low and high, moved in equal steps; with log=True in equal ratios.

    step: size of a step, or steps: their number (default 50; log sliders take steps only). digits: decimals of the
    values, significant digits if log (default: as many as the steps need, 2 if log). Slider positions are rounded to
    these digits before they reach the callback, so the value shown is the value used. A slider from whole numbers in
    whole steps gives int. Raises ValueError for a range, value or step that does not fit.
    """

    low: float
    high: float
    value: float
    _: dataclasses.KW_ONLY
    label: str = ""
    step: float | None = None
    steps: int | None = None
    log: bool = False
    digits: int | None = None
    unit: str = ""

    def __post_init__(self):
        name = f"Slider {self.label!r}" if self.label else "Slider"
        _check_range(name, self)
        object.__setattr__(self, "step", _step(name, self))
        object.__setattr__(self, "digits", _digits(name, self))
        count = self.steps or max(1, math.ceil((self.high - self.low) / self.step - 1e-9))
        object.__setattr__(self, "steps", int(count))
        object.__setattr__(self, "value", self.accept(name, self.value))

    @property
    def whole(self) -> bool:
        """Whether the values are whole numbers."""
        return not self.log and self.digits == 0 and all(float(v).is_integer() for v in (self.low, self.step))

    def accept(self, name: str, value):
        """The value if it lies in the range; else ValueError."""
        number = _number(value)
        if number is None or not self.low <= number <= self.high or (self.whole and not number.is_integer()):
            what = "a whole number" if self.whole else "a number"
            raise ValueError(f"{name} must be {what} in [{self.low:g}, {self.high:g}], got {value!r}")
        return int(number) if self.whole else number

    def spec(self, name: str) -> dict:
        """What the browser needs to know."""
        fields = {k: getattr(self, k) for k in ("low", "high", "step", "steps", "log", "digits", "unit")}
        return {"kind": "slider", "name": name, "label": self.label or name, "integer": self.whole, **fields}

    def outside(self, value):
        """The value as the browser knows it."""
        return float(value)

    inside = accept


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of a few options, as a menu. options: strings or numbers; value: the one chosen first."""

    options: Sequence
    value: object = None
    label: str = ""

    def __post_init__(self):
        options = tuple(self.options) if not isinstance(self.options, str) else ()
        name = f"Choice {self.label!r}" if self.label else "Choice"
        if len(options) < 2 or len({str(o) for o in options}) != len(options):
            raise ValueError(f"{name}: options must be at least two different strings or numbers, got {self.options!r}")
        object.__setattr__(self, "options", options)
        object.__setattr__(self, "value", options[0] if self.value is None else self.accept(name, self.value))

    def accept(self, name: str, value):
        """The option that equals the value; else ValueError."""
        for option in self.options:
            if (type(option) is type(value) and option == value) or str(option) == str(value):
                return option
        raise ValueError(f"{name} must be one of {', '.join(map(repr, self.options))}; got {value!r}")

    def spec(self, name: str) -> dict:
        """What the browser needs to know."""
        return {"kind": "choice", "name": name, "label": self.label or name, "options": [str(o) for o in self.options]}

    def outside(self, value):
        """The value as the browser knows it."""
        return str(value)

    inside = accept


class Panel(anywidget.AnyWidget):
    """Sliders, pictures and one line of text, kept in step by a callback.

    draw: a function of numbers that returns (plots, text): a `Plot` or a list of them, and one line.
    controls: a `Slider` or `Choice` for each parameter of draw, by name.
    live: follow the drag; with False draw is called on release (for callbacks slower than about 100 ms).
    Raises TypeError or ValueError where controls and draw do not fit together; what draw raises passes through.
    """

    _esm = (_HERE / "panel.js").read_text(encoding="utf-8")
    _css = (_HERE / "panel.css").read_text(encoding="utf-8")
    controls = traitlets.List().tag(sync=True)
    live = traitlets.Bool(True).tag(sync=True)
    frame = traitlets.Dict().tag(sync=True)
    grid = traitlets.Dict().tag(sync=True)

    def __init__(self, draw: Callable, /, *, live: bool = True, **controls: Slider | Choice):
        _check_controls(draw, controls)
        # JupyterLab talks to widgets in a thread of its own, so a hand may move a slider while a cell calls `set`
        self._lock = threading.RLock()
        self._draw, self._controls = draw, controls
        self._values = {name: control.value for name, control in controls.items()}
        self._plots, self._text = self._evaluate(self._values)
        super().__init__(
            live=live, controls=[control.spec(name) for name, control in controls.items()], frame=self._frame("", 0, "")
        )
        self.on_msg(self._receive)

    @property
    def values(self) -> dict:
        """The values of all controls, by name."""
        return dict(self._values)

    @property
    def text(self) -> str:
        """The line of text under the picture."""
        return self._text

    @property
    def plots(self) -> list[Plot]:
        """The pictures shown, as marks."""
        return list(self._plots)

    def set(self, **values) -> str:
        """Move controls as a hand would, and return the line of text.

        Raises ValueError for a name or a value that does not exist; what draw raises passes through and is shown.
        """
        return self._move(self._checked(values), "", 0)

    def bake(self, **axes: Sequence) -> Panel:
        """Compute the states for all combinations of the given values, to travel inside the panel.

        axes: a sequence of values per control; controls not named stay at their present value. Returns the panel.
        """
        if not axes:
            raise ValueError(f"bake: name at least one of {', '.join(self._controls)} with the values to compute")
        self._checked({name: self._values.get(name) for name in axes})
        values = {name: self._axis(name, axes[name]) for name in self._controls if name in axes}
        count = math.prod(len(v) for v in values.values())
        if count > _MOST_STATES:
            raise ValueError(f"bake: {count} states are too many, at most {_MOST_STATES}; give fewer values")
        self.grid = self._baked(values)
        return self

    def save_html(self, path, *, title: str = "toysup panel") -> None:
        """Write one page that holds the panel and its grid, and needs neither kernel nor network."""
        if not self.grid:
            raise ValueError("save_html: the page has no kernel, so it needs states to show; call bake(...) before")
        state = {name: getattr(self, name) for name in ("controls", "live", "frame", "grid")}
        html = page.html(self._esm, self._css, state, title=title, text=self._text, png=plots.png(self._plots))
        pathlib.Path(path).write_text(html, encoding="utf-8")

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle or {}, {})
        png = base64.b64encode(plots.png(self._plots)).decode("ascii")
        return {**data, "image/png": png, "text/plain": f"Panel: {self._text}"}, metadata

    def _receive(self, _, content, buffers):
        """Answer the browser: `hello` is a question whether a kernel lives, `move` carries new values."""
        client = content.get("client", "")
        if content.get("kind") == "hello":
            self.send({"kind": "here", "client": client})
        elif content.get("kind") == "move":
            self._asked(content.get("values", {}), client, content.get("number", 0))

    def _asked(self, values, client, number):
        try:
            values = self._checked(values)
        except ValueError as error:
            self.frame = self._frame(client, number, _say(error))
            raise
        try:
            self._move(values, client, number)
        except SystemExit as error:  # it would end the thread in which Jupyter reads the messages of all panels
            raise RuntimeError(f"the callback of the panel called exit: {_say(error)}") from error

    def _move(self, values, client, number) -> str:
        with self._lock:
            self._values = {**self._values, **values}
            try:
                self._plots, self._text = self._evaluate(self._values)
            except BaseException as error:  # an interrupt too must reach the browser, which waits for an answer
                self.frame = self._frame(client, number, _say(error))
                raise
            self.frame = self._frame(client, number, "")
            return self._text

    def _evaluate(self, values) -> tuple[list[Plot], str]:
        return _checked_drawing(self._draw(**values))

    def _frame(self, client, number, error) -> dict:
        structure, data = pack(self._plots)
        values = {name: control.outside(self._values[name]) for name, control in self._controls.items()}
        head = {"client": client, "number": number, "values": values, "text": self._text, "error": error}
        return {**head, "plots": structure, "data": data}

    def _checked(self, values) -> dict:
        for name in values:
            if name not in self._controls:
                raise ValueError(f"{name} is not a control of this panel; it has {', '.join(self._controls)}")
        return {name: self._controls[name].inside(name, value) for name, value in values.items()}

    def _axis(self, name, values) -> list:
        control = self._controls[name]
        values = values.tolist() if isinstance(values, np.ndarray) else values
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise ValueError(f"bake: {name} needs a sequence of values, such as [{values!r}]; got {values!r}")
        accepted = [control.inside(name, v) for v in values]
        if not accepted:
            raise ValueError(f"bake: {name} needs at least one value")
        return list(dict.fromkeys(accepted)) if isinstance(control, Choice) else sorted(set(accepted))

    def _baked(self, axes) -> dict:
        structures, states, pieces, used = {}, [], [], 0
        for values in itertools.product(*axes.values()):
            drawn, text = self._evaluate({**self._values, **dict(zip(axes, values, strict=True))})
            structure, data = pack(drawn)
            index = structures.setdefault(json.dumps(structure), len(structures))
            states.append({"structure": index, "text": text, "at": used, "size": len(data) // 4})
            pieces.append(data)
            used += len(data) // 4
            if 4 * used > _MOST_BYTES:
                raise ValueError(
                    f"bake: the states take more than {_MOST_BYTES // 10**6} MB; give fewer values or smaller plots"
                )
        outside = {name: control.outside(self._values[name]) for name, control in self._controls.items()}
        named = [{"name": n, "values": [self._controls[n].outside(v) for v in values]} for n, values in axes.items()]
        kept = [json.loads(text) for text in structures]
        return {"axes": named, "fixed": outside, "structures": kept, "states": states, "data": b"".join(pieces)}


def _say(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _number(value) -> float | None:
    """A finite float, or None for what is not one number."""
    if isinstance(value, (bool, str, bytes)):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _check_range(name, slider):
    if _number(slider.low) is None or _number(slider.high) is None or not slider.low < slider.high:
        raise ValueError(f"{name}: low must be below high, both finite; got low={slider.low!r}, high={slider.high!r}")
    if slider.log and slider.low <= 0:
        raise ValueError(f"{name}: a log slider needs low > 0, got {slider.low!r}")
    if slider.log and slider.step is not None:
        raise ValueError(f"{name}: a log slider takes steps, their number, in place of step")
    if slider.step is not None and slider.steps is not None:
        raise ValueError(f"{name}: give step or steps, not both")
    if slider.step is not None and not (_number(slider.step) and 0 < slider.step <= slider.high - slider.low):
        raise ValueError(f"{name}: step must lie in (0, {slider.high - slider.low:g}], got {slider.step!r}")
    if slider.steps is not None and (not isinstance(slider.steps, int) or slider.steps < 1):
        raise ValueError(f"{name}: steps must be a whole number from 1, got {slider.steps!r}")
    if slider.digits is not None and not (isinstance(slider.digits, int) and 0 <= slider.digits <= 12):
        raise ValueError(f"{name}: digits must be a whole number from 0 to 12, got {slider.digits!r}")


def _step(name, slider) -> float:
    """Size of one step on the slider's own axis, the logarithm if log; also sets the default number of steps."""
    if slider.step is not None:
        return float(slider.step)
    if slider.steps is None:
        object.__setattr__(slider, "steps", 50)
    width = math.log(slider.high / slider.low) if slider.log else slider.high - slider.low
    return width / slider.steps


def _digits(name, slider) -> int:
    """Decimals (significant digits if log) that tell neighbouring positions apart."""
    if slider.log:
        need = next(d for d in range(1, 13) if 10.0 ** (1 - d) <= 2 * (math.exp(slider.step) - 1) or d == 12)
        return max(2, need) if slider.digits is None else max(1, slider.digits)
    exact = (d for d in range(7) if abs(round(slider.step, d) - slider.step) < 1e-9 * slider.step)
    whole_low = next((d for d in range(7) if abs(round(slider.low, d) - slider.low) < 1e-12), 6)
    digits = max(next(exact, 6), whole_low) if slider.digits is None else slider.digits
    if round(slider.step, digits) == 0 and 10.0**-digits > slider.step:
        raise ValueError(f"{name}: digits={digits} cannot tell steps of {slider.step:g} apart")
    return digits


def _check_controls(draw, controls):
    if not callable(draw):
        raise TypeError(f"Panel: draw must be a function, got {type(draw).__name__}")
    for name, control in controls.items():
        if not isinstance(control, (Slider, Choice)):
            raise TypeError(f"Panel: {name} must be a Slider or a Choice, got {type(control).__name__}")
    parameters = inspect.signature(draw).parameters.values()
    anything = any(p.kind is p.VAR_KEYWORD for p in parameters)
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    unknown = [name for name in controls if name not in {p.name for p in named} and not anything]
    missing = [p.name for p in named if p.default is p.empty and p.name not in controls]
    if unknown or missing or not controls:
        have, want = ", ".join(controls) or "none", ", ".join(p.name for p in named) or "none"
        raise ValueError(f"Panel: the controls ({have}) must match the parameters of draw ({want})")


def _checked_drawing(result) -> tuple[list[Plot], str]:
    advice = "draw must return (plots, text): a Plot or a list of them, and one line of text"
    if not (isinstance(result, tuple) and len(result) == 2):
        raise TypeError(f"{advice}; got {type(result).__name__}")
    drawn, text = result
    drawn = [drawn] if isinstance(drawn, Plot) else list(drawn) if isinstance(drawn, (list, tuple)) else [drawn]
    wrong = [type(p).__name__ for p in drawn if not isinstance(p, Plot)]
    if wrong or not drawn or not isinstance(text, str):
        raise TypeError(f"{advice}; got {wrong[0] if wrong else 'no plots' if not drawn else type(text).__name__}")
    return drawn, text
