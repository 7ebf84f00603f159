// "Step through it": a window over a drawn digit, its products, their sum, and the output that they fill. It computes one
// convolution of one map by itself, in the words of chapter 2; the network of the drawing page is not loaded, its strokes are.
(function () {
"use strict";

var engine = window.LENET5_ENGINE, live = window.LENET5_LIVE, strokes = window.LENET5_STROKES, el = live.el;

var SIDE = 28;  // Of the digits.
var PAUSE = 700;  // Milliseconds without a change before a sum is spoken.

// Kernels that the chapter speaks of; the trained ones are added from the exported samples.
var KERNELS = [
  { name: "vertical edges, 3 × 3", side: 3, values: [-1, 0, 1, -1, 0, 1, -1, 0, 1] },
  { name: "horizontal edges, 3 × 3", side: 3, values: [-1, -1, -1, 0, 0, 0, 1, 1, 1] },
  { name: "blur, 3 × 3", side: 3, values: Array(9).fill(0.11) },
  { name: "sharpen, 3 × 3", side: 3, values: [0, -1, 0, -1, 5, -1, 0, -1, 0] },
  { name: "unchanged, 3 × 3", side: 3, values: [0, 0, 0, 0, 1, 0, 0, 0, 0] }
];

// How far a key moves the window along the output's cells, row by row, where a row has o cells.
var STEPS = {
  ArrowLeft: function () { return -1; }, ArrowRight: function () { return 1; },
  ArrowUp: function (o) { return -o; }, ArrowDown: function (o) { return o; },
  Home: function (o) { return -o * o; }, End: function (o) { return o * o; }
};

// The stepper is one object that every function is handed: the digits, the kernels, the state and the elements.
function createStepper(place) {
  var samples = window.LENET5_SAMPLES, kernels = KERNELS.concat(trainedKernels(samples)), first = kernels[0];
  var stepper = {
    place: place, kernels: kernels, labels: strokes.common.map(function (drawing) { return drawing.digit; }),
    images: strokes.common.map(function (drawing) { return engine.digitOf(drawing.strokes, true); }),
    // `at` is the output's cell at which the window stands, `timer` runs while it moves by itself.
    state: { digit: 3, kernel: first.values.slice(), side: first.side, bias: 0, stride: 1, padding: 0, at: 0, timer: null },
    speaking: null
  };
  stepper.parts = createParts(stepper);
  return stepper;
}

// The kernels of C1, rounded to two decimals, as they are shown.
function trainedKernels(samples) {
  var weights = engine.floats(samples.kernels), biases = engine.floats(samples.biases);
  var side = samples.kernelShape[0], maps = samples.kernelShape[3], found = [];
  for (var m = 0; m < maps; m++) {
    var values = [];
    for (var n = 0; n < side * side; n++) values.push(Math.round(100 * weights[n * maps + m]) / 100);
    found.push({ name: "C1’s trained kernel " + m + ", 5 × 5", side: side, values: values, bias: Math.round(100 * biases[m]) / 100 });
  }
  return found;
}

// ------------------------------------------------------------------------------------------ the arithmetic

function outputSide(state) {
  return Math.floor((SIDE + 2 * state.padding - state.side) / state.stride) + 1;
}

// A pixel from 0 to 1; null where the padding is.
function pixel(stepper, row, column) {
  if (row < 0 || column < 0 || row >= SIDE || column >= SIDE) return null;
  return stepper.images[stepper.state.digit][row * SIDE + column] / 255;
}

function windowAt(stepper, at) {
  var state = stepper.state, o = outputSide(state), found = [];
  var top = Math.floor(at / o) * state.stride - state.padding, left = at % o * state.stride - state.padding;
  for (var u = 0; u < state.side; u++) for (var v = 0; v < state.side; v++) found.push(pixel(stepper, top + u, left + v));
  return { top: top, left: left, values: found };
}

function sumAt(stepper, at) {
  var state = stepper.state;
  return windowAt(stepper, at).values.reduce(function (sum, value, n) { return sum + (value || 0) * state.kernel[n]; }, state.bias);
}

// ------------------------------------------------------------------------------------------ moving the window

function move(stepper, at) {
  var o = outputSide(stepper.state);
  stepper.state.at = Math.min(o * o - 1, Math.max(0, at));
  draw(stepper);
}

function atEnd(state) {
  return state.at === outputSide(state) * outputSide(state) - 1;
}

function run(stepper) {
  var state = stepper.state;
  if (atEnd(state)) state.at = 0;
  stepper.parts.play.textContent = "Pause";
  state.timer = setInterval(function () {
    move(stepper, state.at + 1);
    if (atEnd(state)) stop(stepper);
  }, Number(stepper.parts.speed.value));
}

function stop(stepper) {
  clearInterval(stepper.state.timer);
  stepper.state.timer = null;
  stepper.parts.play.textContent = "Play";
  draw(stepper);
}

function playOrPause(stepper) {
  if (stepper.state.timer) stop(stepper);
  else run(stepper);
}

// The output's cell whose window begins nearest to a pixel.
function cellNear(state, top, left) {
  var o = outputSide(state), cells = [top, left].map(function (start) {
    return Math.min(o - 1, Math.max(0, Math.round((start + state.padding) / state.stride)));
  });
  return cells[0] * o + cells[1];
}

// After any change the window stays over the pixels where it was.
function change(stepper, act) {
  stop(stepper);
  var state = stepper.state, found = windowAt(stepper, state.at), half = state.side / 2;
  act();
  move(stepper, cellNear(state, found.top + half - state.side / 2, found.left + half - state.side / 2));
}

function keyPressed(stepper, event) {
  var step = STEPS[event.key], state = stepper.state, o = outputSide(state);
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === " ") playOrPause(stepper);
  else if (step) {
    stop(stepper);
    // A step by a row stays where it is at the first and the last row.
    var to = state.at + step(o);
    if (Math.abs(step(o)) !== o || o === 1 || (to >= 0 && to < o * o)) move(stepper, to);
  } else return;
  event.preventDefault();
}

// The window goes where the pointer is: its middle over the input's pixel, or the window of the output's cell.
function follow(stepper, event, isOutput) {
  var state = stepper.state, canvas = isOutput ? stepper.parts.output : stepper.parts.input;
  if (state.timer && event.type === "pointermove") return;
  stop(stepper);
  var box = canvas.getBoundingClientRect(), o = outputSide(state), cells = isOutput ? o : SIDE + 2 * state.padding;
  var column = Math.floor((event.clientX - box.left) / box.width * cells), row = Math.floor((event.clientY - box.top) / box.height * cells);
  var half = (state.side - 1) / 2 + state.padding;
  move(stepper, isOutput ? Math.min(o - 1, row) * o + Math.min(o - 1, column) : cellNear(state, row - half, column - half));
}

// ------------------------------------------------------------------------------------------ the elements

function createParts(stepper) {
  var parts = {
    input: el("canvas", { tabindex: "0", role: "application", "aria-label": "Input with the window; arrow keys move it" }),
    output: el("canvas", { tabindex: "0", role: "application", "aria-label": "Output with the cell of this window; arrow keys move it" }),
    size: el("p", { class: "step-size" }), equation: el("p", { class: "step-equation" }),
    factors: el("div"), kernel: el("div", { class: "live-matrix step-kernel" }), products: el("div"),
    slider: el("input", { type: "range", min: "0", value: "0", "aria-label": "Position of the window",
                          oninput: function () { var to = Number(parts.slider.value); stop(stepper); move(stepper, to); } }),
    play: el("button", { type: "button", text: "Play", onclick: function () { playOrPause(stepper); } }),
    speed: createSpeed(stepper), bias: createBias(stepper),
    spoken: el("p", { role: "status", class: "live-hidden" })
  };
  [parts.input, parts.output].forEach(function (canvas) {
    var isOutput = canvas === parts.output;
    canvas.addEventListener("keydown", function (event) { keyPressed(stepper, event); });
    canvas.addEventListener("pointermove", function (event) { follow(stepper, event, isOutput); });
    canvas.addEventListener("pointerdown", function (event) { follow(stepper, event, isOutput); });
  });
  return parts;
}

// Where the reader wants little movement, it begins slow.
function createSpeed(stepper) {
  var usual = live.mayMove() ? "200" : "600";
  var speed = el("select", {}, [["600", "slow"], ["200", "medium"], ["40", "fast"]].map(function (option) {
    return el("option", { value: option[0], text: option[1], selected: option[0] === usual });
  }));
  speed.addEventListener("change", function () { if (stepper.state.timer) { stop(stepper); run(stepper); } });
  return speed;
}

function createBias(stepper) {
  var node = el("input", { type: "number", step: "0.1", value: "0" });
  node.addEventListener("input", function () { stepper.state.bias = Number(node.value) || 0; draw(stepper); });
  return node;
}

function select(stepper, label, options, chosen, take) {
  var node = el("select", { onchange: function () { change(stepper, function () { take(Number(node.value)); }); } }, options.map(function (option) {
    return el("option", { value: String(option[0]), text: option[1], selected: option[0] === chosen });
  }));
  return el("label", {}, [label + " ", node]);
}

function settings(stepper) {
  var state = stepper.state;
  var digits = stepper.labels.map(function (label, n) { return [n, String(label)]; });
  var kernels = stepper.kernels.map(function (one, n) { return [n, one.name]; });
  return el("div", { class: "step-settings" }, [
    select(stepper, "Digit", digits, state.digit, function (value) { state.digit = value; }),
    select(stepper, "Kernel", kernels, 0, function (value) { takeKernel(stepper, stepper.kernels[value]); }),
    el("label", {}, ["Bias b ", stepper.parts.bias]),
    select(stepper, "Stride s", [[1, "1"], [2, "2"], [3, "3"]], 1, function (value) { state.stride = value; }),
    select(stepper, "Padding p", [[0, "0"], [1, "1"], [2, "2"]], 0, function (value) { state.padding = value; })
  ]);
}

function takeKernel(stepper, kernel) {
  stepper.state.kernel = kernel.values.slice();
  stepper.state.side = kernel.side;
  stepper.state.bias = kernel.bias || 0;
  stepper.parts.bias.value = String(stepper.state.bias);
  showKernel(stepper);
}

// The kernel's fields are made only when a different kernel is taken: a field that is typed in keeps the focus.
function showKernel(stepper) {
  var side = stepper.state.side, rows = [];
  for (var u = 0; u < side; u++) {
    var cells = [];
    for (var v = 0; v < side; v++) cells.push(el("td", {}, [kernelField(stepper, u, v)]));
    rows.push(el("tr", {}, cells));
  }
  stepper.parts.kernel.replaceChildren(el("table", {}, [el("caption", { text: "kernel w (editable)" }), el("tbody", {}, rows)]));
}

function kernelField(stepper, u, v) {
  var state = stepper.state, n = u * state.side + v;
  var node = el("input", { type: "number", step: "0.1", value: String(state.kernel[n]), "aria-label": "w, row " + u + ", column " + v });
  node.addEventListener("input", function () { state.kernel[n] = Number(node.value) || 0; draw(stepper); });
  return node;
}

function stepButton(stepper, sign, name, step) {
  return el("button", { type: "button", text: sign, "aria-label": name, onclick: function () {
    stop(stepper);
    move(stepper, stepper.state.at + step(outputSide(stepper.state)));
  } });
}

function layOut(stepper) {
  var parts = stepper.parts;
  stepper.place.append(
    settings(stepper),
    el("div", { class: "step-body" }, [
      el("div", {}, [
        el("figure", {}, [el("figcaption", { text: "input, 28 × 28, and the window" }), parts.input]),
        el("figure", {}, [el("figcaption", { text: "output so far" }), parts.output])
      ]),
      el("div", { class: "step-side" }, [
        el("div", { class: "live-buttons" }, [
          stepButton(stepper, "◀", "One position back", STEPS.ArrowLeft),
          stepButton(stepper, "▶", "One position on", STEPS.ArrowRight),
          stepButton(stepper, "▲", "One row up", STEPS.ArrowUp),
          stepButton(stepper, "▼", "One row down", STEPS.ArrowDown),
          parts.play, el("label", {}, ["Speed ", parts.speed])
        ]),
        parts.slider, parts.equation,
        el("div", { class: "step-top" }, [parts.factors, parts.kernel, parts.products]), parts.size
      ])
    ]),
    parts.spoken
  );
}

// ------------------------------------------------------------------------------------------ drawing

function draw(stepper) {
  var state = stepper.state, parts = stepper.parts, o = outputSide(state), found = windowAt(stepper, state.at);
  var row = Math.floor(state.at / o), column = state.at % o, y = sumAt(stepper, state.at), sum = y - state.bias;
  var products = found.values.map(function (value, n) { return (value || 0) * state.kernel[n]; });
  parts.slider.max = String(o * o - 1);
  parts.slider.value = String(state.at);
  parts.slider.setAttribute("aria-valuetext", "row " + row + ", column " + column);
  drawInput(stepper, found);
  drawOutput(stepper, o, row, column);
  parts.size.replaceChildren("o = ⌊(i + 2p − k) / s⌋ + 1 = ⌊(28 + 2·", bold(state.padding), " − ", bold(state.side), ") / ",
                             bold(state.stride), "⌋ + 1 = ", bold(o));
  parts.equation.replaceChildren("y at row " + row + ", column " + column + ":  b + Σ x·w = ", bold(live.number(state.bias, 2)),
                                 sum < 0 ? " − " : " + ", bold(live.number(Math.abs(sum), 2)), " = ", bold(live.number(y, 2)));
  parts.factors.replaceChildren(live.matrix(found.values, state.side, state.side, { decimals: 2, grey: true, caption: "window x" }));
  parts.products.replaceChildren(live.matrix(products, state.side, state.side,
                                             { decimals: 2, caption: "products x·w; sum " + live.number(sum, 2) }));
  sayLater(stepper);
}

function bold(value) {
  return el("b", { text: String(value) });
}

// The sum is spoken once the window rests, and only while the reader is in the stepper.
function sayLater(stepper) {
  var spoken = stepper.parts.spoken;
  clearTimeout(stepper.speaking);
  if (stepper.state.timer) return;
  stepper.speaking = setTimeout(function () {
    var text = stepper.parts.equation.textContent;
    if (spoken.textContent !== text && document.activeElement && stepper.place.contains(document.activeElement)) spoken.textContent = text;
  }, PAUSE);
}

// The side of a cell in CSS pixels: 32 of them, the padded input, fit the place, and both pictures a screen.
function cellSide(stepper) {
  return Math.floor(Math.min(256, Math.max(160, (stepper.place.clientWidth || 320) - 4)) / 32);
}

function edgeColour() {
  return live.theme() === "dark" ? "#8b949e" : "#767d86";
}

function drawInput(stepper, found) {
  var state = stepper.state, cells = SIDE + 2 * state.padding, cell = cellSide(stepper), total = cells * cell, offset = state.padding * cell;
  var context = live.sized(stepper.parts.input, total, total), values = new Float32Array(SIDE * SIDE);
  for (var n = 0; n < values.length; n++) values[n] = stepper.images[state.digit][n] / 255;
  live.drawMap(context, values, [SIDE, SIDE, 1], 0, offset, offset, cell, 1, true);
  context.setLineDash([3, 3]);
  context.strokeStyle = edgeColour();
  context.lineWidth = 1;
  if (state.padding) context.strokeRect(0.5, 0.5, total - 1, total - 1);
  context.setLineDash([]);
  context.strokeRect(offset + 0.5, offset + 0.5, SIDE * cell - 1, SIDE * cell - 1);
  live.frame(context, offset + found.left * cell + 1, offset + found.top * cell + 1, state.side * cell - 2, state.side * cell - 2,
             live.kindColour("convolution"));
}

// The cells up to this one are filled; the rest are still to come.
function drawOutput(stepper, o, row, column) {
  var cell = cellSide(stepper), context = live.sized(stepper.parts.output, o * cell, o * cell), values = new Float32Array(o * o), most = 0;
  for (var n = 0; n < o * o; n++) {
    var value = sumAt(stepper, n);
    most = Math.max(most, Math.abs(value));
    values[n] = n <= stepper.state.at ? value : 0;
  }
  live.drawMap(context, values, [o, o, 1], 0, 0, 0, cell, most, false);
  context.strokeStyle = edgeColour();
  context.lineWidth = 1;
  context.strokeRect(0.5, 0.5, o * cell - 1, o * cell - 1);
  live.frame(context, column * cell + 1, row * cell + 1, Math.max(2, cell - 2), Math.max(2, cell - 2), live.kindColour("convolution"));
}

// ------------------------------------------------------------------------------------------ start

function build(place) {
  var stepper = createStepper(place), state = stepper.state, redraw = function () { draw(stepper); };
  layOut(stepper);
  live.onTheme(redraw);
  new ResizeObserver(redraw).observe(place);
  place.hidden = false;
  showKernel(stepper);
  state.at = 9 * outputSide(state) + 11;
  redraw();
  // For the book's own tests.
  window.LENET5_STEPPER = {
    state: state, images: stepper.images, sumAt: function (at) { return sumAt(stepper, at); }, outputSide: function () { return outputSide(state); }
  };
}

live.start("stepper", build);
})();
