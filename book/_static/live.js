// What the drawing page and the convolution stepper share: elements, the theme, the signed colour scale, pictures on canvas.
(function (root) {
"use strict";

// Zero is the colour of the ground; orange is negative and purple positive, as in the book's figures: colour-blind readers
// can tell them apart, and neither is the blue, the green or the amber of a kind of layer.
var SIGNED = {
  light: { negative: [179, 88, 6], zero: [247, 247, 247], positive: [84, 39, 136], ink: [17, 17, 17], paper: [255, 255, 255] },
  dark: { negative: [253, 184, 99], zero: [27, 32, 39], positive: [167, 139, 240], ink: [240, 240, 240], paper: [16, 19, 24] }
};
var GAP = 6;

function theme() {
  return document.documentElement.dataset.theme === "dark" ? "dark" : "light";
}

var tables = {};
["light", "dark"].forEach(function (name) {
  tables[name] = { signed: new Uint8ClampedArray(4 * 511), grey: new Uint8ClampedArray(4 * 256) };
  for (var n = 0; n < 511; n++) {
    var share = Math.abs(n - 255) / 255, end = n < 255 ? SIGNED[name].negative : SIGNED[name].positive;
    for (var i = 0; i < 3; i++) tables[name].signed[4 * n + i] = SIGNED[name].zero[i] + share * (end[i] - SIGNED[name].zero[i]);
    tables[name].signed[4 * n + 3] = 255;
  }
  for (n = 0; n < 256; n++) {
    for (i = 0; i < 3; i++) {
      tables[name].grey[4 * n + i] = SIGNED[name].paper[i] + n / 255 * (SIGNED[name].ink[i] - SIGNED[name].paper[i]);
    }
    tables[name].grey[4 * n + 3] = 255;
  }
});

// Position in the table of a value between −limit and limit.
function step(value, limit) {
  return limit > 0 ? 255 + Math.round(255 * Math.max(-1, Math.min(1, value / limit))) : 255;
}

// Background and text colour of a value written in a table's cell.
function cellStyle(value, limit, grey) {
  var table = tables[theme()][grey ? "grey" : "signed"];
  var at = 4 * (grey ? Math.round(255 * Math.max(0, Math.min(1, value))) : step(value, limit));
  var bright = 0.2126 * linear(table[at]) + 0.7152 * linear(table[at + 1]) + 0.0722 * linear(table[at + 2]);
  return "background:rgb(" + table[at] + "," + table[at + 1] + "," + table[at + 2] + ");color:" + (bright > 0.18 ? "#000" : "#fff");
}

function linear(level) {
  var share = level / 255;
  return share <= 0.04045 ? share / 12.92 : Math.pow((share + 0.055) / 1.055, 2.4);
}

function el(tag, attributes, children) {
  var node = document.createElement(tag);
  Object.keys(attributes || {}).forEach(function (key) {
    if (attributes[key] === null || attributes[key] === undefined || attributes[key] === false) return;
    if (key === "text") node.textContent = attributes[key];
    else if (key.slice(0, 2) === "on") node.addEventListener(key.slice(2), attributes[key]);
    else node.setAttribute(key, attributes[key] === true ? "" : attributes[key]);
  });
  (children || []).forEach(function (child) {
    if (child !== null && child !== undefined) node.append(child);
  });
  return node;
}

// Fit a canvas's pixels to its size on this screen and return a context whose unit is the CSS pixel.
function sized(canvas, width, height) {
  var dense = root.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * dense) || canvas.height !== Math.round(height * dense)) {
    canvas.width = Math.round(width * dense);
    canvas.height = Math.round(height * dense);
    canvas.style.width = width + "px";
  }
  var context = canvas.getContext("2d");
  context.setTransform(canvas.width / width, 0, 0, canvas.height / height, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

var small = document.createElement("canvas");

// Draw one map of values, channels last, with square cells; grey for ink from 0 to 1, else signed within ±limit.
function drawMap(context, values, shape, map, x, y, cell, limit, grey) {
  var height = shape[0], width = shape[1], maps = shape[2] || 1;
  small.width = width;
  small.height = height;
  var inner = small.getContext("2d"), image = inner.createImageData(width, height), table = tables[theme()][grey ? "grey" : "signed"];
  for (var n = 0; n < width * height; n++) {
    var value = values[n * maps + map];
    var at = 4 * (grey ? Math.round(255 * Math.max(0, Math.min(1, value))) : step(value, limit));
    for (var i = 0; i < 4; i++) image.data[4 * n + i] = table[at + i];
  }
  inner.putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(small, x, y, width * cell, height * cell);
}

function frame(context, x, y, width, height, colour, dashed) {
  context.save();
  context.setLineDash(dashed ? [3, 2] : []);
  context.lineWidth = 3.5;
  context.strokeStyle = theme() === "dark" ? "#000" : "#fff";
  context.strokeRect(x, y, width, height);
  context.lineWidth = 2;
  context.strokeStyle = colour;
  context.strokeRect(x, y, width, height);
  context.restore();
}

function largest(values) {
  var most = 0;
  for (var n = 0; n < values.length; n++) most = Math.max(most, Math.abs(values[n]));
  return most;
}

// A number for a reader: so many decimals, a true minus sign.
function number(value, decimals) {
  var text = Math.abs(value).toFixed(decimals);
  return (value < 0 && Number(text) !== 0 ? "−" : "") + text;
}

function percent(share) {
  return (share > 0.999 && share < 1 ? 99.9 : 100 * share).toFixed(1) + " %";
}

// A matrix as a table of numbers on the colours of their values; null is a cell of the padding.
function matrix(values, height, width, options) {
  var rows = [], limit = options.limit || largest(values.map(function (v) { return v || 0; }));
  for (var r = 0; r < height; r++) {
    var cells = [];
    for (var c = 0; c < width; c++) {
      var value = values[r * width + c];
      cells.push(el("td", { text: value === null ? "0" : number(value, options.decimals),
                            class: value === null ? "live-pad" : null, style: value === null ? null : cellStyle(value, limit, options.grey) }));
    }
    rows.push(el("tr", {}, cells));
  }
  return el("div", { class: "live-matrix" }, [
    el("table", {}, [el("caption", {}, [].concat(options.caption)), el("tbody", {}, rows)])
  ]);
}

// Call back whenever the theme changes, by the page's switch or by the reader's system.
function onTheme(callback) {
  new MutationObserver(callback).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
}

function mayMove() {
  return !root.matchMedia("(prefers-reduced-motion: reduce)").matches;
}

function kindColour(kind) {
  return getComputedStyle(document.documentElement).getPropertyValue("--kind-" + kind).trim() || "#0072b2";
}

// Start a widget in its place in the page. The still picture that stands there gives way only when the start has succeeded.
function start(name, build) {
  var place = document.querySelector('.live[data-live="' + name + '"]');
  if (!place) return;
  build(place);
  place.hidden = false;
  document.querySelectorAll('.live-still-' + name).forEach(function (still) { still.classList.add("live-replaced"); });
}

root.LENET5_LIVE = {
  GAP: GAP, theme: theme, cellStyle: cellStyle, el: el, sized: sized, drawMap: drawMap, frame: frame, largest: largest,
  number: number, percent: percent, matrix: matrix, onTheme: onTheme, mayMove: mayMove, kindColour: kindColour, start: start
};
})(window);
