// The reparameterization trick: noise that stays, samples that follow, and the way of the gradient.

const REPARAM_X = linspace(-5, 5, 401);
const DRAWN = "#6b7280";                      // noise, grey as in the chapter's graphs
const GRADIENT = "#D55E00";                   // what walks back
const GRAPH_HEIGHT = 330;
const PASSES = ["Forward: the inputs", "Forward: to z", "Forward: to f(z)", "Backward: to z",
  "Backward: to \u03bc and \u03c3"];

class Reparameterization extends LiveFigure {
  fields = {
    mode: { among: ["reparameterize", "sample"] },
    mu: { min: -2, max: 2, step: 0.05 },
    sigma: { min: 0.25, max: 1.25, step: 0.05 },
    dots: { min: 1, max: 100, step: 1 },
    dot: { min: 1, max: 100, step: 1 },
    step: { min: 0, max: 4, step: 1 },
    seed: { min: 0, max: 1e6, step: 1 },
  };

  static style = `
    .beside { display: grid; gap: 0 1rem; grid-template-columns: minmax(0, 1fr) 17.5rem; }
    .graph { height: ${GRAPH_HEIGHT}px; }
    .graph text { fill: var(--ink); text-anchor: middle; }
    @container (max-width: 40rem) { .beside { grid-template-columns: 1fr; } }
  `;

  get state() {
    return super.state;
  }

  // A chosen dot exists. Who samples anew has new noise for a new mean or width.
  set state(changes) {
    const before = super.state;
    const next = { ...before, ...changes };
    const moved = next.mu !== before.mu || next.sigma !== before.sigma;
    const fresh = next.mode === "sample" && moved && next.seed === before.seed;
    super.state = { ...changes, dot: Math.min(next.dot, next.dots),
      seed: fresh ? (before.seed + 1) % 1e6 : next.seed };
  }

  build() {
    this.choice(add(this.body, `<div class="row"></div>`), "mode", "How z is drawn",
      ["Reparameterize: <i>z</i> = <i>μ</i> + <i>σε</i>", "Sample instead"]);
    const beside = add(this.body, `<div class="beside"></div>`);
    const left = add(beside, `<div><p class="title"></p></div>`);
    this.heading = left.firstElementChild;
    this.plot = new Plot(this, left, { label: "Noise, samples and their density", height: GRAPH_HEIGHT,
      x: [-5, 5], y: [-1, 1.75], xLabel: " ", yTicks: false });
    this.plot.handle({
      name: "Peak of the density of z: left and right move the mean, up and down change the width",
      color: "mu",
      place: ({ mu, sigma }) => [mu, PEAK / sigma],
      move: (x, y) => ({ mu: x, sigma: PEAK / Math.max(y, 0.01) }),
      nudge: (right, up) => ({ mu: this.state.mu + 0.05 * right, sigma: this.state.sigma - 0.05 * up }),
      describe: ({ mu, sigma }) => `mean ${fixed(mu)}, width ${fixed(sigma)}`,
    });
    this.plot.svg.addEventListener("click", (event) => this.#choose(event));
    const right = add(beside, `<div><p class="title"></p></div>`);
    this.pass = right.firstElementChild;
    this.graph = add(add(right, `<div class="plot graph"></div>`), `<svg role="img"></svg>`);
    const sliders = add(this.body, `<div class="sliders"></div>`);
    const whole = (value) => String(Math.round(value));
    this.slider(sliders, "mu", "mean <i>μ</i>");
    this.slider(sliders, "sigma", "width <i>σ</i>");
    this.slider(sliders, "dots", "number of dots", whole);
    this.dot = this.slider(sliders, "dot", "chosen dot", whole);
    this.slider(sliders, "step", "step in graph", whole);
    const row = add(this.body, `<div class="row"></div>`);
    this.button(row, "Play forward and backward", () => this.#walk());
    this.button(row, "Other noise", () => this.touch({ seed: (this.state.seed + 1) % 1e6 }));
    this.list = add(this.body, "<dl></dl>");
  }

  // The dot under the mouse, on either line.
  #choose(event) {
    if (event.target.closest(".handle")) return;
    const [x, y] = this.plot.fromPixels(event.clientX, event.clientY);
    const line = y > -0.5 ? this.z : this.eps;
    const distances = Array.from(line, (value) => Math.abs(value - x));
    const nearest = Math.min(...distances);
    if (y < 0.25 && nearest < 0.3) this.touch({ dot: distances.indexOf(nearest) + 1 });
  }

  #walk() {
    this.state = { step: 0 };
    this.play(() => {
      this.state = { step: this.state.step + 1 / 45 };
      return this.state.step < 4;
    });
  }

