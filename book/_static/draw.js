// "Draw a digit": the pad, the answer, every layer, and the numbers that made any unit.
(function () {
"use strict";

var engine = window.LENET5_ENGINE, live = window.LENET5_LIVE, drawn = window.LENET5_STROKES, el = live.el;
var PEN = 0.058, GRID = 28, PAUSE = 700;

function build(place) {
  var net = engine.network(window.LENET5_NETWORK);
  var shown = net.layers.map(function (layer, n) { return n; }).filter(function (n) { return net.layers[n].kind !== "flatten"; });
  var last = net.layers.length - 1;
  var state = { strokes: [], history: [], asMnist: true, before: false, pick: null, pinned: false, part: null,
                digit: null, input: null, results: null };
  var times = [];

  // ------------------------------------------------------------------------------------------ the pad

  var pad = el("canvas", { class: "draw-pad", tabindex: "0", role: "application", "aria-label": "Drawing pad",
                           "aria-describedby": "draw-keys" });
  var cursor = { x: 14, y: 6, down: false, visible: false };
  var lifted = true;
  var undo = el("button", { type: "button", text: "Undo", onclick: takeBack });
  var clear = el("button", { type: "button", text: "Clear", onclick: wipe });
  var taps = el("input", { type: "checkbox", id: "draw-taps" });
  var lift = el("button", { type: "button", text: "Lift the pen", hidden: true, onclick: function () { lifted = true; say("Pen lifted."); } });
  taps.addEventListener("change", function () { lift.hidden = !taps.checked; lifted = true; });

  function remember() {
    state.history.push(state.strokes.map(function (stroke) { return stroke.slice(); }));
    if (state.history.length > 200) state.history.shift();
  }

  function takeBack() {
    stopReplay();
    if (state.history.length) state.strokes = state.history.pop();
    lifted = true;
    note("");
    changed();
  }

  function wipe() {
    stopReplay();
    if (state.strokes.length) remember();
    state.strokes = [];
    lifted = true;
    note("");
    changed();
  }

  function where(event) {
    var box = pad.getBoundingClientRect();
    return [Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)), Math.min(1, Math.max(0, (event.clientY - box.top) / box.height))];
  }

  var pointer = null;
  pad.addEventListener("pointerdown", function (event) {
    if (!event.isPrimary || event.button !== 0) return;
    event.preventDefault();
    pad.focus({ preventScroll: true });
    cursor.visible = false;
    stopReplay();
    remember();
    note("");
    if (taps.checked && !lifted && state.strokes.length) state.strokes[state.strokes.length - 1].push(where(event));
    else state.strokes.push([where(event)]);
    lifted = false;
    if (!taps.checked) {
      pointer = event.pointerId;
      try { pad.setPointerCapture(pointer); } catch (error) { /* A pointer that is gone already. */ }
    }
    changed();
  });
  pad.addEventListener("pointermove", function (event) {
    if (event.pointerId !== pointer) return;
    var events = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
    var stroke = state.strokes[state.strokes.length - 1];
    (events.length ? events : [event]).forEach(function (one) { stroke.push(where(one)); });
    changed();
  });
  ["pointerup", "pointercancel", "lostpointercapture"].forEach(function (name) {
    pad.addEventListener(name, function (event) { if (event.pointerId === pointer) { pointer = null; lifted = true; } });
  });

  var ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  pad.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    var arrow = ARROWS[event.key], far = event.shiftKey ? 4 : 1;
    if (arrow) {
      cursor.x = Math.min(GRID - 1, Math.max(0, cursor.x + arrow[0] * far));
      cursor.y = Math.min(GRID - 1, Math.max(0, cursor.y + arrow[1] * far));
      if (cursor.down) state.strokes[state.strokes.length - 1].push(atCursor());
    } else if (event.key === " " || event.key === "Enter") {
      cursor.down = !cursor.down;
      stopReplay();
      if (cursor.down) { remember(); note(""); state.strokes.push([atCursor()]); }
      say("Pen " + (cursor.down ? "down" : "up") + " at row " + cursor.y + ", column " + cursor.x + ".");
    } else if (event.key === "Escape") {
      cursor.down = false;
      say("Pen up.");
    } else if (event.key === "Backspace") { cursor.down = false; takeBack(); }
    else if (event.key === "Delete") { cursor.down = false; wipe(); }
    else return;
    event.preventDefault();
    cursor.visible = true;
    changed();
  });
  pad.addEventListener("focus", function () { if (pad.matches(":focus-visible")) { cursor.visible = true; changed(); } });
  pad.addEventListener("blur", function () { cursor.visible = cursor.down = false; changed(); });

  function atCursor() {
    return [(cursor.x + 0.5) / GRID, (cursor.y + 0.5) / GRID];
  }

  function drawPad() {
    var side = pad.clientWidth || 280, context = live.sized(pad, side, side), dark = live.theme() === "dark";
    context.lineCap = context.lineJoin = "round";
    context.strokeStyle = dark ? "#f0f0f0" : "#111";
    context.lineWidth = PEN * side;
    state.strokes.forEach(function (stroke) {
      context.beginPath();
      stroke.forEach(function (p, n) { context[n ? "lineTo" : "moveTo"](p[0] * side, p[1] * side); });
      if (stroke.length === 1) context.lineTo(stroke[0][0] * side + 0.01, stroke[0][1] * side);
      context.stroke();
    });
    if (!state.strokes.length && !cursor.visible) {
      context.fillStyle = dark ? "#b8bec8" : "#5a5f66";
      context.font = "16px sans-serif";
      context.textAlign = "center";
      context.fillText("Draw a digit here", side / 2, side / 2);
    }
    if (cursor.visible) {
      var p = atCursor();
      context.lineWidth = 2;
      context.strokeStyle = live.kindColour("convolution");
      context.beginPath();
      context.arc(p[0] * side, p[1] * side, cursor.down ? 5 : 9, 0, 7);
      context.stroke();
    }
  }

  // ------------------------------------------------------------------------------------------ drawings to start from

  var replay = null;

  function stopReplay() {
    if (replay) cancelAnimationFrame(replay);
    replay = null;
  }

  function show(drawing) {
    stopReplay();
    remember();
    lifted = true;
    var total = drawing.strokes.reduce(function (sum, stroke) { return sum + stroke.length; }, 0), begun = null;
    if (!live.mayMove()) { state.strokes = firstPoints(drawing.strokes, total); changed(); return; }
    replay = requestAnimationFrame(function next(now) {
      begun = begun === null ? now : begun;
      var points = Math.ceil(total * Math.min(1, (now - begun) / 600));
      state.strokes = firstPoints(drawing.strokes, Math.max(1, points));
      replay = points < total ? requestAnimationFrame(next) : null;
      changed();
    });
  }

  function firstPoints(strokes, count) {
    var out = [];
    strokes.forEach(function (stroke) {
      if (count > 0) out.push(stroke.slice(0, count));
      count -= stroke.length;
    });
    return out;
  }

  var trial = 0;

  function showMistake() {
    for (var n = 0; n < drawn.trials.length; n++) {
      var one = drawn.trials[(trial + n) % drawn.trials.length], values = answerTo(one.strokes);
      if (values && engine.best(values) !== one.digit) {
        trial = (trial + n + 1) % drawn.trials.length;
        show(one);
        note(capital(one.name) + ", drawn for this book: the network reads " + engine.best(values) + ", " +
             live.percent(values[engine.best(values)]) + ".");
        return;
      }
    }
    note("It reads all " + drawn.trials.length + " of our drawings.");
  }

  function capital(text) {
    return text[0].toUpperCase() + text.slice(1);
  }

  function answerTo(strokes) {
    var digit = engine.digitOf(strokes, state.asMnist);
    return digit && engine.forward(net, engine.toInput(net, digit))[last].values;
  }

  var starts = el("div", { class: "live-buttons", role: "group", "aria-label": "Start from a drawing" },
    [el("span", { text: "Start from", "aria-hidden": "true" })].concat(drawn.common.map(function (one) {
      return el("button", { type: "button", text: String(one.digit), "aria-label": "Draw a " + one.digit,
                            onclick: function () { note(""); show(one); } });
    })).concat([el("button", { type: "button", text: "Show me one it gets wrong", onclick: showMistake })]));
  var noted = el("p", { class: "draw-note" });

  function note(text) {
    noted.textContent = text;
  }

  // ------------------------------------------------------------------------------------------ the answer

  var status = el("p", { role: "status", class: "live-hidden" });
  var spoken = "", timer = null;

  function say(text) {
    status.textContent = text;
  }

  function sayLater(text) {
    clearTimeout(timer);
    timer = setTimeout(function () {
      if (text !== spoken) { spoken = text; say(text); }
    }, PAUSE);
  }

  var classes = net.layers[last].outputShape[0], order = Array.from({ length: classes }, function (_, n) { return n; });
  var reading = el("p", { class: "draw-reading" });
  var bars = order.map(function (digit) {
    var bar = el("span", { class: "draw-bar" }), share = el("span", { class: "draw-share", text: "–" });
    var row = el("li", {}, [el("span", { class: "draw-digit", text: String(digit) }), el("span", { class: "draw-track", "aria-hidden": "true" }, [bar]), share]);
    return { row: row, bar: bar, share: share };
  });

  function drawAnswer() {
    var values = state.results && state.results[last].values, top = values ? engine.best(values) : -1;
    reading.textContent = values ? "It reads " + top : "No digit yet";
    bars.forEach(function (one, n) {
      one.bar.style.width = values ? 100 * values[n] + "%" : "0";
      one.share.textContent = values ? live.percent(values[n]) : "–";
      one.row.classList.toggle("draw-top-digit", n === top);
    });
    if (!values) return sayLater("No digit.");
    var next = order.filter(function (n) { return n !== top; }).reduce(function (a, b) { return values[b] > values[a] ? b : a; });
    sayLater("Reads " + top + ", " + Math.round(100 * values[top]) + " per cent; next " + next + ", " + Math.round(100 * values[next]) + " per cent.");
  }

  // ------------------------------------------------------------------------------------------ the layers

  var views = [-1].concat(shown).map(function (n) { return view(n); });

  function shapeOf(n) {
    return n < 0 ? net.inputShape : net.layers[n].outputShape;
  }

  function valuesOf(n) {
    if (n < 0) return state.input;
    return state.results && state.results[n][state.before ? "sums" : "values"];
  }

  function view(n) {
    var layer = n < 0 ? { name: "Input", kind: "input" } : net.layers[n], shape = shapeOf(n);
    var maps = shape.length === 1 ? "a vector of " + shape[0] : shape[2] + (shape[2] === 1 ? " map of " : " maps of ") + shape[0] + " by " + shape[1];
    var canvas = el("canvas", { tabindex: "0", role: "application", "data-layer": layer.name,
                                "aria-label": layer.name + ", " + maps + " units", "aria-describedby": "draw-unit-keys" });
    var range = el("span", { class: "draw-range" });
    var figure = el("figure", { class: "draw-layer" }, [
      el("figcaption", {}, [
        el("b", { class: "kind kind-" + layer.kind, text: layer.name }), " ",
        el("span", { text: shape.join("×") }),
        layer.parameters ? el("span", { text: " · " + layer.parameters.toLocaleString("en") + " parameters" }) : null, " ", range
      ]),
      canvas
    ]);
    var one = { n: n, layer: layer, shape: shape, canvas: canvas, figure: figure, range: range, unit: null };
    canvas.addEventListener("pointermove", function (event) { if (!state.pinned) pick(one, under(one, event), false); });
    canvas.addEventListener("pointerleave", function () { if (!state.pinned && document.activeElement !== canvas) pick(null, null, false); });
    canvas.addEventListener("click", function (event) {
      var unit = under(one, event);
      if (unit !== null) pick(one, unit, !(state.pinned && state.pick && state.pick.view === one && state.pick.unit === unit));
    });
    canvas.addEventListener("focus", function () {
      if (canvas.matches(":focus-visible")) pick(one, one.unit === null ? middle(one) : one.unit, true);
    });
    canvas.addEventListener("keydown", function (event) { moveUnit(one, event); });
    return one;
  }

  function middle(one) {
    return one.shape.length === 1 ? 0 : (Math.floor(one.shape[0] / 2) * one.shape[1] + Math.floor(one.shape[1] / 2)) * one.shape[2];
  }

  // Columns of maps and the side of a cell, whole pixels, for a view of this width; a vector is a grid of its units.
  function arrange(one, room) {
    var shape = one.shape;
    if (shape.length === 1) {
      var across = shape[0] <= 12 ? shape[0] : [60, 42, 40, 30, 28, 24, 20].find(function (k) { return shape[0] % k === 0 && k * 9 <= room; }) || 20;
      return { vector: true, columns: across, rows: Math.ceil(shape[0] / across), cell: Math.max(6, Math.min(24, Math.floor(room / across))) };
    }
    var wanted = Math.max(3, Math.ceil((shape[2] === 1 ? 140 : 46) / shape[1]));
    for (var columns = shape[2]; columns >= 1; columns--) {
      var cell = Math.floor((room - live.GAP * (columns - 1)) / columns / shape[1]);
      if ((shape[2] % columns === 0 && cell >= wanted) || columns === 1) {
        return { columns: columns, rows: Math.ceil(shape[2] / columns), cell: Math.max(1, Math.min(cell, Math.ceil((shape[2] === 1 ? 140 : 84) / shape[1]))) };
      }
    }
  }

  function corner(one, map) {
    var grid = one.grid;
    return [(map % grid.columns) * (one.shape[1] * grid.cell + live.GAP), Math.floor(map / grid.columns) * (one.shape[0] * grid.cell + live.GAP)];
  }

  function under(one, event) {
    var box = one.canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top, grid = one.grid, shape = one.shape;
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

  function moveUnit(one, event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    var arrow = ARROWS[event.key], shape = one.shape, unit = one.unit === null ? middle(one) : one.unit;
    if (event.key === "Escape") { pick(null, null, false); event.preventDefault(); return; }
    if (shape.length === 1) {
      if (!arrow) return;
      unit += arrow[0] + arrow[1] * one.grid.columns;
      if (unit < 0 || unit >= shape[0]) unit = one.unit;
    } else {
      var map = unit % shape[2], rest = Math.floor(unit / shape[2]), row = Math.floor(rest / shape[1]), column = rest % shape[1];
      if (arrow) {
        column = Math.min(shape[1] - 1, Math.max(0, column + arrow[0]));
        row = Math.min(shape[0] - 1, Math.max(0, row + arrow[1]));
      } else if (event.key === "PageDown" || event.key === "PageUp") {
        map = (map + (event.key === "PageDown" ? 1 : shape[2] - 1)) % shape[2];
      } else return;
      unit = (row * shape[1] + column) * shape[2] + map;
    }
    event.preventDefault();
    pick(one, unit, true);
  }

  function pick(one, unit, pinned) {
    if (one && unit === null) { if (state.pinned) return; one = null; }
    var same = state.pick && one && state.pick.view === one && state.pick.unit === unit && state.pinned === pinned;
    if (same || (!one && !state.pick)) return;
    if (!one || !state.pick || state.pick.view !== one) state.part = null;
    state.pick = one ? { view: one, unit: unit } : null;
    state.pinned = Boolean(one && pinned);
    if (one) one.unit = unit;
    schedule();
  }

  // The rectangles, in each layer's own cells, that the picked unit depends on.
  function marks() {
    var found = {}, picked = state.pick;
    if (!picked) return found;
    var at = picked.view.n < 0 ? { row: Math.floor(picked.unit / net.inputShape[1]), column: picked.unit % net.inputShape[1], map: 0 } : engine.place(net.layers[picked.view.n], picked.unit);
    found[picked.view.n] = { box: [at.row, at.column, 1, 1], map: at.map };
    if (picked.view.n < 0) return found;
    engine.reach(net, picked.view.n, picked.unit).forEach(function (box, k) {
      var source = k - 1;
      while (source >= 0 && net.layers[source].kind === "flatten") source--;
      // Pooling reads one map, that of the unit, as long as nothing but pooling lies between.
      var single = net.layers.slice(k, picked.view.n + 1).every(function (layer) { return layer.kind === "pooling"; });
      found[source] = { box: box, map: single ? at.map : null };
    });
    return found;
  }

  function drawView(one, mark) {
    var room = one.figure.clientWidth || 300, values = valuesOf(one.n), shape = one.shape;
    var grid = one.grid = arrange(one, room - 2), cell = grid.cell;
    var width = grid.vector ? grid.columns * cell : grid.columns * (shape[1] * cell + live.GAP) - live.GAP;
    var height = grid.vector ? grid.rows * cell : grid.rows * (shape[0] * cell + live.GAP) - live.GAP;
    var context = live.sized(one.canvas, width, height);
    var limit = values ? live.largest(values) : 1, blank = values || new Float32Array(engine.size(shape));
    one.range.textContent = values && one.n >= 0 ? "colours: ±" + limit.toPrecision(2) : "";
    if (grid.vector) live.drawMap(context, blank, [grid.rows, grid.columns, 1], 0, 0, 0, cell, limit, false);
    else for (var map = 0; map < shape[2]; map++) {
      var at = corner(one, map);
      live.drawMap(context, blank, shape, map, at[0], at[1], cell, limit, one.n < 0);
    }
    if (grid.vector && shape[0] <= 12) label(context, blank, grid, limit);
    if (mark) drawMark(context, one, mark);
  }

  function label(context, values, grid, limit) {
    context.font = "12px sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (var n = 0; n < values.length; n++) {
      context.fillStyle = live.cellStyle(values[n], limit).split("color:")[1];
      context.fillText(String(n), (n + 0.5) * grid.cell, grid.cell / 2 + 1);
    }
  }

  function drawMark(context, one, mark) {
    var cell = one.grid.cell, colour = live.kindColour(state.pick.view.layer.kind);
    if (one.grid.vector) {
      if (one !== state.pick.view) return live.frame(context, 1, 1, one.grid.columns * cell - 2, one.grid.rows * cell - 2, colour);
      return live.frame(context, (state.pick.unit % one.grid.columns) * cell, Math.floor(state.pick.unit / one.grid.columns) * cell, cell, cell, colour);
    }
    for (var map = 0; map < one.shape[2]; map++) {
      if (mark.map !== null && mark.map !== map) continue;
      var at = corner(one, map), box = inside(mark.box, one.shape);
      context.save();
      live.frame(context, at[0] + box[1] * cell + 1, at[1] + box[0] * cell + 1, box[3] * cell - 2, box[2] * cell - 2, colour, box.cut);
      context.restore();
    }
  }

  // The part of a rectangle that lies on a map; `cut` where the rest is padding.
  function inside(box, shape) {
    var top = Math.max(0, box[0]), left = Math.max(0, box[1]);
    var out = [top, left, Math.min(shape[0], box[0] + box[2]) - top, Math.min(shape[1], box[1] + box[3]) - left];
    out.cut = out[2] !== box[2] || out[3] !== box[3];
    return out;
  }

  // ------------------------------------------------------------------------------------------ the inspector

  var inspector = el("section", { class: "draw-inspector", "aria-label": "How a unit came about" });
  var unitStatus = el("p", { role: "status", class: "live-hidden" }), unitTimer = null;
  var field = el("canvas", { role: "img", "aria-label": "The input with the unit's receptive field framed" });

  function inspect(mark) {
    var content = [];
    if (!state.pick) {
      content = [el("h3", { text: "How a unit came about" }),
                 el("p", { text: "Point at any cell, or move to a layer with Tab and to a cell with the arrow keys. What it was made from appears here." })];
    } else if (!state.results) {
      content = [el("h3", { text: "How a unit came about" }), el("p", { text: "Draw a digit first." })];
    } else content = explained(mark);
    inspector.replaceChildren.apply(inspector, content);
    // On a narrow page it stands under the layer that it explains.
    var home = narrow() && state.pick && state.pick.view.n >= 0 ? state.pick.view.figure : null;
    if (home && state.pinned && inspector.previousElementSibling !== home) home.after(inspector);
    else if (!narrow() && inspector.parentElement !== body) body.append(inspector);
    clearTimeout(unitTimer);
    if (state.pick && state.pinned && state.results) {
      var text = Array.from(inspector.querySelectorAll("h3, .draw-sum"), function (node) { return node.textContent; }).join(". ");
      unitTimer = setTimeout(function () { if (unitStatus.textContent !== text) unitStatus.textContent = text; }, 300);
    }
  }

  function unitName(n, index) {
    var layer = net.layers[n];
    while (layer && layer.kind === "flatten") layer = net.layers[--n];
    if (layer && layer.outputShape.length === 1) return layer.name + " unit " + index;
    var at = layer ? engine.place(layer, index) : { row: Math.floor(index / net.inputShape[1]), column: index % net.inputShape[1], map: 0 };
    return (layer ? layer.name + " map " + at.map + ", " : "Input ") + "row " + at.row + ", column " + at.column;
  }

  function formula(parts) {
    return el("p", { class: "draw-formula" }, parts.map(function (part) {
      return typeof part === "string" ? part : el(part[0], { text: part[1] });
    }));
  }

  function chapter(file, text) {
    return el("a", { href: file, text: text });
  }

  function explained(mark) {
    var n = state.pick.view.n, index = state.pick.unit;
    if (n < 0) {
      return [el("h3", { text: capital(unitName(-1, index)) }),
              el("p", { class: "draw-sum", text: "Pixel " + state.digit[index] + " of 255, which the network reads as " + live.number(state.input[index], 3) + "." })];
    }
    var layer = net.layers[n], found = engine.explain(net, state.results, state.input, n, index);
    var seen = mark[-1].box, ends = inside(seen, net.inputShape);
    live.drawMap(live.sized(field, 112, 112), state.input, net.inputShape, 0, 0, 0, 112 / net.inputShape[1], 1, true);
    var fine = 112 / net.inputShape[1];
    live.frame(field.getContext("2d"), ends[1] * fine + 1, ends[0] * fine + 1, ends[3] * fine - 2, ends[2] * fine - 2, live.kindColour(layer.kind), ends.cut);
    var sees = "Sees rows " + ends[0] + "–" + (ends[0] + ends[2] - 1) + ", columns " + ends[1] + "–" + (ends[1] + ends[3] - 1) + " of the input" +
      (ends.cut ? ", and padding beyond its edge." : ".");
    var content = [el("h3", { text: unitName(n, index) }), el("div", { class: "draw-field" }, [field, el("p", { text: sees })])];
    if (layer.kind === "convolution") return content.concat(convolution(layer, found));
    if (layer.kind === "pooling") return content.concat(pooling(layer, found));
    return content.concat(denseUnit(layer, found, n));
  }

  function total(layer, found) {
    var sums = found.sum - found.bias;
    return el("p", { class: "draw-sum", text: layer.activation + "(" + live.number(found.bias, 3) + (sums < 0 ? " − " : " + ") +
      live.number(Math.abs(sums), 3) + ") = " + layer.activation + "(" + live.number(found.sum, 3) + ") = " + live.number(found.value, 3) });
  }

  function convolution(layer, found) {
    var parts = found.parts, height = layer.window[0], width = layer.window[1];
    var most = parts.reduce(function (a, b) { return Math.abs(b.sum) > Math.abs(a.sum) ? b : a; });
    var chosen = parts[state.part === null ? most.map : state.part] || most;
    var content = [formula(["y = ", layer.activation, "(", ["i", "b"], " + Σ ", ["i", "x"], "·", ["i", "w"], "),  equation ",
                            ["span", ""]]), total(layer, found)];
    content[0].append(chapter("02_convolution.html#one-window-one-number", "(2.1)"));
    if (parts.length > 1) content.push(partsTable(parts, found, chosen, height, width));
    var products = chosen.window.map(function (value, i) { return (value || 0) * chosen.kernel[i]; });
    var from = parts.length > 1 ? " of map " + chosen.map : "";
    content.push(live.matrix(chosen.window, height, width, { decimals: 2, caption: "window x" + from }),
                 live.matrix(chosen.kernel, height, width, { decimals: 2, caption: "kernel w" + from }),
                 live.matrix(products, height, width, { decimals: 2, caption: "products x·w, together " + live.number(chosen.sum, 3) }));
    return content;
  }

  function picture(values, height, width) {
    var canvas = el("canvas", { role: "presentation" });
    live.drawMap(live.sized(canvas, width * 6, height * 6), values.map(function (v) { return v || 0; }), [height, width, 1], 0, 0, 0, 6, live.largest(values.map(Number)), false);
    return canvas;
  }

  function partsTable(parts, found, chosen, height, width) {
    var rows = parts.map(function (part) {
      var button = el("button", { type: "button", text: String(part.map), "aria-pressed": String(part === chosen),
                                  "aria-label": "Show the numbers of map " + part.map,
                                  onclick: function () { state.part = part.map; state.pinned = true; schedule(); } });
      return el("tr", { class: part === chosen ? "draw-chosen" : null }, [
        el("th", { scope: "row" }, [button]), el("td", {}, [picture(part.window, height, width)]),
        el("td", {}, [picture(part.kernel, height, width)]), el("td", { text: live.number(part.sum, 3) })
      ]);
    });
    rows.push(el("tr", {}, [el("th", { scope: "row", text: "bias" }), el("td"), el("td"), el("td", { text: live.number(found.bias, 3) })]),
              el("tr", {}, [el("th", { scope: "row", text: "sum" }), el("td"), el("td"), el("td", { text: live.number(found.sum, 3) })]));
    return el("table", { class: "draw-parts" }, [
      el("thead", {}, [el("tr", {}, ["map", "window", "kernel", "sum"].map(function (text) { return el("th", { scope: "col", text: text }); }))]),
      el("tbody", {}, rows)
    ]);
  }

  function pooling(layer, found) {
    var word = layer.mode === "max" ? "largest" : "average";
    var text = formula(["y = " + word + " of the window, ", ["span", ""]]);
    text.append(chapter("02_convolution.html#pooling", "chapter 2"));
    return [text, el("p", { class: "draw-sum", text: "The " + word + " is " + live.number(found.value, 3) + "." }),
            live.matrix(found.parts[0].window, layer.window[0], layer.window[1], { decimals: 3, caption: "window of map " + found.place.map })];
  }

  function denseUnit(layer, found, n) {
    var sorted = found.terms.slice().sort(function (a, b) { return Math.abs(b.product) - Math.abs(a.product); });
    var top = sorted.slice(0, 8), rest = sorted.slice(8).reduce(function (sum, term) { return sum + term.product; }, 0);
    var rows = top.map(function (term) {
      return el("tr", {}, [el("th", { scope: "row", text: unitName(n - 1, term.input) }), el("td", { text: live.number(term.x, 2) }),
                           el("td", { text: live.number(term.w, 2) }), el("td", { text: live.number(term.product, 3) })]);
    });
    rows.push(ending("the other " + (found.terms.length - top.length), rest), ending("bias", found.bias), ending("sum", found.sum));
    var table = el("table", { class: "draw-parts" }, [
      el("thead", {}, [el("tr", {}, ["input", "x", "w", "x·w"].map(function (text) { return el("th", { scope: "col", text: text }); }))]),
      el("tbody", {}, rows)
    ]);
    var text = formula(["y = ", layer.activation, "(", ["i", "b"], " + Σ ", ["i", "x"], "·", ["i", "w"], ") over ", found.terms.length + " inputs"]);
    if (layer.activation !== "softmax") return [text, total(layer, found), table];
    var powers = found.sums.map(Math.exp), all = powers.reduce(function (a, b) { return a + b; });
    var line = "e to the power " + live.number(found.sum, 2) + ", divided by the sum of all " + powers.length + " powers: " +
      powers[found.place.map].toPrecision(3) + " / " + all.toPrecision(3) + " = " + live.number(found.value, 3);
    return [text, el("p", { class: "draw-sum", text: line }), table];
  }

  function ending(name, value) {
    return el("tr", {}, [el("th", { scope: "row", text: name }), el("td"), el("td"), el("td", { text: live.number(value, 3) })]);
  }

  // ------------------------------------------------------------------------------------------ together

  var asMnist = el("input", { type: "checkbox", id: "draw-mnist", checked: true, onchange: function () { state.asMnist = asMnist.checked; changed(); } });
  var before = el("input", { type: "checkbox", id: "draw-before", onchange: function () { state.before = before.checked; schedule(); } });
  var input = views[0];
  var layers = el("div", { class: "draw-layers" }, views.slice(1).map(function (one) { return one.figure; }));
  var body = el("div", { class: "draw-body" }, [layers, inspector]);

  function check(box, text) {
    return el("span", { class: "live-check" }, [box, el("label", { for: box.id, text: text })]);
  }

  place.append(
    el("div", { class: "draw-top" }, [
      el("div", { class: "draw-left" }, [pad, el("div", { class: "live-buttons" }, [undo, clear, lift]), check(taps, "Join taps by lines")]),
      el("div", { class: "draw-answer" }, [reading, el("ol", { class: "draw-bars", start: "0" }, bars.map(function (one) { return one.row; }))]),
      el("div", { class: "draw-seen" }, [input.figure, check(asMnist, "Bring to MNIST’s form first")])
    ]),
    el("p", { id: "draw-keys", class: "live-hidden", text: "Arrow keys move the pen, with Shift four cells at a time. Space puts it down and lifts it. Backspace takes back, Delete clears, Tab leaves." }),
    el("p", { id: "draw-unit-keys", class: "live-hidden", text: "Arrow keys choose a unit, Page Up and Page Down a map, Escape lets go." }),
    starts, noted, status, unitStatus, check(before, "Show the sums, before the activation"), body
  );

  function narrow() {
    return place.clientWidth < 660;
  }

  var waiting = false;

  // Draw once in each frame, however much has happened.
  function schedule() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(function () { waiting = false; redraw(); });
  }

  function changed() {
    state.stale = true;
    schedule();
  }

  function compute() {
    state.digit = engine.digitOf(state.strokes, state.asMnist);
    state.input = state.digit && engine.toInput(net, state.digit);
    state.results = state.input && engine.forward(net, state.input);
    state.stale = false;
  }

  function redraw() {
    var begun = performance.now(), fresh = state.stale;
    if (fresh) compute();
    drawPad();
    if (fresh) drawAnswer();
    var mark = marks();
    views.forEach(function (one) { drawView(one, mark[one.n]); });
    inspect(mark);
    place.classList.toggle("live-narrow", narrow());
    if (fresh && state.results) times.push(performance.now() - begun);
  }

  live.onTheme(schedule);
  new ResizeObserver(schedule).observe(place);
  place.hidden = false;
  state.stale = true;
  redraw();
  // For the book's own tests.
  window.LENET5_DRAW = {
    network: net, state: state, times: times, redraw: redraw,
    show: function (strokes) { stopReplay(); state.strokes = strokes; state.stale = true; redraw(); },
    answer: function () { return state.results && Array.from(state.results[last].values); }
  };
}

live.start("draw", build);
})();
