// The inspector of the drawing page: the panel that tells where the picked unit's number comes from, where it stands on a wide and on a
// narrow page, and what a screen reader speaks of it. The terms of the unit itself are made in draw_terms.js.
(function (root) {
"use strict";

var engine = root.LENET5_ENGINE, live = root.LENET5_LIVE, el = live.el;
var parts = root.LENET5_DRAW_PARTS = root.LENET5_DRAW_PARTS || {};

var FIELD = 112;  // The side of the small input on which the receptive field is framed, in CSS pixels.
var PAUSE = 300;  // Milliseconds without a change before a unit is spoken.
var TITLE = "Where this number comes from";

function create() {
  return {
    panel: el("section", { class: "draw-inspector", "aria-label": TITLE }),
    field: el("canvas", { role: "img", "aria-label": "The input with the unit's receptive field framed" }),
    status: el("p", { role: "status", class: "live-hidden" }),
    timer: null
  };
}

// Show the picked unit; `marks` are the rectangles that it depends on, by `units.marks`.
function draw(page, marks) {
  var panel = page.inspector.panel;
  panel.replaceChildren.apply(panel, contentOf(page, marks));
  putInPlace(page);
  sayLater(page);
}

function contentOf(page, marks) {
  if (!page.state.pick) {
    return [el("h3", { text: TITLE }),
            el("p", { text: "Point at any cell, or move to a layer with Tab and to a cell with the arrow keys: its sum appears here. Click a cell to keep it." })];
  }
  if (!page.state.results) return [el("h3", { text: TITLE }), el("p", { text: "Draw a digit first." })];
  return page.state.pick.view.n < 0 ? pixel(page) : unit(page, marks);
}

// On a narrow page it stands under the layer that it explains.
function putInPlace(page) {
  var picked = page.state.pick, panel = page.inspector.panel, narrow = page.narrow();
  var home = narrow && picked && picked.view.n >= 0 ? picked.view.figure : null;
  if (home && page.state.pinned && panel.previousElementSibling !== home) home.after(panel);
  else if (!narrow && panel.parentElement !== page.body) page.body.append(panel);
}

// A pinned unit is spoken, one that the pointer passes over is not.
function sayLater(page) {
  var inspector = page.inspector, state = page.state;
  clearTimeout(inspector.timer);
  if (!state.pick || !state.pinned || !state.results) return;
  var lines = Array.from(inspector.panel.querySelectorAll("h3, .draw-sum"), function (node) { return node.textContent; });
  var text = lines.join(". ");
  inspector.timer = setTimeout(function () { if (inspector.status.textContent !== text) inspector.status.textContent = text; }, PAUSE);
}

// ---------------------------------------------------------------------------------------------- content

function pixel(page) {
  var index = page.state.pick.unit;
  return [el("h3", { text: parts.units.nameOf(page.network, -1, index) }),
          el("p", { class: "draw-sum", text: "Pixel " + page.state.digit[index] + " of 255, which the network reads as " +
                                             live.number(page.state.input[index], 3) + "." })];
}

function unit(page, marks) {
  var state = page.state, n = state.pick.view.n, index = state.pick.unit, layer = page.network.layers[n];
  var explained = engine.explain(page.network, state.results, state.input, n, index);
  var seen = parts.layers.inside(marks[-1].box, page.network.inputShape);
  drawField(page, seen, live.kindColour(layer.kind));
  return [
    el("h3", { text: parts.units.nameOf(page.network, n, index) }),
    el("div", { class: "draw-field" }, [page.inspector.field, el("p", { text: fieldText(seen) })])
  ].concat(parts.terms.of(page, n, explained));
}

function drawField(page, seen, colour) {
  var shape = page.network.inputShape, cell = FIELD / shape[1], context = live.sized(page.inspector.field, FIELD, FIELD);
  live.drawMap(context, page.state.input, shape, 0, 0, 0, cell, 1, true);
  live.frame(context, seen[1] * cell + 1, seen[0] * cell + 1, seen[3] * cell - 2, seen[2] * cell - 2, colour, seen.cut);
}

function fieldText(seen) {
  return "Sees rows " + seen[0] + "–" + (seen[0] + seen[2] - 1) + ", columns " + seen[1] + "–" + (seen[1] + seen[3] - 1) +
    " of the input" + (seen.cut ? ", and padding beyond its edge." : ".");
}

parts.inspector = { create: create, draw: draw };
})(window);
