// The front end of toysup.panel: controls, five marks drawn as SVG, and the talk with the kernel.
// The kernel answers numbered requests through the trait `frame`; `grid` holds states computed beforehand.

const SVG = "http://www.w3.org/2000/svg";
const SILENCE = 2500; // ms without an answer after which the kernel counts as absent; one that was only busy is heard later
const RETRY = 30000; // ms after which an unanswered request may be followed by another
const GRACE = 120; // ms for which a kernel that has been quick is waited for before the grid is shown
const NUDGES = [5, 9, 16]; // ms between the messages that hurry an answer
const COLOURS = 8;
const SHAPES = ["circle", "square", "triangle", "diamond", "cross", "wedge"];
const DASHES = [null, "7 4", "2 3", "10 3 2 3", "12 4", "4 2 1 2 1 2"];
const RGB = { positive: [213, 94, 0], negative: [0, 114, 178] };
const FULL = 0.8; // opacity of full colour: text in the page's own colour stays readable on it
const WRITTEN = 12; // matrices up to this size may carry numbers
const PAINTED = 30; // larger matrices are painted on a canvas

/* ---------- drawing: a pen that reuses the elements of the frame before ---------- */

class Pen {
  constructor(root) { this.root = root; this.items = []; this.at = 0; }
  start() { this.at = 0; }
  put(tag, attributes, text = null) {
    let item = this.items[this.at];
    if (!item || item.tag !== tag) {
      const node = document.createElementNS(SVG, tag);
      if (item) item.node.replaceWith(node); else this.root.append(node);
      item = this.items[this.at] = { tag, node, attributes: {}, text: null };
    }
    const { node, attributes: old } = item;
    for (const key in attributes) if (old[key] !== attributes[key]) {
      if (attributes[key] === null) node.removeAttribute(key); else node.setAttribute(key, attributes[key]);
    }
    for (const key in old) if (!(key in attributes)) node.removeAttribute(key);
    if (item.text !== text) node.textContent = text ?? "";
    item.attributes = attributes; item.text = text; this.at += 1;
  }
  finish() { for (const item of this.items.splice(this.at)) item.node.remove(); }
  line(x1, y1, x2, y2, more) { this.put("line", { x1: px(x1), y1: px(y1), x2: px(x2), y2: px(y2), ...more }); }
  text(x, y, text, more = {}) { this.put("text", { x: px(x), y: px(y), ...more }, text); }
  path(d, more) { this.put("path", { d, ...more }); }
  rect(x, y, width, height, more) {
    this.put("rect", { x: px(x), y: px(y), width: px(Math.max(0, width)), height: px(Math.max(0, height)), ...more });
  }
}

const everyOf = (least) => [1, 2, 5, 10, 20, 50, 100].find((k) => k >= least) ?? 200; // labels at calm intervals
const px = (value) => Math.round(value * 100) / 100;
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const wide = (text, size = 12) => String(text).length * size * 0.6;
const minus = (text) => text.replace("-", "−");
const colour = (k) => `toysup-c${k % COLOURS}`;
const written = (value, digits) => {
  const text = value.toFixed(digits);
  return minus(Number(text) === 0 ? text.replace("-", "") : text);
};

function shape(kind, x, y, r) {
  const at = (points) => "M" + points.map(([a, b]) => `${px(x + a * r)} ${px(y + b * r)}`).join("L") + "Z";
  if (kind === "square") return at([[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]]);
  if (kind === "triangle") return at([[0, -1.15], [1.05, 0.8], [-1.05, 0.8]]);
  if (kind === "wedge") return at([[0, 1.15], [1.05, -0.8], [-1.05, -0.8]]);
  if (kind === "diamond") return at([[0, -1.3], [1.3, 0], [0, 1.3], [-1.3, 0]]);
  if (kind === "cross") {
    const t = 0.36;
    return at([[-t, -1.1], [t, -1.1], [t, -t], [1.1, -t], [1.1, t], [t, t], [t, 1.1], [-t, 1.1], [-t, t], [-1.1, t], [-1.1, -t], [-t, -t]]);
  }
  return `M${px(x - r)} ${px(y)}a${r} ${r} 0 1 0 ${px(2 * r)} 0a${r} ${r} 0 1 0 ${px(-2 * r)} 0Z`;
}

function ticks(low, high, log, room) {
  if (log) {
    const decades = Math.log10(high / low), steps = decades < 1.2 ? [1, 2, 3, 5] : decades < 2.5 && room > 150 ? [1, 3] : [1];
    const every = Math.max(1, Math.ceil(decades / Math.max(1, Math.floor(room / 44)))), out = [];
    for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e += 1) {
      for (const s of steps) {
        const v = Number((s * 10 ** e).toPrecision(6));
        if (e % every === 0 && v >= low * 0.999 && v <= high * 1.001) out.push(v);
      }
    }
    return out;
  }
  const rough = (high - low) / Math.max(2, Math.floor(room / 48)), power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((s) => s * power >= rough * 0.999) * power, out = [];
  for (let k = Math.ceil(low / step - 1e-6); k * step <= high + 1e-6 * step; k += 1) out.push(Number((k * step).toPrecision(10)));
  return out;
}
function tickTexts(values, log) {
  const plain = (v) => (v !== 0 && (Math.abs(v) < 1e-4 || Math.abs(v) >= 1e5)) ? v.toExponential().replace("e+", "e") : String(v);
  if (log) return values.map((v) => minus(plain(v)));
  const decimals = Math.min(6, Math.max(0, ...values.map((v) => (plain(v).split("e")[0].split(".")[1] || "").length)));
  return values.map((v) => minus(plain(v).includes("e") ? plain(v) : v.toFixed(decimals)));
}

