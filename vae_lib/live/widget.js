// The way between a figure in Jupyter and its Python object.

function render({ model, el }) {
  el.innerHTML = model.get("html");
  const figure = el.lastElementChild;
  // The figure keeps to its limits, so what Python hears back may differ from what it said.
  const send = () => {
    model.set("state", figure.state);
    model.set("values", figure.values);
    model.save_changes();
  };
  const receive = () => { figure.state = model.get("state"); };
  figure.addEventListener("live-change", send);
  receive();
  model.on("change:state", receive);
  return () => model.off("change:state", receive);
}

export default { render };
