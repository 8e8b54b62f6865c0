// A pad to draw on. The encoder answers with its posterior, the decoder with a picture, the ELBO with nats.

const PAD = 28;
const DIGIT = 20;                             // pixels that the longer side of a digit of MNIST has
const MIDDLE = 14;                            // column and row of its centre of mass

const toBase64 = (levels) => btoa(String.fromCharCode(...levels));

// Where the pencil went from one point to another it leaves ink, less towards the rim of the stroke.
function stroke(levels, from, to, radius) {
  const inked = Uint8Array.from(levels);
  const [across, down] = [to[0] - from[0], to[1] - from[1]];
  const length = across ** 2 + down ** 2;
  inked.forEach((level, i) => {
    const [x, y] = [i % PAD + 0.5 - from[0], Math.floor(i / PAD) + 0.5 - from[1]];
    const t = length ? Math.min(1, Math.max(0, (x * across + y * down) / length)) : 0;
    const rim = radius + 0.5 - Math.hypot(x - t * across, y - t * down);
    inked[i] = Math.max(level, Math.round(255 * Math.min(1, Math.max(0, rim))));
  });
  return inked;
}

// As MNIST was made: the longer side becomes 20 pixels, then the centre of mass moves, by whole pixels,
// to the middle. Returns null for a blank pad.
function likeMnist(ink) {
  const inked = Array.from(ink.keys()).filter((i) => ink[i] > 0);
  if (!inked.length) return null;
  const axes = [(i) => i % PAD, (i) => Math.floor(i / PAD)];
  const sides = axes.map((place) => 1 + Math.max(...inked.map(place)) - Math.min(...inked.map(place)));
  const scale = DIGIT / Math.max(...sides);
  const mass = sum(ink);
  const shifts = axes.map((place) =>
    Math.round(MIDDLE - scale * sum(inked.map((i) => ink[i] * place(i))) / mass));
  const at = (x, y) => x >= 0 && x < PAD && y >= 0 && y < PAD ? ink[y * PAD + x] : 0;
  return ink.map((_, i) => {
    const [x, y] = axes.map((place, axis) => (place(i) - shifts[axis]) / scale);
    const [left, top] = [Math.floor(x), Math.floor(y)];
    const [right, low] = [x - left, y - top];
    return (1 - low) * ((1 - right) * at(left, top) + right * at(left + 1, top))
      + low * ((1 - right) * at(left, top + 1) + right * at(left + 1, top + 1));
  });
}

// Expected log-probability of pixels in [0, 1] under logits, in nats.
function logBernoulli(pixels, logits) {
  return logits.reduce((total, logit, i) => total + pixels[i] * logit
    - Math.max(0, logit) - Math.log1p(Math.exp(-Math.abs(logit))), 0);
}

// The paper: a plot without axes, one unit to a pixel, that takes ink from mouse, finger and keys.
class Pad extends Plot {
  constructor(figure, parent) {
    super(figure, parent, { label: "Pad", x: [0, PAD], y: [0, PAD] });
    this.canvas = document.createElement("canvas");
    this.canvas.className = "picture";
    this.svg.before(this.canvas);
    this.handle({
      name: "Pen: arrow keys move it, the space bar lifts or lowers it",
      color: "x",
      place: ({ pen_x: x, pen_y: y }) => [x, PAD - y],
      nudge: (right, up) => this.#go(this.figure.state.pen_x + right, this.figure.state.pen_y - up),
      describe: ({ pen, pen_x: x, pen_y: y }) => `column ${fixed(x, 1)}, row ${fixed(y, 1)}, pen ${pen}`,
    });
    const knob = this.handles[0].handle;
    knob.addEventListener("keydown", (event) => {
      if (event.key !== " ") return;
      event.preventDefault();
      this.figure.touch({ pen: this.figure.state.pen === "down" ? "up" : "down" });
    });
    // The page must not scroll along with the finger.
    this.svg.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
    this.svg.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      this.svg.setPointerCapture(event.pointerId);
      knob.focus({ preventScroll: true });
      event.preventDefault();
      const place = this.#under(event);
      this.figure.touch(this.#ink(place, place));
    });
    this.svg.addEventListener("pointermove", (event) => {
      if (!this.svg.hasPointerCapture(event.pointerId)) return;
      const { pen_x: x, pen_y: y } = this.figure.state;
      this.figure.touch(this.#ink([x, y], this.#under(event)));
    });
  }

  get frame() {
    return { left: 0, right: this.box.clientWidth, top: 0, bottom: this.box.clientHeight };
  }

  axes() {
    return "";
  }