function legend(pen, entries, x, width) {
  // entries: {label, colour, kind | dash}; returns the height used
  const shown = entries.filter((e) => e.label);
  if (!shown.length) return 0;
  let left = x, top = 9;
  for (const e of shown) {
    const takes = 26 + wide(e.label) + 12;
    if (left > x && left + takes - 12 > x + width) { left = x; top += 18; }
    if (e.kind) pen.path(shape(e.kind, left + 9, top, 5), { class: e.colour, fill: "currentColor" });
    else pen.line(left, top, left + 20, top, { class: e.colour, stroke: "currentColor", "stroke-width": 2.2, "stroke-dasharray": e.dash });
    pen.text(left + (e.kind ? 19 : 26), top + 4, e.label);
    left += takes - (e.kind ? 7 : 0);
  }
  return top + 14;
}

function axes(pen, box, mark, names) {
  // box: {left, top, right, bottom}; mark: limits and logs; returns the scales, after drawing grid, ticks and names
  const { limits_x: lx, limits_y: ly, log_x: gx, log_y: gy } = mark;
  const scale = ([low, high], log, from, to) => log
    ? (v) => from + (to - from) * Math.log(v / low) / Math.log(high / low)
    : (v) => from + (to - from) * (v - low) / (high - low);
  const X = lx && scale(lx, gx, box.left, box.right), Y = scale(ly, gy, box.bottom, box.top);
  const vy = ticks(ly[0], ly[1], gy, box.bottom - box.top), ty = tickTexts(vy, gy);
  vy.forEach((v, i) => {
    pen.line(box.left, Y(v), box.right, Y(v), { class: "toysup-grid" });
    pen.text(box.left - 6, Y(v) + 4, ty[i], { class: "toysup-tick", "text-anchor": "end" });
  });
  if (X) {
    const vx = ticks(lx[0], lx[1], gx, box.right - box.left), tx = tickTexts(vx, gx);
    pen.line(box.left, box.bottom, box.right, box.bottom, { class: "toysup-axis" });
    vx.forEach((v, i) => {
      pen.line(X(v), box.bottom, X(v), box.bottom + 4, { class: "toysup-axis" });
      pen.text(X(v), box.bottom + 17, tx[i], { class: "toysup-tick", "text-anchor": "middle" });
    });
  }
  if (names.x) pen.text((box.left + box.right) / 2, box.bottom + 33, names.x, { "text-anchor": "middle" });
  if (names.y) pen.text(2, box.top - 9, names.y);
  return [X, Y];
}
function room(mark, names, top, w, h, above = 0, below = 0) {
  const box = { top: top + (names.y ? 24 : 9) + above, right: w - 12, bottom: h - (names.x ? 40 : 24) - below };
  const labels = tickTexts(ticks(mark.limits_y[0], mark.limits_y[1], mark.log_y, box.bottom - box.top), mark.log_y);
  return { ...box, left: 10 + Math.max(10, ...labels.map((t) => wide(t, 11))) };
}

const groupEntries = (mark) => (mark.group_labels || []).map((label, g) => ({ label, colour: colour(g), kind: SHAPES[g % SHAPES.length] }));

