// On paper every page is light. What is wider than the page can be scrolled sideways by keyboard too: it takes the focus as long as it is wider.
(function () {
"use strict";
function reachable() {
  document.querySelectorAll(".figure-scroll, .layers, .live-matrix, .cell_output .text_html").forEach(function (box) {
    var wide = box.scrollWidth > box.clientWidth + 1;
    if (!wide) { box.removeAttribute("tabindex"); return; }
    box.tabIndex = 0;
    if (!box.hasAttribute("role")) {
      box.setAttribute("role", "group");
      box.setAttribute("aria-label", "Wider than the page; scrolls sideways");
    }
  });
}

var before = null, root = document.documentElement;
function onPaper(printing) {
  if (printing && before === null) {
    before = root.dataset.theme || "";
    root.dataset.theme = "light";
  } else if (!printing && before !== null) {
    root.dataset.theme = before;
    before = null;
  }
}
window.matchMedia("print").addEventListener("change", function (query) { onPaper(query.matches); });
window.addEventListener("beforeprint", function () { onPaper(true); });
window.addEventListener("afterprint", function () { onPaper(false); });
window.addEventListener("load", reachable);
window.addEventListener("resize", reachable);
})();