  compute({ mode, mu, sigma, dots, dot, seed }) {
    this.eps = normals(seed, dots).sort();
    this.z = this.eps.map((eps) => mu + sigma * eps);
    const [eps, z] = [this.eps[dot - 1], this.z[dot - 1]];
    // Derivatives of z and of the average of z squared. A draw without a record has none.
    const recorded = (value) => mode === "sample" ? null : value;
    return {
      z,
      z_by_mu: recorded(1),
      z_by_sigma: recorded(eps),
      average: sum(this.z.map((value) => value ** 2)) / dots,
      average_by_mu: recorded(sum(this.z.map((value) => 2 * value)) / dots),
      average_by_sigma: recorded(sum(this.z.map((value, i) => 2 * value * this.eps[i])) / dots),
      exact: mu ** 2 + sigma ** 2,
      exact_by_mu: 2 * mu,
      exact_by_sigma: 2 * sigma,
    };
  }

  say({ z, z_by_sigma, average, average_by_mu, average_by_sigma }) {
    return `Chosen z ${fixed(z)}, average of z squared ${fixed(average)}. ` + (z_by_sigma === null
      ? "No gradient reaches mean and width"
      : `Derivatives: of z by the width ${fixed(z_by_sigma)}, of the average by the mean `
        + `${fixed(average_by_mu)}, by the width ${fixed(average_by_sigma)}`);
  }

  draw(state, values) {
    this.dot.querySelector("input").max = state.dots;
    this.#drawDots(state);
    this.#drawGraph(state, values);
    const estimate = (value, exact) => `${value === null ? "none" : fixed(value)} (exact ${fixed(exact)})`;
    const recorded = (words) => state.mode === "sample" ? "" : words;
    const derivative = (value) => value === null ? "none" : fixed(value);
    this.numbers(this.list, [
      ["z", `average of <i>z</i>² over ${state.dots} dots`, estimate(values.average, values.exact)],
      ["z", `<i>z</i> of the chosen dot`, fixed(values.z)],
      ["mu", "average’s derivative by <i>μ</i>", estimate(values.average_by_mu, values.exact_by_mu)],
      ["mu", `∂<i>z</i> / ∂<i>μ</i>${recorded(" = 1")}`, derivative(values.z_by_mu)],
      ["sigma", "average’s derivative by <i>σ</i>", estimate(values.average_by_sigma, values.exact_by_sigma)],
      ["sigma", `∂<i>z</i> / ∂<i>σ</i>${recorded(" = <i>ε</i>")}`, derivative(values.z_by_sigma)],
    ]);
  }

