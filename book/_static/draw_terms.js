// The terms of a unit on the drawing page: for each kind of layer its equation, the sum with its numbers, and the inputs,
// weights and products behind it. It writes down what engine.js explains and computes nothing of the network.
(function (root) {
"use strict";

var live = root.LENET5_LIVE, el = live.el;
var parts = root.LENET5_DRAW_PARTS = root.LENET5_DRAW_PARTS || {};

var SHOWN = 8;  // Of a dense unit's terms, so many of the largest.
var THUMBNAIL = 6;  // The side of a cell in the small pictures of windows and kernels.

// The elements that explain a unit of layer n; `explained` comes from `engine.explain`.
function of(page, n, explained) {
  var layer = page.network.layers[n];
  if (layer.kind === "convolution") return convolution(page, layer, explained);
  if (layer.kind === "pooling") return pooling(layer, explained);
  return dense(page, layer, n, explained);
}

// ---------------------------------------------------------------------------------------------- what all of them have

// A line of text and [tag, text] pairs.
function formula(pieces) {
  return el("p", { class: "draw-formula" }, pieces.map(function (piece) {
    return typeof piece === "string" ? piece : el(piece[0], { text: piece[1] });
  }));
}

function link(file, text) {
  return el("a", { href: file, text: text });
}

// activation(bias + sum of the products) = value
function total(layer, explained) {
  var products = explained.sum - explained.bias;
  return el("p", { class: "draw-sum", text: layer.activation + "(" + live.number(explained.bias, 3) + (products < 0 ? " − " : " + ") +
    live.number(Math.abs(products), 3) + ") = " + layer.activation + "(" + live.number(explained.sum, 3) + ") = " +
    live.number(explained.value, 3) });
}

function table(heads, rows) {
  return el("table", { class: "draw-parts" }, [
    el("thead", {}, [el("tr", {}, heads.map(function (text) { return el("th", { scope: "col", text: text }); }))]),
    el("tbody", {}, rows)
  ]);
}

// A row that has a name and a number only: the bias, the sum.
function closingRow(name, value) {
  return el("tr", {}, [el("th", { scope: "row", text: name }), el("td"), el("td"), el("td", { text: live.number(value, 3) })]);
}

// ---------------------------------------------------------------------------------------------- convolution

// A convolution adds one sum for each map of its input. The numbers of one of them are shown in full: of the map that the
// reader chose, or of that with the largest sum.
function convolution(page, layer, explained) {
  var sums = explained.parts, height = layer.window[0], width = layer.window[1], part = page.state.part;
  var most = sums.reduce(function (a, b) { return Math.abs(b.sum) > Math.abs(a.sum) ? b : a; });
  var chosen = sums[part === null ? most.map : part] || most;
  var several = sums.length > 1, over = several ? " over all maps, as in " : ",  equation ";
  var equation = formula(["y = ", layer.activation, "(", ["i", "b"], " + Σ ", ["i", "x"], "·", ["i", "w"], ")", over]);
  equation.append(several ? link("02_convolution.html#several-maps-in-several-out", "chapter 2")
                          : link("02_convolution.html#equation-2-1", "(2.1)"));
  var content = [equation, total(layer, explained)];
  if (several) content.push(sumsByMap(page, explained, chosen, height, width));
  var products = chosen.window.map(function (value, i) { return (value || 0) * chosen.kernel[i]; });
  var from = several ? " of map " + chosen.map : "";
  return content.concat([
    live.matrix(chosen.window, height, width, { decimals: 2, caption: "window x" + from }),
    live.matrix(chosen.kernel, height, width, { decimals: 2, caption: "kernel w" + from }),
    live.matrix(products, height, width, { decimals: 2, caption: "products x·w, together " + live.number(chosen.sum, 3) })
  ]);
}

function sumsByMap(page, explained, chosen, height, width) {
  var rows = explained.parts.map(function (part) {
    return el("tr", { class: part === chosen ? "draw-chosen" : null }, [
      el("th", { scope: "row" }, [mapButton(page, part, part === chosen)]),
      el("td", {}, [thumbnail(part.window, height, width)]),
      el("td", {}, [thumbnail(part.kernel, height, width)]), el("td", { text: live.number(part.sum, 3) })
    ]);
  });
  return table(["map", "window", "kernel", "sum"],
               rows.concat([closingRow("bias", explained.bias), closingRow("sum", explained.sum)]));
}

function mapButton(page, part, pressed) {
  return el("button", { type: "button", text: String(part.map), "aria-pressed": String(pressed),
                        "aria-label": "Show the numbers of map " + part.map,
                        onclick: function () { page.state.part = part.map; page.state.pinned = true; page.schedule(); } });
}

function thumbnail(values, height, width) {
  var canvas = el("canvas", { role: "presentation" }), context = live.sized(canvas, width * THUMBNAIL, height * THUMBNAIL);
  // Where the padding is, a window has null; it counts as 0 for the colour and for the scale.
  var numbers = values.map(function (value) { return value || 0; });
  live.drawMap(context, numbers, [height, width, 1], 0, 0, 0, THUMBNAIL, live.largest(numbers), false);
  return canvas;
}

// ---------------------------------------------------------------------------------------------- pooling

function pooling(layer, explained) {
  var word = layer.mode === "max" ? "largest" : "average";
  var equation = formula(["y = " + word + " of the window, "]);
  equation.append(link("02_convolution.html#pooling", "chapter 2"));
  return [equation, el("p", { class: "draw-sum", text: "The " + word + " is " + live.number(explained.value, 3) + "." }),
          live.matrix(explained.parts[0].window, layer.window[0], layer.window[1],
                      { decimals: 3, caption: "window of map " + explained.place.map })];
}

// ---------------------------------------------------------------------------------------------- dense

function dense(page, layer, n, explained) {
  var terms = explained.terms;
  var equation = formula(["y = ", layer.activation, "(", ["i", "b"], " + Σ ", ["i", "x"], "·", ["i", "w"], ") over ", terms.length + " inputs"]);
  var sum = layer.activation === "softmax" ? probability(explained) : total(layer, explained);
  return [equation, sum, largestTerms(page, n, explained)];
}

// The largest terms by size, and the sum of the others.
function largestTerms(page, n, explained) {
  var sorted = explained.terms.slice().sort(function (a, b) { return Math.abs(b.product) - Math.abs(a.product); });
  var top = sorted.slice(0, SHOWN), rest = sorted.slice(SHOWN).reduce(function (sum, term) { return sum + term.product; }, 0);
  var rows = top.map(function (term) {
    return el("tr", {}, [el("th", { scope: "row", text: parts.units.nameOf(page.network, n - 1, term.input) }),
                         el("td", { text: live.number(term.x, 2) }), el("td", { text: live.number(term.w, 2) }),
                         el("td", { text: live.number(term.product, 3) })]);
  });
  rows.push(closingRow("the other " + (sorted.length - top.length), rest), closingRow("bias", explained.bias),
            closingRow("sum", explained.sum));
  return table(["input", "x", "w", "x·w"], rows);
}

// Softmax: the probability is this unit's share in the powers of all sums.
function probability(explained) {
  var powers = explained.sums.map(Math.exp), all = powers.reduce(function (a, b) { return a + b; });
  var line = "e to the power " + live.number(explained.sum, 2) + ", divided by the sum of all " + powers.length + " powers: " +
    powers[explained.place.map].toPrecision(3) + " / " + all.toPrecision(3) + " = " + live.number(explained.value, 3);
  return el("p", { class: "draw-sum", text: line });
}

parts.terms = { of: of };
})(window);
