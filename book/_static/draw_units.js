// Units on the drawing page: picking one with the pointer or the keyboard, its name, and what it depends on in the layers
// before it. A unit is its index in the layer's output, channels last: (row · columns + column) · maps + map. Nothing is
// drawn here.
(function (root) {
"use strict";

var engine = root.LENET5_ENGINE, live = root.LENET5_LIVE;
var parts = root.LENET5_DRAW_PARTS = root.LENET5_DRAW_PARTS || {};

function listen(page, view) {
  var canvas = view.canvas, state = page.state;
  canvas.addEventListener("pointermove", function (event) { if (!state.pinned) pick(page, view, under(view, event), false); });
  canvas.addEventListener("pointerleave", function () {
    if (!state.pinned && document.activeElement !== canvas) pick(page, null, null, false);
  });
  canvas.addEventListener("click", function (event) {
    var unit = under(view, event);
    // A second click on a pinned unit lets it go.
    if (unit !== null) pick(page, view, unit, !(state.pinned && state.pick && state.pick.view === view && state.pick.unit === unit));
  });
  canvas.addEventListener("focus", function () {
    if (canvas.matches(":focus-visible")) pick(page, view, view.unit === null ? middle(view.shape) : view.unit, true);
  });
  canvas.addEventListener("keydown", function (event) { keyPressed(page, view, event); });
}

// ---------------------------------------------------------------------------------------------- picking

// Pick a unit of a view, or none. A pinned one stays while the pointer moves on; a pointer between cells means none.
function pick(page, view, unit, pinned) {
  var state = page.state;
  if (view && unit === null) { if (state.pinned) return; view = null; }
  var same = state.pick && view && state.pick.view === view && state.pick.unit === unit && state.pinned === pinned;
  if (same || (!view && !state.pick)) return;
  if (!view || !state.pick || state.pick.view !== view) state.part = null;
  state.pick = view ? { view: view, unit: unit } : null;
  state.pinned = Boolean(view && pinned);
  if (view) view.unit = unit;
  page.schedule();
}

function middle(shape) {
  return shape.length === 1 ? 0 : (Math.floor(shape[0] / 2) * shape[1] + Math.floor(shape[1] / 2)) * shape[2];
}

// The unit under the pointer; null beside the maps and in the gaps between them.
function under(view, event) {
  var box = view.canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  var grid = view.grid, shape = view.shape;
  if (grid.vector) {
    var unit = Math.floor(y / grid.cell) * grid.columns + Math.floor(x / grid.cell);
    return x >= 0 && x < grid.columns * grid.cell && unit >= 0 && unit < shape[0] ? unit : null;
  }
  var wide = shape[1] * grid.cell + live.GAP, high = shape[0] * grid.cell + live.GAP;
  var map = Math.floor(y / high) * grid.columns + Math.floor(x / wide);
  var row = Math.floor((y % high) / grid.cell), column = Math.floor((x % wide) / grid.cell);
  if (x < 0 || y < 0 || x >= wide * grid.columns || row >= shape[0] || column >= shape[1] || map >= shape[2]) return null;
  return (row * shape[1] + column) * shape[2] + map;
}

// ---------------------------------------------------------------------------------------------- keyboard

function keyPressed(page, view, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") { pick(page, null, null, false); event.preventDefault(); return; }
  var from = view.unit === null ? middle(view.shape) : view.unit;
  var to = view.shape.length === 1 ? besideInVector(view, from, event.key) : besideInMaps(view.shape, from, event.key);
  if (to === undefined) return;
  event.preventDefault();
  pick(page, view, to, true);
}

// The unit to which a key leads; undefined if the key leads nowhere.
function besideInVector(view, unit, key) {
  var arrow = parts.pad.ARROWS[key];
  if (!arrow) return undefined;
  unit += arrow[0] + arrow[1] * view.grid.columns;
  return unit < 0 || unit >= view.shape[0] ? view.unit : unit;
}

function besideInMaps(shape, unit, key) {
  var arrow = parts.pad.ARROWS[key], map = unit % shape[2], rest = Math.floor(unit / shape[2]);
  var row = Math.floor(rest / shape[1]), column = rest % shape[1];
  if (arrow) {
    column = Math.min(shape[1] - 1, Math.max(0, column + arrow[0]));
    row = Math.min(shape[0] - 1, Math.max(0, row + arrow[1]));
  } else if (key === "PageDown" || key === "PageUp") {
    map = (map + (key === "PageDown" ? 1 : shape[2] - 1)) % shape[2];
  } else return undefined;
  return (row * shape[1] + column) * shape[2] + map;
}

// ---------------------------------------------------------------------------------------------- where a unit stands

// Row, column and map of a unit of layer n, −1 for the input.
function placeOf(network, n, unit) {
  if (n >= 0) return engine.place(network.layers[n], unit);
  return { row: Math.floor(unit / network.inputShape[1]), column: unit % network.inputShape[1], map: 0 };
}

// The last layer up to n that is drawn; flattened values are named and framed where their maps are.
function drawnUpTo(network, n) {
  while (n >= 0 && network.layers[n].kind === "flatten") n--;
  return n;
}

function nameOf(network, n, unit) {
  n = drawnUpTo(network, n);
  var layer = network.layers[n], at = placeOf(network, n, unit);
  if (layer && layer.outputShape.length === 1) return layer.name + " unit " + unit;
  return (layer ? layer.name + " map " + at.map + ", " : "Input ") + "row " + at.row + ", column " + at.column;
}

// What the picked unit depends on, for each view: a rectangle [top, left, height, width] in its cells, and the only map in
// which it lies, or null for all of them.
function marks(page) {
  var found = {}, picked = page.state.pick, network = page.network;
  if (!picked) return found;
  var n = picked.view.n, at = placeOf(network, n, picked.unit);
  found[n] = { box: [at.row, at.column, 1, 1], map: at.map };
  if (n < 0) return found;
  engine.reach(network, n, picked.unit).forEach(function (box, k) {
    // What reads the flattened vector has no box in it; the maps before it have theirs by the flattening itself.
    if (k > 0 && network.layers[k - 1].kind === "flatten") return;
    // Pooling reads one map, that of the unit, as long as nothing but pooling lies between.
    var single = network.layers.slice(k, n + 1).every(function (layer) { return layer.kind === "pooling"; });
    found[k - 1] = { box: box, map: single ? at.map : null };
  });
  return found;
}

parts.units = { listen: listen, nameOf: nameOf, marks: marks };
})(window);
