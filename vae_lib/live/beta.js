// Models trained with different weights beta of the KL: where they lie in the plane of rate and
// distortion, and what they draw.

class BetaDial extends LiveFigure {
  get fields() {
    return { entry: { min: 0, max: this.config.betas.length - 1, step: 1 } };
  }

  static style = `
    .map { display: grid; gap: 0.5rem 1.5rem; grid-template-columns: 1.2fr 1fr; }
    .side { align-content: start; display: grid; gap: 0.5rem; }
    .side .slider { grid-template-columns: auto 1fr 2rem; }
    .legend { margin: 0.4rem 0 0; }
    .note { color: var(--quiet); }
    @container (max-width: 34rem) { .map { grid-template-columns: 1fr; } }
  `;

  build() {
    const { rates, distortions, originals, reconstructions, samples, n_images: count } = this.config;
    this.pictures = { reconstructions: unpackImages(reconstructions), samples: unpackImages(samples) };
    const map = add(this.body, `<div class="map"></div>`);
    const left = add(map, "<div></div>");
    this.legend(left, [["vae", "distortion against rate, in nats"], ["x", "equal <i>D</i> + β<i>R</i>, dashed"]]);
    const [low, high] = [Math.min(...distortions), Math.max(...distortions)];
    this.plot = new Plot(this, left, { label: "Distortion against rate", height: 300, left: 48,
      x: [0, 1.12 * Math.max(...rates)], y: [low - 0.15 * (high - low), high + 0.12 * (high - low)],
      xLabel: "rate R = KL(q ‖ prior)" });
    const entry = () => Math.round(this.state.entry);
    this.plot.handle({
      name: "Chosen model, on the curve of rate and distortion",
      color: "vae",
      place: ({ entry: chosen }) => [rates[Math.round(chosen)], distortions[Math.round(chosen)]],
      move: (x, y) => ({ entry: this.#nearest(x, y) }),
      // Along the curve: a smaller beta lies to the right, a larger one above.
      nudge: (right, up) => ({ entry: entry() - right + up }),
      describe: () => `beta ${this.#beta(entry())}, rate ${fixed(rates[entry()], 1)}, distortion ${
        fixed(distortions[entry()], 1)} nats`,
    });
    this.plot.svg.addEventListener("click", (event) => {
      if (event.target.closest(".handle")) return;
      this.touch({ entry: this.#nearest(...this.plot.fromPixels(event.clientX, event.clientY)) });
    });
    const side = add(map, `<div class="side"></div>`);
    new Tiles(side, "Held-out digits", count).show(unpackImages(originals), "Held-out digits");
    this.tiles = { reconstructions: new Tiles(side, "Drawn again, from the mean of <i>q</i>", count),
      samples: new Tiles(side, "Drawn from <i>z</i> of the prior, the same for every β", count) };
    this.slider(side, "entry", "dial β", (value) => this.#beta(Math.round(value)));
    add(this.body, `<p class="note">All points of the dashed line have the same loss <i>D</i> + β<i>R</i>, so its slope
      is −β; training pushes the line down until it only just touches what these networks can reach.</p>`);
    this.list = add(this.body, "<dl></dl>");
  }

  #beta(entry) {
    return String(this.config.betas[entry]);
  }

  // The model whose point is nearest on the screen.
  #nearest(x, y) {
    const { rates, distortions } = this.config;
    const { plot } = this;
    const distances = rates.map((rate, i) => Math.hypot(plot.toX(rate) - plot.toX(x),
      plot.toY(distortions[i]) - plot.toY(y)));
    return distances.indexOf(Math.min(...distances));
  }

  compute({ entry }) {
    const { betas, rates, distortions } = this.config;
    const [beta, rate, distortion] = [betas, rates, distortions].map((values) => values[Math.round(entry)]);
    return { beta, rate, distortion, loss: distortion + beta * rate, elbo: -distortion - rate };
  }

  say({ beta, rate, distortion }) {
    return `Beta ${beta}: rate ${fixed(rate, 1)}, distortion ${fixed(distortion, 1)} nats`;
  }

  // The pictures of one model, out of those of all.
  shown(name, entry) {
    const size = this.pictures[name].length / this.config.betas.length;
    return this.pictures[name].subarray(entry * size, (entry + 1) * size);
  }

  draw({ entry }, { beta, rate, distortion, loss, elbo }) {
    const { betas, rates, distortions } = this.config;
    const { plot } = this;
    const names = { reconstructions: "Reconstructions", samples: "Samples" };
    for (const [name, tiles] of Object.entries(this.tiles)) {
      tiles.show(this.shown(name, Math.round(entry)), `${names[name]} of the model with beta ${beta}`);
    }
    const color = this.color("vae");
    const dots = rates.map((x, i) => `<circle cx="${plot.toX(x)}" cy="${plot.toY(distortions[i])}" r="4.5"
      fill="${color}"/>` + plot.text(x, distortions[i], betas[i],
      `dx="9" dy="-8" ${betas[i] === beta ? `class="strong"` : ""}`));
    const tangent = plot.line(plot.x, plot.x.map((x) => distortion - beta * (x - rate)), this.color("x"),
      `stroke-dasharray="6 4"`);
    plot.draw(plot.inside(tangent) + plot.line(rates, distortions, color) + dots.join(""));
    const nats = (value) => `${fixed(value, 1)} nats`;
    this.numbers(this.list, [
      ["decoder", "distortion <i>D</i>, −log <i>p</i>(<i>x</i> | <i>z</i>)", nats(distortion)],
      ["prior", "rate <i>R</i>, KL(<i>q</i> ‖ prior)", nats(rate)],
      ["encoder", "ELBO, −<i>D</i> − <i>R</i>", nats(elbo)],
      ["x", `loss, <i>D</i> + ${beta} <i>R</i>`, nats(loss)],
    ]);
  }
}

define("live-beta", BetaDial);
