// The front end of toysup.language.dashboard: a list of latents that renders only the rows in sight, and one latent.
// Text of the corpus reaches the page through textContent alone.

const ROW = 30; // px
const SPARE = 8; // rows rendered above and below those in sight
const SVG = "http://www.w3.org/2000/svg";
const GROUPS = ["#0072b2", "#56b4e9", "#c9bb00", "#e69f00", "#d55e00"]; // ruled out to certain
const TYPES = { u1: Uint8Array, i1: Int8Array, u2: Uint16Array, u4: Uint32Array, f4: Float32Array };
const SORTS = [
  ["score", "interpretation score"], ["density", "density"], ["effect", "ablation effect"], ["maximum", "maximum"],
  ["consistency", "consistent activation"], ["share", "share of its first neuron"],
  ["partner", "correlation with the second model"], ["number", "number"], ["random", "random order"],
];
const UNDERLINES = [["effect", "ablation effect"], ["none", "nothing"]];
const GUIDE = [
  ["alive, dead", "A dead latent fires on none of the characters this page was measured on; with more of them it might."],
  ["density", "Share of characters on which the latent fires, that is, is above 0."],
  ["score", "The best of a closed set of statements was chosen on every other window of the text; the score is its rank correlation with the latent on the windows between. 1 is perfect, 0 is none."],
  ["random order", "Sorted by score you see the best latents first. In random order, the same each time, you see what latents are usually like."],
  ["consistent activation", "On how many characters the latent fires in a window in which it fires at all, on average: near 1 it marks single characters."],
  ["neuron alignment", "Neurons with the largest coefficients of the latent's direction, whatever their sign. % of L1: the coefficient's share of the sum of all absolute values."],
  ["correlated neurons, latents of a second model", "Those whose activations go best with the latent's over all characters. Pearson's correlation is about the means; the cosine is not, and is high wherever both are mostly on."],
  ["positive and negative logits", "What one unit of the latent adds to the logit of each next character, the same in every context."],
  ["activations", "How often each strength occurs. Colour: the exact log-odds of the latent's best mode, given the line so far."],
  ["top activations", "Pieces of text with the largest activations, one of a window. Shade: how strongly it fires there. A frame: the character the piece was chosen for."],
  ["underline", "What the latent, at the character before, added to the log-likelihood of this one: solid blue, taking it away would hurt; dotted orange, it would help."],
  ["subsample intervals", "The range from 0 to the maximum cut into equal parts, with examples of each. A latent may mean something else where it fires weakly."],
  ["held at its maximum", "What the model writes when the latent is held at its maximum all the time, and what it writes without."],
  ["search", "All words must hit. dna: in what is said of the latent, or its mode; dead, alive; #12: its number; up:acgt: characters among its positive logits; in:gatt: a piece of its top activations, upper and lower case told apart."],
  ["keys", "From the search field arrow down leads to the list; there arrows, Page Up and Down, Home and End choose. In a block of examples arrows move from character to character, and the line above tells its numbers."],
];

const minus = (text) => text.replace("-", "−");
const fixed = (value, digits) => {
  const text = value.toFixed(digits);
  return minus(Number(text) === 0 ? text.replace("-", "") : text);
};
const signed = (value, digits) => (value >= 0 ? "+" : "") + fixed(value, digits);
const percent = (value) => `${value === 0 || value >= 1e-4 ? (100 * value).toFixed(2) : (100 * value).toPrecision(1)} %`;
const visible = (character) => (character === "\n" ? "⏎" : character === " " ? "\u00a0" : character);
const quoted = (character) => (character === "\n" ? "‘⏎’" : `‘${character}’`);

