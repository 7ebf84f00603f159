// The pad of the drawing page: strokes by mouse, finger, taps or keyboard, and taking them back. It changes
// `page.state.strokes` and nothing else; what the network makes of them is not known here.
(function (root) {
"use strict";

var live = root.LENET5_LIVE, el = live.el;
var parts = root.LENET5_DRAW_PARTS = root.LENET5_DRAW_PARTS || {};

var PEN = 0.058;  // The pen's width as a share of the pad's side.
var EXAMPLE_INK = 0.3;  // The example's strokes are as faint as this.
var GRID = 28;  // Rows and columns over which the keyboard moves its cursor.
var REMEMBERED = 200;  // How many changes can be taken back.
var ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function create(page) {
  var pad = {
    canvas: el("canvas", { class: "draw-pad", tabindex: "0", role: "application", "aria-label": "Drawing pad",
                           "aria-describedby": "draw-keys" }),
    undo: el("button", { type: "button", text: "Undo", onclick: function () { takeBack(page); } }),
    clear: el("button", { type: "button", text: "Clear", onclick: function () { wipe(page); } }),
    taps: el("input", { type: "checkbox", id: "draw-taps" }),
    lift: el("button", { type: "button", text: "Lift the pen", hidden: true,
                         onclick: function () { pad.lifted = true; parts.answer.say(page, "Pen lifted."); } }),
    cursor: { x: 14, y: 6, down: false, visible: false },  // The keyboard's pen, in cells of GRID.
    lifted: true,  // Whether the next tap begins a stroke of its own.
    pointer: null  // The pointer that is drawing now.
  };
  pad.taps.addEventListener("change", function () { pad.lift.hidden = !pad.taps.checked; pad.lifted = true; });
  listenToPointers(page, pad);
  listenToKeys(page, pad);
  return pad;
}

// ---------------------------------------------------------------------------------------------- strokes, and taking them back

function remember(page) {
  var state = page.state;
  dropExample(state);
  state.history.push(state.strokes.map(function (stroke) { return stroke.slice(); }));
  if (state.history.length > REMEMBERED) state.history.shift();
}

// The example is nobody's work: it gives way without a trace.
function dropExample(state) {
  if (!state.example) return;
  state.example = false;
  state.strokes = [];
}

function takeBack(page) {
  parts.starts.stopReplay(page);
  dropExample(page.state);
  if (page.state.history.length) page.state.strokes = page.state.history.pop();
  page.pad.lifted = true;
  parts.starts.note(page, "");
  page.changed();
}

function wipe(page) {
  parts.starts.stopReplay(page);
  dropExample(page.state);
  if (page.state.strokes.length) remember(page);
  page.state.strokes = [];
  page.pad.lifted = true;
  parts.starts.note(page, "");
  page.changed();
}

function lastStroke(page) {
  return page.state.strokes[page.state.strokes.length - 1];
}

// ---------------------------------------------------------------------------------------------- mouse, finger and taps

function listenToPointers(page, pad) {
  pad.canvas.addEventListener("pointerdown", function (event) { pressed(page, event); });
  pad.canvas.addEventListener("pointermove", function (event) { dragged(page, event); });
  ["pointerup", "pointercancel", "lostpointercapture"].forEach(function (name) {
    pad.canvas.addEventListener(name, function (event) {
      if (event.pointerId === pad.pointer) { pad.pointer = null; pad.lifted = true; }
    });
  });
}

// A pointer's point as shares of the pad's sides, held inside it.
function pointOf(pad, event) {
  var box = pad.canvas.getBoundingClientRect();
  return [Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)),
          Math.min(1, Math.max(0, (event.clientY - box.top) / box.height))];
}

function pressed(page, event) {
  var pad = page.pad;
  if (!event.isPrimary || event.button !== 0) return;
  event.preventDefault();
  pad.canvas.focus({ preventScroll: true });
  pad.cursor.visible = false;
  parts.starts.stopReplay(page);
  remember(page);
  parts.starts.note(page, "");
  if (pad.taps.checked && !pad.lifted && page.state.strokes.length) lastStroke(page).push(pointOf(pad, event));
  else page.state.strokes.push([pointOf(pad, event)]);
  pad.lifted = false;
  if (!pad.taps.checked) {
    pad.pointer = event.pointerId;
    try { pad.canvas.setPointerCapture(pad.pointer); } catch (error) { /* A pointer that is gone already. */ }
  }
  page.changed();
}

