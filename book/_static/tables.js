// A table that is wider than its column is set tighter. If that does not suffice it says so, and can be scrolled by keys:
// it is in the order of focus, with a name.
(function () {
  "use strict";

  function boxes() {
    const found = new Set();
    for (const table of document.querySelectorAll(".bd-article table")) {
      const box = table.closest(".pst-scrollable-table-container, .text_html, .pg-table");
      if (box) found.add(box);
    }
    return found;
  }

  function fit(box) {
    if (box.scrollWidth - box.clientWidth > 2) box.querySelector("table").classList.add("tight");
    mark(box);
  }

  function mark(box) {
    const more = box.scrollWidth - box.clientWidth;
    box.classList.toggle("scrolls-sideways", more - box.scrollLeft > 2);
    if (more > 2 && !box.hasAttribute("tabindex")) {
      box.tabIndex = 0;
      box.setAttribute("role", "region");
      box.setAttribute("aria-label", `Table: ${box.querySelector("th")?.textContent.trim() || "results"}`);
    }
  }

  function begin() {
    for (const box of boxes()) {
      fit(box);
      box.addEventListener("scroll", () => mark(box), { passive: true });
      new ResizeObserver(() => fit(box)).observe(box);
    }
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