  #under(event) {
    const [x, y] = this.fromPixels(event.clientX, event.clientY);
    return [x, PAD - y].map((place) => Math.min(PAD, Math.max(0, place)));
  }

  #ink(from, to) {
    const { drawing, brush } = this.figure.state;
    return { drawing: toBase64(stroke(bytes(drawing), from, to, brush)), pen_x: to[0], pen_y: to[1] };
  }

  // By a key, drawing only while the pen is down.
  #go(x, y) {
    const { pen, pen_x: oldX, pen_y: oldY } = this.figure.state;
    const place = [x, y].map((value) => Math.min(PAD, Math.max(0, value)));
    return pen === "down" ? this.#ink([oldX, oldY], place) : { pen_x: place[0], pen_y: place[1] };
  }
}

class DrawDigit extends LiveFigure {
  fields = {
    drawing: { fits: (text) => typeof text === "string" && /^[A-Za-z0-9+/]{1046}==$/.test(text) },
    brush: { min: 0.6, max: 2.5, step: 0.1 },
    pen: { among: ["down", "up"] },
    pen_x: { min: 0, max: PAD, step: 1 },
    pen_y: { min: 0, max: PAD, step: 1 },
  };

  static style = `
    .desk { display: grid; gap: 0.5rem 1.5rem; grid-template-columns: 1fr 1fr; }
    .desk .plot > svg { cursor: crosshair; touch-action: none; }
    .pad .handle { pointer-events: none; }
    .pad .knob { fill-opacity: 0.4; }
    .results { display: grid; gap: 0.5rem 1rem; grid-template-columns: 8rem 8rem 1fr; }
    .legend { font-weight: 600; margin: 0.4rem 0 0; }
    .note { color: var(--quiet); }
    @container (max-width: 34rem) {
      .desk { grid-template-columns: 1fr; }
      .pad { max-width: 19rem; }
      .results { grid-template-columns: 1fr 1fr; }
      .results > :last-child { grid-column: 1 / -1; }
    }
  `;

  build() {
    const { encoder, decoder, noise, codes, labels, class_colors: classColors, reach } = this.config;
    const [body, mu, logvar] = [encoder.body, encoder.mu, encoder.logvar].map(network);
    this.encode = (x) => {
      const hidden = body(x);
      return [mu(hidden), logvar(hidden).map((value) => Math.exp(0.5 * value))];
    };
    this.decode = network(decoder);
    this.noise = float16(noise);
    const desk = add(this.body, `<div class="desk"></div>`);
    const left = add(desk, `<div><p class="title">Draw here</p></div>`);
    this.pad = new Pad(this, add(left, `<div class="pad"></div>`));
    const row = add(left, `<div class="row"></div>`);
    this.button(row, "Clear", () => this.touch({ drawing: toBase64(new Uint8Array(PAD * PAD)) }));
    let example = 0;
    this.button(row, "An example", () => {
      example = (example + 1) % this.config.examples.length;
      this.touch({ drawing: this.config.examples[example] });
    });
    const right = add(desk, "<div></div>");
    this.legend(right, [["encoder", "<i>q</i>(<i>z</i> | <i>x</i>) of the drawing, among held-out digits"]]);
    this.plane = new Plane(this, right, { label: "Latent plane with the codes of held-out digits",
      codes: float16(codes), labels, classColors, reach });
    this.choice(add(this.body, `<div class="row"></div>`), "pen", "What the arrow keys do", ["Arrow keys draw", "Arrow keys move the pen"]);
    this.slider(add(this.body, `<div class="sliders"></div>`), "brush", "width of the pen",
      (value) => fixed(value, 1));
    const results = add(this.body, `<div class="results"></div>`);
    const picture = (name) => add(add(results, `<div><p class="title">${name}</p></div>`),
      `<canvas class="picture" role="img" aria-label="${name}"></canvas>`);
    this.seenPicture = picture("The encoder sees");
    this.decodedPicture = picture("The decoder draws");
    const last = add(results, "<div></div>");
    this.legend(last, [["x", `ELBOs of ${labels.length} held-out digits`]]);
    this.histogram = new Plot(this, last, { label: "ELBOs of held-out digits and of the drawing", height: 140,
      x: [0, 1], y: [0, 1], xLabel: "nats", yTicks: false });
    add(this.body, `<p class="note">The encoder sees the drawing as MNIST was made: scaled until its longer side has
      ${DIGIT} of ${PAD} pixels, then centred by its mass. The decoder draws from the mean of <i>q</i>. The two
      rings hold 39 % and 95 % of <i>q</i>; the large dashed one holds 95 % of the prior.</p>`);
    this.list = add(this.body, "<dl></dl>");
  }

