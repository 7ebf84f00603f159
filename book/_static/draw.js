// "Draw a digit": makes the drawing page of its parts and starts it. A part is a file draw_NAME.js that stands as
// `LENET5_DRAW_PARTS.NAME`. This file is loaded last; it holds the state and the order of drawing, and knows nothing of how a
// part looks.
(function (root) {
"use strict";

var engine = root.LENET5_ENGINE, live = root.LENET5_LIVE, el = live.el;
var parts = root.LENET5_DRAW_PARTS = root.LENET5_DRAW_PARTS || {};

var PARTS = ["pad", "starts", "answer", "layers", "units", "inspector", "terms"];
var NARROW = 660;  // Below this width everything stands in one column.

// The page is one object that every part is handed: the network, the state, what each part created, and a way to say that
// something has changed.
function createPage(place) {
  var network = engine.network(root.LENET5_NETWORK);
  var page = { place: place, network: network, last: network.layers.length - 1, state: createState(), times: [], waiting: false };
  page.schedule = function () { schedule(page); };
  page.changed = function () { page.state.stale = true; schedule(page); };
  page.narrow = function () { return place.clientWidth < NARROW; };
  page.pad = parts.pad.create(page);
  page.starts = parts.starts.create(page);
  page.answer = parts.answer.create(page);
  page.views = parts.layers.create(page);
  page.inspector = parts.inspector.create();
  return page;
}

function createState() {
  return {
    strokes: [],  // Lists of points [x, y], shares of the pad's sides.
    example: false,  // Whether they are the example that the page opens with.
    history: [],  // The strokes before each change, for Undo.
    asMnist: true,  // Normalise the drawing as MNIST's images are.
    before: false,  // Show the pre-activations instead of the activations.
    pick: null,  // { view, unit } that is explained.
    pinned: false,  // Whether it stays while the pointer moves on.
    part: null,  // The map whose terms the reader asked for.
    digit: null, input: null, results: null,  // 28 × 28 bytes, what the network reads, what each layer makes of it.
    stale: true  // The strokes have changed since the results were computed.
  };
}

// ---------------------------------------------------------------------------------------------- layout

function checkbox(id, checked, change) {
  var box = el("input", { type: "checkbox", id: id, checked: checked, onchange: function () { change(box.checked); } });
  return box;
}

function labelled(box, text) {
  return el("span", { class: "live-check" }, [box, el("label", { for: box.id, text: text })]);
}

function hiddenText(id, text) {
  return el("p", { id: id, class: "live-hidden", text: text });
}

function layOut(page) {
  var pad = page.pad, answer = page.answer, state = page.state, bars = answer.bars.map(function (one) { return one.row; });
  var asMnist = checkbox("draw-mnist", true, function (on) { state.asMnist = on; page.changed(); });
  var before = checkbox("draw-before", false, function (on) { state.before = on; page.schedule(); });
  var layers = el("div", { class: "draw-layers" }, page.views.slice(1).map(function (view) { return view.figure; }));
  page.body = el("div", { class: "draw-body" }, [layers, page.inspector.panel]);
  page.place.append(
    el("div", { class: "draw-top" }, [
      el("div", { class: "draw-left" }, [
        pad.canvas, el("div", { class: "live-buttons" }, [pad.undo, pad.clear, pad.lift]), labelled(pad.taps, "Connect taps with lines")
      ]),
      el("div", { class: "draw-answer" }, [answer.reading, el("ol", { class: "draw-bars", start: "0" }, bars), answer.sure]),
      el("div", { class: "draw-seen" }, [page.views[0].figure, labelled(asMnist, "Normalise as in MNIST"),
                                        labelled(before, "Show pre-activations")])
    ]),
    hiddenText("draw-keys", "An example is shown until you draw. Arrow keys move the pen, with Shift four cells at a time. Space puts it down and lifts it. Backspace takes back, Delete clears, Tab leaves."),
    hiddenText("draw-unit-keys", "Arrow keys choose a unit, Page Up and Page Down a map, Escape lets go."),
    page.starts.buttons, page.starts.note, answer.status, page.inspector.status,
    page.body
  );
}

// ---------------------------------------------------------------------------------------------- from strokes to pictures

// Draw once in each frame, however much has happened.
function schedule(page) {
  if (page.waiting) return;
  page.waiting = true;
  requestAnimationFrame(function () { page.waiting = false; redraw(page); });
}

function compute(page) {
  var state = page.state;
  state.digit = engine.digitOf(state.strokes, state.asMnist);
  state.input = state.digit && engine.toInput(page.network, state.digit);
  state.results = state.input && engine.forward(page.network, state.input);
  state.stale = false;
}

function redraw(page) {
  var begun = performance.now(), fresh = page.state.stale;
  if (fresh) compute(page);
  parts.pad.draw(page);
  if (fresh) parts.answer.draw(page);
  var marks = parts.units.marks(page);
  page.views.forEach(function (view) { parts.layers.draw(page, view, marks[view.n]); });
  parts.inspector.draw(page, marks);
  page.place.classList.toggle("live-narrow", page.narrow());
  if (fresh && page.state.results) page.times.push(performance.now() - begun);
}

// ---------------------------------------------------------------------------------------------- start

// Without one of its parts the page does not start, and the still picture stays.
function build(place) {
  PARTS.forEach(function (name) { if (!parts[name]) throw new Error("draw_" + name + ".js has not been loaded"); });
  var page = createPage(place);
  layOut(page);
  live.onTheme(page.schedule);
  new ResizeObserver(page.schedule).observe(place);
  place.hidden = false;
  parts.starts.showExample(page);
  redraw(page);
  root.LENET5_DRAW = forTests(page);
}

// For the book's own tests.
function forTests(page) {
  var state = page.state;
  return {
    network: page.network, state: state, times: page.times,
    show: function (strokes) { parts.starts.stopReplay(page); state.strokes = strokes; state.example = false; state.stale = true; redraw(page); },
    answer: function () { return state.results && Array.from(state.results[page.last].values); }
  };
}

live.start("draw", build);
})(window);
