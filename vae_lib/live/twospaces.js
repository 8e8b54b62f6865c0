// The same point of two latent spaces, decoded by an autoencoder and by a VAE.

class TwoSpaces extends LiveFigure {
  get fields() {
    const { reach } = this.config;
    const axis = { min: -reach, max: reach, step: 0.05 };
    return { z1: axis, z2: axis, view: { min: 3, max: reach, step: 0.5 } };
  }

  static style = `
    .spaces { display: grid; gap: 0.5rem 1.5rem; grid-template-columns: 1fr 1fr; }
    .space { display: grid; gap: 0.5rem; }
    .space .title { grid-column: 1 / -1; }
    .space canvas.picture { justify-self: center; max-width: 11rem; }
    @container (max-width: 34rem) {
      .spaces { grid-template-columns: 1fr; }
      .space { align-items: center; grid-template-columns: 2.2fr 1fr; }
    }
  `;

  build() {
    const { spaces, labels, class_colors: classColors, reach } = this.config;
    const box = add(this.body, `<div class="spaces"></div>`);
    this.spaces = Object.entries(spaces).map(([name, { decoder, codes }]) => {
      const space = add(box, `<div class="space"><p class="title">${name}</p></div>`);
      const plane = new Plane(this, add(space, "<div></div>"),
        { label: `Latent plane: ${name}`, codes: float16(codes), labels, classColors, reach });
      plane.handle({
        name: `Decoded point, ${name}`,
        color: "z",
        // Outside the window the knob waits at its edge.
        place: ({ z1, z2, view }) => [z1, z2].map((z) => Math.min(view, Math.max(-view, z))),
        move: (x, y) => ({ z1: x, z2: y }),
        nudge: (right, up) => ({ z1: this.state.z1 + this.state.view / 60 * right,
          z2: this.state.z2 + this.state.view / 60 * up }),
        describe: ({ z1, z2 }) => `${fixed(z1)}, ${fixed(z2)}`,
      });
      plane.grab((x, y) => ({ z1: x, z2: y }));
      const picture = add(space, `<canvas class="picture" role="img"></canvas>`);
      return { name, plane, picture, decode: network(decoder) };
    });
    const sliders = add(this.body, `<div class="sliders"></div>`);
    for (const key of ["z1", "z2"]) this.slider(sliders, key, `<i>z</i><sub>${key[1]}</sub>`);
    this.slider(sliders, "view", "reach of maps", (value) => `± ${fixed(value, 1)}`);
    let seed = 0;
    this.button(add(this.body, `<div class="row"></div>`), "Random z from N(0, I)", () => {
      seed += 1;
      const [z1, z2] = normals(seed, 2);
      this.touch({ z1, z2 });
    });
    this.list = add(this.body, "<dl></dl>");
  }

  compute({ z1, z2 }) {
    const values = {};
    for (const { name, plane, decode } of this.spaces) {
      const key = name.toLowerCase();
      this[key] = decode([z1, z2]).map(sigmoid);
      values[`${key}_ink`] = sum(this[key]);
      values[`${key}_distance`] = plane.nearest(z1, z2).distance;
    }
    return values;
  }

  say(values) {
    return this.spaces.map(({ name }) =>
      `${name}: nearest code ${fixed(values[`${name.toLowerCase()}_distance`])} away`).join(". ");
  }

  draw({ z1, z2, view }, values) {
    for (const { name, plane, picture } of this.spaces) {
      plane.x = plane.y = [-view, view];
      plane.draw("");
      paint(picture, this[name.toLowerCase()]);
      picture.setAttribute("aria-label", `${name}, decoded at ${fixed(z1)}, ${fixed(z2)}`);
    }
    this.numbers(this.list, this.spaces.map(({ name }) => [name.toLowerCase(),
      `${name}, distance to the nearest code`, fixed(values[`${name.toLowerCase()}_distance`])]));
  }
}

define("live-two-spaces", TwoSpaces);