const DRAW = {
  arrows(pen, mark, num, w, h) {
    const W = num("W"), weights = num("weights"), hidden = num("hidden"), groups = mark.groups && num("groups"), n = weights.length;
    const top = legend(pen, groupEntries(mark), 0, w), half = Math.min(w, h - top) / 2;
    const cx = w / 2, cy = top + (h - top) / 2, unit = (half - 2) / mark.limit;
    pen.line(cx - half, cy, cx + half, cy, { class: "toysup-grid" });
    pen.line(cx, cy - half, cx, cy + half, { class: "toysup-grid" });
    if (mark.circle) pen.put("circle", { cx: px(cx), cy: px(cy), r: px(unit), class: "toysup-circle" });
    const style = (i) => groups
      ? [colour(groups[i]), SHAPES[groups[i] % SHAPES.length]]
      : [colour(i), SHAPES[Math.floor(i / COLOURS) % SHAPES.length]];
    const tips = Array.from({ length: n }, (_, i) => [W[i] * unit, -W[n + i] * unit]);
    const strength = (i) => px(0.35 + 0.65 * weights[i]);
    tips.forEach(([x, y], i) => pen.line(cx, cy, cx + x, cy + y, {
      class: style(i)[0], stroke: "currentColor", "stroke-width": px(1.4 + 1.8 * weights[i]), "stroke-opacity": strength(i), "stroke-linecap": "round" }));
    tips.forEach(([x, y], i) => pen.path(shape(style(i)[1], cx + x, cy + y, 3.4 + 2 * weights[i]), {
      class: `${style(i)[0]} toysup-mark`, fill: "currentColor", "fill-opacity": strength(i) }));
    const k = hidden.length / 2, taken = [];
    for (let j = 0; j < k; j += 1) {
      const x = cx + hidden[j] * unit, y = cy - hidden[k + j] * unit;
      pen.path(shape("diamond", x, y, 6), { class: "toysup-hidden" });
      if (!mark.hidden_labels[j]) continue;
      const left = x + 10 + wide(mark.hidden_labels[j]) > w; // no room on the right
      pen.text(x + (left ? -10 : 10), y + 4, mark.hidden_labels[j], { class: "toysup-strong", "text-anchor": left ? "end" : "start" });
      taken.push([x + (left ? -10 : 10), y]);
    }
    const small = [], names = []; // tips that coincide share one label
    tips.forEach(([x, y], i) => {
      if (!mark.labels[i]) return;
      if (Math.hypot(x, y) < 12) { small.push(mark.labels[i]); return; }
      const twin = names.find((name) => Math.hypot(name.x - x, name.y - y) < 7);
      if (twin) twin.label += `, ${mark.labels[i]}`; else names.push({ x, y, label: mark.labels[i] });
    });
    names.forEach(({ x, y, label }) => {
      const length = Math.hypot(x, y);
      let out = length + 13 + 0.5 * wide(label) * Math.abs(x) / length, at;
      for (let tries = 0; tries < 4; tries += 1, out += 13) {
        at = [cx + x / length * out, cy + y / length * out];
        if (!taken.some(([a, b]) => Math.abs(a - at[0]) < 11 && Math.abs(b - at[1]) < 12)) break;
      }
      taken.push(at);
      pen.text(clamp(at[0], wide(label) / 2, w - wide(label) / 2), clamp(at[1] + 4, top + 10, h - 3), label, { "text-anchor": "middle", class: "toysup-strong" });
    });
    if (small.length) pen.text(0, h - 3, `at 0: ${small.length > 8 ? `${small.length} features` : small.join(", ")}`, { class: "toysup-tick" });
  },

  heat(pen, mark, num, w, h, cell) {
    const M = num("matrix"), rows = mark.row_labels.length, columns = mark.column_labels.length;
    const left = 8 + Math.max(...mark.row_labels.map((t) => wide(t, 11)), 8) + (mark.y ? 16 : 0), bottom = 20 + (mark.x ? 16 : 0);
    const many = Math.max(rows, columns), digits = mark.digits;
    const fits = (right) => {
      let a = (w - left - right) / columns, b = (h - bottom - 4) / rows;
      a = Math.min(a, 3 * b); b = Math.min(b, 3 * a);
      return rows === columns ? [Math.min(a, b), Math.min(a, b)] : [a, b];
    };
    let [a, b] = fits(2);
    let size = Math.min(12, b * 0.6, (a - 6) / (0.6 * (digits + 2.8)));
    const numbers = many <= WRITTEN && size >= 8.5;
    const right = numbers ? 2 : 48;
    [a, b] = fits(right);
    if (numbers) size = Math.min(12, b * 0.6, (a - 6) / (0.6 * (digits + 2.8)));
    const x0 = left + Math.max(0, (w - left - right - a * columns) / 2), y0 = 2 + Math.max(0, (h - bottom - 4 - b * rows) / 2);
    const strength = (v) => px(FULL * Math.min(1, Math.abs(v) / mark.limit));
    if (many > PAINTED) paint(cell, M, rows, columns, mark.limit, x0, y0, a * columns, b * rows);
    else {
      unpaint(cell);
      const gap = Math.min(a, b) > 14 ? 1 : 0;
      for (let i = 0; i < M.length; i += 1) {
        const x = x0 + (i % columns) * a, y = y0 + Math.floor(i / columns) * b;
        pen.rect(x + gap / 2, y + gap / 2, a - gap, b - gap, { class: M[i] < 0 ? "toysup-negative" : "toysup-positive", "fill-opacity": strength(M[i]), rx: gap * 2 });
        if (numbers) pen.text(x + a / 2, y + b / 2 + size * 0.35, written(M[i], digits), { class: "toysup-number", "text-anchor": "middle", style: `font-size:${px(size)}px` });
      }
    }
    pen.rect(x0 - 0.5, y0 - 0.5, a * columns + 1, b * rows + 1, { class: "toysup-axis", fill: "none" });
    const everyRow = everyOf(13 / b), everyColumn = everyOf((8 + Math.max(...mark.column_labels.map((t) => wide(t, 11)))) / a);
    mark.row_labels.forEach((t, i) => { if (i % everyRow === 0) pen.text(x0 - 6, y0 + (i + 0.5) * b + 4, t, { class: "toysup-tick", "text-anchor": "end" }); });
    mark.column_labels.forEach((t, i) => { if (i % everyColumn === 0) pen.text(x0 + (i + 0.5) * a, y0 + rows * b + 15, t, { class: "toysup-tick", "text-anchor": "middle" }); });
    if (mark.x) pen.text(x0 + a * columns / 2, y0 + rows * b + 31, mark.x, { "text-anchor": "middle" });
    if (mark.y) pen.text(0, 0, mark.y, { "text-anchor": "middle", transform: `translate(${px(x0 - left + 12)} ${px(y0 + rows * b / 2)}) rotate(-90)` });
    if (!numbers) scaleBar(pen, mark.limit, x0 + a * columns + 10, y0, b * rows);
  },

  bars(pen, mark, num, w, h) {
    const values = num("values"), groups = mark.groups && num("groups"), n = values.length, names = { x: mark.x, y: mark.y };
    const top = legend(pen, groupEntries(mark), 0, w);
    const axis = { limits_y: mark.limits, log_y: false };
    let box = room(axis, names, top, w, h);
    const slot = (box.right - box.left) / Math.max(1, n), numbers = slot >= 0.62 * 11 * (mark.digits + 2.2);
    const longest = Math.max(0, ...mark.labels.map((t) => wide(t, 11)));
    const rows = longest + 4 > slot && mark.labels.some((t) => !/^[-−.\d]+$/.test(t)) ? 2 : 1; // words take turns
    const every = everyOf((longest + 4) / (rows * slot)), below = numbers && mark.limits[0] < 0 ? 12 : 0;
    box = room(axis, names, top, w, h, numbers ? 10 : 0, below + 13 * (rows - 1));
    const [, Y] = axes(pen, box, axis, { x: "", y: mark.y }), zero = Y(0);
    const single = !groups && n > COLOURS, thick = Math.min(0.72 * slot, 46);
    values.forEach((v, i) => {
      const end = Y(clamp(v, ...mark.limits)), x = box.left + (i + 0.5) * slot;
      const look = colour(groups ? groups[i] : single ? 0 : i);
      pen.rect(x - thick / 2, Math.min(end, zero), thick, Math.abs(end - zero), { class: `${look} toysup-bar`, fill: "currentColor", rx: Math.min(2, thick / 6) });
    });
    pen.line(box.left, zero, box.right, zero, { class: "toysup-zero" });
    if (mark.reference !== null) {
      pen.line(box.left, Y(mark.reference), box.right, Y(mark.reference), { class: "toysup-reference" });
      if (mark.reference_label) pen.text(box.right, Y(mark.reference) - 5, mark.reference_label, { "text-anchor": "end", class: "toysup-halo" });
    }
    const foot = h - (mark.x ? 23 : 7);
    values.forEach((v, i) => {
      const x = box.left + (i + 0.5) * slot, end = Y(clamp(v, ...mark.limits));
      if (numbers) pen.text(x, v < 0 ? end + 13 : end - 5, written(v, mark.digits), { "text-anchor": "middle", class: "toysup-value toysup-halo" });
      const row = rows - 1 - (i / every) % rows;
      if (i % every === 0) pen.text(x, foot - 13 * row, mark.labels[i], { "text-anchor": "middle", class: "toysup-tick" });
    });
    if (mark.x) pen.text((box.left + box.right) / 2, h - 6, mark.x, { "text-anchor": "middle" });
  },

  curves(pen, mark, num, w, h, cell) {
    const x = num("x"), ys = num("ys"), n = x.length, count = ys.length / n, names = { x: mark.x_label, y: mark.y_label };
    const dash = (c) => (count > 1 ? DASHES[c % DASHES.length] : null);
    const top = legend(pen, mark.labels.map((label, c) => ({ label, colour: colour(c), dash: dash(c) })), 0, w);
    const box = room(mark, names, top, w, h), [X, Y] = axes(pen, box, mark, names), clip = cell.clip(box);
    for (let c = 0; c < count; c += 1) {
      let d = "", dots = "", pen_down = false;
      for (let i = 0; i < n; i += 1) {
        const v = ys[c * n + i];
        if (Number.isNaN(v)) { pen_down = false; continue; }
        d += `${pen_down ? "L" : "M"}${px(X(x[i]))} ${px(Y(v))}`; pen_down = true;
        if (mark.dots) dots += shape(SHAPES[c % SHAPES.length], X(x[i]), Y(v), 3);
      }
      pen.path(d, { class: colour(c), fill: "none", stroke: "currentColor", "stroke-width": 2.2, "stroke-linejoin": "round", "stroke-dasharray": dash(c), "clip-path": clip });
      if (mark.dots) pen.path(dots, { class: colour(c), fill: "currentColor", "clip-path": clip });
    }
    if (mark.marker === null || mark.marker < mark.limits_x[0] || mark.marker > mark.limits_x[1]) return;
    pen.line(X(mark.marker), box.top, X(mark.marker), box.bottom, { class: "toysup-reference" });
    for (let c = 0; c < count; c += 1) {
      const v = between(x, ys, c * n, mark.marker, mark.log_x);
      if (v >= mark.limits_y[0] && v <= mark.limits_y[1]) pen.path(shape("circle", X(mark.marker), Y(v), 5), { class: `${colour(c)} toysup-mark`, fill: "currentColor" });
    }
  },

  points(pen, mark, num, w, h, cell) {
    const x = num("x"), y = num("y"), groups = mark.groups && num("groups"), names = { x: mark.x_label, y: mark.y_label };
    const top = legend(pen, groupEntries(mark), 0, w), box = room(mark, names, top, w, h);
    if (mark.equal) equalise(box, mark);
    const [X, Y] = axes(pen, box, mark, names), clip = cell.clip(box, 7), many = groups ? mark.group_labels.length : 1;
    const radius = x.length > 300 ? 2.4 : x.length > 80 ? 3.4 : 4.6, d = Array(many).fill("");
    for (let i = 0; i < x.length; i += 1) { const g = groups ? groups[i] : 0; d[g] += shape(SHAPES[g % SHAPES.length], X(x[i]), Y(y[i]), radius); }
    d.forEach((path, g) => pen.path(path, { class: colour(g), fill: "currentColor", "fill-opacity": x.length > 300 ? 0.6 : 0.85, "clip-path": clip }));
    if (mark.highlight !== null) pen.put("circle", { cx: px(X(x[mark.highlight])), cy: px(Y(y[mark.highlight])), r: 10, class: "toysup-ring" });
  },
};

