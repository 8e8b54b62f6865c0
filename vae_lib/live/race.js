// Score function against path: estimates of the same derivative rain onto an axis.

const RACE_X = linspace(-4, 4, 321);
const HALO = `style="paint-order: stroke; stroke: var(--paper); stroke-width: 4px"`;
const GRAIN = 5;                              // width of a dot

// Variance of one estimate from one sample.
function pathVariance(sigma) {
  return 4 * sigma ** 2;
}

function scoreVariance(mu, sigma, L) {
  return mu ** 4 / sigma ** 2 + 14 * mu ** 2 + 15 * sigma ** 2
    + (L - 1) * (2 * mu ** 4 / sigma ** 2 + 12 * mu ** 2 + 8 * sigma ** 2)
    + (L - 1) ** 2 * (mu ** 2 + sigma ** 2) ** 2 / sigma ** 2;
}

function bestBaseline(mu, sigma, L) {
  return L * (mu ** 2 + sigma ** 2) + 2 * sigma ** 2;
}

// Mean and standard deviation, null where there are too few.
function spread(values) {
  const count = values.length;
  if (!count) return [null, null];
  const mean = sum(values) / count;
  return [mean, count > 1 ? Math.sqrt(sum(values.map((value) => (value - mean) ** 2)) / (count - 1)) : null];
}

class GradientRace extends LiveFigure {
  fields = {
    mu: { min: -2, max: 2, step: 0.05 },
    sigma: { min: 0.25, max: 1.25, step: 0.05 },
    samples: { min: 1, max: 32, step: 1 },
    coordinates: { min: 1, max: 32, step: 1 },
    baseline: { among: ["none", "best"] },
    drops: { min: 0, max: 1000, step: 1 },
    zoom: { min: 1, max: 20, step: 1 },
    seed: { min: 0, max: 1e6, step: 1 },
  };

  build() {
    this.choice(add(this.body, `<div class="row"></div>`), "baseline", "Baseline of the score function",
      ["No baseline", "Best baseline <i>b</i>*"]);
    add(this.body, `<p class="title">First coordinate of <i>z</i>, and its samples in the latest estimate</p>`);
    this.density = new Plot(this, this.body, { label: "Density of one coordinate, and samples", height: 170,
      x: [-4, 4], y: [0, 1.75], yTicks: false,
      xTicks: () => [-4, -2, 0, 2, 4].map((value) => ({ value, text: fixed(value, 0) })) });
    this.density.handle({
      name: "Peak of the density of z: left and right move the mean, up and down change the width",
      color: "mu",
      place: ({ mu, sigma }) => [mu, PEAK / sigma],
      move: (x, y) => ({ mu: x, sigma: PEAK / Math.max(y, 0.01) }),
      nudge: (right, up) => ({ mu: this.state.mu + 0.05 * right, sigma: this.state.sigma - 0.05 * up }),
      describe: ({ mu, sigma }) => `mean ${fixed(mu)}, width ${fixed(sigma)}`,
    });
    this.lanes = new Plot(this, this.body, { label: "Estimates by both estimators", height: 330,
      x: [-1, 1], y: [0, 2], xLabel: "estimate of ∂E[f] / ∂μ₁ (dashed: true value)", yTicks: false });
    const sliders = add(this.body, `<div class="sliders"></div>`);
    const whole = (value) => String(Math.round(value));
    this.slider(sliders, "samples", "samples <i>S</i>", whole);
    this.slider(sliders, "coordinates", "coordinates <i>L</i>", whole);
    this.slider(sliders, "mu", "mean <i>μ</i>");
    this.slider(sliders, "sigma", "width <i>σ</i>");
    this.slider(sliders, "zoom", "magnify axis", (value) => `× ${whole(value)}`);
    const row = add(this.body, `<div class="row"></div>`);
    this.button(row, "Drop 100 more", () => this.#rain());
    this.button(row, "Reset", () => this.touch({ drops: 0, seed: (this.state.seed + 1) % 1e6 }));
    this.list = add(this.body, "<dl></dl>");
  }

  #rain() {
    const goal = Math.min(this.fields.drops.max, this.state.drops + 100);
    this.play(() => {
      this.state = { drops: Math.min(goal, this.state.drops + 1) };
      return this.state.drops < goal;
    });
  }