function make(tag, more = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(more)) {
    if (key === "text") node.textContent = value; else if (key === "style") node.style.cssText = value;
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

function drawn(tag, more, text = null) {
  const node = document.createElementNS(SVG, tag);
  for (const key in more) node.setAttribute(key, more[key]);
  if (text !== null) node.textContent = text;
  return node;
}

/* ---------- the data: arrays by name, rows of them by latent ---------- */

class Data {
  constructor(head, bytes) {
    Object.assign(this, { head });
    this.letters = [...head.alphabet];
    this.arrays = {};
    for (const [name, { at, type, shape }] of Object.entries(head.arrays)) {
      const count = shape.reduce((a, b) => a * b, 1), Type = TYPES[type];
      const start = bytes.byteOffset + at;
      // what a host hands over may begin anywhere
      const buffer = start % Type.BYTES_PER_ELEMENT ? bytes.buffer.slice(start, start + count * Type.BYTES_PER_ELEMENT) : bytes.buffer;
      const values = new Type(buffer, buffer === bytes.buffer ? start : 0, count);
      this.arrays[name] = { values, shape, size: shape.slice(1).reduce((a, b) => a * b, 1) };
    }
  }
  has(name) { return name in this.arrays; }
  one(name, k) { return this.arrays[name].values[k]; }
  row(name, k) { const { values, size } = this.arrays[name]; return values.subarray(k * size, (k + 1) * size); }
  statement(k) { return this.head.statements[this.one("statement", k)]; }
  dead(k) { return this.one("density", k) === 0; }
  tops(k) {
    const starts = this.row("start", k), shown = this.row("shown", k), length = this.arrays.activation.shape[2], found = [];
    for (let j = 0; j < this.head.layout.top; j += 1) {
      if (shown[j]) found.push(Array.from(this.arrays.ids.values.subarray(starts[j], starts[j] + length), (c) => this.letters[c].replace("\n", "⏎")).join(""));
    }
    return found;
  }
  key(name, k) {
    if (name === "number") return -k;
    if (name === "random") { // a fixed shuffle, without ties
      const mixed = Math.imul(k + 1, 0x9e3779b1), again = Math.imul(mixed ^ (mixed >>> 15), 0x85ebca6b);
      return (again ^ (again >>> 13)) >>> 0;
    }
    if (name === "share") return this.row("neuronShare", k)[0];
    if (name === "partner") return this.row("partnerValue", k)[0];
    return this.one(name, k);
  }
}

/* ---------- the list ---------- */

class List {
  constructor(data, choose) {
    Object.assign(this, { data, choose, shown: [], at: 0, rows: new Map() });
    this.id = `td${Math.random().toString(36).slice(2, 9)}`;
    this.node = make("div", { class: "td-list", role: "listbox", tabindex: "0", "aria-label": "latents", "data-lm-suppress-shortcuts": "true" });
    this.inner = make("div", { class: "td-rows", role: "presentation" });
    this.node.append(this.inner);
    this.node.addEventListener("scroll", () => this.paint(), { passive: true });
    this.node.addEventListener("keydown", (event) => this.press(event));
    this.inner.addEventListener("click", (event) => {
      const row = event.target.closest(".td-row");
      if (row) this.go(Number(row.dataset.place));
    });
  }
  show(order, latent, reveal) {
    this.shown = order;
    this.at = Math.max(0, order.indexOf(latent));
    this.inner.style.height = `${order.length * ROW}px`;
    this.node.hidden = !order.length;
    for (const row of this.rows.values()) row.remove();
    this.rows.clear();
    if (reveal) this.reveal(); else this.node.scrollTop = 0;
    this.paint();
  }
  page() { return Math.max(1, Math.floor(this.node.clientHeight / ROW) - 1); }
  press(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const last = this.shown.length - 1;
    const to = {
      ArrowDown: this.at + 1, ArrowUp: this.at - 1, PageDown: this.at + this.page(), PageUp: this.at - this.page(), Home: 0, End: last,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.go(Math.min(last, Math.max(0, to)));
  }
  go(place) {
    this.at = place;
    this.reveal();
    this.paint();
    this.choose(this.shown[place]);
  }
  reveal() {
    const top = this.at * ROW, { scrollTop, clientHeight } = this.node;
    if (top < scrollTop) this.node.scrollTop = top;
    else if (top + ROW > scrollTop + clientHeight) this.node.scrollTop = top + ROW - clientHeight;
  }
  paint() {
    const first = Math.max(0, Math.floor(this.node.scrollTop / ROW) - SPARE);
    const last = Math.min(this.shown.length, Math.ceil((this.node.scrollTop + this.node.clientHeight) / ROW) + SPARE);
    const wanted = new Set(this.shown.length ? [this.at] : []); // the row in use stays, for aria-activedescendant
    for (let place = first; place < last; place += 1) wanted.add(place);
    for (const [place, row] of this.rows) if (!wanted.has(place)) { row.remove(); this.rows.delete(place); }
    const fresh = [...wanted].filter((place) => !this.rows.has(place));
    for (const place of fresh) this.rows.set(place, this.row(place));
    if (fresh.length) this.inner.replaceChildren(...[...this.rows].sort((a, b) => a[0] - b[0]).map(([, row]) => row));
    for (const place of wanted) {
      const chosen = String(place === this.at), row = this.rows.get(place);
      if (row.getAttribute("aria-selected") !== chosen) row.setAttribute("aria-selected", chosen);
    }
    if (this.shown.length) this.node.setAttribute("aria-activedescendant", `${this.id}-${this.at}`);
    else this.node.removeAttribute("aria-activedescendant");
  }
  row(place) {
    const k = this.shown[place], dead = this.data.dead(k);
    const more = { class: "td-row", role: "option", id: `${this.id}-${place}`, "data-place": place, "aria-setsize": this.shown.length, "aria-posinset": place + 1, style: `top:${place * ROW}px` };
    return make("div", more, make("span", { text: `#${k}` }), make("span", { text: dead ? "dead" : this.data.statement(k) }),
      make("span", { text: dead ? "" : `${fixed(this.data.one("score", k), 2)} · ${percent(this.data.one("density", k))}` }));
  }
}

/* ---------- one latent ---------- */

const section = (title, ...children) => make("div", {}, make("h3", { text: title }), ...children);

function table(heads, rows) {
  const head = make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col", text }))));
  return make("table", {}, head, make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((text) => make("td", { text }))))));
}

