// A two-dimensional latent space under the reader's finger, and what the decoder draws there.

const STRIP = 9;

class LatentExplorer extends LiveFigure {
  get fields() {
    const { reach } = this.config;
    const axis = { min: -reach, max: reach, step: 0.05 };
    return { mode: { among: ["point", "path"] }, z1: axis, z2: axis, a1: axis, a2: axis, b1: axis, b2: axis,
      t: { min: 0, max: 1, step: 0.01 } };
  }

  static style = `
    .map { display: grid; gap: 0.5rem 1rem; grid-template-columns: 1fr 11rem; }
    .side { align-content: start; display: grid; gap: 0.5rem; }
    .strip { display: grid; gap: 3px; grid-template-columns: repeat(${STRIP}, 1fr); margin-block: 0.4rem; }
    @container (max-width: 34rem) {
      .map { grid-template-columns: 1fr; }
      .side { gap: 1rem; grid-template-columns: 1fr 1fr; }
    }
  `;

  build() {
    const { decoder, codes, labels, images, class_colors: classColors, reach } = this.config;
    this.decode = network(decoder);
    this.images = unpackImages(images);
    this.choice(add(this.body, `<div class="row"></div>`), "mode", "What to explore", ["A point", "A path"]);
    const map = add(this.body, `<div class="map"></div>`);
    this.plane = new Plane(this, add(map, "<div></div>"),
      { label: "Latent plane with the codes of the data", codes: float16(codes), labels, classColors, reach });
    this.#handles();
    const side = add(map, `<div class="side"></div>`);
    const picture = (name) => add(side, `<div><p class="title">${name}</p>
      <canvas class="picture" role="img"></canvas></div>`);
    this.drawn = picture("Decoded here");
    this.original = picture("Nearest example");
    this.strip = add(this.body, `<div class="strip" aria-hidden="true">${"<canvas class=picture></canvas>"
      .repeat(STRIP)}</div>`);
    const sliders = add(this.body, `<div class="sliders"></div>`);
    this.pointSliders = ["z1", "z2"].map((key) =>
      this.slider(sliders, key, `<i>z</i><sub>${key[1]}</sub>`));
    this.pathSlider = this.slider(sliders, "t", "place on the path");
    this.playButton = this.button(add(this.body, `<div class="row"></div>`), "Play the path", () => this.#travel());
    this.list = add(this.body, "<dl></dl>");
  }

  #handles() {
    const step = this.config.reach / 80;
    const inPath = (state) => state.mode === "path";
    const end = (name, letter) => this.plane.handle({
      name,
      color: "x",
      shown: inPath,
      place: (state) => [state[`${letter}1`], state[`${letter}2`]],
      move: (x, y) => ({ [`${letter}1`]: x, [`${letter}2`]: y }),
      nudge: (right, up) => ({ [`${letter}1`]: this.state[`${letter}1`] + step * right,
        [`${letter}2`]: this.state[`${letter}2`] + step * up }),
      describe: (state) => `${fixed(state[`${letter}1`])}, ${fixed(state[`${letter}2`])}`,
    });
    end("Start of the path", "a");
    end("End of the path", "b");
    this.plane.handle({
      name: "Decoded point",
      color: "z",
      place: (state) => this.#point(state),
      move: (x, y) => this.#goTo(x, y),
      nudge: (right, up) => inPath(this.state) ? { t: this.state.t + 0.02 * (right + up) }
        : { z1: this.state.z1 + step * right, z2: this.state.z2 + step * up },
      describe: (state) => this.#point(state).map((value) => fixed(value)).join(", "),
    });
    this.plane.grab((x, y) => this.#goTo(x, y));
    // A mouse that rests on a dot sees the example it stands for.
    this.plane.svg.addEventListener("pointermove", (event) => {
      const { index, distance } = this.plane.nearest(...this.plane.fromPixels(event.clientX, event.clientY));
      this.#showExample(distance < 2 * step && !event.buttons ? index : this.nearestIndex);
    });
    this.plane.svg.addEventListener("pointerleave", () => this.#showExample(this.nearestIndex));
  }

  // Where the decoder looks: the point itself, or a place on the way from a to b.
  #point({ mode, z1, z2, a1, a2, b1, b2, t }) {
    return mode === "point" ? [z1, z2] : [a1 + t * (b1 - a1), a2 + t * (b2 - a2)];
  }

  #goTo(x, y) {
    const { mode, a1, a2, b1, b2 } = this.state;
    if (mode === "point") return { z1: x, z2: y };
    const [across, up] = [b1 - a1, b2 - a2];
    return { t: ((x - a1) * across + (y - a2) * up) / (across ** 2 + up ** 2) };
  }

  #travel() {
    this.state = { t: 0 };
    this.play(() => {
      this.state = { t: this.state.t + 1 / 180 };
      return this.state.t < 1;
    });
  }

  #showExample(index) {
    this.original.querySelector(".title").textContent = `Nearest example: ${this.config.labels[index]}`;
    const canvas = this.original.querySelector("canvas");
    const size = this.images.length / this.config.labels.length;
    paint(canvas, this.images.subarray(index * size, (index + 1) * size));
    canvas.setAttribute("aria-label", `Original picture of a ${this.config.labels[index]}`);
  }

  compute(state) {
    const [z1, z2] = this.#point(state);
    this.pixels = this.decode([z1, z2]).map(sigmoid);
    const { index, distance } = this.plane.nearest(z1, z2);
    this.nearestIndex = index;
    return { z1, z2, ink: sum(this.pixels), nearest: this.config.labels[index], distance };
  }

  say({ z1, z2, nearest, distance }) {
    return `z is ${fixed(z1)}, ${fixed(z2)}. Nearest example: a ${nearest}, ${fixed(distance)} away`;
  }

  draw(state, values) {
    const path = state.mode === "path";
    const { plane } = this;
    plane.draw(path ? plane.line([state.a1, state.b1], [state.a2, state.b2], this.color("x"))
      + plane.text(state.a1, state.a2, "a", `class="digit" dx="14"`)
      + plane.text(state.b1, state.b2, "b", `class="digit" dx="14"`) : "");
    const canvas = this.drawn.querySelector("canvas");
    paint(canvas, this.pixels);
    canvas.setAttribute("aria-label", `Digit decoded at ${fixed(values.z1)}, ${fixed(values.z2)}`);
    this.#showExample(this.nearestIndex);
    for (const part of [this.strip, this.pathSlider, this.playButton]) part.hidden = !path;
    for (const part of this.pointSliders) part.hidden = path;
    if (path) {
      [...this.strip.children].forEach((tile, i) =>
        paint(tile, this.decode(this.#point({ ...state, t: i / (STRIP - 1) })).map(sigmoid)));
    }
    this.numbers(this.list, [
      ["z", "<i>z</i>", `(${fixed(values.z1)}, ${fixed(values.z2)})`],
      ["", `distance to the nearest code, of a ${values.nearest}`, fixed(values.distance)],
    ]);
  }
}

define("live-latent", LatentExplorer);