function dragged(page, event) {
  if (event.pointerId !== page.pad.pointer) return;
  // A browser reports a fast pointer once a frame; the points in between are kept here.
  var events = event.getCoalescedEvents ? event.getCoalescedEvents() : [], stroke = lastStroke(page);
  (events.length ? events : [event]).forEach(function (one) { stroke.push(pointOf(page.pad, one)); });
  page.changed();
}

// ---------------------------------------------------------------------------------------------- keyboard

function listenToKeys(page, pad) {
  pad.canvas.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !keyActs(page, event)) return;
    event.preventDefault();
    pad.cursor.visible = true;
    page.changed();
  });
  pad.canvas.addEventListener("focus", function () {
    if (pad.canvas.matches(":focus-visible")) { pad.cursor.visible = true; page.changed(); }
  });
  pad.canvas.addEventListener("blur", function () { pad.cursor.visible = pad.cursor.down = false; page.changed(); });
}

// Do what a key asks for; false if it asks for nothing, so that Tab and the browser's own keys go on as usual.
function keyActs(page, event) {
  var cursor = page.pad.cursor, arrow = ARROWS[event.key];
  if (arrow) moveCursor(page, arrow, event.shiftKey ? 4 : 1);
  else if (event.key === " " || event.key === "Enter") togglePen(page);
  else if (event.key === "Escape") { cursor.down = false; parts.answer.say(page, "Pen up."); }
  else if (event.key === "Backspace") { cursor.down = false; takeBack(page); }
  else if (event.key === "Delete") { cursor.down = false; wipe(page); }
  else return false;
  return true;
}

function moveCursor(page, arrow, far) {
  var cursor = page.pad.cursor;
  cursor.x = Math.min(GRID - 1, Math.max(0, cursor.x + arrow[0] * far));
  cursor.y = Math.min(GRID - 1, Math.max(0, cursor.y + arrow[1] * far));
  if (cursor.down) lastStroke(page).push(atCursor(cursor));
}

function togglePen(page) {
  var cursor = page.pad.cursor;
  cursor.down = !cursor.down;
  parts.starts.stopReplay(page);
  if (cursor.down) { remember(page); parts.starts.note(page, ""); page.state.strokes.push([atCursor(cursor)]); }
  parts.answer.say(page, "Pen " + (cursor.down ? "down" : "up") + " at row " + cursor.y + ", column " + cursor.x + ".");
}

function atCursor(cursor) {
  return [(cursor.x + 0.5) / GRID, (cursor.y + 0.5) / GRID];
}

// ---------------------------------------------------------------------------------------------- drawing

function draw(page) {
  var pad = page.pad, side = pad.canvas.clientWidth || 280, context = live.sized(pad.canvas, side, side);
  context.globalAlpha = page.state.example ? EXAMPLE_INK : 1;
  drawStrokes(context, page.state.strokes, side);
  context.globalAlpha = 1;
  if (page.state.example) drawInvitation(context, "Draw over me", side, side - 12);
  else if (!page.state.strokes.length && !pad.cursor.visible) drawInvitation(context, "Draw a digit here", side, side / 2);
  if (pad.cursor.visible) drawCursor(context, pad.cursor, side);
}

function drawStrokes(context, strokes, side) {
  context.lineCap = context.lineJoin = "round";
  context.strokeStyle = live.theme() === "dark" ? "#f0f0f0" : "#111";
  context.lineWidth = PEN * side;
  strokes.forEach(function (stroke) {
    context.beginPath();
    stroke.forEach(function (p, n) { context[n ? "lineTo" : "moveTo"](p[0] * side, p[1] * side); });
    // A single point is drawn as a very short line: a path without length leaves no ink.
    if (stroke.length === 1) context.lineTo(stroke[0][0] * side + 0.01, stroke[0][1] * side);
    context.stroke();
  });
}

function drawInvitation(context, text, side, y) {
  context.fillStyle = live.theme() === "dark" ? "#b8bec8" : "#5a5f66";
  context.font = "16px sans-serif";
  context.textAlign = "center";
  context.fillText(text, side / 2, y);
}

function drawCursor(context, cursor, side) {
  var p = atCursor(cursor);
  context.lineWidth = 2;
  context.strokeStyle = live.kindColour("convolution");
  context.beginPath();
  context.arc(p[0] * side, p[1] * side, cursor.down ? 5 : 9, 0, 7);
  context.stroke();
}

parts.pad = { ARROWS: ARROWS, create: create, remember: remember, draw: draw };
})(window);
