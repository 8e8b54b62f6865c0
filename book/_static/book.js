// What the theme's markup leaves out for readers who use a keyboard or a screen reader.
(function () {
  "use strict";

  function nameTheSidebar() {
    // The logo sits outside every landmark otherwise.
    const sidebar = document.querySelector(".bd-sidebar-primary");
    if (sidebar) {
      sidebar.setAttribute("role", "region");
      sidebar.setAttribute("aria-label", "Book navigation");
    }
  }

  const WIDE_BOXES = {
    ".bd-article mjx-container[display]": "Wide equation, scrolls sideways",
    ".bd-article .pst-scrollable-table-container": "Wide table, scrolls sideways",
  };

  function reachWideBoxes() {
    // Only a box that has focus scrolls by the arrow keys; one that fits needs no tab stop.
    for (const [boxes, label] of Object.entries(WIDE_BOXES)) {
      for (const box of document.querySelectorAll(boxes)) {
        if (box.scrollWidth > box.clientWidth) {
          box.tabIndex = 0;
          box.setAttribute("role", "group");
          box.setAttribute("aria-label", label);
        } else {
          box.removeAttribute("tabindex");
          box.removeAttribute("role");
          box.removeAttribute("aria-label");
        }
      }
    }
  }

  function start() {
    nameTheSidebar();
    // A page without mathematics has tables all the same.
    const typeset = window.MathJax?.startup?.promise ?? Promise.resolve();
    typeset.then(() => {
      reachWideBoxes();
      window.addEventListener("resize", reachWideBoxes);
    });
  }

  // Later than the deferred MathJax script, whichever of the two the page lists first.
  window.addEventListener("load", start);
})();