  compute({ drawing }) {
    this.ink = Float32Array.from(bytes(drawing), (level) => level / 255);
    this.seen = likeMnist(this.ink);
    if (!this.seen) {
      return Object.fromEntries(["mu1", "mu2", "sigma1", "sigma2", "log_p_x_given_z", "kl", "elbo", "lower"]
        .map((name) => [name, null]));
    }
    const [mu, sigma] = this.encode(this.seen);
    this.decoded = this.decode(mu).map(sigmoid);
    const draws = this.noise.length / 2;
    let logP = 0;
    for (let draw = 0; draw < draws; draw++) {
      const z = [0, 1].map((axis) => mu[axis] + sigma[axis] * this.noise[2 * draw + axis]);
      logP += logBernoulli(this.seen, this.decode(z)) / draws;
    }
    const kl = klGaussian(mu[0], sigma[0], 0, 1) + klGaussian(mu[1], sigma[1], 0, 1);
    const { elbos } = this.config;
    return { mu1: mu[0], mu2: mu[1], sigma1: sigma[0], sigma2: sigma[1], log_p_x_given_z: logP, kl, elbo: logP - kl,
      lower: elbos.filter((value) => value < logP - kl).length / elbos.length };
  }

  say({ elbo, lower }) {
    return elbo === null ? "The pad is blank"
      : `ELBO ${fixed(elbo, 0)} nats; ${fixed(100 * lower, 0)} % of held-out digits have a lower one`;
  }

  #rings({ mu1, mu2, sigma1, sigma2 }) {
    const color = this.color("encoder");
    const { plane } = this;
    const unit = [plane.toX(1) - plane.toX(0), plane.toY(0) - plane.toY(1)];
    const ring = (size, more) => `<ellipse cx="${plane.toX(mu1)}" cy="${plane.toY(mu2)}" stroke="${color}"
      rx="${size * sigma1 * unit[0]}" ry="${size * sigma2 * unit[1]}" fill="${color}" stroke-width="2" ${more}/>`;
    // A mean outside the window leaves a dot at the edge.
    const [low, high] = plane.x;
    const edge = [mu1, mu2].map((value) => Math.min(high, Math.max(low, value)));
    const away = edge[0] !== mu1 || edge[1] !== mu2;
    const halo = `fill-opacity="0" style="stroke: var(--paper); stroke-width: 6px"`;
    return ring(2.45, halo) + ring(2.45, `fill-opacity="0.2"`) + ring(1, `fill-opacity="0.5"`)
      + (away ? `<circle cx="${plane.toX(edge[0])}" cy="${plane.toY(edge[1])}" r="8" fill="${color}"/>` : "");
  }

  draw(state, values) {
    const { histogram } = this;
    const blank = values.elbo === null;
    paint(this.pad.canvas, this.ink);
    this.pad.draw("");
    this.plane.draw(blank ? "" : this.plane.inside(this.#rings(values)));
    paint(this.seenPicture, this.seen ?? this.ink);
    paint(this.decodedPicture, blank ? this.ink : this.decoded);

    const { elbos } = this.config;
    const drawn = blank ? elbos.at(-1) : values.elbo;
    histogram.x = [Math.min(elbos[0], drawn), Math.max(elbos.at(-1), drawn) + 5];
    const edges = linspace(elbos[0], elbos.at(-1) + 1e-6, 31);
    const counts = Array.from({ length: 30 }, (_, bin) =>
      elbos.filter((value) => value >= edges[bin] && value < edges[bin + 1]).length);
    histogram.y = [0, Math.max(...counts) * 1.25];
    const line = histogram.line([drawn, drawn], histogram.y, this.color("encoder"));
    const middle = (histogram.x[0] + histogram.x[1]) / 2;
    histogram.draw(counts.map((count, bin) =>
      histogram.bar(edges[bin], edges[bin + 1], 0, count, this.color("x"))).join("")
      + (blank ? "" : line + histogram.text(drawn, histogram.y[1], "drawing", `class="strong" dy="4"
        dx="${drawn < middle ? 6 : -6}" text-anchor="${drawn < middle ? "start" : "end"}"`)));

    const nats = (value) => blank ? "–" : `${fixed(value, 1)} nats`;
    this.numbers(this.list, [
      ["decoder", "expected log <i>p</i>(<i>x</i> | <i>z</i>)", nats(values.log_p_x_given_z)],
      ["prior", "− KL(<i>q</i> ‖ prior)", nats(-values.kl)],
      ["encoder", "= ELBO of the drawing", nats(values.elbo)],
      ["", "held-out digits with a lower ELBO", blank ? "–" : `${fixed(100 * values.lower, 1)} %`],
    ]);
  }
}

define("live-draw", DrawDigit);