function logits(data, k, name) {
  const which = data.row(name, k), value = data.row(`${name}Value`, k);
  return make("ul", { class: "td-logits" }, ...Array.from(which, (c, i) =>
    make("li", {}, make("code", { text: quoted(data.letters[c]) }), ` ${signed(value[i], 2)}`)));
}

function histogram(data, k) {
  const { shape } = data.arrays.odds, [, bins, many] = shape, counts = data.row("odds", k), groups = data.head.groups;
  const totals = Array.from({ length: bins }, (_, b) => counts.subarray(b * many, (b + 1) * many).reduce((a, c) => a + c, 0));
  const top = Math.max(1, ...totals.map(Math.log1p)), all = totals.reduce((a, b) => a + b, 0), wide = 480 / bins;
  const by = Array.from({ length: many }, (_, g) => totals.reduce((sum, _t, b) => sum + counts[b * many + g], 0));
  const named = groups.map((name, g) => `${name} ${all ? Math.round((100 * by[g]) / all) : 0} %`);
  const label = `${all} activations in ${bins} equal bins; ${named.join(", ")}`;
  const svg = drawn("svg", { viewBox: "0 0 520 150", role: "img", "aria-label": label });
  totals.forEach((total, b) => {
    let y = 125;
    for (let g = 0; g < many && total; g += 1) {
      const h = (110 * Math.log1p(total) / top) * (counts[b * many + g] / total);
      if (!h) continue;
      y -= h;
      svg.append(drawn("rect", { x: 20 + b * wide, y, width: wide - 1, height: h, fill: many > 1 ? GROUPS[g] : GROUPS[0] }));
    }
  });
  svg.append(drawn("line", { x1: 20, x2: 500, y1: 125.5, y2: 125.5, stroke: "currentColor", "stroke-opacity": 0.5 }));
  [[20, "0"], [500, fixed(data.one("maximum", k), 2)]].forEach(([x, text], i) =>
    svg.append(drawn("text", { x, y: 141, "text-anchor": i ? "end" : "start" }, text)));
  const legend = make("ul", { class: "td-legend" }, ...named.map((text, g) => make("li", {}, make("i", { style: `background:${GROUPS[g]}` }), text)));
  const about = many > 1 ? `log-odds of ${data.head.modes[k]} given the line so far; height: logarithm of the count` : "height: logarithm of the count";
  return make("div", { class: "td-histogram" }, svg, ...(many > 1 ? [legend] : []), make("p", { class: "td-hint", text: about }));
}

