// "One window, there and back", in chapter 6: a kernel goes over a map of 3 × 3 forward, window by window, and then the
// derivatives come back the same way. The numbers are those of the chapter's cell; everything else is computed from them here.
(function (root) {
"use strict";

var live = root.LENET5_LIVE, el = live.el;

/**
 * All numbers of a map, a kernel or an output stand in one list, row by row.
 * @typedef {{x: number[], w: number[], b: number, g: number[]}} Example  Map, kernel, bias, derivatives at the output.
 * @typedef {{step: number, back: boolean, at: ?number, y: Values, g: Values, xw: Values, gx: Values, gw: Values,
 *            dx: Values, dw: Values, db: ?number}} Numbers  What is known after a step; `at` is the position of its window.
 * @typedef {Array<?number>} Values  null is a number that is not known yet.
 * @typedef {{place: Element, step: number, speaking: ?number, parts: Object<string, Element>}} Widget
 */

/** @type {Example} */
var EXAMPLE = { x: [1, 2, 0, 0, 1, 3, 2, 0, 1], w: [1, -1, 2, 0], b: 0, g: [1, 0, -1, 2] };

var MAP = 3, SIDE = 2, COUNT = 4;  // The sides of the map and of kernel and output; positions of the window, and weights.
var LAST = 2 * COUNT + 1;  // Steps: the positions forward, the derivatives that have come back, the positions back.
var PAUSE = 700;  // Milliseconds without a change before a step is spoken.
var KEYS = { ArrowLeft: -1, ArrowRight: 1, Home: -LAST, End: LAST };

// ------------------------------------------------------------------------------------------ the arithmetic

/** @type {function(number): number} The row of a position, or of a weight. */
function row(at) { return Math.floor(at / SIDE); }

/** @type {function(number): number} The column of a position, or of a weight. */
function column(at) { return at % SIDE; }

/** @type {function(number, number): number} The pixel that a weight meets at a position: row r + u, column c + v. */
function pixelAt(at, weight) {
  return (row(at) + row(weight)) * MAP + column(at) + column(weight);
}

/** @type {function(number): number[]} The pixels of the window at a position. */
function windowAt(at) {
  return EXAMPLE.w.map(function (_, n) { return pixelAt(at, n); });
}

/** @type {function(number): number[]} The four products whose sum, with the bias, is the output at a position. */
function productsAt(at) {
  return windowAt(at).map(function (pixel, n) { return EXAMPLE.x[pixel] * EXAMPLE.w[n]; });
}

/** @type {function(number): number} */
function outputAt(at) {
  return productsAt(at).reduce(function (sum, product) { return sum + product; }, EXAMPLE.b);
}

/** @type {function(Numbers, number): void} Add what the output at a position says to the three gradients. */
function goBack(found, at) {
  windowAt(at).forEach(function (pixel, n) {
    found.dw[n] += EXAMPLE.g[at] * EXAMPLE.x[pixel];
    found.dx[pixel] += EXAMPLE.g[at] * EXAMPLE.w[n];
  });
  found.db += EXAMPLE.g[at];
}

/** @type {function(number): Numbers} All that is known after a step, computed from the start. */
function after(step) {
  var back = step > COUNT, begin = back ? 0 : null, none = Array(COUNT).fill(null);
  var at = back ? step - COUNT - 2 : step - 1;
  var found = {
    step: step, back: back, at: at < 0 ? null : at, g: back ? EXAMPLE.g : none, xw: none, gx: none, gw: none,
    y: EXAMPLE.g.map(function (_, n) { return n < step ? outputAt(n) : null; }),
    dx: EXAMPLE.x.map(function () { return begin; }), dw: EXAMPLE.w.map(function () { return begin; }), db: begin
  };
  if (!back) found.xw = productsAt(at);
  for (var n = 0; back && n <= at; n++) goBack(found, n);
  if (back && at >= 0) {
    found.gx = windowAt(at).map(function (pixel) { return EXAMPLE.g[at] * EXAMPLE.x[pixel]; });
    found.gw = EXAMPLE.w.map(function (weight) { return EXAMPLE.g[at] * weight; });
  }
  return found;
}

// ------------------------------------------------------------------------------------------ in words

/** @type {function(number): string} */
function text(value) { return live.number(value, 0); }

/** @type {function(number): string} A factor: in brackets if it is negative. */
function factor(value) { return value < 0 ? "(" + text(value) + ")" : text(value); }

/** @type {function(Numbers): string} Which pass and which window a step belongs to. */
function where(found) {
  return (found.back ? "Back" : "Forward") + ", window (" + row(found.at) + ", " + column(found.at) + ")";
}

/** @type {function(Numbers): string} What has just happened. */
function sentence(found) {
  if (found.at === null) return "The derivatives g at the four outputs have come back. Every other derivative begins at 0.";
  if (!found.back) return where(found) + ": the output " + text(found.y[found.at]) + " is the bias plus the sum of four products.";
  var g = EXAMPLE.g[found.at];
  return where(found) + ", g = " + text(g) + ": " + (g === 0 ? "nothing is added." :
    "each product g·x is added to a weight’s derivative, each product g·w to a pixel’s, and g to the bias’s.");
}

/** @type {function(string, string[], number): Element} One line: a name, its terms and, bold, their sum. */
function line(name, terms, sum) {
  return el("p", { class: "step-equation" }, [name + " = " + terms.join(" + ") + " =\u00a0", el("b", { text: text(sum) })]);
}

/** @type {function(number[], number[]): string[]} Products as they are written. */
function written(first, second) {
  return first.map(function (value, n) { return factor(value) + "·" + factor(second[n]); });
}

/** @type {function(Numbers): Element[]} The sums so far: an output, or what the chapter adds up by hand. */
function lines(found) {
  if (found.at === null) return [];
  if (!found.back) {
    var pixels = windowAt(found.at).map(function (n) { return EXAMPLE.x[n]; });
    var name = "y at row " + row(found.at) + ", column " + column(found.at);
    return [line(name, [factor(EXAMPLE.b)].concat(written(pixels, EXAMPLE.w)), found.y[found.at])];
  }
  var g = EXAMPLE.g.slice(0, found.at + 1), middle = 4;
  var met = g.map(function (_, at) { return EXAMPLE.x[pixelAt(at, 0)]; });
  var weights = g.map(function (_, at) { return EXAMPLE.w[windowAt(at).indexOf(middle)]; });
  return [line("∂ℓ/∂w at row 0, column 0", written(g, met), found.dw[0]), line("∂ℓ/∂b", g.map(factor), found.db),
          line("∂ℓ/∂x in the middle", written(g, weights), found.dx[middle])];
}

// ------------------------------------------------------------------------------------------ the elements

/** @type {function(string, Values, number, number[], ?Element): Element} Numbers on their colours; `now` are those of this step. */
function table(caption, values, limit, now, bias) {
  var side = Math.sqrt(values.length), rows = [];
  for (var r = 0; r < side; r++) {
    rows.push(el("tr", {}, values.slice(r * side, r * side + side).map(function (value, c) {
      var names = [value === null ? "live-pad" : "", now.indexOf(r * side + c) < 0 ? "" : "back-now"];
      return el("td", { text: value === null ? "\u00a0" : text(value), class: names.join(" ").trim() || null,
                        style: value === null ? null : live.cellStyle(value, limit) });
    })));
  }
  return el("div", { class: "live-matrix" }, [el("table", {}, [el("caption", { text: caption }), el("tbody", {}, rows)]), bias]);
}

/** @type {function(string, ?number): Element} */
function biasLine(name, value) {
  return el("p", { class: "back-bias" }, [name + " = ", el("b", { text: value === null ? "…" : text(value) })]);
}

/** @type {function(Numbers): Element[]} What goes forward, and below each the derivative with respect to it. */
function tables(found) {
  var all = [0, 1, 2, 3], none = [], at = found.at === null ? none : [found.at], pixels = at.length ? windowAt(found.at) : none;
  var end = after(LAST), ahead = live.largest(EXAMPLE.x.concat(end.y)), behind = live.largest(end.dw.concat(end.dx));
  var forth = !found.back, back = found.back && at.length > 0;
  return [
    el("p", { class: "back-way", text: "Forward →" }),
    table("map x", EXAMPLE.x, ahead, pixels),
    table("kernel w", EXAMPLE.w, ahead, forth ? all : none, biasLine("b", EXAMPLE.b)),
    table("x·w", found.xw, ahead, none),
    table("output y", found.y, ahead, forth ? at : none),
    el("p", { class: "back-way", text: "← Back" }),
    table("∂ℓ/∂x", found.dx, behind, back ? pixels : none),
    table("∂ℓ/∂w", found.dw, behind, back ? all : none, biasLine("∂ℓ/∂b", found.db)),
    el("div", {}, [table("g·x", found.gx, behind, none), table("g·w", found.gw, behind, none)]),
    table("g", found.g, behind, back ? at : none)
  ];
}

/** @type {function(Widget): void} */
function createParts(widget) {
  var parts = widget.parts;
  parts.said = el("p", { class: "back-said" });
  parts.lines = el("div", { class: "back-lines" });
  parts.tables = el("div", { class: "back-tables", role: "group", tabindex: "0", "aria-label": "One window, there and back; arrow keys step" });
  parts.slider = el("input", { type: "range", min: "1", max: String(LAST), value: "1", "aria-label": "Step",
                               oninput: function () { go(widget, Number(parts.slider.value)); } });
  parts.spoken = el("p", { role: "status", class: "live-hidden" });
}

/** @type {function(Widget, string, ?string, function(): number): Element} A button and the step to which it goes. */
function button(widget, label, name, target) {
  return el("button", { type: "button", text: label, "aria-label": name, onclick: function () { go(widget, target()); } });
}

/** @type {function(Widget): void} */
function layOut(widget) {
  var parts = widget.parts;
  widget.place.append(
    el("div", { class: "live-buttons" }, [
      button(widget, "◀", "Previous step", function () { return widget.step - 1; }),
      button(widget, "▶", "Next step", function () { return widget.step + 1; }),
      button(widget, "All forward", null, function () { return COUNT; }),
      button(widget, "All back", null, function () { return LAST; }),
      button(widget, "Restart", null, function () { return 1; }),
      parts.slider
    ]),
    parts.said, parts.tables, parts.lines, parts.spoken
  );
  widget.place.addEventListener("keydown", function (event) { keyPressed(widget, event); });
}

// ------------------------------------------------------------------------------------------ stepping

/** @type {function(Widget, number): void} */
function go(widget, step) {
  widget.step = Math.min(LAST, Math.max(1, step));
  draw(widget);
}

/** @type {function(Widget, KeyboardEvent): void} The slider has these keys by itself. */
function keyPressed(widget, event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target === widget.parts.slider || !(event.key in KEYS)) return;
  go(widget, widget.step + KEYS[event.key]);
  event.preventDefault();
}

/** @type {function(Widget): void} */
function draw(widget) {
  var parts = widget.parts, found = after(widget.step);
  parts.slider.value = String(widget.step);
  parts.slider.setAttribute("aria-valuetext", widget.step + " of " + LAST);
  parts.said.textContent = sentence(found);
  parts.tables.replaceChildren.apply(parts.tables, tables(found));
  parts.lines.replaceChildren.apply(parts.lines, lines(found));
  sayLater(widget);
}

/** @type {function(Widget): void} A step is spoken once the reader rests on it, and only while the focus is here. */
function sayLater(widget) {
  var spoken = widget.parts.spoken;
  clearTimeout(widget.speaking);
  widget.speaking = setTimeout(function () {
    if (widget.place.contains(document.activeElement)) spoken.textContent = widget.parts.said.textContent;
  }, PAUSE);
}

/** @type {function(Element): void} */
function build(place) {
  /** @type {Widget} */
  var widget = { place: place, step: 1, speaking: null, parts: {} };
  createParts(widget);
  layOut(widget);
  draw(widget);
  live.onTheme(function () { draw(widget); });
  // For the book's own tests.
  root.LENET5_BACKSTEP = { example: EXAMPLE, after: after, step: function () { return widget.step; } };
}

live.start("backstep", build);
})(window);
