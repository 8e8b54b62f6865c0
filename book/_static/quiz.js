// Turns the questions at the end of a chapter into choices that answer back. Without this script
// the same words stand on the page: a list of choices, and the replies in a dropdown below it.
(function () {
  "use strict";

  const STEPS = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 };

  function element(tag, attributes, children = []) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  // Nodes are moved and never copied: MathJax may hold on to the formulas in them.
  function nodesBetween(start, end) {
    const nodes = [];
    for (let node = start.nextSibling; node !== end; node = node.nextSibling) nodes.push(node);
    return nodes;
  }

  function choice(item, name) {
    const text = element("span", { class: "quiz-text" }, item.querySelector(":scope > p").childNodes);
    const input = element("input", { type: "radio", name, autocomplete: "off" });
    // A formula is no name to a screen reader before it is typeset, and not to every one after.
    const words = [...text.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
    if (!words.some((node) => /\w/.test(node.data))) {
      input.setAttribute("aria-label", `Formula ${[...item.parentNode.children].indexOf(item) + 1}`);
    }
    return element("label", { class: "quiz-choice" }, [input, text]);
  }

  // By itself an arrow key would choose, and so answer, on the way to the next choice. Here it
  // moves the focus alone; the space bar, Enter or a click answers.
  function walk(event, inputs) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Enter") event.target.click();
    if (!(event.key in STEPS)) return;
    event.preventDefault();
    const next = inputs.indexOf(event.target) + STEPS[event.key];
    inputs.at(next % inputs.length).focus();
  }

  function upgrade(box, number, onFirstTry) {
    const title = box.querySelector(":scope > .admonition-title");
    const list = box.querySelector(":scope > ol");
    const dropdown = box.querySelector(":scope > details");
    const replies = dropdown.querySelector("ol");

    const name = `quiz-${number}`;
    title.id = `${name}-title`;
    const question = element("div", { id: `${name}-question` }, nodesBetween(title, list));
    const rows = [...list.children].map((item) => choice(item, name));
    const inputs = rows.map((row) => row.querySelector("input"));
    const group = { role: "radiogroup", "aria-labelledby": `${title.id} ${question.id}` };
    const fieldset = element("fieldset", group, rows);
    list.replaceWith(question, fieldset);
    // The region is on the page before it has something to say, or it would not be read out.
    dropdown.replaceWith(element("div", { class: "quiz-reply", role: "status" }, [replies]));
    for (const reply of replies.children) reply.hidden = true;

    let tried = false;
    fieldset.addEventListener("keydown", (event) => walk(event, inputs));
    fieldset.addEventListener("change", (event) => {
      const chosen = inputs.indexOf(event.target);
      [...replies.children].forEach((reply, i) => { reply.hidden = i !== chosen; });
      const right = replies.children[chosen].querySelector("strong").textContent === "Right.";
      mark(rows[chosen], replies.children[chosen], right);
      if (!tried) onFirstTry(right);
      tried = true;
    });
  }

  function mark(row, reply, right) {
    row.querySelector(".quiz-mark")?.remove();
    row.append(element("span", { class: "quiz-mark" }, [right ? "right" : "no"]));
    for (const marked of [row, reply]) marked.classList.add(right ? "quiz-right" : "quiz-wrong");
  }

  const boxes = [...document.querySelectorAll(".admonition.quiz")];
  if (boxes.length === 0) return;
  const progress = element("p", { class: "quiz-progress" });
  const firstTries = [];

  function report() {
    const right = firstTries.filter(Boolean).length;
    const answered = `${firstTries.length} of ${boxes.length} questions answered`;
    progress.textContent = answered + (firstTries.length ? `, ${right} right at the first try.` : ".");
  }

  boxes.forEach((box, i) => upgrade(box, i + 1, (right) => {
    firstTries.push(right);
    report();
  }));
  boxes.at(-1).after(progress);
  report();
})();