  // The noise of one drop: S samples of L coordinates, sample after sample.
  #noise({ samples, coordinates, seed }, drop) {
    return normals(1000 * seed + drop, samples * coordinates);
  }

  // With A the sum of a sample's noise and B that of its squares, f(z) is L mu^2 + 2 mu sigma A + sigma^2 B.
  // So of all its noise a drop keeps the averages of eps_1, A eps_1 and B eps_1, good for any mu and sigma.
  #gather(state) {
    const { samples, coordinates, drops, seed } = state;
    const key = [samples, coordinates, seed].join();
    if (this.key !== key) Object.assign(this, { key, gathered: [] });
    for (let drop = this.gathered.length; drop < drops; drop++) {
      const eps = this.#noise(state, drop);
      const means = [0, 0, 0];
      for (let start = 0; start < eps.length; start += coordinates) {
        let a = 0;
        let b = 0;
        for (let i = start; i < start + coordinates; i++) {
          a += eps[i];
          b += eps[i] ** 2;
        }
        means[0] += eps[start] / samples;
        means[1] += a * eps[start] / samples;
        means[2] += b * eps[start] / samples;
      }
      this.gathered.push(means);
    }
    return this.gathered.slice(0, drops);
  }

  compute(state) {
    const { mu, sigma, samples: S, coordinates: L } = state;
    const best = bestBaseline(mu, sigma, L);
    const b = state.baseline === "best" ? best : 0;
    const drops = this.#gather(state);
    // Both estimators see the same samples: the one f(z) and the score, the other the slope of f.
    this.score = drops.map(([eps, a, squares]) =>
      ((L * mu ** 2 - b) * eps + 2 * mu * sigma * a + sigma ** 2 * squares) / sigma);
    this.path = drops.map(([eps]) => 2 * (mu + sigma * eps));
    const [scoreMean, scoreSd] = spread(this.score);
    const [pathMean, pathSd] = spread(this.path);
    const variance = scoreVariance(mu, sigma, L) - (b ? best ** 2 / sigma ** 2 : 0);
    return {
      exact: 2 * mu,
      score_mean: scoreMean,
      score_sd: scoreSd,
      score_sd_exact: Math.sqrt(variance / S),
      path_mean: pathMean,
      path_sd: pathSd,
      path_sd_exact: Math.sqrt(pathVariance(sigma) / S),
      ratio: variance / pathVariance(sigma),
    };
  }

  say({ exact, score_sd, path_sd, score_sd_exact, path_sd_exact }) {
    const measured = (value) => value === null ? "none yet" : fixed(value);
    return `True derivative ${fixed(exact)}. Standard deviations: score function measured ${measured(score_sd)}, `
      + `formula ${fixed(score_sd_exact)}, pathwise measured ${measured(path_sd)}, `
      + `formula ${fixed(path_sd_exact)}`;
  }

  draw(state, values) {
    const name = state.baseline === "best" ? "score function with baseline" : "score function";
    const color = state.baseline === "best" ? "sigma" : "prior";
    this.#drawDensity(state);
    this.#drawLanes(state, values, name, color);
    const shown = (value) => value === null ? "–" : fixed(value);
    this.numbers(this.list, [
      [color, `score function: mean of ${state.drops}`, shown(values.score_mean)],
      ["z", `pathwise: mean of ${state.drops}`, shown(values.path_mean)],
      [color, "score: standard deviation, measured", shown(values.score_sd)],
      ["z", "pathwise: standard deviation, measured", shown(values.path_sd)],
      [color, "score: the same by the formula", fixed(values.score_sd_exact)],
      ["z", "pathwise: the same by the formula", fixed(values.path_sd_exact)],
      ["x", "true derivative, 2<i>μ</i>", fixed(values.exact)],
      [color, "score samples for one pathwise", fixed(values.ratio, values.ratio < 100 ? 1 : 0)],
    ]);
  }

  #drawDensity(state) {
    const { mu, sigma, drops, coordinates } = state;
    const { density } = this;
    const ys = RACE_X.map((x) => Math.exp(logNormal(x, mu, sigma)));
    const first = drops ? this.#noise(state, drops - 1).filter((_, i) => i % coordinates === 0) : [];
    const dots = Array.from(first, (eps) => `<circle cx="${density.toX(mu + sigma * eps)}" cy="${density.toY(0)}"
      r="4" fill="${this.color("x")}" fill-opacity="0.5"/>`);
    density.draw(density.area(RACE_X, ys, RACE_X.map(() => 0), this.color("mu"), 0.12)
      + density.line(RACE_X, ys, this.color("mu")) + dots.join(""));
  }

  #drawLanes({ mu, sigma, coordinates, zoom }, values, name, color) {
    const { lanes } = this;
    // As wide as one sample without baseline needs, so that what samples and baseline buy can be seen.
    const need = 3 * Math.sqrt(scoreVariance(mu, sigma, coordinates)) / zoom;
    const power = 10 ** Math.floor(Math.log10(need));
    const reach = power * [1, 1.5, 2, 3, 5, 7, 10].find((factor) => factor * power >= need);
    lanes.x = [values.exact - reach, values.exact + reach];
    const title = (at, words) => lanes.text(lanes.x[0], at + 0.9, words,
      `class="strong" ${HALO}`);
    lanes.draw(
      this.#lane(1, color, this.score, values.exact, values.score_mean, values.score_sd, values.score_sd_exact)
      + this.#lane(0, "z", this.path, values.exact, values.path_mean, values.path_sd, values.path_sd_exact)
      + lanes.line([values.exact, values.exact], [0, 2], this.color("x"), `stroke-dasharray="6 4"`)
      + title(1, name) + title(0, "pathwise"));
  }

  // Estimates piled up over their axis; under it the measured spread, as a bar, over the formula's, as a band.
  #lane(at, color, estimates, exact, mean, sd, exactSd) {
    const { lanes } = this;
    const { left, right } = lanes.frame;
    const floor = lanes.toY(at + 0.14);
    const ceiling = lanes.toY(at + 0.85);
    const piles = new Map();
    let [below, above] = [0, 0];
    const placed = [];
    estimates.forEach((estimate, i) => {
      const x = lanes.toX(estimate);
      if (x < left) below += 1;
      else if (x > right) above += 1;
      else {
        const column = Math.round((x - lanes.toX(exact)) / GRAIN);
        const rank = piles.get(column) ?? 0;
        piles.set(column, rank + 1);
        placed.push([lanes.toX(exact) + GRAIN * column, rank, i]);
      }
    });
    const lift = Math.min(GRAIN, (floor - ceiling) / Math.max(1, ...piles.values()));
    // While it rains, the latest are still in the air.
    const airborne = this.playing ? 24 : 0;
    const dots = placed.map(([x, rank, i]) => {
      const height = Math.max(0, 1 - (estimates.length - 1 - i) / airborne || 0);
      const rest = floor - GRAIN / 2 - 1 - lift * rank;
      return `M${x.toFixed(1)} ${(rest + height * (ceiling - rest)).toFixed(1)}h0`;
    });
    const ink = this.color(color);
    const low = lanes.y[0] + at;
    const clip = (value) => Math.min(lanes.x[1], Math.max(lanes.x[0], value));
    const bar = sd === null ? "" : lanes.line([clip(mean - sd), clip(mean + sd)], [low + 0.07, low + 0.07], ink,
      `style="stroke-width: 4"`);
    return `<path class="axis" d="M${left} ${floor}H${right}"/>
      <rect x="${lanes.toX(clip(exact - exactSd))}" y="${floor + 2}"
        width="${lanes.toX(clip(exact + exactSd)) - lanes.toX(clip(exact - exactSd))}"
        height="${lanes.toY(low) - floor - 3}" fill="${ink}" fill-opacity="0.25"/>${bar}
      <path d="${dots.join("")}" stroke="${ink}" stroke-width="${GRAIN - 0.5}" stroke-linecap="round"/>
      ${below ? `<text x="${left}" y="${lanes.toY(at + 0.5)}" ${HALO}>← ${below}</text>` : ""}
      ${above ? `<text x="${right}" y="${lanes.toY(at + 0.5)}" text-anchor="end" ${HALO}>${above} →</text>` : ""}`;
  }
}

define("live-gradient-race", GradientRace);
