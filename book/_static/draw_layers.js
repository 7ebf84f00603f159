// The layers of the drawing page: the feature maps of every layer as pictures, and the frames on them. A view is one layer's
// figure, its canvas and how the maps stand on it; which unit is picked is decided in draw_units.js.
(function (root) {
"use strict";

var engine = root.LENET5_ENGINE, live = root.LENET5_LIVE, el = live.el;
var parts = root.LENET5_DRAW_PARTS = root.LENET5_DRAW_PARTS || {};

// Sides in CSS pixels: what a map is given where there is room, at most and at least; the same for a vector's cells.
var ONE_MAP = 140, LARGE_MAP = 84, SMALL_MAP = 46, LARGE_CELL = 24, SMALL_CELL = 6;
var LABELLED = 12;  // A vector of so many units at most is one row, with numbers on its cells: the output.

// ---------------------------------------------------------------------------------------------- views

// One view for the input and for every layer that is drawn: flattening only lays maps out in a row.
function create(page) {
  var layers = page.network.layers;
  var drawn = layers.map(function (layer, n) { return n; }).filter(function (n) { return layers[n].kind !== "flatten"; });
  return [-1].concat(drawn).map(function (n) { return createView(page, n); });
}

// The view of layer n, −1 for the input.
function createView(page, n) {
  var layer = n < 0 ? { name: "Input", kind: "input" } : page.network.layers[n];
  var shape = n < 0 ? page.network.inputShape : layer.outputShape;
  var canvas = el("canvas", { tabindex: "0", role: "application", "data-layer": layer.name,
                              "aria-label": layer.name + ", " + mapsOf(shape) + " units", "aria-describedby": "draw-unit-keys" });
  var range = el("span", { class: "draw-range" });
  var caption = el("figcaption", {}, [
    el("b", { class: "kind kind-" + layer.kind, text: layer.name }), " ",
    el("span", { text: shape.join("×") }),
    layer.parameters ? el("span", { text: " · " + layer.parameters.toLocaleString("en") + " parameters" }) : null, " ", range
  ]);
  var view = {
    n: n, layer: layer, shape: shape, canvas: canvas, range: range,
    figure: el("figure", { class: "draw-layer" }, [caption, canvas]),
    grid: null,  // How the maps stand on the canvas, by `arrange`.
    unit: null  // The unit that was picked here last.
  };
  parts.units.listen(page, view);
  return view;
}

function mapsOf(shape) {
  if (shape.length === 1) return "a vector of " + shape[0];
  return shape[2] + (shape[2] === 1 ? " map of " : " maps of ") + shape[0] + " by " + shape[1];
}

function valuesOf(page, n) {
  if (n < 0) return page.state.input;
  return page.state.results && page.state.results[n][page.state.before ? "sums" : "values"];
}

// ---------------------------------------------------------------------------------------------- how maps stand on a canvas

// Columns of maps and the side of a cell, whole pixels, for a view of this width; a vector is a grid of its units.
function arrange(shape, room) {
  return shape.length === 1 ? arrangeVector(shape[0], room) : arrangeMaps(shape, room);
}

function arrangeVector(units, room) {
  // Rows of equal length look best, so the longest is taken that divides the units and leaves a cell 9 pixels.
  var across = units <= LABELLED ? units : [60, 42, 40, 30, 28, 24, 20].find(function (k) {
    return units % k === 0 && k * 9 <= room;
  }) || 20;
  return { vector: true, columns: across, rows: Math.ceil(units / across),
           cell: Math.max(SMALL_CELL, Math.min(LARGE_CELL, Math.floor(room / across))) };
}

function arrangeMaps(shape, room) {
  var single = shape[2] === 1, wanted = Math.max(3, Math.ceil((single ? ONE_MAP : SMALL_MAP) / shape[1]));
  var most = Math.ceil((single ? ONE_MAP : LARGE_MAP) / shape[1]);
  // As many maps beside each other as divide them into full rows and keep their cells large enough.
  for (var columns = shape[2]; columns >= 1; columns--) {
    var cell = Math.floor((room - live.GAP * (columns - 1)) / columns / shape[1]);
    if ((shape[2] % columns === 0 && cell >= wanted) || columns === 1) {
      return { columns: columns, rows: Math.ceil(shape[2] / columns), cell: Math.max(1, Math.min(cell, most)) };
    }
  }
}

// Width and height of the canvas.
function extent(view) {
  var grid = view.grid, shape = view.shape;
  if (grid.vector) return [grid.columns * grid.cell, grid.rows * grid.cell];
  return [grid.columns * (shape[1] * grid.cell + live.GAP) - live.GAP, grid.rows * (shape[0] * grid.cell + live.GAP) - live.GAP];
}

// Left and top of a map on the canvas.
function corner(view, map) {
  var grid = view.grid;
  return [(map % grid.columns) * (view.shape[1] * grid.cell + live.GAP),
          Math.floor(map / grid.columns) * (view.shape[0] * grid.cell + live.GAP)];
}

// ---------------------------------------------------------------------------------------------- drawing

// Draw a layer's values, and on them the mark, if there is one: what the picked unit depends on.
function draw(page, view, mark) {
  var values = valuesOf(page, view.n), shape = view.shape;
  view.grid = arrange(shape, (view.figure.clientWidth || 300) - 2);
  var grid = view.grid, size = extent(view), context = live.sized(view.canvas, size[0], size[1]);
  var signed = values && values.some(function (value) { return value < 0; });
  var limit = values ? live.largest(values) : 1, drawn = values || new Float32Array(engine.size(shape));
  view.range.textContent = values && view.n >= 0 ? "colours: " + (signed ? "±" : "0 to ") + limit.toPrecision(2) : "";
  if (grid.vector) live.drawMap(context, drawn, [grid.rows, grid.columns, 1], 0, 0, 0, grid.cell, limit, false);
  else for (var map = 0; map < shape[2]; map++) {
    var at = corner(view, map);
    live.drawMap(context, drawn, shape, map, at[0], at[1], grid.cell, limit, view.n < 0);
  }
  if (grid.vector && shape[0] <= LABELLED) drawLabels(context, drawn, grid, limit);
  if (mark) drawMark(page, context, view, mark);
}

function drawLabels(context, values, grid, limit) {
  context.font = "12px sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (var n = 0; n < values.length; n++) {
    context.fillStyle = live.cellStyle(values[n], limit).split("color:")[1];
    context.fillText(String(n), (n + 0.5) * grid.cell, grid.cell / 2 + 1);
  }
}

// In the picked unit's own vector the mark is a cell; any other vector is read as a whole.
function drawMark(page, context, view, mark) {
  var picked = page.state.pick, grid = view.grid, cell = grid.cell, colour = live.kindColour(picked.view.layer.kind);
  if (grid.vector) {
    if (view !== picked.view) return live.frame(context, 1, 1, grid.columns * cell - 2, grid.rows * cell - 2, colour);
    var column = picked.unit % grid.columns, row = Math.floor(picked.unit / grid.columns);
    return live.frame(context, column * cell, row * cell, cell, cell, colour);
  }
  for (var map = 0; map < view.shape[2]; map++) {
    if (mark.map !== null && mark.map !== map) continue;
    var at = corner(view, map), box = inside(mark.box, view.shape);
    live.frame(context, at[0] + box[1] * cell + 1, at[1] + box[0] * cell + 1, box[3] * cell - 2, box[2] * cell - 2, colour, box.cut);
  }
}

// The part of a rectangle [top, left, height, width] that lies on a map; `cut` where the rest is padding.
function inside(box, shape) {
  var top = Math.max(0, box[0]), left = Math.max(0, box[1]);
  var out = [top, left, Math.min(shape[0], box[0] + box[2]) - top, Math.min(shape[1], box[1] + box[3]) - left];
  out.cut = out[2] !== box[2] || out[3] !== box[3];
  return out;
}

parts.layers = { create: create, draw: draw, inside: inside };
})(window);
