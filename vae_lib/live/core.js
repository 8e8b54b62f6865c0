// What all live figures share: tensors, noise, colours, plots, controls and the custom element.

// Tensors ---------------------------------------------------------------------------------------

function bytes(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

function float16(base64) {
  return Float32Array.from(new Uint16Array(bytes(base64).buffer), (half) => {
    const sign = half & 0x8000 ? -1 : 1;
    const exponent = (half >> 10) & 31;
    const fraction = half & 1023;
    return exponent
      ? sign * (1024 + fraction) * 2 ** (exponent - 25)
      : sign * fraction * 2 ** -24;
  });
}

// Images of sixteen grey levels, two pixels to a byte.
function unpackImages(base64) {
  const packed = bytes(base64);
  return Float32Array.from({ length: 2 * packed.length }, (_, i) =>
    (i % 2 ? packed[i >> 1] & 15 : packed[i >> 1] >> 4) / 15);
}

// Layers of weights -> a function from a vector to a vector.
function network(layers) {
  const unpacked = layers.map(({ weight, bias, relu }) => (
    { weight: float16(weight), bias: float16(bias), relu }));
  return (x) => unpacked.reduce((input, { weight, bias, relu }) => bias.map((start, row) => {
    let sum = start;
    for (let i = 0, at = row * input.length; i < input.length; i++) sum += weight[at + i] * input[i];
    return relu ? Math.max(0, sum) : sum;
  }), Float32Array.from(x));
}

const sigmoid = (a) => 1 / (1 + Math.exp(-a));

function linspace(low, high, count) {
  return Float64Array.from({ length: count }, (_, i) => low + (high - low) * i / (count - 1));
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

function logNormal(x, mu, sigma) {
  return -0.5 * Math.log(2 * Math.PI) - Math.log(sigma) - 0.5 * ((x - mu) / sigma) ** 2;
}

// The same seed gives the same standard normal noise in every browser (mulberry32, Box and Muller).
function normals(seed, count) {
  let counter = seed;
  const uniform = () => {
    counter = (counter + 0x6d2b79f5) | 0;
    let t = Math.imul(counter ^ (counter >>> 15), 1 | counter);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return Float64Array.from({ length: count }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    return radius * Math.cos(2 * Math.PI * uniform());
  });
}

// Words and colours -----------------------------------------------------------------------------

// A minus sign as wide as the plus, so that numbers do not jump.
function fixed(value, digits = 2) {
  const text = Math.abs(value).toFixed(digits);
  return (value < 0 && Number(text) ? "\u2212" : "") + text;
}

function pageIsDark() {
  const theme = document.documentElement.dataset.theme;
  return theme ? theme === "dark" : document.body.dataset.jpThemeLight === "false";
}

function lighter(hex) {
  const channels = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  return `rgb(${channels.map((c) => Math.round(c + 0.45 * (255 - c))).join(" ")})`;
}

function add(parent, markup) {
  parent.insertAdjacentHTML("beforeend", markup);
  return parent.lastElementChild;
}

const STYLE = `
  :host {
    --paper: var(--book-paper, var(--jp-layout-color0, #ffffff));
    --sunken: var(--book-sunken, var(--jp-layout-color2, #f5f6f8));
    --rule: var(--book-rule, var(--jp-border-color2, #d5dae2));
    --ink: var(--book-ink, var(--jp-ui-font-color1, #1c2430));
    --quiet: var(--book-quiet, var(--jp-ui-font-color1, #505c6d));
    --accent: var(--book-blue, var(--jp-brand-color1, #0b5a8f));
    color: var(--ink);
    container-type: inline-size;
    display: block;
    font-size: 0.9rem;
    line-height: 1.35;
    margin-block: 0.5rem;
    text-align: start;
  }
  .plot, .picture { position: relative; }
  .plot > svg, .plot > canvas { display: block; height: 100%; inset: 0; position: absolute; width: 100%; }
  .plot.square { aspect-ratio: 1; }
  svg text { fill: var(--quiet); font-family: inherit; font-size: 12px; }
  svg text.strong { fill: var(--ink); font-size: 13px; font-weight: 600; }
  svg text.digit { fill: var(--ink); font-size: 15px; font-weight: 700; paint-order: stroke;
    stroke: var(--paper); stroke-width: 4px; }
  svg .axis { fill: none; stroke: var(--rule); }
  .handle { cursor: grab; outline: none; }
  .handle:active { cursor: grabbing; }
  .handle .reach { fill: transparent; }
  .handle .knob { stroke: var(--paper); stroke-width: 2; }
  .handle:focus-visible .ring { stroke: var(--ink); }
  .handle .ring { fill: none; stroke: transparent; stroke-width: 2; }
  canvas.picture { aspect-ratio: 1; background: #ffffff; border: 1px solid var(--rule);
    border-radius: 6px; box-sizing: border-box; display: block; width: 100%; }
  .tiles { display: grid; gap: 3px; }
  .row { align-items: center; display: flex; flex-wrap: wrap; gap: 0.35rem 0.75rem; margin-block: 0.4rem; }
  .sliders { display: grid; gap: 0 1.5rem; grid-template-columns: 1fr 1fr; margin-block: 0.4rem; }
  .slider { align-items: center; display: grid; gap: 0 0.6rem; grid-template-columns: 7.5rem 1fr 3.4rem;
    min-height: 2rem; }
  [hidden] { display: none !important; }
  .slider input { accent-color: var(--accent); cursor: pointer; height: 1.6rem; margin: 0; min-width: 0;
    width: 100%; }
  output, dd { font-variant-numeric: tabular-nums; text-align: right; }
  button, .choice label { background: var(--sunken); border: 1px solid var(--rule); border-radius: 6px;
    color: inherit; cursor: pointer; font: inherit; min-height: 2.2rem; padding: 0.3rem 0.75rem; }
  button:hover { border-color: var(--accent); }
  button:focus-visible, input:focus-visible, .choice label:focus-within {
    outline: 2px solid var(--accent); outline-offset: 2px; }
  .choice { border: 0; display: flex; flex-wrap: wrap; gap: 0.35rem; margin: 0; min-width: 0; padding: 0; }
  .choice label { align-items: center; display: inline-flex; gap: 0.4rem; }
  .choice input { accent-color: var(--accent); margin: 0; }
  .choice legend, .spoken { clip-path: inset(50%); height: 1px; overflow: hidden; position: absolute;
    white-space: nowrap; width: 1px; }
  dl { display: grid; gap: 0.1rem 1.5rem; grid-template-columns: 1fr 1fr; margin: 0.4rem 0; }
  dl > div { align-items: baseline; border-bottom: 1px solid var(--rule); display: flex; gap: 0.5rem;
    justify-content: space-between; padding-block: 0.15rem; }
  dt, dd { margin: 0; }
  dd { font-weight: 600; white-space: nowrap; }
  .swatch { border-radius: 3px; display: inline-block; height: 0.75em; margin-right: 0.45em; width: 0.75em; }
  p { margin: 0.3rem 0; }
  .title { font-weight: 600; margin: 0.4rem 0 0; }
  @container (max-width: 34rem) { .sliders, dl { grid-template-columns: 1fr; } }
`;

// Plots -----------------------------------------------------------------------------------------

function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return Array.from({ length: last - first + 1 }, (_, i) => {
    const value = (first + i) * step;
    return { value, text: fixed(value, digits) };
  });
}

// One pair of axes. What it draws is markup; only its handles live longer than one drawing.
class Plot {
  constructor(figure, parent, {
    label, height, x, y, xLabel = "", xTicks = ticks, yTicks = true, left = yTicks ? 42 : 14,
  }) {
    Object.assign(this, { figure, x, y, xLabel, xTicks, yTicks, left, handles: [] });
    this.box = add(parent, `<div class="plot${height ? "" : " square"}"></div>`);
    if (height) this.box.style.height = `${height}px`;
    this.svg = add(this.box, `<svg role="group" aria-label="${label}">
      <g class="drawing" aria-hidden="true"></g></svg>`);
  }

  get frame() {
    const { clientWidth: width, clientHeight: height } = this.box;
    return { left: this.left, right: width - 14, top: 12, bottom: height - (this.xLabel ? 36 : 22) };
  }

  toX(value) {
    const { left, right } = this.frame;
    return left + (right - left) * (value - this.x[0]) / (this.x[1] - this.x[0]);
  }

  toY(value) {
    const { top, bottom } = this.frame;
    return bottom - (bottom - top) * (value - this.y[0]) / (this.y[1] - this.y[0]);
  }

  // From a place in the browser's window to a place in the plot.
  fromPixels(clientX, clientY) {
    const { left, right, top, bottom } = this.frame;
    const corner = this.box.getBoundingClientRect();
    return [
      this.x[0] + (this.x[1] - this.x[0]) * (clientX - corner.left - left) / (right - left),
      this.y[0] + (this.y[1] - this.y[0]) * (bottom - clientY + corner.top) / (bottom - top),
    ];
  }

  axes() {
    const { left, right, top, bottom } = this.frame;
    const across = this.xTicks(...this.x, Math.max(2, (right - left) / 70)).map(({ value, text }) =>
      `<text x="${this.toX(value)}" y="${bottom + 15}" text-anchor="middle">${text}</text>`);
    const up = this.yTicks ? ticks(...this.y, Math.max(2, (bottom - top) / 40)).map(({ value, text }) =>
      `<text x="${left - 6}" y="${this.toY(value) + 4}" text-anchor="end">${text}</text>
       <path class="axis" d="M${left} ${this.toY(value)}H${right}"/>`) : [];
    return `${up.join("")}<path class="axis" d="M${left} ${bottom}H${right}"/>${across.join("")}
      <text x="${(left + right) / 2}" y="${bottom + 31}" text-anchor="middle">${this.xLabel}</text>`;
  }

  points(xs, ys) {
    return Array.from(xs, (x, i) => `${this.toX(x).toFixed(1)},${this.toY(ys[i]).toFixed(1)}`);
  }

  line(xs, ys, color, more = "") {
    return `<polyline points="${this.points(xs, ys).join(" ")}" fill="none" stroke="${color}"
      stroke-width="2" ${more}/>`;
  }

  // The area between two curves.
  area(xs, ys, floor, color, opacity = 0.3) {
    const back = this.points(xs, floor).reverse();
    return `<polygon points="${[...this.points(xs, ys), ...back].join(" ")}" fill="${color}"
      fill-opacity="${opacity}"/>`;
  }

  bar(from, to, low, high, color) {
    const [a, b] = [this.toX(from), this.toX(to)].sort((p, q) => p - q);
    return `<rect x="${a}" y="${this.toY(high)}" width="${b - a}"
      height="${this.toY(low) - this.toY(high)}" fill="${color}"/>`;
  }

  // The part of it that lies inside the frame.
  inside(markup) {
    const { left, right, top, bottom } = this.frame;
    const box = [left, top, Math.max(1, right - left), Math.max(1, bottom - top)];
    return `<svg x="${left}" y="${top}" width="${box[2]}" height="${box[3]}" viewBox="${box.join(" ")}">${markup}</svg>`;
  }

  text(x, y, words, more = "") {
    return `<text x="${this.toX(x)}" y="${this.toY(y)}" ${more}>${words}</text>`;
  }

  // A knob to drag, or to move by the arrow keys. `place` says where it is, `move` is told where it
  // was put, `nudge` by how many steps a key moved it.
  handle({ name, color, place, move, nudge, describe, shown = () => true }) {
    this.svg.insertAdjacentHTML("beforeend", `<g class="handle" role="slider" tabindex="0" aria-label="${name}">
      <circle class="reach" r="22"/><circle class="ring" r="13"/><circle class="knob" r="9"/></g>`);
    const handle = this.svg.lastElementChild;
    let grip = null;
    // Keeps the page from scrolling along; inside an SVG `touch-action` does not.
    handle.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
    handle.addEventListener("pointerdown", (event) => {
      const [x, y] = this.fromPixels(event.clientX, event.clientY);
      const [atX, atY] = place(this.figure.state);
      grip = [atX - x, atY - y];
      handle.setPointerCapture(event.pointerId);
      handle.focus({ preventScroll: true });
      event.preventDefault();
      event.stopPropagation();
    });
    handle.addEventListener("pointermove", (event) => {
      if (!grip) return;
      const [x, y] = this.fromPixels(event.clientX, event.clientY);
      this.figure.touch(move(x + grip[0], y + grip[1]));
    });
    for (const end of ["pointerup", "pointercancel"]) handle.addEventListener(end, () => { grip = null; });
    handle.addEventListener("keydown", (event) => {
      const [right, up] = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[
        event.key] ?? [0, 0];
      if (!right && !up) return;
      event.preventDefault();
      this.figure.touch(nudge(right, up));
    });
    this.handles.push({ handle, color, place, describe, shown });
  }

  draw(markup) {
    this.svg.querySelector(".drawing").innerHTML = this.axes() + markup;
    for (const { handle, color, place, describe, shown } of this.handles) {
      handle.style.display = shown(this.figure.state) ? "" : "none";
      const [x, y] = place(this.figure.state);
      handle.setAttribute("transform", `translate(${this.toX(x)} ${this.toY(y)})`);
      handle.querySelector(".knob").setAttribute("fill", this.figure.color(color));
      handle.setAttribute("aria-valuemin", this.x[0]);
      handle.setAttribute("aria-valuemax", this.x[1]);
      handle.setAttribute("aria-valuenow", x.toFixed(2));
      handle.setAttribute("aria-valuetext", describe(this.figure.state));
    }
  }
}

// A square window on a two-dimensional latent space, with the codes of labelled data as dots.
class Plane extends Plot {
  constructor(figure, parent, { label, codes, labels, classColors, reach }) {
    const range = [-reach, reach];
    super(figure, parent, { label, x: range, y: range, xLabel: "z₁", left: 34 });
    Object.assign(this, { labels, classColors });
    this.place(codes);
    this.canvas = document.createElement("canvas");
    this.svg.before(this.canvas);
  }

  // Where the dots are, and the name of each class at its median.
  place(codes) {
    const at = (digit, axis) => {
      const chosen = Array.from(this.labels.keys()).filter((i) => this.labels[i] === digit);
      return chosen.map((i) => codes[2 * i + axis]).sort((a, b) => a - b)[chosen.length >> 1];
    };
    this.codes = codes;
    this.middles = [...new Set(this.labels)].map((digit) => [digit, at(digit, 0), at(digit, 1)]);
  }

  // The data point whose code lies nearest, and how far away it is.
  nearest(z1, z2) {
    const distances = this.labels.map((_, i) => Math.hypot(this.codes[2 * i] - z1, this.codes[2 * i + 1] - z2));
    const distance = Math.min(...distances);
    return { index: distances.indexOf(distance), distance };
  }

  // A mouse drags from anywhere. A finger has to take the knob, or tap, so that the page can scroll.
  grab(move) {
    const go = (event) => this.figure.touch(move(...this.fromPixels(event.clientX, event.clientY)));
    this.svg.addEventListener("click", (event) => { if (!event.target.closest(".handle")) go(event); });
    this.svg.addEventListener("pointerdown", (event) => {
      if (event.pointerType !== "mouse") return;
      this.svg.setPointerCapture(event.pointerId);
      go(event);
    });
    this.svg.addEventListener("pointermove", (event) => {
      if (this.svg.hasPointerCapture(event.pointerId)) go(event);
    });
  }

  draw(markup) {
    const { clientWidth: width, clientHeight: height } = this.box;
    const { left, right, top, bottom } = this.frame;
    this.canvas.width = width * devicePixelRatio;
    this.canvas.height = height * devicePixelRatio;
    const pen = this.canvas.getContext("2d");
    pen.scale(devicePixelRatio, devicePixelRatio);
    pen.rect(left, top, right - left, bottom - top);
    pen.clip();
    pen.globalAlpha = 0.6;
    this.labels.forEach((label, i) => {
      pen.fillStyle = this.figure.color(this.classColors[label]);
      pen.beginPath();
      pen.arc(this.toX(this.codes[2 * i]), this.toY(this.codes[2 * i + 1]), 2.5, 0, 7);
      pen.fill();
    });
    const inside = this.middles.filter(([, x, y]) => Math.max(Math.abs(x), Math.abs(y)) < this.x[1]);
    const radius = this.toX(2.45) - this.toX(0);          // holds 95 % of draws from N(0, I)
    super.draw(`<text x="0" y="${(top + bottom) / 2 - 12}">z₂</text>
      <circle cx="${this.toX(0)}" cy="${this.toY(0)}" r="${radius}" fill="none"
      stroke="${this.figure.color("prior")}" stroke-width="1.5" stroke-dasharray="6 4"/>`
      + inside.map(([digit, x, y]) => this.text(x, y, digit,
        `class="digit" text-anchor="middle" dy="5"`)).join("") + markup);
  }
}

// Black ink on white paper, in both themes.
function paint(canvas, pixels) {
  const side = Math.sqrt(pixels.length);
  canvas.width = canvas.height = side;
  const image = new ImageData(side, side);
  pixels.forEach((ink, i) => image.data.set([0, 0, 0, Math.round(255 * ink)], 4 * i));
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// A row of small pictures under one name.
class Tiles {
  constructor(parent, name, count) {
    const box = add(parent, `<div><p class="title">${name}</p><div class="tiles" role="img"
      style="grid-template-columns: repeat(${count}, 1fr)">${"<canvas class=picture></canvas>".repeat(count)}
      </div></div>`);
    this.row = box.lastElementChild;
  }

  show(pixels, description) {
    const size = pixels.length / this.row.children.length;
    [...this.row.children].forEach((tile, i) => paint(tile, pixels.subarray(i * size, (i + 1) * size)));
    this.row.setAttribute("aria-label", description);
  }
}

// The custom element ----------------------------------------------------------------------------

// A figure says in `fields` what its state holds and within which limits. It fills `this.body` in
// `build`, returns the numbers for a state from `compute`, shows both in `draw`, and `say`s them.
class LiveFigure extends HTMLElement {
  #state = {};
  #values = {};
  #controls = [];
  #frame = 0;
  #speech = 0;
  #observers = [];

  connectedCallback() {
    if (!this.shadowRoot) {
      // Long texts stand in elements of their own, see `LiveFigure.html` in Python.
      const { state, colors, ...config } = JSON.parse(this.getAttribute("config"), (_, value) =>
        value?.piece ? this.getRootNode().querySelector(`#live-${value.piece}`).textContent : value);
      Object.assign(this, { config, colors });
      const root = this.attachShadow({ mode: "open" });
      root.innerHTML = `<style>${STYLE}${this.constructor.style ?? ""}</style>
        <div class="body"></div><div class="spoken" role="status"></div>`;
      this.body = root.querySelector(".body");
      this.build();
      this.state = state;
    }
    const redraw = () => this.#show();
    const size = new ResizeObserver(redraw);
    size.observe(this);
    const theme = new MutationObserver(redraw);
    theme.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    theme.observe(document.body, { attributeFilter: ["data-jp-theme-light"] });
    this.#observers = [size, theme];
  }

  disconnectedCallback() {
    this.stop();
    for (const observer of this.#observers) observer.disconnect();
  }

  get state() {
    return { ...this.#state };
  }

  // Takes what it knows, within its limits; the rest of the state stays.
  set state(changes) {
    for (const [key, field] of Object.entries(this.fields)) {
      if (!(key in changes)) continue;
      const value = changes[key];
      if (field.among) {
        if (field.among.includes(value)) this.#state[key] = value;
      } else if (field.fits) {
        if (field.fits(value)) this.#state[key] = value;
      } else if (Number.isFinite(value)) {
        this.#state[key] = Math.min(field.max, Math.max(field.min, value));
      }
    }
    this.#values = this.compute(this.#state);
    this.#show();
    this.dispatchEvent(new Event("live-change"));
  }

  get values() {
    return { ...this.#values };
  }

  // A change made by hand ends what is playing.
  touch(changes) {
    this.stop();
    this.state = changes;
  }

  color(name) {
    const hex = this.colors[name] ?? name;
    return pageIsDark() ? lighter(hex) : hex;
  }

  #show() {
    if (!this.clientWidth) return;
    this.draw(this.#state, this.#values);
    for (const update of this.#controls) update(this.#state);
    clearTimeout(this.#speech);
    this.#speech = setTimeout(() => {
      const status = this.shadowRoot.querySelector(".spoken");
      const words = this.say(this.#values);
      // The first words are on the page already; only a change is news.
      if (status.dataset.said && status.dataset.said !== words) status.textContent = words;
      status.dataset.said = words;
    }, 700);
  }

  // Call `step` once a frame until it returns false; without motion, all at once.
  play(step) {
    this.stop();
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      while (step());
      return;
    }
    const next = () => { this.#frame = step() ? requestAnimationFrame(next) : 0; };
    next();
  }

  get playing() {
    return this.#frame !== 0;
  }

  stop() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
  }

  slider(parent, key, label, format = fixed) {
    const { min, max, step } = this.fields[key];
    const box = add(parent, `<div class="slider"><label for="${key}">${label}</label>
      <input type="range" id="${key}" min="${min}" max="${max}" step="${step}"><output for="${key}"></output>
      </div>`);
    const input = box.querySelector("input");
    input.addEventListener("input", () => this.touch({ [key]: input.valueAsNumber }));
    this.#controls.push((state) => {
      input.value = state[key];
      box.querySelector("output").textContent = format(state[key]);
      input.setAttribute("aria-valuetext", format(state[key]));
    });
    return box;
  }

  choice(parent, key, legend, labels) {
    const options = this.fields[key].among.map((value, i) =>
      `<label><input type="radio" name="${key}" value="${value}"><span>${labels[i]}</span></label>`);
    const box = add(parent, `<fieldset class="choice"><legend>${legend}</legend>${options.join("")}</fieldset>`);
    box.addEventListener("change", (event) => this.touch({ [key]: event.target.value }));
    this.#controls.push((state) => {
      box.querySelector(`[value="${state[key]}"]`).checked = true;
    });
  }

  button(parent, label, press) {
    const button = add(parent, `<button type="button">${label}</button>`);
    button.addEventListener("click", press);
    return button;
  }

  swatch(color) {
    return color && `<span class="swatch" style="background:${this.color(color)}"></span>`;
  }

  // Rows of [colour or "", name, value as text].
  numbers(list, rows) {
    list.innerHTML = rows.map(([color, name, value]) =>
      `<div><dt>${this.swatch(color)}${name}</dt><dd>${value}</dd></div>`).join("");
  }

  legend(parent, entries) {
    const box = add(parent, `<div class="row legend"></div>`);
    this.#controls.push(() => {
      box.innerHTML = entries.map(([color, name]) => `<span>${this.swatch(color)}${name}</span>`).join("");
    });
  }
}

function define(tag, figure) {
  // In a notebook the script runs once for each figure.
  if (!customElements.get(tag)) customElements.define(tag, figure);
}
