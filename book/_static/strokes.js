// Digits drawn for this book as strokes, to start from on the drawing page: points on a square of side 100, joined by
// smooth curves; a point given twice is a corner. `common` holds one of each digit, `unusual` other ways to write some.
window.LENET5_STROKES = (function () {
"use strict";
var common = {
  0: [[[54,16],[38,20],[28,38],[27,58],[34,78],[50,85],[66,77],[74,58],[72,36],[63,20],[52,16]]],
  1: [[[54,14],[53,40],[51,64],[49,86]]],
  2: [[[29,32],[36,19],[52,15],[66,22],[68,36],[60,52],[44,68],[28,83],[28,83],[50,81],[74,83]]],
  3: [[[30,21],[46,14],[63,19],[66,32],[56,44],[44,48],[44,48],[60,51],[70,63],[65,78],[49,86],[29,81]]],
  4: [[[34,16],[31,36],[29,54],[29,54],[50,54],[74,52]],[[64,15],[62,40],[60,64],[58,87]]],
  5: [[[68,16],[50,16],[36,17],[36,17],[34,32],[32,46],[32,46],[46,41],[62,46],[69,60],[64,76],[49,85],[30,81]]],
  6: [[[62,14],[48,24],[37,42],[32,62],[36,79],[50,86],[64,79],[67,66],[59,55],[46,55],[35,65]]],
  7: [[[27,19],[48,18],[72,17],[72,17],[62,38],[52,60],[45,86]]],
  8: [[[64,23],[51,14],[38,20],[37,33],[48,45],[61,56],[67,70],[59,84],[45,85],[35,74],[40,60],[54,47],[65,34],[64,23]]],
  9: [[[66,30],[56,17],[42,18],[33,31],[38,45],[52,48],[64,38],[66,26],[66,26],[65,46],[61,66],[56,87]]]
};
var unusual = [
  [7, "a 7 with a bar", [[[27,19],[48,18],[72,17],[72,17],[62,38],[52,60],[45,86]], [[36,52],[52,50],[68,49]]]],
  [1, "a 1 with a long upstroke", [[[26,46],[42,32],[57,14],[57,14],[56,40],[55,64],[54,86]]]],
  [1, "a 1 on a foot", [[[38,28],[54,14],[54,14],[53,50],[52,86]], [[32,86],[52,86],[72,86]]]],
  [4, "a closed 4", [[[58,86],[60,50],[62,14],[62,14],[44,36],[26,60],[26,60],[50,60],[76,59]]]],
  [9, "a 9 with a curled tail", [[[66,28],[56,17],[42,18],[34,31],[39,44],[53,46],[64,36],[66,26],[66,26],[66,50],[64,72],[54,85],[40,85],[32,76]]]],
  [2, "a 2 with a loop", [[[28,30],[38,17],[54,15],[66,26],[62,46],[48,66],[32,80],[26,74],[36,68],[50,76],[64,84],[76,78]]]],
  [6, "a 6 with a flat head", [[[70,20],[52,18],[38,30],[31,52],[34,76],[48,85],[63,79],[66,65],[55,56],[40,60],[34,70]]]],
  [0, "a 0 with a slash", [[[54,16],[38,20],[28,38],[27,58],[34,78],[50,85],[66,77],[74,58],[72,36],[63,20],[52,16]], [[70,18],[50,52],[30,84]]]],
  [5, "a 5 whose top stands off", [[[40,26],[38,42],[36,52],[36,52],[52,47],[66,56],[67,72],[54,85],[34,82]], [[46,18],[60,16],[76,14]]]],
  [8, "an 8 of two rings", [[[50,14],[38,22],[38,36],[50,44],[62,36],[62,22],[50,14]], [[50,44],[35,56],[35,76],[50,86],[65,76],[65,56],[50,44]]]],
  [3, "a 3 with a flat top", [[[28,17],[48,17],[68,17],[68,17],[56,32],[45,44],[45,44],[62,48],[69,62],[63,78],[47,86],[29,80]]]],
  [7, "a 7 with a hook", [[[30,32],[30,20],[30,20],[50,19],[71,17],[71,17],[60,40],[50,62],[47,86]]]],
  [1, "a 1 that leans far", [[[78,14],[58,38],[40,62],[22,86]]]]
];

// A Catmull–Rom curve through the points, `steps` pieces between two.
function smooth(points, steps) {
  var out = [];
  for (var n = 0; n + 1 < points.length; n++) {
    var b = points[n], c = points[n + 1];
    if (b[0] === c[0] && b[1] === c[1]) continue;
    var corner = function (p, q, other) { return !p || (p[0] === q[0] && p[1] === q[1]) ? other : p; };
    var a = corner(points[n - 1], b, b), d = corner(points[n + 2], c, c);
    for (var k = 0; k < steps; k++) out.push([0, 1].map(function (i) {
      var t = k / steps;
      return 0.5 * (2 * b[i] + (c[i] - a[i]) * t + (2 * a[i] - 5 * b[i] + 4 * c[i] - d[i]) * t * t
        + (3 * b[i] - a[i] - 3 * c[i] + d[i]) * t * t * t);
    }));
  }
  out.push(points[points.length - 1]);
  return out;
}

function drawing(digit, name, strokes) {
  return { digit: Number(digit), name: name, strokes: strokes.map(function (points) {
    return smooth(points, 6).map(function (p) { return [p[0] / 100, p[1] / 100]; });
  }) };
}

// The same drawing leaning to the right by a share of its height, or squeezed in width.
function leaning(one, lean, squeeze) {
  return { digit: one.digit, name: "our " + one.digit + (squeeze < 1 ? ", squeezed" : "") +
             (lean ? ", leaning " + (lean > 0 ? "right" : "left") : ""),
           strokes: one.strokes.map(function (stroke) {
             return stroke.map(function (p) { return [0.5 + (p[0] - 0.5) * squeeze + lean * (0.5 - p[1]), p[1]]; });
           }) };
}

var first = Object.keys(common).map(function (digit) { return drawing(digit, "our " + digit, common[digit]); });
var others = unusual.map(function (entry) { return drawing(entry[0], entry[1], entry[2]); });
// Among these the page looks for one that the network misreads: the mildest distortions first.
var trials = others.slice();
[[0.4, 1], [-0.4, 1], [0, 0.5], [0.6, 1], [-0.6, 1], [0, 0.35], [0.8, 1], [-0.8, 1], [1, 1], [-1, 1],
 [1.2, 1], [-1.2, 1], [1.5, 1], [-1.5, 1]].forEach(function (change) {
  first.forEach(function (one) { trials.push(leaning(one, change[0], change[1])); });
});
return { common: first, trials: trials };
})();