function equalise(box, mark) {
  const dx = mark.limits_x[1] - mark.limits_x[0], dy = mark.limits_y[1] - mark.limits_y[0];
  const unit = Math.min((box.right - box.left) / dx, (box.bottom - box.top) / dy);
  const spareX = box.right - box.left - unit * dx, spareY = box.bottom - box.top - unit * dy;
  box.left += spareX / 2; box.right -= spareX / 2; box.top += spareY / 2; box.bottom -= spareY / 2;
}

function between(x, ys, offset, at, log) {
  let i = 1;
  while (i < x.length - 1 && x[i] < at) i += 1;
  const f = log ? Math.log : (v) => v, t = clamp((f(at) - f(x[i - 1])) / (f(x[i]) - f(x[i - 1])), 0, 1);
  return ys[offset + i - 1] * (1 - t) + ys[offset + i] * t;
}

function paint(cell, M, rows, columns, limit, x, y, w, h) {
  if (!cell.canvas) { cell.canvas = document.createElement("canvas"); cell.stage.prepend(cell.canvas); }
  const canvas = cell.canvas;
  if (canvas.width !== columns || canvas.height !== rows) { canvas.width = columns; canvas.height = rows; }
  canvas.style.cssText = `left:${px(x)}px;top:${px(y)}px;width:${px(w)}px;height:${px(h)}px`;
  const image = new ImageData(columns, rows);
  for (let i = 0; i < M.length; i += 1) {
    image.data.set(M[i] < 0 ? RGB.negative : RGB.positive, 4 * i);
    image.data[4 * i + 3] = 255 * FULL * Math.min(1, Math.abs(M[i]) / limit);
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}
function unpaint(cell) { if (cell.canvas) { cell.canvas.remove(); cell.canvas = null; } }

function scaleBar(pen, limit, x, y, height) {
  const steps = 24, h = height / steps;
  for (let i = 0; i < steps; i += 1) {
    const v = 1 - 2 * (i + 0.5) / steps;
    pen.rect(x, y + i * h, 9, h + 0.3, { class: v < 0 ? "toysup-negative" : "toysup-positive", "fill-opacity": px(FULL * Math.abs(v)) });
  }
  pen.rect(x - 0.5, y - 0.5, 10, height + 1, { class: "toysup-axis", fill: "none" });
  const label = String(Number(limit.toPrecision(3)));
  pen.text(x + 13, y + 9, label, { class: "toysup-tick" });
  pen.text(x + 13, y + height / 2 + 4, "0", { class: "toysup-tick" });
  pen.text(x + 13, y + height, minus(`-${label}`), { class: "toysup-tick" });
}

/* ---------- one plot in its cell ---------- */

// every panel loads its own copy of this file, so a count alone would repeat
const OWN = `toysup-${Math.random().toString(36).slice(2, 10)}`;
let unique = 0;
class Cell {
  constructor() {
    this.node = make("div", "toysup-plot");
    this.title = make("div", "toysup-title");
    this.stage = make("div", "toysup-stage");
    this.svg = document.createElementNS(SVG, "svg");
    this.svg.setAttribute("aria-hidden", "true");
    this.pen = new Pen(this.svg);
    this.stage.append(this.svg); this.node.append(this.title, this.stage);
    this.id = `${OWN}-${unique += 1}`;
  }
  clip(box, air = 3) {
    this.pen.put("clipPath", { id: this.id });
    const clip = this.pen.items[this.pen.at - 1].node;
    const rect = clip.firstChild || clip.appendChild(document.createElementNS(SVG, "rect"));
    const size = { x: box.left - air, y: box.top - air, width: box.right - box.left + 2 * air, height: box.bottom - box.top + 2 * air };
    for (const key in size) rect.setAttribute(key, px(size[key]));
    return `url(#${this.id})`;
  }
  draw(plot, floats, w, h) {
    if (this.title.textContent !== plot.title) this.title.textContent = plot.title;
    if (this.w !== w || this.h !== h) {
      this.w = w; this.h = h;
      for (const [key, value] of [["width", w], ["height", h], ["viewBox", `0 0 ${w} ${h}`]]) this.svg.setAttribute(key, value);
    }
    if (plot.kind !== "heat") unpaint(this);
    const num = (name) => { const { at, shape: s } = plot[name]; return floats.subarray(at, at + s.reduce((a, b) => a * b, 1)); };
    this.pen.start(); DRAW[plot.kind](this.pen, plot, num, w, h, this); this.pen.finish();
  }
}

function make(tag, className, more = {}) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  for (const key in more) node.setAttribute(key, more[key]);
  return node;
}

