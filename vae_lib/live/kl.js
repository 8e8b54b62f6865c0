// Two Gaussians q and p: densities, the integrand, both divergences, and an estimate from samples.

const KL_X = linspace(-6, 6, 481);
const PEAK = 1 / Math.sqrt(2 * Math.PI);      // density of a Gaussian of width 1 at its mean

function klGaussian(mu, sigma, m, s) {
  return Math.log(s / sigma) + (sigma ** 2 + (mu - m) ** 2) / (2 * s ** 2) - 0.5;
}

class KLExplorer extends LiveFigure {
  fields = {
    mu_q: { min: -3, max: 3, step: 0.05 },
    sigma_q: { min: 0.3, max: 2.5, step: 0.05 },
    mu_p: { min: -3, max: 3, step: 0.05 },
    sigma_p: { min: 0.3, max: 2.5, step: 0.05 },
    direction: { among: ["q to p", "p to q"] },
    draws: { min: 0, max: 1000, step: 1 },
    seed: { min: 0, max: 1e6, step: 1 },
  };

  static style = `
    .pair { display: grid; gap: 0 1rem; grid-template-columns: 1fr 1fr; }
    @container (max-width: 34rem) { .pair { grid-template-columns: 1fr; } }
  `;

  build() {
    this.choice(add(this.body, `<div class="row"></div>`), "direction", "Direction of the divergence",
      ["KL(<i>q</i> ‖ <i>p</i>)", "KL(<i>p</i> ‖ <i>q</i>)"]);
    this.densities = new Plot(this, this.body,
      { label: "Densities of q and p", height: 230, x: [-6, 6], y: [0, 1.55], yTicks: false });
    this.#handle("q", "posterior");
    this.#handle("p", "prior");
    const pair = add(this.body, `<div class="pair"></div>`);
    const left = add(pair, `<div><p class="title"></p></div>`);
    this.area = left.firstElementChild;
    this.integrand = new Plot(this, left, { label: "Integrand of the divergence", height: 170,
      x: [-6, 6], y: [0, 1], xLabel: "x" });
    this.estimate = new Plot(this, add(pair, `<div><p class="title">Estimate ± standard error, in nats</p></div>`),
      { label: "Estimate against number of draws", height: 170, x: [0, 3], y: [0, 1],
        xLabel: "draws (dashed: exact)",
        xTicks: () => [0, 1, 2, 3].map((value) => ({ value, text: String(10 ** value) })) });
    const sliders = add(this.body, `<div class="sliders"></div>`);
    for (const name of ["q", "p"]) {
      this.slider(sliders, `mu_${name}`, `mean of <i>${name}</i>`);
      this.slider(sliders, `sigma_${name}`, `width of <i>${name}</i>`);
    }
    this.slider(sliders, "draws", "number of draws", (value) => String(value));
    const row = add(this.body, `<div class="row"></div>`);
    this.button(row, "Let draws fall", () => this.#rain());
    this.button(row, "Other draws", () => this.touch({ seed: this.state.seed + 1 }));
    this.list = add(this.body, "<dl></dl>");
  }

  // The knob sits on the peak, whose height is PEAK / width: it stays under the finger.
  #handle(name, color) {
    const [mu, sigma] = [`mu_${name}`, `sigma_${name}`];
    this.densities.handle({
      name: `Peak of ${name}: left and right move the mean, up and down change the width`,
      color,
      place: (state) => [state[mu], PEAK / state[sigma]],
      move: (x, y) => ({ [mu]: x, [sigma]: PEAK / Math.max(y, 0.01) }),
      nudge: (right, up) => ({ [mu]: this.state[mu] + 0.05 * right, [sigma]: this.state[sigma] - 0.05 * up }),
      describe: (state) => `mean ${fixed(state[mu])}, width ${fixed(state[sigma])}`,
    });
  }

