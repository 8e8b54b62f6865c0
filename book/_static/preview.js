// Rest on a link to an equation, a figure, a term or a source, or reach it with the Tab key, and see what it
// leads to. Escape closes it, and the pointer may go into it. A tap follows the link, as ever.
// A click on the # of an equation or a heading also copies its address.
(function () {
  "use strict";

  const OPEN_AFTER = 350, CLOSE_AFTER = 250, GAP = 8;
  const root = new URL(document.documentElement.dataset.content_root || "./", location.href);
  let box, shown, timer, data;

  function load() {
    data ??= new Promise((done) => {
      const script = document.createElement("script");
      script.src = new URL("_static/previews.js", root);
      script.onload = script.onerror = () => done(window.bookPreviews || {});
      document.head.append(script);
    });
    return data;
  }

  function keyOf(link) {
    const address = new URL(link.href);
    if (!address.hash || !address.href.startsWith(root.href)) return null;
    return decodeURIComponent(address.pathname.slice(root.pathname.length) + address.hash);
  }

  function previewLink(target) {
    const link = target instanceof Element ? target.closest(".bd-article a[href*='#']") : null;
    return link && !link.matches(".headerlink") && !box?.contains(link) ? link : null;
  }

  function place(link) {
    // Beside the line that was pointed at: a link may run over two.
    const line = link.getClientRects()[0], frame = box.offsetParent.getBoundingClientRect();
    const room = document.documentElement.clientWidth - GAP;
    const left = Math.max(GAP, Math.min(line.left, room - box.offsetWidth));
    const below = line.bottom + GAP + box.offsetHeight <= window.innerHeight || line.top < box.offsetHeight + GAP;
    const top = below ? link.getClientRects()[link.getClientRects().length - 1].bottom + GAP
      : line.top - box.offsetHeight - GAP;
    box.style.left = `${left - frame.left}px`;
    box.style.top = `${top - frame.top}px`;
  }

  function shrinkWideFormulas() {
    for (const formula of box.querySelectorAll("mjx-container")) {
      const ratio = formula.clientWidth / formula.scrollWidth;
      const size = parseFloat(formula.style.fontSize) || 100;
      if (ratio < 1) formula.style.fontSize = `${Math.max(55, Math.floor(size * ratio))}%`;
    }
  }

  async function open(link) {
    const html = (await load())[keyOf(link)];
    const asked = link.matches(":hover") || link === document.activeElement;
    if (!html || !asked || shown === link) return;
    close();
    box = document.createElement("div");
    box.className = "preview";
    box.id = "preview";
    box.role = "tooltip";
    box.innerHTML = html.replaceAll("{root}", root.href);
    if (box.querySelector(".math") && !window.MathJax?.typesetPromise) {
      box = undefined;
      return;
    }
    box.addEventListener("pointerenter", () => clearTimeout(timer));
    box.addEventListener("pointerleave", closeSoon);
    document.querySelector(".bd-article").append(box);
    shown = link;
    shown.setAttribute("aria-describedby", box.id);
    const mine = box;
    await window.MathJax?.typesetPromise?.([mine]);
    if (mine !== box) return;
    shrinkWideFormulas();
    place(link);
    box.classList.add("ready");
  }

  function close() {
    clearTimeout(timer);
    shown?.removeAttribute("aria-describedby");
    box?.remove();
    box = shown = undefined;
  }

  function closeSoon() {
    clearTimeout(timer);
    timer = setTimeout(() => {
      // A link that has the focus keeps its preview.
      if (shown !== document.activeElement || !shown.matches(":focus-visible")) close();
    }, CLOSE_AFTER);
  }

  document.addEventListener("pointerover", (event) => {
    const link = event.pointerType === "mouse" && previewLink(event.target);
    if (!link) return;
    clearTimeout(timer);
    if (link !== shown) timer = setTimeout(() => open(link), OPEN_AFTER);
    load();
  });
  document.addEventListener("pointerout", (event) => {
    if (previewLink(event.target)) closeSoon();
  });
  document.addEventListener("focusin", (event) => {
    const link = previewLink(event.target);
    if (link?.matches(":focus-visible")) open(link);
    else close();
  });
  document.addEventListener("focusout", close);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
  });
  document.addEventListener("click", (event) => {
    close();
    const permalink = event.target instanceof Element ? event.target.closest("a.headerlink") : null;
    if (permalink) navigator.clipboard?.writeText(permalink.href).then(() => tell("Address copied"), () => {});
  });

  function tell(words) {
    const note = document.querySelector(".copied") ?? document.createElement("div");
    note.className = "copied";
    note.role = "status";
    document.querySelector(".bd-article").append(note);
    // A screen reader speaks what changes in a region that is there already.
    requestAnimationFrame(() => { note.textContent = words; });
    setTimeout(() => note.remove(), 2000);
  }
})();