/* ---------- controls: positions, values, texts ---------- */

const significant = (value, digits) => Number(value.toPrecision(digits));
const slider = {
  value(c, k) {
    if (k <= 0) return c.low;
    if (k >= c.steps) return c.high;
    return c.log ? significant(c.low * (c.high / c.low) ** (k / c.steps), c.digits) : Number((c.low + k * c.step).toFixed(c.digits));
  },
  position(c, value) {
    const k = c.log ? c.steps * Math.log(value / c.low) / Math.log(c.high / c.low) : (value - c.low) / c.step;
    return value >= c.high ? c.steps : clamp(Math.round(k), 0, c.steps);
  },
  text(c, value) {
    if (c.log) return String(significant(value, Math.max(c.digits, 6)));
    const short = value.toFixed(c.digits);
    return Math.abs(Number(short) - value) < 1e-9 * Math.max(1, Math.abs(value)) ? short : String(significant(value, 6));
  },
};
const valueText = (c, value) => (c.kind === "choice" ? value : slider.text(c, value) + (c.unit ? ` ${c.unit}` : ""));

/* ---------- the talk with the kernel, one per panel, shared by its views ---------- */

class Conductor {
  constructor(model) {
    this.model = model; this.views = new Set();
    this.controls = model.get("controls"); this.live = model.get("live");
    const frame = model.get("frame");
    this.values = { ...frame.values };
    this.client = Math.random().toString(36).slice(2); this.number = 0;
    this.pending = null; this.again = this.hand = false; this.kernel = "unknown"; this.trip = Infinity; this.timers = {};
    this.shown = { source: "kernel", exact: true, ...frame, floats: numbers(frame.data) };
    this.readGrid();
    model.on("change:frame", () => this.hear());
    model.on("change:grid", () => this.readGrid());
    model.on("msg:custom", (message) => { if (message.kind === "here" && message.client === this.client) this.found(); });
    if (model.get("offline")) this.lost(); else this.say({ kind: "hello" });
  }
  stop() { Object.values(this.timers).forEach(clearTimeout); }
  after(name, ms, f) { clearTimeout(this.timers[name]); this.timers[name] = ms === null ? null : setTimeout(f, ms); }
  say(message) {
    try { this.model.send({ client: this.client, ...message }); } catch { this.lost(); return; }
    this.after("silence", SILENCE, () => this.lost());
  }
  // Jupyter's server holds back its second small packet until the first is acknowledged, which takes the browser's system
  // 40 ms or more (Nagle's algorithm meets delayed acknowledgement). Anything sent meanwhile carries the acknowledgement.
  nudge(number, k) {
    if (k < NUDGES.length) this.after("nudge", NUDGES[k], () => {
      if (this.pending?.number !== number) return;
      try { this.model.send({ client: this.client, kind: "nudge" }); } catch { return; }
      this.nudge(number, k + 1);
    });
  }
  found() { this.kernel = "here"; this.after("silence", null); this.refresh(); }
  lost() {
    this.kernel = "absent"; this.after("silence", null);
    if (this.grid && !same(this.shown.values, this.values)) this.showGrid(); else this.refresh();
  }
  readGrid() {
    const grid = this.model.get("grid");
    this.grid = grid && grid.states ? { ...grid, floats: numbers(grid.data) } : null;
  }