function example(data, k, j) {
  const length = data.arrays.activation.shape[2], start = data.row("start", k)[j], ids = data.arrays.ids.values;
  const acts = data.row("activation", k).subarray(j * length, (j + 1) * length);
  const change = data.row("change", k).subarray(j * length, (j + 1) * length);
  const maximum = data.one("maximum", k), largest = data.one("largest", k), item = make("li", { class: "td-text" });
  const peak = data.row("peak", k)[j];
  for (let i = 0; i < length; i += 1) {
    const character = data.letters[ids[start + i]], a = acts[i] / 255, e = change[i] / 127;
    const span = make("span", { text: visible(character) });
    if (a) span.style.background = `rgba(var(--warm), ${(0.08 + 0.47 * a).toFixed(2)})`;
    if (e) span.style.borderBottom = `3px ${e > 0 ? "solid" : "dotted"} rgba(var(${e > 0 ? "--cold" : "--warm"}), ${(0.3 + 0.7 * Math.abs(e)).toFixed(2)})`;
    span.dataset.told = `${quoted(character)}: activation ${fixed(a * maximum, 2)}, effect ${signed(e * largest, 3)} nats`;
    if (i === peak && acts[peak]) span.className = "td-peak";
    item.append(span);
  }
  item.append(make("span", { class: "td-value", text: fixed((acts[peak] / 255) * maximum, 2) }));
  return item;
}

function examples(data, k, from, many, name) {
  const shown = data.row("shown", k), items = [];
  for (let j = from; j < from + many; j += 1) if (shown[j]) items.push(example(data, k, j));
  if (!items.length) return make("p", { class: "td-hint", text: "none" });
  const told = make("p", { class: "td-told", "aria-live": "polite" });
  const list = make("ul", { class: "td-examples", tabindex: "0", role: "list", "aria-label": `${name}: arrow keys read character by character`, "data-lm-suppress-shortcuts": "true" }, ...items);
  reader(list, items, told);
  return make("div", {}, told, list);
}

/* one character at a time, by pointer or by arrow keys: what is known of it, in the line above */
function reader(list, items, told) {
  const lines = items.map((item) => [...item.querySelectorAll("[data-told]")]);
  let at = null, marked = null;
  const mark = (span) => {
    marked?.classList.remove("td-here");
    marked = span;
    marked?.classList.add("td-here");
    told.textContent = span ? span.dataset.told : "";
  };
  list.addEventListener("pointerover", (event) => { const span = event.target.closest("[data-told]"); if (span) mark(span); });
  list.addEventListener("pointerleave", () => mark(at && lines[at[0]][at[1]]));
  list.addEventListener("blur", () => { at = null; mark(null); });
  list.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    if (at) {
      const row = Math.min(lines.length - 1, Math.max(0, at[0] + step[0]));
      at = [row, Math.min(lines[row].length - 1, Math.max(0, at[1] + step[1]))];
    } else at = [0, Math.max(0, lines[0].findIndex((span) => span.classList.contains("td-peak")))];
    const span = lines[at[0]][at[1]];
    mark(span);
    list.scrollLeft = Math.max(0, Math.min(list.scrollLeft, span.offsetLeft - 20), span.offsetLeft + 40 - list.clientWidth);
  });
}

