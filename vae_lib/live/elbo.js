// The ELBO, its gap and log p(x) in a model with one latent coordinate, whose posterior is known.

const ELBO_Z = linspace(-12, 12, 2401);
const ELBO_STEP = ELBO_Z[1] - ELBO_Z[0];
const NOISE = 0.5;                            // width of x given z
const RATE = 0.01;                            // step size of the optimiser

class ElboGap extends LiveFigure {
  fields = {
    x: { min: -4, max: 4, step: 0.05 },
    amplitude: { min: 0, max: 1.5, step: 0.05 },
    mu: { min: -3, max: 3, step: 0.05 },
    sigma: { min: 0.1, max: 1.5, step: 0.02 },
  };

  static style = "@container (min-width: 34rem) { dl { grid-template-columns: 1fr 1.5fr 1fr; } }";

  build() {
    this.legend(this.body, [["posterior", "posterior <i>p</i>(<i>z</i> | <i>x</i>)"],
      ["encoder", "<i>q</i>(<i>z</i>)"], ["prior", "prior <i>p</i>(<i>z</i>), dashed"]]);
    this.codes = new Plot(this, this.body, { label: "Posterior, prior and q over codes", height: 240,
      x: [-3, 3], y: [0, 2], xLabel: "code z", yTicks: false });
    this.codes.handle({
      name: "Peak of q: left and right move its mean, up and down change its width",
      color: "encoder",
      place: ({ mu, sigma }) => [mu, Math.min(1.95, PEAK / sigma)],
      move: (x, y) => ({ mu: x, sigma: PEAK / Math.max(y, 0.01) }),
      nudge: (right, up) => ({ mu: this.state.mu + 0.05 * right, sigma: this.state.sigma - 0.02 * up }),
      describe: ({ mu, sigma }) => `mean ${fixed(mu)}, width ${fixed(sigma)}`,
    });
    this.bars = new Plot(this, this.body, { label: "Bars of log p(x), ELBO and gap", height: 150,
      x: [-5, 0], y: [0, 3], xLabel: "nats", yTicks: false, left: 74 });
    const sliders = add(this.body, `<div class="sliders"></div>`);
    this.slider(sliders, "mu", "mean of <i>q</i>");
    this.slider(sliders, "sigma", "width of <i>q</i>");
    this.slider(sliders, "x", "observed <i>x</i>");
    this.slider(sliders, "amplitude", "amplitude <i>a</i>");
    const row = add(this.body, `<div class="row"></div>`);
    this.button(row, "Optimise q", () => this.#climb(["mu", "sigma"]));
    this.button(row, "Optimise q and a", () => this.#climb(["mu", "sigma", "amplitude"]));
    this.list = add(this.body, "<dl></dl>");
  }

  #logJoint({ x, amplitude }) {
    return ELBO_Z.map((z) =>
      logNormal(z, 0, 1) + logNormal(x, 1.2 * z + amplitude * Math.sin(2.5 * z), NOISE));
  }

  #elbo(state, logJoint) {
    return ELBO_STEP * sum(ELBO_Z.map((z, i) => {
      const logQ = logNormal(z, state.mu, state.sigma);
      return Math.exp(logQ) * (logJoint[i] - logQ);
    }));
  }

  // The gap is computed from the posterior and the ELBO without it, so that the sum is no accident.
  compute(state) {
    const logJoint = this.#logJoint(state);
    const logPx = Math.log(ELBO_STEP * sum(logJoint.map(Math.exp)));
    this.logPosterior = logJoint.map((value) => value - logPx);
    const gap = ELBO_STEP * sum(ELBO_Z.map((z, i) => {
      const logQ = logNormal(z, state.mu, state.sigma);
      return Math.exp(logQ) * (logQ - this.logPosterior[i]);
    }));
    return { elbo: this.#elbo(state, logJoint), gap, log_p_x: logPx };
  }

  // Gradient ascent on the ELBO; the width goes by its logarithm, so it stays positive.
  #climb(keys) {
    let steps = 0;
    this.play(() => {
      const elbo = (state) => this.#elbo(state, this.#logJoint(state));
      let steepest = 0;
      for (let repeat = 0; repeat < 4; repeat++) {
        const start = this.state;
        const moved = {};
        steepest = 0;
        for (const key of keys) {
          const shift = (by) => key === "sigma" ? start.sigma * Math.exp(by) : start[key] + by;
          const slope = (elbo({ ...start, [key]: shift(1e-4) }) - elbo({ ...start, [key]: shift(-1e-4) })) / 2e-4;
          moved[key] = shift(RATE * slope);
          steepest = Math.max(steepest, Math.abs(slope));
        }
        this.state = moved;
      }
      steps += 1;
      return steepest > 1e-4 && steps < 300;
    });
  }

  say({ elbo, gap, log_p_x }) {
    return `ELBO ${fixed(elbo)} plus gap ${fixed(gap)} is log p of x, ${fixed(log_p_x)} nats`;
  }

  draw(state, values) {
    const inside = Array.from(ELBO_Z.keys()).filter((i) => Math.abs(ELBO_Z[i]) <= 3);
    const z = inside.map((i) => ELBO_Z[i]);
    const curve = (log) => inside.map((i) => Math.min(2, Math.exp(log(i))));
    const { codes, bars } = this;
    codes.draw(
      codes.area(z, curve((i) => this.logPosterior[i]), z.map(() => 0), this.color("posterior"), 0.45)
      + codes.line(z, curve((i) => logNormal(ELBO_Z[i], 0, 1)), this.color("prior"), `stroke-dasharray="6 4"`)
      + codes.line(z, curve((i) => logNormal(ELBO_Z[i], state.mu, state.sigma)), this.color("encoder")));

    const low = -5 * Math.max(1, Math.ceil(-values.elbo / 5));
    bars.x = [low, Math.max(0, values.log_p_x)];
    const name = (y, words) => bars.text(low, y, words, `dx="-8" dy="4" text-anchor="end" class="strong"`);
    bars.draw(
      bars.bar(values.log_p_x, 0, 2.15, 2.85, this.color("x"))
      + bars.bar(values.elbo, 0, 1.15, 1.85, this.color("encoder"))
      + bars.bar(values.elbo, values.log_p_x, 0.15, 0.85, this.color("posterior"))
      + bars.line([values.elbo, values.elbo], [0, 1.85], this.color("encoder"))
      + bars.line([values.log_p_x, values.log_p_x], [0, 2.85], this.color("x"))
      + name(2.5, "log p(x)") + name(1.5, "ELBO") + name(0.5, "gap"));

    this.numbers(this.list, [
      ["encoder", "ELBO", `${fixed(values.elbo, 3)} nats`],
      ["posterior", "+ gap, KL(<i>q</i> ‖ posterior)", `${fixed(values.gap, 3)} nats`],
      ["x", "= log <i>p</i>(<i>x</i>)", `${fixed(values.log_p_x, 3)} nats`],
    ]);
  }
}

define("live-elbo", ElboGap);