  move(values, final) {
    this.values = { ...this.values, ...values }; this.hand = true;
    this.views.forEach((view) => view.follow());
    const asks = this.live || final, quick = asks && this.kernel === "here" && this.trip < GRACE;
    if (this.grid && !quick) this.showGrid();
    else if (this.grid && !this.timers.grid) this.after("grid", GRACE, () => { this.timers.grid = null; if (!this.settled()) this.showGrid(); });
    if (asks) this.ask();
    else this.refresh();
  }
  settled() { return same(this.shown.values, this.values) && this.shown.exact; }
  ask() {
    const now = performance.now();
    if (this.model.get("offline")) return;
    if (this.pending && now - this.pending.at < RETRY) { this.again = true; this.refresh(); return; }
    this.again = false; this.hand = false; this.number += 1;
    this.pending = { number: this.number, at: now, values: this.values };
    this.after("patience", 160, () => this.refresh());
    this.say({ kind: "move", number: this.number, values: this.values });
    this.nudge(this.number, 0);
  }
  hear() {
    const frame = this.model.get("frame"), mine = frame.client === this.client;
    if (mine) {
      if (!this.pending || frame.number !== this.pending.number) return;
      this.trip = performance.now() - this.pending.at; this.pending = null; this.kernel = "here";
      this.after("silence", null); this.after("patience", null);
    } else if (this.pending && this.kernel !== "absent") return; // the answer to our own request comes later, and counts
    else { this.values = { ...frame.values }; this.views.forEach((view) => view.follow()); }
    if (mine && !this.hand) { this.values = { ...frame.values }; this.views.forEach((view) => view.follow()); }
    const current = same(frame.values, this.values);
    if (current) { this.after("grid", null); this.timers.grid = null; }
    if (current || this.shown.source === "kernel") this.show({ source: "kernel", exact: true, ...frame, floats: numbers(frame.data) });
    if (this.again && !current) this.ask(); else { this.again = false; this.refresh(); }
  }