function intervals(data, k) {
  const { top, intervals: many, each } = data.head.layout, share = data.row("share", k), maximum = data.one("maximum", k);
  return make("div", { class: "td-intervals" }, ...Array.from({ length: many }, (_, i) => {
    const low = (maximum * (many - i - 1)) / many, high = (maximum * (many - i)) / many;
    const text = `${fixed(low, 2)} to ${fixed(high, 2)}: ${(100 * share[many - i - 1]).toFixed(1)} % of its activations`;
    return make("div", {}, make("h4", { text }), examples(data, k, top + i * each, each, `activations of ${fixed(low, 2)} to ${fixed(high, 2)}`));
  }));
}

function detail(data, k) {
  const { head } = data, title = `Latent ${k}: ${data.dead(k) ? "dead" : data.statement(k)}`;
  const facts = [["density", percent(data.one("density", k))], ["score", fixed(data.one("score", k), 3)],
    ["maximum", fixed(data.one("maximum", k), 2)], ["mean ablation effect", `${signed(data.one("effect", k), 4)} nats`],
    ["consistent activation", fixed(data.one("consistency", k), 1)]];
  if (data.has("mode")) facts.push(["best mode", `${head.modes[k]} (${fixed(data.row("modeValue", k)[0], 2)})`]);
  const list = make("dl", { class: "td-facts" }, ...facts.map(([name, value]) => make("div", {}, make("dt", { text: name }), make("dd", { text: value }))));
  const three = (name) => Array.from(data.row(name, k), (which, i) => [`#${which}`, signed(data.row(`${name}Value`, k)[i], 3)]);
  const both = (name) => three(name).map((row, i) => [...row, signed(data.row(`${name}Cosine`, k)[i], 3)]);
  const share = data.row("neuronShare", k);
  const pairs = [
    section("Neuron alignment", table(["neuron", "coefficient", "% of L1"], three("neuron").map((row, i) => [...row, `${(100 * share[i]).toFixed(1)} %`]))),
    section("Correlated neurons", table(["neuron", "Pearson", "cosine"], both("correlated"))),
  ];
  if (data.has("partner")) pairs.push(section("Correlated latents of a second model", table(["latent", "Pearson", "cosine"], both("partner"))));
  return [
    make("div", {}, make("h2", { text: title })), list, make("div", { class: "td-pair" }, ...pairs),
    make("div", { class: "td-pair" }, section("Negative logits", logits(data, k, "down")), section("Positive logits", logits(data, k, "up"))),
    section(`Activations (density ${percent(data.one("density", k))})`, histogram(data, k)),
    section("Top activations", make("p", { class: "td-hint", text: `token max act ${fixed(data.one("maximum", k), 2)}, of ${head.counts.inputs} characters; shaded: how strongly it fires; underlined: what it adds to the log-likelihood of the character, solid blue helps, dotted orange hurts` }),
      examples(data, k, 0, head.layout.top, "top activations")),
    section("Subsample intervals", intervals(data, k)),
    section("Held at its maximum, the model writes", make("p", { class: "td-text td-sample", text: [...head.samples[k]].map(visible).join("") }),
      make("p", { class: "td-hint", text: "without" }), make("p", { class: "td-text td-sample", text: [...head.written].map(visible).join("") })),
  ];
}

/* ---------- the whole ---------- */

