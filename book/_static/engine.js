// The network in the page: reads an exported specification and its weights, computes every layer, explains any unit, and
// brings a drawing to MNIST's form as lenet5lib/data/pictures.py does. No page element is touched here.
(function (root) {
"use strict";

var fround = Math.fround;

// ---------------------------------------------------------------------------------------------- the network

function bytes(text) {
  var binary = atob(text), out = new Uint8Array(binary.length);
  for (var n = 0; n < binary.length; n++) out[n] = binary.charCodeAt(n);
  return out;
}

function floats(text) {
  var raw = bytes(text), view = new DataView(raw.buffer), out = new Float32Array(raw.length / 4);
  for (var n = 0; n < out.length; n++) out[n] = view.getFloat32(4 * n, true);
  return out;
}

function size(shape) {
  return shape.reduce(function (product, side) { return product * side; }, 1);
}

// Make a network of what tools/export.py wrote.
function network(exported) {
  var weights = floats(exported.weights);
  var layers = exported.layers.map(function (layer) {
    var copy = Object.assign({}, layer);
    if (layer.parameters) {
      copy.weights = weights.subarray(layer.weights, layer.biases);
      copy.biases = weights.subarray(layer.biases, layer.weights + layer.parameters);
    }
    return copy;
  });
  return { about: exported.about, name: exported.architecture.name,
           inputShape: exported.architecture.input_shape, layers: layers };
}

var ACTIVATIONS = {
  linear: function (z) { return z; },
  sigmoid: function (z) { return 1 / (1 + Math.exp(-z)); },
  tanh: Math.tanh,
  scaled_tanh: function (z) { return 1.7159 * Math.tanh(2 * z / 3); },
  relu: function (z) { return z > 0 ? z : 0; }
};

function activate(name, sums) {
  var out = new Float32Array(sums.length), n;
  if (name === "softmax") {
    var largest = -Infinity, total = 0, powers = new Float64Array(sums.length);
    for (n = 0; n < sums.length; n++) largest = Math.max(largest, sums[n]);
    for (n = 0; n < sums.length; n++) total += powers[n] = Math.exp(sums[n] - largest);
    for (n = 0; n < sums.length; n++) out[n] = powers[n] / total;
    return out;
  }
  var f = ACTIVATIONS[name];
  if (!f) throw new Error("unknown activation " + name);
  for (n = 0; n < sums.length; n++) out[n] = f(sums[n]);
  return out;
}

// The rows (or columns) of the input under the window at position n, the padding left out: [first, end).
function span(layer, axis, n) {
  var start = n * layer.stride[axis] - layer.padding[axis][0];
  return [Math.max(start, 0), Math.min(start + layer.window[axis], layer.inputShape[axis]), start];
}

function convolve(layer, x) {
  var width = layer.inputShape[1], maps = layer.inputShape[2], outs = layer.outputShape[2];
  var sums = new Float32Array(size(layer.outputShape)), acc = new Float64Array(outs), at = 0;
  for (var r = 0; r < layer.outputShape[0]; r++) {
    var rows = span(layer, 0, r);
    for (var c = 0; c < layer.outputShape[1]; c++) {
      var columns = span(layer, 1, c);
      for (var o = 0; o < outs; o++) acc[o] = layer.biases[o];
      for (var i = rows[0]; i < rows[1]; i++) {
        for (var j = columns[0]; j < columns[1]; j++) {
          var from = (i * width + j) * maps;
          var w = ((i - rows[2]) * layer.window[1] + (j - columns[2])) * maps * outs;
          for (var m = 0; m < maps; m++, w += outs) {
            var value = x[from + m];
            if (value !== 0) for (o = 0; o < outs; o++) acc[o] += value * layer.weights[w + o];
          }
        }
      }
      for (o = 0; o < outs; o++) sums[at++] = acc[o];
    }
  }
  return sums;
}

// Average or maximum over the cells that lie on the map; padding is left out of both.
function pool(layer, x) {
  var width = layer.inputShape[1], maps = layer.inputShape[2], largest = layer.mode === "max";
  var out = new Float32Array(size(layer.outputShape)), at = 0;
  for (var r = 0; r < layer.outputShape[0]; r++) {
    var rows = span(layer, 0, r);
    for (var c = 0; c < layer.outputShape[1]; c++) {
      var columns = span(layer, 1, c);
      var cells = (rows[1] - rows[0]) * (columns[1] - columns[0]);
      for (var m = 0; m < maps; m++) {
        var value = largest ? -Infinity : 0;
        for (var i = rows[0]; i < rows[1]; i++) {
          for (var j = columns[0]; j < columns[1]; j++) {
            var cell = x[(i * width + j) * maps + m];
            value = largest ? Math.max(value, cell) : value + cell;
          }
        }
        out[at++] = largest ? value : value / cells;
      }
    }
  }
  return out;
}

function dense(layer, x) {
  var units = layer.outputShape[0], acc = Float64Array.from(layer.biases);
  for (var n = 0, w = 0; n < x.length; n++, w += units) {
    if (x[n] !== 0) for (var u = 0; u < units; u++) acc[u] += x[n] * layer.weights[w + u];
  }
  return Float32Array.from(acc);
}

// Compute every layer. Returns for each {sums, values}: before and after the activation, both in the order of Keras.
function forward(net, input) {
  var x = input;
  return net.layers.map(function (layer) {
    var sums;
    if (layer.kind === "convolution") sums = convolve(layer, x);
    else if (layer.kind === "pooling") sums = pool(layer, x);
    else if (layer.kind === "dense") sums = dense(layer, x);
    else if (layer.kind === "flatten") sums = x;
    else throw new Error("unknown kind of layer " + layer.kind);
    x = layer.activation ? activate(layer.activation, sums) : sums;
    return { sums: sums, values: x };
  });
}

// ---------------------------------------------------------------------------------------------- explaining a unit

// Where a unit stands: (row, column, map), or only a number in a vector.
function place(layer, index) {
  var shape = layer.outputShape;
  if (shape.length === 1) return { row: 0, column: 0, map: index };
  var rest = Math.floor(index / shape[2]);
  return { row: Math.floor(rest / shape[1]), column: rest % shape[1], map: index % shape[2] };
}

// The rectangle [top, left, height, width] that a unit of layer n depends on, in the input of every layer from n down to the
// first: entry k is in the input of layer k. It may reach beyond the map, into the padding.
function reach(net, n, index) {
  var at = place(net.layers[n], index), box = [at.row, at.column, 1, 1], boxes = [], shape;
  var flat = net.layers[n].outputShape.length === 1;
  for (var k = n; k >= 0; k--) {
    var layer = net.layers[k];
    shape = layer.inputShape;
    if (layer.kind === "dense" || (layer.kind === "flatten" && flat)) {
      box = shape.length === 1 ? [0, 0, 1, 1] : [0, 0, shape[0], shape[1]];
    } else if (layer.window) {
      box = [0, 1].map(function (axis) {
        return box[axis] * layer.stride[axis] - layer.padding[axis][0];
      }).concat([0, 1].map(function (axis) {
        return (box[axis + 2] - 1) * layer.stride[axis] + layer.window[axis];
      }));
    }
    boxes[k] = box;
  }
  return boxes;
}

// The numbers that made one unit.
//   convolution: {bias, parts: [{map, window, kernel, sum}], sum, value}; window has null where the padding is
//   pooling:     {window, mode, value};   dense: {bias, terms: [{input, x, w, product}], sum, value, exps}
function explain(net, results, input, n, index) {
  var layer = net.layers[n], at = place(layer, index);
  var x = n ? results[n - 1].values : input;
  var found = { place: at, value: results[n].values[index], sum: results[n].sums[index] };
  if (layer.kind === "dense") {
    var units = layer.outputShape[0];
    found.bias = layer.biases[index];
    found.terms = Array.from(x, function (value, i) {
      var w = layer.weights[i * units + index];
      return { input: i, x: value, w: w, product: value * w };
    });
    if (layer.activation === "softmax") found.sums = Array.from(results[n].sums);
  } else if (layer.window) {
    var maps = layer.kind === "pooling" ? [at.map] : Array.from({ length: layer.inputShape[2] }, function (_, m) { return m; });
    found.parts = maps.map(function (map) { return part(layer, x, at, map); });
    if (layer.kind === "convolution") found.bias = layer.biases[at.map];
  }
  return found;
}

function part(layer, x, at, map) {
  var height = layer.window[0], width = layer.window[1], shape = layer.inputShape;
  var top = at.row * layer.stride[0] - layer.padding[0][0], left = at.column * layer.stride[1] - layer.padding[1][0];
  var window = [], kernel = [], sum = 0;
  for (var u = 0; u < height; u++) {
    for (var v = 0; v < width; v++) {
      var inside = top + u >= 0 && top + u < shape[0] && left + v >= 0 && left + v < shape[1];
      var value = inside ? x[((top + u) * shape[1] + left + v) * shape[2] + map] : null;
      window.push(value);
      if (layer.weights) {
        var w = layer.weights[((u * width + v) * shape[2] + map) * layer.outputShape[2] + at.map];
        kernel.push(w);
        sum += w * (value || 0);
      }
    }
  }
  return { map: map, window: window, kernel: kernel, sum: sum };
}

// ---------------------------------------------------------------------------------------------- a drawing as ink

// Paint strokes into a raster: ink 0 to 1, an anti-aliased round pen. Strokes are lists of [x, y] in raster pixels.
function paint(strokes, width, height, radius) {
  var ink = new Float32Array(width * height);
  strokes.forEach(function (stroke) {
    for (var n = 0; n < stroke.length; n++) {
      var a = stroke[n], b = stroke[n + 1];
      if (b) segment(ink, width, height, a, b, radius);
      else if (n === 0) segment(ink, width, height, a, a, radius);
    }
  });
  return ink;
}

function segment(ink, width, height, a, b, radius) {
  var far = radius + 1;
  var top = Math.max(0, Math.floor(Math.min(a[1], b[1]) - far)), bottom = Math.min(height - 1, Math.ceil(Math.max(a[1], b[1]) + far));
  var left = Math.max(0, Math.floor(Math.min(a[0], b[0]) - far)), right = Math.min(width - 1, Math.ceil(Math.max(a[0], b[0]) + far));
  var dx = b[0] - a[0], dy = b[1] - a[1], length = dx * dx + dy * dy;
  for (var y = top; y <= bottom; y++) {
    for (var x = left; x <= right; x++) {
      var px = x + 0.5 - a[0], py = y + 0.5 - a[1];
      var t = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
      var ex = px - t * dx, ey = py - t * dy;
      var cover = Math.min(1, Math.max(0, radius + 0.5 - Math.sqrt(ex * ex + ey * ey)));
      if (cover > ink[y * width + x]) ink[y * width + x] = cover;
    }
  }
}

var BOX = 20, SIDE = 28, CENTRE = 14, FAINT = fround(0.12), LEAST_CONTRAST = 20;
var PEN = 1.3, FINE = 6; // Half of MNIST's stroke width in its pixels; raster pixels painted for each of them.

// Strokes (in any unit) as a fine raster in which the digit's long side is the 20-pixel box and the pen has MNIST's width:
// the geometry is scaled, and the pen is not. Returns {grey, width, height}, levels 0 to 255, or null without strokes.
function raster(strokes) {
  var points = [].concat.apply([], strokes);
  if (!points.length) return null;
  var left = Infinity, right = -Infinity, top = Infinity, bottom = -Infinity;
  points.forEach(function (p) {
    left = Math.min(left, p[0]); right = Math.max(right, p[0]);
    top = Math.min(top, p[1]); bottom = Math.max(bottom, p[1]);
  });
  var long = Math.max(right - left, bottom - top), pen = PEN * FINE;
  var scale = long ? (BOX * FINE - 2 * pen) / long : 1, margin = pen + 2;
  var width = Math.ceil((right - left) * scale + 2 * margin), height = Math.ceil((bottom - top) * scale + 2 * margin);
  var ink = paint(strokes.map(function (stroke) {
    return stroke.map(function (p) { return [(p[0] - left) * scale + margin, (p[1] - top) * scale + margin]; });
  }), width, height, pen);
  return { grey: ink.map(function (value) { return 255 * value; }), width: width, height: height };
}

// ---------------------------------------------------------------------------------------------- MNIST's form

// Round half to even, as NumPy and Python do.
function rint(value) {
  var low = Math.floor(value), rest = value - low;
  return rest < 0.5 || (rest === 0.5 && low % 2 === 0) ? low : low + 1;
}

function median(values) {
  var sorted = Float32Array.from(values).sort(), half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : fround(fround(sorted[half - 1] + sorted[half]) / 2);
}

// pictures.to_mnist_format: grey levels (height × width) to Uint8Array(784), or null where ink and background differ too little.
function toMnistForm(grey, width, height) {
  var border = [], n, x, y;
  for (x = 0; x < width; x++) border.push(grey[x], grey[(height - 1) * width + x]);
  for (y = 0; y < height; y++) border.push(grey[y * width], grey[y * width + width - 1]);
  var paper = median(border), ink = new Float32Array(grey.length), most = 0;
  for (n = 0; n < ink.length; n++) {
    ink[n] = Math.abs(fround(grey[n] - paper));
    if (ink[n] > most) most = ink[n];
  }
  if (most < LEAST_CONTRAST) return null;
  var left = width, right = -1, top = height, bottom = -1;
  for (y = 0, n = 0; y < height; y++) {
    for (x = 0; x < width; x++, n++) {
      ink[n] = fround(ink[n] / most);
      if (ink[n] < FAINT) ink[n] = 0;
      else {
        left = Math.min(left, x); right = Math.max(right, x); top = Math.min(top, y); bottom = Math.max(bottom, y);
      }
    }
  }
  var w = right - left + 1, h = bottom - top + 1, cut = new Float32Array(w * h);
  for (y = 0; y < h; y++) for (x = 0; x < w; x++) cut[y * w + x] = ink[(top + y) * width + left + x];
  return centred(cut, w, h);
}

function centred(ink, width, height) {
  var scale = BOX / Math.max(width, height);
  var w = Math.max(1, rint(width * scale)), h = Math.max(1, rint(height * scale));
  var small = resize(ink, width, height, w, h), most = 0, total = 0, across = 0, down = 0, x, y, n;
  for (n = 0; n < small.length; n++) most = Math.max(most, small[n]);
  for (y = 0, n = 0; y < h; y++) {
    for (x = 0; x < w; x++, n++) {
      small[n] = fround(small[n] / Math.max(most, 1e-6));
      total += small[n]; across += small[n] * x; down += small[n] * y;
    }
  }
  var top = corner(down / total, h), left = corner(across / total, w), out = new Uint8Array(SIDE * SIDE);
  for (y = 0; y < h; y++) for (x = 0; x < w; x++) {
    out[(top + y) * SIDE + left + x] = rint(fround(255 * small[y * w + x]));
  }
  return out;
}

function corner(mass, side) {
  var start = rint(Math.round((CENTRE - mass) * 1e6) / 1e6);
  return Math.min(Math.max(start, 0), SIDE - side);
}

// Pillow's bilinear resize of float32 pixels: a triangle as wide as the reduction, columns first.
function resize(pixels, width, height, w, h) {
  var n, y, x, k, sum, taps, between = pixels;
  if (w !== width) {
    taps = coefficients(width, w);
    between = new Float32Array(w * height);
    for (y = 0; y < height; y++) for (x = 0; x < w; x++) {
      for (k = 0, sum = 0; k < taps[x].weights.length; k++) sum += pixels[y * width + taps[x].first + k] * taps[x].weights[k];
      between[y * w + x] = sum;
    }
  }
  if (h === height) return Float32Array.from(between);
  taps = coefficients(height, h);
  var out = new Float32Array(w * h);
  for (y = 0, n = 0; y < h; y++) for (x = 0; x < w; x++, n++) {
    for (k = 0, sum = 0; k < taps[y].weights.length; k++) sum += between[(taps[y].first + k) * w + x] * taps[y].weights[k];
    out[n] = sum;
  }
  return out;
}

function coefficients(from, to) {
  var scale = from / to, wide = Math.max(scale, 1), all = [];
  for (var n = 0; n < to; n++) {
    var middle = (n + 0.5) * scale, first = Math.max(0, Math.trunc(middle - wide + 0.5));
    var end = Math.min(from, Math.trunc(middle + wide + 0.5)), weights = [], total = 0;
    for (var x = first; x < end; x++) {
      var weight = Math.max(0, 1 - Math.abs((x - middle + 0.5) / wide));
      weights.push(weight);
      total += weight;
    }
    all.push({ first: first, weights: weights.map(function (value) { return value / total; }) });
  }
  return all;
}

// ---------------------------------------------------------------------------------------------- drawing to answer

// Digits of 28×28 levels as the network's input, background around them where the network reads a larger image.
function toInput(net, digit) {
  var height = net.inputShape[0], width = net.inputShape[1], input = new Float32Array(height * width);
  var top = (height - SIDE) >> 1, left = (width - SIDE) >> 1;
  for (var y = 0; y < SIDE; y++) for (var x = 0; x < SIDE; x++) {
    input[(top + y) * width + left + x] = fround(digit[y * SIDE + x] / 255);
  }
  return input;
}

// Strokes on a pad (0 to 1) as Uint8Array(784): brought to MNIST's form, or, without that, the pad made small as it is.
function digitOf(strokes, asMnist) {
  if (asMnist) {
    var fine = raster(strokes);
    return fine && toMnistForm(fine.grey, fine.width, fine.height);
  }
  if (!strokes.length) return null;
  var side = 280, ink = paint(strokes.map(function (stroke) {
    return stroke.map(function (p) { return [p[0] * side, p[1] * side]; });
  }), side, side, 8);
  return Uint8Array.from(resize(ink, side, side, SIDE, SIDE), function (value) { return rint(255 * value); });
}

function best(values) {
  var at = 0;
  for (var n = 1; n < values.length; n++) if (values[n] > values[at]) at = n;
  return at;
}

root.LENET5_ENGINE = {
  network: network, forward: forward, explain: explain, reach: reach, place: place, paint: paint, raster: raster,
  toMnistForm: toMnistForm, toInput: toInput, digitOf: digitOf, best: best, floats: floats, bytes: bytes, size: size
};
})(window);