  nearest() {
    let index = 0, exact = true;
    const values = { ...this.grid.fixed };
    for (const { name, values: options } of this.grid.axes) {
      const c = this.controls.find((control) => control.name === name), wanted = this.values[name];
      const place = c.kind === "choice" ? (v) => (v === wanted ? 0 : 1) : (v) => Math.abs(c.log ? Math.log(v / wanted) : v - wanted);
      let best = 0;
      options.forEach((v, i) => { if (place(v) < place(options[best])) best = i; });
      index = index * options.length + best; values[name] = options[best];
    }
    for (const c of this.controls) if (!alike(values[c.name], this.values[c.name])) exact = false;
    return { index, values, exact };
  }
  showGrid() {
    const { index, values, exact } = this.nearest(), state = this.grid.states[index];
    const size = state.size, floats = this.grid.floats.subarray(state.at, state.at + size);
    this.show({ source: "grid", exact, values, plots: this.grid.structures[state.structure], floats, text: state.text, error: "" });
  }
  show(shown) { this.shown = shown; this.views.forEach((view) => view.paint()); this.refresh(); }
  refresh() { this.views.forEach((view) => view.badge()); }

  status() {
    const { source, exact, values } = this.shown;
    const waits = this.pending && this.kernel !== "absent" && performance.now() - this.pending.at > 150;
    if (source === "grid") {
      const at = exact ? "" : ` at ${this.controls.map((c) => `${c.label} ${valueText(c, values[c.name])}`).join(", ")}`;
      return ["grid", `precomputed${at}${waits ? "; training …" : ""}`];
    }
    if (waits) return ["waits", "training …"];
    if (this.kernel === "absent" && !same(values, this.values)) {
      const why = this.model.get("offline") ? "there is no kernel here:" : "no answer yet: the kernel is busy, or gone;";
      return ["absent", `${why} the picture has not followed`];
    }
    if (this.shown.error) return ["absent", "not computed: the picture has not followed"];
    if (this.kernel === "absent") return ["grid", "precomputed"];
    return ["kernel", "computed here"];
  }
}
const alike = (a, b) => a === b || (typeof a === "number" && Math.abs(a - b) <= 1e-9 * Math.max(Math.abs(a), Math.abs(b)));
const same = (a, b) => Object.keys(b).every((key) => alike(a[key], b[key]));
function numbers(view) {
  if (!view || !view.byteLength) return new Float32Array(0);
  const { buffer, byteOffset, byteLength } = view.buffer ? view : new Uint8Array(view);
  return new Float32Array(byteOffset % 4 ? buffer.slice(byteOffset, byteOffset + byteLength) : buffer, byteOffset % 4 ? 0 : byteOffset, byteLength >> 2);
}

/* ---------- one view ---------- */

class View {
  constructor(el, conductor) {
    this.conductor = conductor; this.cells = [];
    this.root = make("div", "toysup-panel");
    this.rows = conductor.controls.map((c) => this.control(c));
    const controls = make("div", "toysup-controls");
    controls.append(...this.rows.map((row) => row.node));
    this.plots = make("div", "toysup-plots", { role: "img" });
    this.text = make("p", "toysup-text", { role: "status", "aria-live": "polite" });
    this.error = make("p", "toysup-error", { role: "alert" });
    this.state = make("p", "toysup-badge");
    const foot = make("div", "toysup-foot");
    foot.append(this.text, this.error, this.state);
    this.root.append(controls, this.plots, foot); el.append(this.root);
    conductor.views.add(this);
    this.follow(); this.paint(); this.badge();
    this.observer = new ResizeObserver(() => this.layout());
    this.observer.observe(this.plots);
  }
  remove() { this.observer.disconnect(); this.conductor.views.delete(this); }