class View {
  constructor(el, model) {
    Object.assign(this, { model });
    this.data = new Data(model.get("head"), model.get("data"));
    this.latent = model.get("selected");
    const { counts, latents, name } = this.data.head;
    this.search = make("input", { type: "search", spellcheck: "false", autocomplete: "off", placeholder: "dna, up:acgt, in:gatt, dead, #12", "data-lm-suppress-shortcuts": "true" });
    this.sort = make("select", { "data-lm-suppress-shortcuts": "true" }, ...SORTS.filter(([key]) => key !== "partner" || this.data.has("partner")).map(([value, text]) => make("option", { value, text })));
    this.turn = make("button", { type: "button", "aria-pressed": "false", text: "reversed" });
    this.underline = make("select", { "data-lm-suppress-shortcuts": "true" }, ...UNDERLINES.map(([value, text]) => make("option", { value, text })));
    const guide = make("details", { class: "td-guide" }, make("summary", { text: "Guide to this page" }),
      make("dl", {}, ...GUIDE.map(([name, text]) => make("div", {}, make("dt", { text: name }), make("dd", { text })))));
    this.found = make("p", { class: "td-found", role: "status" });
    this.list = new List(this.data, (k) => this.choose(k));
    this.place = make("div", { class: "td-detail", role: "region", "aria-label": "one latent" });
    const text = `${latents} ${name}: ${counts.alive} alive, ${counts.dead} dead, ${counts.low} below a density of 0.0001, on ${counts.inputs} characters`;
    const bar = make("div", { class: "td-bar" }, make("label", {}, "search", this.search), make("label", {}, "sort by", this.sort), this.turn, make("label", {}, "underline", this.underline));
    this.root = make("div", { class: "toysup-dashboard" }, make("p", { class: "td-counts", text }), guide, bar,
      make("div", { class: "td-main" }, make("div", {}, this.found, this.list.node), this.place));
    this.search.addEventListener("input", () => this.refresh());
    this.search.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown" && this.list.shown.length) { event.preventDefault(); this.list.node.focus(); }
    });
    this.sort.addEventListener("change", () => this.refresh());
    this.underline.addEventListener("change", () => this.place.classList.toggle("td-plain", this.underline.value === "none"));
    this.turn.addEventListener("click", () => {
      this.turn.setAttribute("aria-pressed", String(this.turn.getAttribute("aria-pressed") !== "true"));
      this.refresh();
    });
    this.told = () => { const k = model.get("selected"); if (k !== this.latent) { this.latent = k; this.refresh(true); } };
    model.on("change:selected", this.told);
    el.append(this.root);
    this.watch = new ResizeObserver(() => this.list.paint());
    this.watch.observe(this.list.node);
    this.refresh(true);
  }
  remove() { this.watch.disconnect(); this.model.off("change:selected", this.told); this.root.remove(); }
  order() {
    const words = this.search.value.split(/\s+/).filter(Boolean), { search } = this.data.head, found = [];
    const hit = (given, k) => {
      if (given.startsWith("in:")) return this.data.tops(k).some((text) => text.includes(given.slice(3)));
      const word = given.toLowerCase();
      if (/^#\d+$/.test(word)) return word === `#${k}`;
      const text = search[k], at = text.lastIndexOf(" up:");
      if (!word.startsWith("up:")) return text.slice(0, at).includes(word);
      return [...word.slice(3)].every((c) => text.slice(at + 4).includes(c));
    };
    for (let k = 0; k < search.length; k += 1) if (words.every((word) => hit(word, k))) found.push(k);
    const way = this.turn.getAttribute("aria-pressed") === "true" ? -1 : 1, key = Float64Array.from(search, (_, k) => this.data.key(this.sort.value, k));
    return found.sort((a, b) => way * (key[b] - key[a]) || a - b);
  }
  refresh(reveal = false) {
    const order = this.order();
    if (order.length && !order.includes(this.latent)) this.tell(order[0]);
    this.found.textContent = order.length ? `${order.length} of ${this.data.head.latents} shown` : "no latent matches";
    this.list.show(order, this.latent, reveal);
    this.paint();
  }
  choose(k) { this.tell(k); this.paint(); }
  tell(k) {
    this.latent = k;
    if (this.model.get("selected") !== k) { this.model.set("selected", k); this.model.save_changes(); }
  }
  paint() {
    if (this.painted === this.latent) return;
    this.painted = this.latent;
    this.place.replaceChildren(...detail(this.data, this.latent));
  }
}

export default () => ({
  initialize() {},
  render({ model, el }) {
    const view = new View(el, model);
    return () => view.remove();
  },
});
