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

  function reachWideEquations() {
    // Only a box that has focus scrolls by the arrow keys; one that fits needs no tab stop.
    for (const box of document.querySelectorAll(".bd-article mjx-container[display]")) {
      if (box.scrollWidth > box.clientWidth) {
        box.tabIndex = 0;
        box.setAttribute("role", "group");
        box.setAttribute("aria-label", "Wide equation, scrolls sideways");
      } else {
        box.removeAttribute("tabindex");
        box.removeAttribute("role");
        box.removeAttribute("aria-label");
      }
    }
  }

  function start() {
    nameTheSidebar();
    if (window.MathJax && window.MathJax.startup) {
      window.MathJax.startup.promise.then(() => {
        reachWideEquations();
        window.addEventListener("resize", reachWideEquations);
      });
    }
  }

  // Later than the deferred MathJax script, whichever of the two the page lists first.
  window.addEventListener("load", start);
})();
