// "Step through it": a window over a handwritten digit, its products, their sum, and the output they fill.
(function () {
"use strict";

var engine = window.LENET5_ENGINE, live = window.LENET5_LIVE, el = live.el, SIDE = 28;

// Kernels that the chapter speaks of; the trained ones are added from the exported samples.
var KERNELS = [
  { name: "vertical edges, 3 × 3", side: 3, values: [-1, 0, 1, -1, 0, 1, -1, 0, 1] },
  { name: "horizontal edges, 3 × 3", side: 3, values: [-1, -1, -1, 0, 0, 0, 1, 1, 1] },
  { name: "average, 3 × 3", side: 3, values: Array(9).fill(0.11) },
  { name: "unchanged, 3 × 3", side: 3, values: [0, 0, 0, 0, 1, 0, 0, 0, 0] }
];

function build(place) {
  var samples = window.LENET5_SAMPLES, images = engine.bytes(samples.images);
  var trained = engine.floats(samples.kernels), biases = engine.floats(samples.biases), maps = samples.kernelShape[3];
  var side = samples.kernelShape[0], all = KERNELS.slice();
  for (var m = 0; m < maps; m++) {
    var values = [];
    for (var n = 0; n < side * side; n++) values.push(Math.round(100 * trained[n * maps + m]) / 100);
    all.push({ name: "C1’s trained kernel " + m + ", 5 × 5", side: side, values: values, bias: Math.round(100 * biases[m]) / 100 });
  }
  var state = { digit: 3, kernel: all[0].values.slice(), side: all[0].side, bias: 0, stride: 1, padding: 0, at: 0, timer: null };

  function select(label, options, chosen, change) {
    var node = el("select", { onchange: function () { change(Number(node.value)); changed(); } }, options.map(function (option, n) {
      return el("option", { value: String(option[0]), text: option[1], selected: option[0] === chosen });
    }));
    return el("label", {}, [label + " ", node]);
  }

  // ------------------------------------------------------------------------------------------ the arithmetic

  function outputSide() {
    return Math.floor((SIDE + 2 * state.padding - state.side) / state.stride) + 1;
  }

  function pixel(row, column) {
    if (row < 0 || column < 0 || row >= SIDE || column >= SIDE) return null;
    return images[(state.digit * SIDE + row) * SIDE + column] / 255;
  }

  function windowAt(at) {
    var o = outputSide(), top = Math.floor(at / o) * state.stride - state.padding, left = at % o * state.stride - state.padding, found = [];
    for (var u = 0; u < state.side; u++) for (var v = 0; v < state.side; v++) found.push(pixel(top + u, left + v));
    return { top: top, left: left, values: found };
  }

  function sumAt(at) {
    return windowAt(at).values.reduce(function (sum, value, n) { return sum + (value || 0) * state.kernel[n]; }, state.bias);
  }

  // ------------------------------------------------------------------------------------------ the parts

  var input = el("canvas", { tabindex: "0", role: "application", "aria-label": "Input with the window; arrow keys move it" });
  var output = el("canvas", { tabindex: "0", role: "application", "aria-label": "Output with the cell of this window; arrow keys move it" });
  var size = el("p", { class: "step-size" }), equation = el("p", { class: "step-equation" });
  var kernel = el("div", { class: "live-matrix step-kernel" }), factors = el("div"), products = el("div");
  var numbers = el("div", { class: "step-top" }, [factors, kernel, products]);
  var slider = el("input", { type: "range", min: "0", value: "0", "aria-label": "Position of the window",
                             oninput: function () { var to = Number(slider.value); stop(); move(to); } });
  var play = el("button", { type: "button", text: "Play", onclick: function () { state.timer ? stop() : run(); } });
  var speed = el("select", {}, [["600", "slow"], ["200", "medium"], ["40", "fast"]].map(function (option) {
    return el("option", { value: option[0], text: option[1], selected: option[0] === (live.mayMove() ? "200" : "600") });
  }));
  speed.addEventListener("change", function () { if (state.timer) { stop(); run(); } });
  var spoken = el("p", { role: "status", class: "live-hidden" }), timer = null;

  function kernelInputs() {
    var rows = [];
    for (var u = 0; u < state.side; u++) {
      var cells = [];
      for (var v = 0; v < state.side; v++) cells.push(el("td", {}, [kernelInput(u, v)]));
      rows.push(el("tr", {}, cells));
    }
    kernel.replaceChildren(el("table", {}, [el("caption", { text: "kernel w, to be changed" }), el("tbody", {}, rows)]));
  }

  function kernelInput(u, v) {
    var node = el("input", { type: "number", step: "0.1", value: String(state.kernel[u * state.side + v]), "aria-label": "w, row " + u + ", column " + v });
    node.addEventListener("input", function () { state.kernel[u * state.side + v] = Number(node.value) || 0; draw(); });
    return node;
  }

  function move(at) {
    var o = outputSide();
    state.at = Math.min(o * o - 1, Math.max(0, at));
    draw();
  }

  function run() {
    if (state.at === outputSide() * outputSide() - 1) state.at = 0;
    play.textContent = "Pause";
    state.timer = setInterval(function () {
      move(state.at + 1);
      if (state.at === outputSide() * outputSide() - 1) stop();
    }, Number(speed.value));
  }

  function stop() {
    clearInterval(state.timer);
    state.timer = null;
    play.textContent = "Play";
    draw();
  }

  var STEPS = { ArrowLeft: function () { return -1; }, ArrowRight: function () { return 1; }, ArrowUp: function (o) { return -o; }, ArrowDown: function (o) { return o; },
                Home: function (o) { return -o * o; }, End: function (o) { return o * o; } };
  [input, output].forEach(function (canvas) {
    canvas.addEventListener("keydown", function (event) {
      var step = STEPS[event.key], o = outputSide();
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === " ") state.timer ? stop() : run();
      else if (step) {
        stop();
        var to = state.at + step(o);
        if (Math.abs(step(o)) !== o || o === 1 || (to >= 0 && to < o * o)) move(to);
      } else return;
      event.preventDefault();
    });
  });
  input.addEventListener("pointermove", function (event) { follow(event, input, SIDE + 2 * state.padding, false); });
  input.addEventListener("pointerdown", function (event) { follow(event, input, SIDE + 2 * state.padding, false); });
  output.addEventListener("pointermove", function (event) { follow(event, output, outputSide(), true); });
  output.addEventListener("pointerdown", function (event) { follow(event, output, outputSide(), true); });

  // The window goes where the pointer is: its middle over the input's pixel, or the window of the output's cell.
  function follow(event, canvas, cells, isOutput) {
    if (state.timer && event.type === "pointermove") return;
    stop();
    var box = canvas.getBoundingClientRect(), o = outputSide();
    var column = Math.floor((event.clientX - box.left) / box.width * cells), row = Math.floor((event.clientY - box.top) / box.height * cells);
    if (!isOutput) {
      column = Math.round((column - (state.side - 1) / 2) / state.stride);
      row = Math.round((row - (state.side - 1) / 2) / state.stride);
    }
    column = Math.min(o - 1, Math.max(0, column));
    row = Math.min(o - 1, Math.max(0, row));
    move(row * o + column);
  }

  // ------------------------------------------------------------------------------------------ drawing

  function draw() {
    var o = outputSide(), found = windowAt(state.at), terms = found.values.map(function (value, n) { return (value || 0) * state.kernel[n]; });
    var row = Math.floor(state.at / o), column = state.at % o, y = sumAt(state.at), sum = y - state.bias;
    slider.max = String(o * o - 1);
    slider.value = String(state.at);
    slider.setAttribute("aria-valuetext", "row " + row + ", column " + column);
    drawInput(found);
    drawOutput(o, row, column);
    size.replaceChildren("o = ⌊(i + 2p − k) / s⌋ + 1 = ⌊(28 + 2·", bold(state.padding), " − ", bold(state.side), ") / ", bold(state.stride), "⌋ + 1 = ", bold(o));
    equation.replaceChildren("y at row " + row + ", column " + column + ":  b + Σ x·w = ", bold(live.number(state.bias, 2)), sum < 0 ? " − " : " + ",
                             bold(live.number(Math.abs(sum), 2)), " = ", bold(live.number(y, 2)));
    factors.replaceChildren(live.matrix(found.values, state.side, state.side, { decimals: 2, grey: true, caption: "window x" }));
    products.replaceChildren(live.matrix(terms, state.side, state.side, { decimals: 2, caption: "products x·w; sum " + live.number(sum, 2) }));
    clearTimeout(timer);
    if (!state.timer) timer = setTimeout(function () {
      var text = equation.textContent;
      if (spoken.textContent !== text && document.activeElement && place.contains(document.activeElement)) spoken.textContent = text;
    }, 700);
  }

  function bold(value) {
    return el("b", { text: String(value) });
  }

  function room() {
    return Math.min(288, Math.max(160, (place.clientWidth || 320) - 4));
  }

  function drawInput(found) {
    var cells = SIDE + 2 * state.padding, cell = Math.floor(room() / 32), total = cells * cell, offset = state.padding * cell;
    var context = live.sized(input, total, total), values = new Float32Array(SIDE * SIDE);
    for (var n = 0; n < values.length; n++) values[n] = images[state.digit * SIDE * SIDE + n] / 255;
    live.drawMap(context, values, [SIDE, SIDE, 1], 0, offset, offset, cell, 1, true);
    context.setLineDash([3, 3]);
    context.strokeStyle = live.theme() === "dark" ? "#8b949e" : "#767d86";
    context.lineWidth = 1;
    if (state.padding) context.strokeRect(0.5, 0.5, total - 1, total - 1);
    context.setLineDash([]);
    context.strokeRect(offset + 0.5, offset + 0.5, SIDE * cell - 1, SIDE * cell - 1);
    live.frame(context, offset + found.left * cell + 1, offset + found.top * cell + 1, state.side * cell - 2, state.side * cell - 2, live.kindColour("convolution"));
  }

  // The cells up to this one are filled; the rest are still to come.
  function drawOutput(o, row, column) {
    var cell = Math.floor(room() / 32), context = live.sized(output, o * cell, o * cell), values = new Float32Array(o * o), most = 0;
    for (var n = 0; n < o * o; n++) {
      var value = sumAt(n);
      most = Math.max(most, Math.abs(value));
      values[n] = n <= state.at ? value : 0;
    }
    live.drawMap(context, values, [o, o, 1], 0, 0, 0, cell, most, false);
    context.strokeStyle = live.theme() === "dark" ? "#8b949e" : "#767d86";
    context.lineWidth = 1;
    context.strokeRect(0.5, 0.5, o * cell - 1, o * cell - 1);
    live.frame(context, column * cell + 1, row * cell + 1, Math.max(2, cell - 2), Math.max(2, cell - 2), live.kindColour("convolution"));
  }

  function changed() {
    stop();
    move(state.at);
  }

  function back(step) {
    return function () { stop(); move(state.at + step(outputSide())); };
  }

  place.append(
    el("div", { class: "step-settings" }, [
      select("Digit", samples.labels.map(function (label, n) { return [n, String(label)]; }), state.digit, function (value) { state.digit = value; }),
      select("Kernel", all.map(function (one, n) { return [n, one.name]; }), 0, function (value) {
        state.kernel = all[value].values.slice();
        state.side = all[value].side;
        state.bias = all[value].bias || 0;
        kernelInputs();
      }),
      select("Stride s", [[1, "1"], [2, "2"], [3, "3"]], 1, function (value) { state.stride = value; }),
      select("Padding p", [[0, "0"], [1, "1"], [2, "2"]], 0, function (value) { state.padding = value; })
    ]),
    size,
    el("div", { class: "step-top" }, [
      el("figure", {}, [el("figcaption", { text: "input, 28 × 28, and the window" }), input]),
      el("figure", {}, [el("figcaption", { text: "output so far" }), output])
    ]),
    el("div", { class: "live-buttons" }, [
      el("button", { type: "button", text: "◀", "aria-label": "One stop back", onclick: back(function () { return -1; }) }),
      el("button", { type: "button", text: "▶", "aria-label": "One stop on", onclick: back(function () { return 1; }) }),
      el("button", { type: "button", text: "▲", "aria-label": "One row up", onclick: back(function (o) { return -o; }) }),
      el("button", { type: "button", text: "▼", "aria-label": "One row down", onclick: back(function (o) { return o; }) }),
      play, el("label", {}, ["Speed ", speed])
    ]),
    slider, equation, numbers, spoken
  );

  live.onTheme(draw);
  new ResizeObserver(draw).observe(place);
  place.hidden = false;
  kernelInputs();
  state.at = 9 * outputSide() + 11;
  draw();
  // For the book's own tests.
  window.LENET5_STEPPER = { state: state, sumAt: sumAt, windowAt: windowAt, outputSide: outputSide, move: move };
}

live.start("stepper", build);
})();
