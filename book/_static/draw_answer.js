// The answer of the drawing page: the prediction, the probability of each class as a bar, and the line that a screen reader
// speaks. It shows `page.state.results`; computing them is the engine's work.
(function (root) {
"use strict";

var engine = root.LENET5_ENGINE, live = root.LENET5_LIVE, el = live.el;
var parts = root.LENET5_DRAW_PARTS = root.LENET5_DRAW_PARTS || {};

var PAUSE = 700;  // Milliseconds without a change before the answer is spoken.

function create(page) {
  var classes = page.network.layers[page.last].outputShape[0];
  var digits = Array.from({ length: classes }, function (_, digit) { return digit; });
  return {
    digits: digits,
    reading: el("p", { class: "draw-reading" }),
    bars: digits.map(createBar),
    sure: el("p", { class: "draw-sure", text: sureOf(page.network.about.label_smoothing, classes) }),
    status: el("p", { role: "status", class: "live-hidden" }),
    spoken: "", timer: null
  };
}

// What a sure prediction looks like where training smoothed the labels: 1 − s + s / classes, not 1.
function sureOf(smoothing, classes) {
  if (!smoothing) return "";
  return "The surest prediction looks like this: the network was trained towards " + live.percent(1 - smoothing + smoothing / classes) +
    " for the correct class and " + live.percent(smoothing / classes) + " for each other one (label smoothing, chapter 14). " +
    "It is not the probability of being correct.";
}

function createBar(digit) {
  var bar = el("span", { class: "draw-bar" }), share = el("span", { class: "draw-share", text: "–" });
  var row = el("li", {}, [el("span", { class: "draw-digit", text: String(digit) }),
                          el("span", { class: "draw-track", "aria-hidden": "true" }, [bar]), share]);
  return { row: row, bar: bar, share: share };
}

// ---------------------------------------------------------------------------------------------- spoken

function say(page, text) {
  page.answer.status.textContent = text;
}

// While one draws, the answer changes with every frame: it is spoken once the hand rests, and only if it is a different one; the example is not spoken.
function sayLater(page, text) {
  var answer = page.answer;
  clearTimeout(answer.timer);
  answer.timer = setTimeout(function () {
    if (text !== answer.spoken) { answer.spoken = text; say(page, text); }
  }, PAUSE);
}

function sentence(probabilities, prediction, digits) {
  var others = digits.filter(function (digit) { return digit !== prediction; });
  var second = others.reduce(function (a, b) { return probabilities[b] > probabilities[a] ? b : a; });
  return "Reads " + prediction + ", " + Math.round(100 * probabilities[prediction]) + " per cent; next " +
    second + ", " + Math.round(100 * probabilities[second]) + " per cent.";
}

// ---------------------------------------------------------------------------------------------- shown

function draw(page) {
  var answer = page.answer, probabilities = page.state.results && page.state.results[page.last].values;
  var prediction = probabilities ? engine.best(probabilities) : -1;
  answer.reading.textContent = probabilities ? "It reads " + prediction : "No digit yet";
  answer.bars.forEach(function (one, digit) {
    one.bar.style.width = probabilities ? 100 * probabilities[digit] + "%" : "0";
    one.share.textContent = probabilities ? live.percent(probabilities[digit]) : "–";
    one.row.classList.toggle("draw-top-digit", digit === prediction);
  });
  if (!page.state.example) sayLater(page, probabilities ? sentence(probabilities, prediction, answer.digits) : "No digit.");
}

parts.answer = { create: create, say: say, draw: draw };
})(window);
