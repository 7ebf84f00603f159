// The cover: a drawn digit goes through the network of the drawing page, layer by layer, by itself or by hand. The engine
// computes every map; here they are only shown, each layer from top to bottom as a window moves over an image.
(function (root) {
"use strict";

var engine = root.LENET5_ENGINE, live = root.LENET5_LIVE, el = live.el;

// How the maps or units of a layer stand: columns and pixels a cell, where there is room and on a phone.
var PLACES = {
  Input: [[1, 5], [1, 3]], C1: [[2, 2], [3, 2]], S2: [[2, 3], [3, 2]], C3: [[4, 3], [8, 2]], S4: [[4, 4], [8, 2]],
  C5: [[6, 8], [24, 5]], F6: [[6, 8], [21, 5]], Output: [[1, 18], [10, 18]]
};
var SAID = {
  input: "The image is 28 × 28 numbers. Nobody tells the network that it is a ",
  convolution: " slides small windows over what comes before. Each of its maps answers to one pattern.",
  pooling: " makes one value of each 2 × 2 cells: half the height, half the width.",
  dense: " weighs all that comes before, and keeps no positions."
};
var NARROW = 660, FIRST = 3;  // Below this width it is a phone's; the digit that comes first.
var SWEEP = 900, REST = 1500, END = 4500;  // Milliseconds in which a layer appears, until the next one, and before the next digit.

function createStage(place) {
  var network = engine.network(root.LENET5_NETWORK);
  var drawn = network.layers.map(function (_, n) { return n; }).filter(function (n) { return network.layers[n].kind !== "flatten"; });
  var stage = { place: place, network: network, digit: FIRST, playing: live.mayMove(), timer: null };
  stage.views = [-1].concat(drawn).map(function (n) {
    var layer = n < 0 ? { name: "Input", kind: "input", outputShape: network.inputShape } : network.layers[n];
    var canvas = el("canvas", { "data-layer": layer.name, "aria-hidden": "true" });
    return { n: n, layer: layer, shape: layer.outputShape, canvas: canvas, figure: el("figure", {}, [
      el("figcaption", {}, [el("b", { class: "kind kind-" + layer.kind, text: layer.name }), " ", el("span", { text: layer.outputShape.join("×") })]),
      canvas]) };
  });
  stage.last = stage.views.length - 1;
  stage.said = el("p", { class: "first-said", role: "status" });
  stage.play = el("button", { type: "button", onclick: function () { setPlaying(stage, !stage.playing); } });
  stage.buttons = el("div", { class: "live-buttons", role: "group", "aria-label": "Steps of the digit through the layers" }, [
    stage.play,
    el("button", { type: "button", text: "Back", onclick: function () { byHand(stage, -1); } }),
    el("button", { type: "button", text: "Next", onclick: function () { byHand(stage, 1); } })
  ]);
  return stage;
}

function compute(stage) {
  var drawing = root.LENET5_STROKES.common[stage.digit];
  stage.input = engine.toInput(stage.network, engine.digitOf(drawing.strokes, true));
  stage.results = engine.forward(stage.network, stage.input);
}

// ---------------------------------------------------------------------------------------------- steps

// Show the layers up to this one; after the last comes the next digit, before the first the one before.
function goTo(stage, step, sweep) {
  var turn = step > stage.last ? 1 : step < 0 ? -1 : 0;
  if (turn) {
    stage.digit = (stage.digit + turn + 10) % 10;
    compute(stage);
  }
  stage.step = turn > 0 ? 0 : turn < 0 ? stage.last : step;
  stage.begun = sweep && live.mayMove() ? performance.now() : -Infinity;
  stage.said.textContent = sentence(stage);
  animate(stage);
}

function sentence(stage) {
  var view = stage.views[stage.step], layer = view.layer, values = stage.results[stage.results.length - 1].values;
  if (view.n < 0) return SAID.input + stage.digit + ".";
  if (stage.step < stage.last) return layer.name + SAID[layer.kind];
  var best = engine.best(values);
  return "The output has a number for each class. The largest, " + live.percent(values[best]) + ", is at " + best + ": it reads " + best + ".";
}

function setPlaying(stage, playing) {
  stage.playing = playing;
  clearTimeout(stage.timer);
  stage.play.textContent = playing ? "Pause" : "Play";
  // What changes by itself is not spoken; what the reader asked for is.
  stage.said.setAttribute("aria-live", playing ? "off" : "polite");
  if (playing) wait(stage);
}

function wait(stage) {
  stage.timer = setTimeout(function () { goTo(stage, stage.step + 1, true); wait(stage); }, stage.step === stage.last ? END : SWEEP + REST);
}

function byHand(stage, by) {
  setPlaying(stage, false);
  goTo(stage, stage.step + by, by > 0);
}

// ---------------------------------------------------------------------------------------------- drawing

function animate(stage) {
  if (draw(stage) < 1) requestAnimationFrame(function () { animate(stage); });
}

function draw(stage) {
  var narrow = stage.place.clientWidth < NARROW, share = Math.min(1, (performance.now() - stage.begun) / SWEEP);
  stage.place.classList.toggle("live-narrow", narrow);
  stage.views.forEach(function (view, k) {
    view.figure.classList.toggle("first-now", k === stage.step);
    drawLayer(stage, view, PLACES[view.layer.name][narrow ? 1 : 0], k < stage.step ? 1 : k > stage.step ? 0 : share);
  });
  return share;
}

// The values of a layer, each map down to a share of its height; the rest is empty.
function drawLayer(stage, view, put, share) {
  var vector = view.shape.length === 1, cell = put[1], columns = put[0], gap = vector ? 0 : live.GAP;
  var side = vector ? [1, 1] : view.shape, maps = vector ? view.shape[0] : view.shape[2], rows = Math.ceil(maps / columns);
  var high = side[0] * cell, wide = side[1] * cell;
  var context = live.sized(view.canvas, columns * (wide + gap) - gap, rows * (high + gap) - gap);
  var values = view.n < 0 ? stage.input : stage.results[view.n].values, limit = live.largest(values);
  var shown = values.map(function (value, n) {
    return (vector ? n : Math.floor(n / maps)) < share * values.length / (vector ? 1 : maps) ? value : 0;
  });
  if (vector) live.drawMap(context, shown, [rows, columns, 1], 0, 0, 0, cell, limit, false);
  else for (var map = 0; map < maps; map++) {
    live.drawMap(context, shown, view.shape, map, map % columns * (wide + gap), Math.floor(map / columns) * (high + gap), cell, limit, view.n < 0);
  }
  if (view === stage.views[stage.last]) drawClasses(context, shown, columns, cell, limit);
}

function drawClasses(context, values, columns, cell, limit) {
  context.font = "12px sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  values.forEach(function (value, n) {
    context.fillStyle = live.cellStyle(value, limit).split("color:")[1];
    context.fillText(String(n), (n % columns + 0.5) * cell, (Math.floor(n / columns) + 0.5) * cell + 1);
  });
}

// ---------------------------------------------------------------------------------------------- start

function build(place) {
  var stage = createStage(place);
  place.append(el("div", { class: "first-layers", role: "img",
                           "aria-label": "A handwritten digit, the feature maps and vectors of the seven layers that it goes through, and the prediction." },
                  stage.views.map(function (view) { return view.figure; })),
               stage.said, stage.buttons);
  place.addEventListener("keydown", function (event) {
    var by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    byHand(stage, by);
  });
  compute(stage);
  place.hidden = false;
  // Without movement everything is shown at once.
  goTo(stage, stage.playing ? 0 : stage.last, true);
  setPlaying(stage, stage.playing);
  live.onTheme(function () { draw(stage); });
  new ResizeObserver(function () { draw(stage); }).observe(place);
  root.LENET5_FIRST = stage;  // For the book's own tests.
}

live.start("first", build);
})(window);
