// Drawings to start from on the drawing page: an example at first sight, one of each digit, and one that the network misreads. The strokes themselves
// stand in strokes.js; here they are put on the pad, stroke by stroke where the reader allows movement.
(function (root) {
"use strict";

var engine = root.LENET5_ENGINE, live = root.LENET5_LIVE, drawn = root.LENET5_STROKES, el = live.el;
var parts = root.LENET5_DRAW_PARTS = root.LENET5_DRAW_PARTS || {};

var EXAMPLE = 3;  // The digit that stands on the pad when the page opens.
var REPLAY = 600;  // Milliseconds in which a drawing grows on the pad.

function create(page) {
  var digits = drawn.common.map(function (drawing) {
    return el("button", { type: "button", text: String(drawing.digit), "aria-label": "Draw a " + drawing.digit,
                          onclick: function () { note(page, ""); show(page, drawing); } });
  });
  var mistake = el("button", { type: "button", text: "Show me one it gets wrong", onclick: function () { showMistake(page); } });
  return {
    buttons: el("div", { class: "live-buttons", role: "group", "aria-label": "Start from a drawing" },
                [el("span", { text: "Start from", "aria-hidden": "true" })].concat(digits, [mistake])),
    note: el("p", { class: "draw-note" }),
    replay: null,  // The frame that is asked for while a drawing grows.
    trial: 0  // Where the search for the next misread drawing begins.
  };
}

function note(page, text) {
  page.starts.note.textContent = text;
}

// ---------------------------------------------------------------------------------------------- replaying strokes

function stopReplay(page) {
  if (page.starts.replay) cancelAnimationFrame(page.starts.replay);
  page.starts.replay = null;
}

// The example makes first sight a digit at work; the first change drops it (`remember` in draw_pad.js).
function showExample(page) {
  page.state.strokes = drawn.common[EXAMPLE].strokes;
  page.state.example = true;
}

function show(page, drawing) {
  stopReplay(page);
  parts.pad.remember(page);
  page.pad.lifted = true;
  var total = drawing.strokes.reduce(function (sum, stroke) { return sum + stroke.length; }, 0), begun = null;
  if (!live.mayMove()) { page.state.strokes = firstPoints(drawing.strokes, total); page.changed(); return; }
  page.starts.replay = requestAnimationFrame(function next(now) {
    begun = begun === null ? now : begun;
    var points = Math.ceil(total * Math.min(1, (now - begun) / REPLAY));
    page.state.strokes = firstPoints(drawing.strokes, Math.max(1, points));
    page.starts.replay = points < total ? requestAnimationFrame(next) : null;
    page.changed();
  });
}

// Copies of the strokes up to so many points; the pad may go on drawing on them.
function firstPoints(strokes, count) {
  var out = [];
  strokes.forEach(function (stroke) {
    if (count > 0) out.push(stroke.slice(0, count));
    count -= stroke.length;
  });
  return out;
}

// ---------------------------------------------------------------------------------------------- a mistake

// The next of our trial drawings that the network, as it now gets its input, takes for another digit.
function showMistake(page) {
  var trials = drawn.trials;
  for (var n = 0; n < trials.length; n++) {
    var drawing = trials[(page.starts.trial + n) % trials.length], probabilities = probabilitiesOf(page, drawing.strokes);
    if (probabilities && engine.best(probabilities) !== drawing.digit) {
      var prediction = engine.best(probabilities);
      page.starts.trial = (page.starts.trial + n + 1) % trials.length;
      show(page, drawing);
      note(page, capital(drawing.name) + ", drawn for this book: the network reads " + prediction + ", " +
                 live.percent(probabilities[prediction]) + ".");
      return;
    }
  }
  note(page, "It reads all " + trials.length + " of our drawings.");
}

function probabilitiesOf(page, strokes) {
  var digit = engine.digitOf(strokes, page.state.asMnist);
  return digit && engine.forward(page.network, engine.toInput(page.network, digit))[page.last].values;
}

function capital(text) {
  return text[0].toUpperCase() + text.slice(1);
}

parts.starts = { create: create, note: note, showExample: showExample, stopReplay: stopReplay };
})(window);