  control(c) {
    const id = `${OWN}-${unique += 1}`, node = make("div", "toysup-control"), quiet = { "data-lm-suppress-shortcuts": "true" };
    const label = make("label", "", { for: id });
    label.textContent = c.label;
    if (c.kind === "choice") {
      const input = make("select", "", { id, ...quiet });
      c.options.forEach((option) => { const o = make("option"); o.value = o.textContent = option; input.append(o); });
      input.addEventListener("change", () => this.conductor.move({ [c.name]: input.value }, true));
      node.append(label, input);
      return { c, node, input };
    }
    const input = make("input", "", { type: "range", id, min: 0, max: c.steps, step: 1, ...quiet });
    const twin = make("input", "toysup-twin", { type: "text", inputmode: "decimal", autocomplete: "off", spellcheck: "false",
      "aria-label": `${c.label}, exact value${c.unit ? ` in ${c.unit}` : ""}`, ...quiet });
    const unit = make("span", "toysup-unit", { "aria-hidden": "true" });
    unit.textContent = c.unit;
    const drag = (final) => () => {
      // a release without a move keeps a value typed in between two positions
      if (+input.value !== slider.position(c, this.conductor.values[c.name])) this.conductor.move({ [c.name]: slider.value(c, +input.value) }, final);
      else if (final) this.conductor.move({}, true);
    };
    input.addEventListener("input", drag(false));
    input.addEventListener("change", drag(true));
    twin.addEventListener("change", () => this.typed(c, twin));
    twin.addEventListener("keydown", (event) => {
      const step = { ArrowUp: 1, ArrowDown: -1 }[event.key];
      if (event.key === "Escape") { this.complain(twin, ""); this.follow(true); }
      if (event.key === "Enter") this.typed(c, twin);
      if (!step) return;
      event.preventDefault();
      const k = clamp(slider.position(c, this.conductor.values[c.name]) + step, 0, c.steps);
      this.conductor.move({ [c.name]: slider.value(c, k) }, true); this.follow(true);
    });
    node.append(label, input, twin); if (c.unit) node.append(unit);
    return { c, node, input, twin };
  }
  typed(c, twin) {
    const raw = twin.value.trim().replace(",", ".").replace("−", "-"), value = raw === "" ? NaN : Number(raw);
    if (!(value >= c.low && value <= c.high) || (c.integer && !Number.isInteger(value))) {
      this.complain(twin, `${c.label} must be a${c.integer ? " whole" : ""} number in [${slider.text(c, c.low)}, ${slider.text(c, c.high)}], got ${twin.value.trim() || "nothing"}`);
      return;
    }
    this.complain(twin, "");
    if (!alike(value, this.conductor.values[c.name])) this.conductor.move({ [c.name]: value }, true);
    else this.follow(true);
  }
  complain(twin, text) {
    if (text) twin.setAttribute("aria-invalid", "true"); else twin.removeAttribute("aria-invalid");
    this.complaint = text; this.words();
  }

  follow(force = false) {
    for (const { c, input, twin } of this.rows) {
      const value = this.conductor.values[c.name];
      if (c.kind === "choice") { if (input.value !== value) input.value = value; continue; }
      const k = String(slider.position(c, value)), text = slider.text(c, value), spoken = valueText(c, value);
      if (input.value !== k) input.value = k;
      if (input.getAttribute("aria-valuetext") !== spoken) input.setAttribute("aria-valuetext", spoken);
      const full = `${(100 * k / c.steps).toFixed(2)}%`;
      if (this[`full-${c.name}`] !== full) { this[`full-${c.name}`] = full; input.style.setProperty("--toysup-at", full); }
      if (twin.dataset.value === text && !force) continue; // leave alone what is being typed
      twin.dataset.value = text; twin.value = text; twin.removeAttribute("aria-invalid"); this.complaint = "";
    }
  }
  words() {
    const { text, error, plots } = this.conductor.shown, trouble = this.complaint || error || "";
    if (this.text.textContent !== text) this.text.textContent = text;
    if (this.error.textContent !== trouble) this.error.textContent = trouble;
    this.text.hidden = Boolean(trouble); this.error.hidden = !trouble;
    this.root.classList.toggle("toysup-stale", Boolean(error));
    const name = `${plots.map((p) => p.title).join(", ")}. ${text}`;
    if (this.name !== name) { this.name = name; this.plots.setAttribute("aria-label", name); }
  }
  badge() {
    const [kind, text] = this.conductor.status();
    if (this.state.textContent !== text) this.state.textContent = text;
    if (this.state.dataset.kind !== kind) this.state.dataset.kind = kind;
  }
  paint() {
    this.words();
    const { plots } = this.conductor.shown;
    while (this.cells.length < plots.length) { const cell = new Cell(); this.cells.push(cell); this.plots.append(cell.node); }
    for (const cell of this.cells.splice(plots.length)) cell.node.remove();
    const count = String(plots.length);
    if (this.plots.dataset.count !== count) { this.plots.dataset.count = count; this.width = null; }
    if (!this.width) this.measure();
    if (this.width) this.draw();
  }
  layout() { const before = this.width; this.measure(); if (this.width && this.width !== before) this.draw(); }
  measure() { this.width = this.cells.length ? Math.floor(this.cells[0].node.clientWidth) : 0; }
  draw() {
    const { plots, floats } = this.conductor.shown, h = Math.round(clamp(0.9 * this.width, 200, 330));
    plots.forEach((plot, i) => this.cells[i].draw(plot, floats, this.width, h));
  }
}

export default () => {
  let conductor = null;
  return {
    initialize({ model }) { conductor = new Conductor(model); return () => conductor.stop(); },
    render({ model, el }) {
      conductor ??= new Conductor(model);
      const view = new View(el, conductor);
      return () => view.remove();
    },
  };
};
