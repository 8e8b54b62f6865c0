// A training run, recorded epoch by epoch: codes, pictures and curves of one moment.

const EPOCHS_PER_FRAME = 1 / 40;              // of the animation

class TrainingReplay extends LiveFigure {
  get fields() {
    return { epoch: { min: 0, max: this.config.terms.elbo.length - 1, step: 1 } };
  }

  static style = `
    .map { display: grid; gap: 0.5rem 1.5rem; grid-template-columns: 1fr 1fr; }
    .side { align-content: start; display: grid; gap: 0.5rem; }
    .side .slider { grid-template-columns: auto 1fr 2rem; }
    .legend { margin: 0.4rem 0 0; }
    @container (max-width: 34rem) { .map { grid-template-columns: 1fr; } }
  `;

  build() {
    const { codes, labels, originals, reconstructions, samples, terms, n_images: count,
      class_colors: classColors, reach } = this.config;
    const last = this.fields.epoch.max;
    this.codes = float16(codes);
    this.pictures = { reconstructions: unpackImages(reconstructions), samples: unpackImages(samples) };
    const map = add(this.body, `<div class="map"></div>`);
    this.plane = new Plane(this, add(map, "<div></div>"), { label: "Latent plane with the codes of held-out digits",
      codes: this.#codesAt(0), labels, classColors, reach });
    const side = add(map, `<div class="side"></div>`);
    new Tiles(side, "Held-out digits", count).show(unpackImages(originals), "Held-out digits");
    this.tiles = { reconstructions: new Tiles(side, "Drawn again, from the mean of <i>q</i>", count),
      samples: new Tiles(side, "Drawn from <i>z</i> of the prior, the same in every epoch", count) };
    const row = add(side, `<div class="row"></div>`);
    this.playButton = this.button(row, "Play", () => this.#toggle());
    this.slider(side, "epoch", "epoch", (value) => String(Math.round(value)));
    const curves = add(this.body, `<div class="map"></div>`);
    const plot = (entries, names, label, first) => {
      const box = add(curves, "<div></div>");
      this.legend(box, entries);
      const values = names.flatMap((name) => terms[name].slice(first));
      const margin = 0.08 * (Math.max(...values) - Math.min(...values)) + 0.1;
      const curve = new Plot(this, box, { label, height: 190, x: [0, last], xLabel: "epoch, nats per digit",
        y: [Math.min(...values) - margin, Math.max(...values) + margin] });
      curve.handle({
        name: `Epoch, on the curve of the ${label}`,
        color: entries[0][0],
        place: ({ epoch }) => [epoch, Math.max(curve.y[0], this.#between(terms[names[0]], epoch))],
        move: (x) => ({ epoch: x }),
        nudge: (right, up) => ({ epoch: Math.round(this.state.epoch) + right + up }),
        describe: ({ epoch }) => `epoch ${Math.round(epoch)}`,
      });
      return { curve, names };
    };
    // The ELBO of the untrained network is so low that the rest would look flat: it leaves the frame.
    this.plots = [
      plot([["encoder", "ELBO"], ["decoder", "log <i>p</i>(<i>x</i> | <i>z</i>)"]], ["elbo", "log_p_x_given_z"], "ELBO", 1),
      plot([["prior", "KL(<i>q</i> ‖ prior)"]], ["kl"], "KL divergence", 0),
    ];
    this.list = add(this.body, "<dl></dl>");
    this.termColors = { elbo: "encoder", log_p_x_given_z: "decoder", kl: "prior" };
  }

  // Between two recorded epochs dots and knobs glide. Pictures and numbers are those of the nearer one.
  #between(values, epoch) {
    const before = Math.min(Math.floor(epoch), values.length - 2);
    return values[before] + (epoch - before) * (values[before + 1] - values[before]);
  }

  #codesAt(epoch) {
    const size = 2 * this.config.labels.length;
    const before = Math.min(Math.floor(epoch), this.codes.length / size - 2);
    return Float32Array.from({ length: size }, (_, i) => {
      const [start, end] = [this.codes[before * size + i], this.codes[(before + 1) * size + i]];
      return start + (epoch - before) * (end - start);
    });
  }

  #toggle() {
    if (this.playing) {
      this.stop();
      return;
    }
    const { max } = this.fields.epoch;
    if (this.state.epoch === max) this.state = { epoch: 0 };
    const pace = matchMedia("(prefers-reduced-motion: reduce)").matches ? 1 : EPOCHS_PER_FRAME;
    this.play(() => {
      this.state = { epoch: this.state.epoch + pace };
      const more = this.state.epoch < max;
      this.playButton.textContent = more ? "Pause" : "Play";
      return more;
    });
  }

  stop() {
    super.stop();
    this.playButton.textContent = "Play";
  }

  compute({ epoch }) {
    const nearest = Math.round(epoch);
    this.plane.place(this.#codesAt(epoch));
    const { codes } = this.plane;
    const radii = this.config.labels.map((_, i) => Math.hypot(codes[2 * i], codes[2 * i + 1]));
    const terms = Object.entries(this.config.terms).map(([name, values]) => [name, values[nearest]]);
    return { epoch: nearest, ...Object.fromEntries(terms), spread: sum(radii) / radii.length };
  }

  say({ epoch, elbo, kl }) {
    return `Epoch ${epoch}: ELBO ${fixed(elbo, 1)} nats, of which KL ${fixed(kl, 1)}`;
  }

  // The pictures of one epoch, out of those of all.
  shown(name, epoch) {
    const size = this.pictures[name].length / (this.fields.epoch.max + 1);
    return this.pictures[name].subarray(epoch * size, (epoch + 1) * size);
  }

  draw({ epoch }, values) {
    this.plane.draw("");
    const words = { reconstructions: "Reconstructions", samples: "Samples" };
    for (const [name, tiles] of Object.entries(this.tiles)) {
      tiles.show(this.shown(name, values.epoch), `${words[name]} at epoch ${values.epoch}`);
    }
    for (const { curve, names } of this.plots) {
      const { terms } = this.config;
      const lines = names.map((name) =>
        curve.line(terms[name].keys(), terms[name], this.color(this.termColors[name])));
      curve.draw(`<path class="axis" d="M${curve.toX(epoch)} ${curve.frame.top}V${curve.frame.bottom}"/>`
        + curve.inside(lines.reverse().join("")));
    }
    this.numbers(this.list, [
      ["decoder", "log <i>p</i>(<i>x</i> | <i>z</i>)", `${fixed(values.log_p_x_given_z, 1)} nats`],
      ["prior", "− KL(<i>q</i> ‖ prior)", `${fixed(-values.kl, 1)} nats`],
      ["encoder", "= ELBO", `${fixed(values.elbo, 1)} nats`],
      ["", "codes, mean distance from 0", fixed(values.spread)],
    ]);
  }
}

define("live-replay", TrainingReplay);
