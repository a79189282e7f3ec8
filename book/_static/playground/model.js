// The toy model in the page: a small Llama in plain JavaScript, with Proj_k of equation 3 on its weights.
//
// A file opened from the disk may load classic scripts only, and no worker from a file. So everything is
// inside one function: the page calls it, and its source text goes into the worker as well.
function playgroundModel(P) {
  "use strict";

  // --- stored numbers ---------------------------------------------------------------------------

  // Half-precision numbers, as base64 text, to 32-bit ones.
  P.halves = function (text) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const numbers = new Float32Array(bytes.length / 2);
    for (let i = 0; i < numbers.length; i++) {
      const half = bytes[2 * i] | (bytes[2 * i + 1] << 8);
      const exponent = (half >> 10) & 31, fraction = half & 1023;
      // An exponent of 0 means a subnormal number, which has no leading 1. Inf and NaN are never stored.
      const size = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24;
      numbers[i] = half & 0x8000 ? -size : size;
    }
    return numbers;
  };

  // Weights name -> Float32Array of one stored stream; `shapes` are [name, shape] in its order.
  P.unpack = function (text, shapes) {
    const numbers = P.halves(text), weights = {};
    let at = 0;
    for (const [name, shape] of shapes) {
      const length = shape.reduce((a, b) => a * b, 1);
      weights[name] = numbers.slice(at, at += length);
    }
    return weights;
  };

  // Factors name -> {left (m, r), right (r, n), rank} of the matrices: such a matrix of rank r is left · right.
  P.unpackFactors = function (text, shapes, rank) {
    const numbers = P.halves(text), factors = {};
    let at = 0;
    for (const [name, shape] of shapes) {
      if (shape.length !== 2) continue;
      const [m, n] = shape, r = Math.min(rank, m, n);
      factors[name] = { left: numbers.slice(at, at += m * r), right: numbers.slice(at, at += r * n), rank: r };
    }
    return factors;
  };

  // W_aligned + alpha Proj_k(ΔW_align), equation 3: the first k ranks of the factors are Proj_k.
  P.extrapolated = function (aligned, shapes, factors, k, alpha) {
    const result = {};
    for (const [name, [m, n]] of shapes) {
      const to = result[name] = aligned[name].slice(), f = factors[name];
      if (!f || !alpha) continue;
      for (let row = 0; row < m; row++) {
        for (let j = 0; j < Math.min(k, f.rank); j++) {
          const c = alpha * f.left[row * f.rank + j], from = j * n, at = row * n;
          for (let i = 0; i < n; i++) to[at + i] += c * f.right[from + i];
        }
      }
    }
    return result;
  };

  // start + what a stored attack added: four bits for each weight, times a step for each row.
  P.attacked = function (start, shapes, { steps, counts }) {
    const sizes = P.halves(steps), bytes = atob(counts), result = {};
    let row = 0, place = 0;
    for (const [name, shape] of shapes) {
      const to = result[name] = start[name].slice(), width = shape[shape.length - 1];
      for (let i = 0; i < to.length; i++, place++) {
        const four = (bytes.charCodeAt(place >> 1) >> (place & 1 ? 4 : 0)) & 15;
        to[i] += (four - 8) * sizes[row + Math.floor(i / width)];
      }
      row += to.length / width;
    }
    return result;
  };

  // --- arithmetic ---------------------------------------------------------------------------------

  // x (n, inner) times the transpose of w (out, inner). Two rows and four columns at a time: every number
  // that is read is used more than once, which is several times as fast as the plain loop.
  P.linear = function (x, n, w, out, inner) {
    const y = new Float32Array(n * out), evenRows = n - n % 2, fours = out - out % 4;
    for (let r = 0; r < evenRows; r += 2) {
      const a = r * inner, b = a + inner;
      for (let o = 0; o < fours; o += 4) {
        const p = o * inner, q = p + inner, s = q + inner, t = s + inner;
        let a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
        for (let i = 0; i < inner; i++) {
          const u = x[a + i], v = x[b + i], w0 = w[p + i], w1 = w[q + i], w2 = w[s + i], w3 = w[t + i];
          a0 += u * w0; a1 += u * w1; a2 += u * w2; a3 += u * w3;
          b0 += v * w0; b1 += v * w1; b2 += v * w2; b3 += v * w3;
        }
        const z = r * out + o;
        y[z] = a0; y[z + 1] = a1; y[z + 2] = a2; y[z + 3] = a3;
        y[z + out] = b0; y[z + out + 1] = b1; y[z + out + 2] = b2; y[z + out + 3] = b3;
      }
    }
    for (let r = 0; r < n; r++) {
      for (let o = r < evenRows ? fours : 0; o < out; o++) { // what does not come out even
        const a = r * inner, p = o * inner;
        let sum = 0;
        for (let i = 0; i < inner; i++) sum += x[a + i] * w[p + i];
        y[r * out + o] = sum;
      }
    }
    return y;
  };

  P.add = function (to, from) {
    for (let i = 0; i < to.length; i++) to[i] += from[i];
    return to;
  };

  // RMSNorm of each row; the inverse root mean squares are kept for the way back.
  P.norm = function (x, n, weight, eps) {
    const d = weight.length, y = new Float32Array(n * d), inverse = new Float32Array(n);
    for (let r = 0; r < n; r++) {
      let squares = 0;
      for (let i = 0; i < d; i++) squares += x[r * d + i] ** 2;
      inverse[r] = 1 / Math.sqrt(squares / d + eps);
      for (let i = 0; i < d; i++) y[r * d + i] = x[r * d + i] * inverse[r] * weight[i];
    }
    return { y, inverse };
  };

  // Rotary positions, in place: turns the pairs (i, i + half) of every head. direction -1 turns back.
  P.rotate = function (x, n, positions, c, direction) {
    const size = c.hidden / c.heads, half = size / 2;
    for (let i = 0; i < half; i++) {
      const frequency = c.theta ** (-2 * i / size);
      for (let r = 0; r < n; r++) {
        const cos = Math.cos(positions[r] * frequency), sin = direction * Math.sin(positions[r] * frequency);
        for (let h = 0; h < c.heads; h++) {
          const a = r * c.hidden + h * size + i, b = a + half, u = x[a], v = x[b];
          x[a] = u * cos - v * sin;
          x[b] = v * cos + u * sin;
        }
      }
    }
  };

  P.silu = (z) => z / (1 + Math.exp(-z));

  // Softmax of `count` numbers at `from`, in place.
  P.softmax = function (x, from, count) {
    let most = -Infinity, sum = 0;
    for (let i = from; i < from + count; i++) most = Math.max(most, x[i]);
    for (let i = from; i < from + count; i++) sum += x[i] = Math.exp(x[i] - most);
    for (let i = from; i < from + count; i++) x[i] /= sum;
  };

  // --- the model ------------------------------------------------------------------------------------

  P.layerName = (layer, part) => `model.layers.${layer}.${part}.weight`;

  // One query row against the keys and values of its sequence, all heads. `probabilities`, if given, keeps
  // each head's row for the way back.
  function attend(q, at, keys, values, from, length, c, context, probabilities) {
    const size = c.hidden / c.heads, scale = 1 / Math.sqrt(size), row = new Float32Array(length);
    for (let h = 0; h < c.heads; h++) {
      const offset = h * size;
      for (let j = 0; j < length; j++) {
        let dot = 0;
        const key = (from + j) * c.hidden + offset;
        for (let i = 0; i < size; i++) dot += q[at + offset + i] * keys[key + i];
        row[j] = dot * scale;
      }
      P.softmax(row, 0, length);
      if (probabilities) probabilities[h] = row.slice();
      for (let j = 0; j < length; j++) {
        const p = row[j], value = (from + j) * c.hidden + offset;
        for (let i = 0; i < size; i++) context[at + offset + i] += p * values[value + i];
      }
    }
  }

  // Hidden states (n, hidden) after the last norm, of tokens `ids` that lie one after another, sequence by
  // sequence. `sequences` are {from, length, cache}: a cache holds keys and values of what came before and takes
  // up the new ones. `kept`, an array, receives what the way back needs; then there must be no caches.
  P.forward = function (w, c, ids, sequences, kept) {
    const n = ids.length, d = c.hidden, positions = new Int32Array(n);
    for (const s of sequences) {
      for (let i = 0; i < s.length; i++) positions[s.from + i] = (s.cache ? s.cache.length : 0) + i;
    }
    let x = new Float32Array(n * d);
    for (let i = 0; i < n; i++) x.set(w["model.embed_tokens.weight"].subarray(ids[i] * d, ids[i] * d + d), i * d);
    for (let layer = 0; layer < c.layers; layer++) {
      const of = (part) => w[P.layerName(layer, part)], input = x;
      const first = P.norm(x, n, of("input_layernorm"), c.eps);
      const [q, k, v] = ["q", "k", "v"].map((p) => P.linear(first.y, n, of(`self_attn.${p}_proj`), d, d));
      P.rotate(q, n, positions, c, 1);
      P.rotate(k, n, positions, c, 1);
      const context = new Float32Array(n * d), attention = kept ? [] : null;
      for (const s of sequences) {
        let keys = k, values = v, from = s.from, before = 0;
        if (s.cache) {
          ({ keys, values } = s.cache.layers[layer]);
          from = 0;
          before = s.cache.length;
          keys.set(k.subarray(s.from * d, (s.from + s.length) * d), before * d);
          values.set(v.subarray(s.from * d, (s.from + s.length) * d), before * d);
        }
        for (let i = 0; i < s.length; i++) {
          const row = attention ? attention[s.from + i] = [] : null;
          attend(q, (s.from + i) * d, keys, values, from, before + i + 1, c, context, row);
        }
      }
      const middle = P.add(P.linear(context, n, of("self_attn.o_proj"), d, d), x);
      const second = P.norm(middle, n, of("post_attention_layernorm"), c.eps);
      const gate = P.linear(second.y, n, of("mlp.gate_proj"), c.ffn, d);
      const up = P.linear(second.y, n, of("mlp.up_proj"), c.ffn, d);
      const inner = up.map((u, i) => u * P.silu(gate[i]));
      x = P.add(P.linear(inner, n, of("mlp.down_proj"), d, c.ffn), middle);
      if (kept) kept.push({ input, first, q, k, v, attention, context, middle, second, gate, up, inner });
    }
    for (const s of sequences) if (s.cache) s.cache.length += s.length;
    const last = P.norm(x, n, w["model.norm.weight"], c.eps);
    if (kept) kept.push({ input: x, first: last, positions });
    return last.y;
  };

  P.logits = (w, c, hidden, n) => P.linear(hidden, n, w["lm_head.weight"], c.vocabulary, c.hidden);

  P.newCache = function (c, room) {
    const numbers = () => new Float32Array(room * c.hidden);
    return { length: 0, layers: Array.from({ length: c.layers }, () => ({ keys: numbers(), values: numbers() })) };
  };

  // Greedy replies to prompts (lists of ids), all at once, of at most `most` tokens; [{ids, first}], where `first`
  // are the probabilities of a reply's first token. A reply ends before the token `end`.
  P.generate = function (w, c, prompts, most, end) {
    const replies = prompts.map((prompt) => ({
      ids: [], first: null, next: prompt, cache: P.newCache(c, prompt.length + most),
    }));
    let open = replies;
    for (let step = 0; step < most && open.length; step++) {
      let from = 0;
      const sequences = open.map((r) => {
        const sequence = { from, length: r.next.length, cache: r.cache };
        from += sequence.length;
        return sequence;
      });
      const hidden = P.forward(w, c, open.flatMap((r) => r.next), sequences), d = c.hidden;
      const ends = new Float32Array(open.length * d);
      sequences.forEach((s, i) => {
        const row = (s.from + s.length - 1) * d;
        ends.set(hidden.subarray(row, row + d), i * d);
      });
      const logits = P.logits(w, c, ends, open.length);
      open.forEach((r, i) => {
        const row = logits.subarray(i * c.vocabulary, (i + 1) * c.vocabulary);
        let best = 0;
        for (let j = 1; j < row.length; j++) if (row[j] > row[best]) best = j;
        if (!r.first) P.softmax(r.first = row.slice(), 0, row.length);
        r.ids.push(best);
        r.next = [best];
      });
      open = open.filter((r) => r.next[0] !== end);
    }
    return replies.map((r) => ({ ids: r.ids.filter((id) => id !== end), first: r.first }));
  };
}

if (typeof module !== "undefined") module.exports = playgroundModel;