  #rain() {
    if (this.state.draws === this.fields.draws.max) this.state = { draws: 0 };
    this.play(() => {
      const { draws } = this.state;
      this.state = { draws: draws + Math.max(1, Math.floor(draws / 40)) };
      return this.state.draws < this.fields.draws.max;
    });
  }

  // First and second argument of the chosen divergence, as [mean, width].
  #pair(state) {
    const q = [state.mu_q, state.sigma_q];
    const p = [state.mu_p, state.sigma_p];
    return state.direction === "q to p" ? [q, p] : [p, q];
  }

  compute(state) {
    const { mu_q, sigma_q, mu_p, sigma_p, draws, seed } = state;
    const [from, to] = this.#pair(state);
    this.x = normals(seed, draws).map((eps) => from[0] + from[1] * eps);
    // Mean and standard error after each draw.
    this.running = [];
    let total = 0;
    let squares = 0;
    this.x.forEach((x, i) => {
      const ratio = logNormal(x, ...from) - logNormal(x, ...to);
      total += ratio;
      squares += ratio ** 2;
      const mean = total / (i + 1);
      const variance = i ? Math.max(0, squares - total * mean) / i : NaN;
      this.running.push([mean, Math.sqrt(variance / (i + 1))]);
    });
    const [estimate, error] = this.running.at(-1) ?? [NaN, NaN];
    return {
      kl_q_p: klGaussian(mu_q, sigma_q, mu_p, sigma_p),
      kl_p_q: klGaussian(mu_p, sigma_p, mu_q, sigma_q),
      estimate: draws > 0 ? estimate : null,
      error: draws > 1 ? error : null,
    };
  }

  say({ kl_q_p, kl_p_q, estimate }) {
    return `KL from q to p ${fixed(kl_q_p)} nats, from p to q ${fixed(kl_p_q)} nats`
      + (estimate === null ? "" : `, estimate ${fixed(estimate)} nats`);
  }

  draw(state, values) {
    const [q, p] = [this.color("posterior"), this.color("prior")];
    const [from, to] = this.#pair(state);
    const forward = state.direction === "q to p";
    const fromColor = forward ? q : p;
    const density = (mu, sigma) => KL_X.map((x) => Math.exp(logNormal(x, mu, sigma)));
    const zero = KL_X.map(() => 0);
    const qs = density(state.mu_q, state.sigma_q);
    const ps = density(state.mu_p, state.sigma_p);

    // While draws rain, the latest are still in the air.
    const airborne = this.playing ? 24 : 0;
    const shown = Array.from(this.x.slice(-300));
    const dots = shown.map((x, i) => {
      const height = Math.max(0, 1 - (shown.length - 1 - i) / airborne || 0);
      const y = height * Math.exp(logNormal(x, ...from));
      return `<circle cx="${this.densities.toX(x)}" cy="${this.densities.toY(y)}" r="3" fill="${fromColor}"
        fill-opacity="0.6"/>`;
    });
    this.densities.draw(
      this.densities.area(KL_X, qs, zero, q, 0.12) + this.densities.area(KL_X, ps, zero, p, 0.12)
      + this.densities.line(KL_X, qs, q) + this.densities.line(KL_X, ps, p) + dots.join("")
      + this.densities.text(state.mu_q, PEAK / state.sigma_q, "q", `class="strong" text-anchor="middle" dy="-16"`)
      + this.densities.text(state.mu_p, PEAK / state.sigma_p, "p", `class="strong" text-anchor="middle" dy="-16"`));

    this.area.innerHTML = `Shaded area: KL(${forward ? "<i>q</i> ‖ <i>p</i>" : "<i>p</i> ‖ <i>q</i>"})`;
    const ys = KL_X.map((x) => {
      const log = logNormal(x, ...from);
      return Math.exp(log) * (log - logNormal(x, ...to));
    });
    this.integrand.y = [Math.min(-0.1, ...ys), Math.max(0.4, ...ys) * 1.05];
    this.integrand.draw(this.integrand.area(KL_X, ys, zero, fromColor) + this.integrand.line(KL_X, ys, fromColor));

    const truth = forward ? values.kl_q_p : values.kl_p_q;
    const ns = this.running.map((_, i) => Math.log10(i + 1));
    const means = this.running.map(([mean]) => mean);
    const errors = this.running.map(([, error]) => error || 0);
    // Room for the estimate once it has settled; the wild start may leave the frame.
    const reach = Math.max(0.2, 0.6 * truth, 3 * (errors.at(9) ?? 0));
    this.estimate.y = [truth - reach, truth + reach];
    const clip = (list) => list.map((y) => Math.min(truth + reach, Math.max(truth - reach, y)));
    this.estimate.draw(
      this.estimate.area(ns, clip(means.map((mean, i) => mean + errors[i])),
        clip(means.map((mean, i) => mean - errors[i])), fromColor, 0.25)
      + this.estimate.line(this.estimate.x, [truth, truth], this.color("x"), `stroke-dasharray="6 4"`)
      + this.estimate.line(ns, clip(means), fromColor));

    const nats = (value) => value === null ? "–" : `${fixed(value)} nats`;
    this.numbers(this.list, [
      ["posterior", "KL(<i>q</i> ‖ <i>p</i>)", nats(values.kl_q_p)],
      ["prior", "KL(<i>p</i> ‖ <i>q</i>)", nats(values.kl_p_q)],
      [forward ? "posterior" : "prior", `estimate from ${state.draws} draws of <i>${forward ? "q" : "p"}</i>`,
        nats(values.estimate)],
      ["", "its standard error", values.error === null ? "–" : `± ${fixed(values.error)} nats`],
    ]);
  }
}

define("live-kl", KLExplorer);