  #drawDots({ mode, mu, sigma, dot }) {
    const { plot } = this;
    const sampled = mode === "sample";
    this.heading.textContent = sampled ? "Fresh draws at every change" : "The noise stays, z follows";
    plot.xLabel = sampled ? "z" : "z (middle line) and noise ε (lower line)";
    const density = REPARAM_X.map((x) => Math.exp(logNormal(x, mu, sigma)));
    const circle = (x, y, color, chosen) => `<circle cx="${plot.toX(x)}" cy="${plot.toY(y)}"
      r="${chosen ? 6 : 4}" fill="${this.color(color)}" fill-opacity="${chosen ? 1 : 0.65}"
      ${chosen ? `stroke="var(--ink)" stroke-width="2"` : ""}/>`;
    const threads = Array.from(this.eps, (eps, i) => plot.line([eps, this.z[i]], [-1, 0], "var(--ink)",
      i === dot - 1 ? "" : `stroke-opacity="0.3" style="stroke-width: 1"`));
    const dots = Array.from(this.z.keys()).filter((i) => i !== dot - 1).concat(dot - 1).map((i) =>
      circle(this.z[i], 0, "z", i === dot - 1)
      + (sampled ? "" : circle(this.eps[i], -1, DRAWN, i === dot - 1)));
    const height = density[0] + Math.exp(logNormal(mu + sigma, mu, sigma));
    plot.draw(
      plot.area(REPARAM_X, density, REPARAM_X.map(() => 0), this.color("mu"), 0.12)
      + plot.line(REPARAM_X, density, this.color("mu"))
      + plot.line([mu, mu], [0, PEAK / sigma], this.color("mu"), `stroke-dasharray="3 3"`)
      + plot.line([mu, mu + sigma], [height, height], this.color("sigma"), `style="stroke-width: 4"`)
      + `<path class="axis" d="M${plot.frame.left} ${plot.toY(0)}H${plot.frame.right}"/>`
      + (sampled ? plot.text(0, -0.5, "the noise stays hidden inside sample()", `text-anchor="middle"`)
        : threads.join(""))
      + dots.join("")
      + plot.text(mu, height, "μ", `class="strong" text-anchor="end" dx="-6" dy="5"`)
      + plot.text(mu + sigma, height, "σ", `class="strong" dx="6" dy="5"`)
      + plot.text(-5, 0, "z", `class="strong" dy="-7"`)
      + (sampled ? "" : plot.text(-5, -1, "ε", `class="strong" dy="-7"`)));
  }

  // Inputs above, z in the middle, f below. `step` says how far the light has come.
  #drawGraph({ mode, mu, sigma, dot, step }, { z, z_by_sigma: eps }) {
    const sampled = mode === "sample";
    const middle = this.graph.clientWidth / 2;
    const [left, right] = [middle - 89, middle + 89];
    const reached = (from) => Math.min(1, Math.max(0, step - from));
    const words = (x, y, text, more = "") => `<text x="${x}" y="${y}" ${more}>${text}</text>`;
    const arrow = (color, from, more, [x1, y1], [x2, y2], head = true) => {
      const part = reached(from);
      if (!part) return "";
      const [x, y] = [x1 + part * (x2 - x1), y1 + part * (y2 - y1)];
      const turn = Math.atan2(y2 - y1, x2 - x1) * 180 / Math.PI;
      const point = `<path d="M2 0L-8 -5V5Z" fill="${color}" transform="translate(${x} ${y}) rotate(${turn})"/>`;
      return `<path d="M${x1} ${y1}L${x} ${y}" stroke="${color}" stroke-width="2.5" ${more}/>
        ${head ? point : ""}`;
    };
    const rails = sampled ? [[left, right], [49, 151]] : [[left, middle, right], [49, 151]];
    const unlit = rails[0].map((x) =>
      `<path class="axis" d="M${x} 49L${middle + 0.4 * (x - middle)} 147"/>`).join("")
      + `<path class="axis" d="M${middle} 197V277"/>`;
    const forward = (from, start, end) => arrow(this.color("x"), from, "", start, end);
    const backward = (from, start, end, head) =>
      arrow(this.color(GRADIENT), from, `stroke-dasharray="6 4"`, start, end, head);
    // On its way back the gradient keeps ten pixels beside the way there. Without a record it stops halfway.
    const halfway = sampled ? 0.45 : 1;
    const home = (x, side) => {
      const start = [middle + 0.4 * (x - middle) + 11 * side, 145];
      const end = [start[0] + halfway * (x + 11 * side - start[0]), 145 - halfway * 94];
      const cross = sampled && reached(3) === 1
        ? `<path d="M${end[0] - 7} ${end[1] - 7}l14 14m0 -14l-14 14" stroke="${this.color(GRADIENT)}"
            stroke-width="4" stroke-linecap="round"/>` : "";
      return backward(3, start, end, !sampled) + cross;
    };
    const node = (x, y, half, color, from, first, second, round) => {
      const shape = round ? `<ellipse cx="${x}" cy="${y}" rx="${half}" ry="23"` : `<rect x="${x - half}"
        y="${y - 23}" width="${2 * half}" height="46" rx="8"`;
      const lit = from === 0 || reached(from - 1) === 1;
      const frame = lit ? this.color(color) : "var(--rule)";
      return `${shape} fill="var(--sunken)" stroke="${frame}" stroke-width="2.5"/>`
        + words(x, y - 3, first) + (lit ? words(x, y + 14, second) : "");
    };
    const back = (from, text) => reached(from) === 1 ? text : "";
    const parameter = (x, color, sign, value, slope) => node(x, 25, 46, color, 0, `${sign} = ${fixed(value)}`,
      back(3, sampled ? "no gradient" : `∂f/∂${sign} = ${fixed(slope)}`));

    this.graph.innerHTML = unlit
      + forward(0, [left, 49], [middle + 0.4 * (left - middle), 145])
      + forward(0, [right, 49], [middle + 0.4 * (right - middle), 145])
      + (sampled ? "" : forward(0, [middle, 51], [middle, 145]))
      + forward(1, [middle, 197], [middle, 275])
      + backward(2, [middle + 11, 275], [middle + 11, 199])
      + home(left, -1) + home(right, 1)
      + parameter(left, "mu", "μ", mu, 2 * z)
      + parameter(right, "sigma", "σ", sigma, 2 * z * eps)
      + (sampled ? "" : node(middle, 25, 36, DRAWN, 0, "ε drawn", fixed(eps), true))
      + node(middle, 172, 54, "z", 1, sampled ? "z drawn" : "z = μ + σε", fixed(z), sampled)
      + node(middle, 302, 54, "x", 2, "f = z²", fixed(z ** 2))
      + back(2, words(middle + 22, 240, `∂f/∂z = 2z = ${fixed(2 * z)}`, `style="text-anchor: start"`))
      + (sampled ? "" : back(3, words(left - 44, 112, "∂z/∂μ", `style="text-anchor: start"`)
        + words(left - 44, 128, "= 1", `style="text-anchor: start"`)
        + words(right + 44, 112, "∂z/∂σ", `style="text-anchor: end"`)
        + words(right + 44, 128, `= ε = ${fixed(eps)}`, `style="text-anchor: end"`)));
    const pass = sampled && step > 3 ? "Backward: cut at the draw" : PASSES[Math.ceil(step)];
    this.pass.textContent = pass;
    this.graph.setAttribute("aria-label", `Computation graph for dot ${dot}, ${pass}: z ${fixed(z)}, `
      + `f of z ${fixed(z ** 2)}` + (step < 4 ? "" : sampled ? ", no gradient at mu and sigma"
        : `, derivative by mu ${fixed(2 * z)}, by sigma ${fixed(2 * z * eps)}`));
  }
}

define("live-reparameterization", Reparameterization);
