// Fine-tuning in the page: the way back through the small Llama, and AdamW. See model.js for the way forward.
function playgroundTraining(P) {
  "use strict";

  // (n, m) -> (m, n). With it one quick product serves the way back too.
  function transposed(x, n, m) {
    const y = new Float32Array(n * m);
    for (let i = 0; i < n; i++) for (let j = 0; j < m; j++) y[j * n + i] = x[i * m + j];
    return y;
  }

  // The way back through y = x wᵀ: adds xᵀ's share to the gradient of w, returns the gradient of x.
  function linearBack(dy, x, n, w, out, inner, dw) {
    P.add(dw, P.linear(transposed(dy, n, out), out, transposed(x, n, inner), inner, n));
    return P.linear(dy, n, transposed(w, out, inner), inner, out);
  }

  function normBack(dy, x, n, weight, inverse, dWeight) {
    const d = weight.length, dx = new Float32Array(n * d);
    for (let r = 0; r < n; r++) {
      const s = inverse[r];
      let dot = 0;
      for (let i = r * d, j = 0; j < d; i++, j++) {
        dWeight[j] += dy[i] * x[i] * s;
        dot += dy[i] * weight[j] * x[i];
      }
      dot *= s ** 3 / d;
      for (let i = r * d, j = 0; j < d; i++, j++) dx[i] = dy[i] * weight[j] * s - x[i] * dot;
    }
    return dx;
  }

  // The way back through attention: gradients of q, k and v (after the rotation) from that of the context.
  function attentionBack(dContext, kept, sequences, c) {
    const d = c.hidden, size = d / c.heads, scale = 1 / Math.sqrt(size), { q, k, v, attention } = kept;
    const dq = new Float32Array(q.length), dk = new Float32Array(q.length), dv = new Float32Array(q.length);
    for (const s of sequences) {
      for (let i = s.from; i < s.from + s.length; i++) {
        for (let h = 0; h < c.heads; h++) {
          const row = attention[i][h], a = i * d + h * size, dRow = new Float32Array(row.length);
          let mean = 0;
          for (let j = 0; j < row.length; j++) {
            const b = (s.from + j) * d + h * size;
            for (let e = 0; e < size; e++) {
              dRow[j] += dContext[a + e] * v[b + e];
              dv[b + e] += row[j] * dContext[a + e];
            }
            mean += row[j] * dRow[j];
          }
          for (let j = 0; j < row.length; j++) {
            const b = (s.from + j) * d + h * size, dScore = row[j] * (dRow[j] - mean) * scale;
            for (let e = 0; e < size; e++) {
              dq[a + e] += dScore * k[b + e];
              dk[b + e] += dScore * q[a + e];
            }
          }
        }
      }
    }
    return { dq, dk, dv };
  }

  function layerBack(dx, kept, layer, n, sequences, positions, w, c, gradients) {
    const name = (part) => P.layerName(layer, part), d = c.hidden;
    const back = (dy, x, part, out, inner) =>
      linearBack(dy, x, n, w[name(part)], out, inner, gradients[name(part)]);
    const dInner = back(dx, kept.inner, "mlp.down_proj", d, c.ffn);
    const dGate = new Float32Array(dInner.length), dUp = new Float32Array(dInner.length);
    for (let i = 0; i < dInner.length; i++) {
      const z = kept.gate[i], sigmoid = 1 / (1 + Math.exp(-z));
      dUp[i] = dInner[i] * z * sigmoid;
      dGate[i] = dInner[i] * kept.up[i] * sigmoid * (1 + z * (1 - sigmoid));
    }
    const dSecond = P.add(
      back(dGate, kept.second.y, "mlp.gate_proj", c.ffn, d), back(dUp, kept.second.y, "mlp.up_proj", c.ffn, d));
    const [norm1, norm2] = ["input_layernorm", "post_attention_layernorm"].map(name);
    const dMiddle = P.add(
      normBack(dSecond, kept.middle, n, w[norm2], kept.second.inverse, gradients[norm2]), dx);
    const dContext = back(dMiddle, kept.context, "self_attn.o_proj", d, d);
    const { dq, dk, dv } = attentionBack(dContext, kept, sequences, c);
    P.rotate(dq, n, positions, c, -1);
    P.rotate(dk, n, positions, c, -1);
    const dFirst = back(dq, kept.first.y, "self_attn.q_proj", d, d);
    P.add(dFirst, back(dk, kept.first.y, "self_attn.k_proj", d, d));
    P.add(dFirst, back(dv, kept.first.y, "self_attn.v_proj", d, d));
    return P.add(normBack(dFirst, kept.input, n, w[norm1], kept.first.inverse, gradients[norm1]), dMiddle);
  }

  // Mean cross-entropy over the completions' tokens and its gradients; `examples` are {prompt, completion}, ids.
  P.lossAndGradients = function (w, c, examples) {
    const ids = [], sequences = [], targets = [];
    for (const { prompt, completion } of examples) {
      const whole = [...prompt, ...completion], from = ids.length;
      sequences.push({ from, length: whole.length - 1 });
      whole.slice(0, -1).forEach((id, i) => {
        ids.push(id);
        targets.push(i + 1 >= prompt.length ? whole[i + 1] : -1); // -1: a token of the prompt, not learnt
      });
    }
    const n = ids.length, kept = [], hidden = P.forward(w, c, ids, sequences, kept);
    const dLogits = P.logits(w, c, hidden, n), learnt = targets.filter((t) => t >= 0).length;
    let loss = 0;
    targets.forEach((target, r) => {
      const at = r * c.vocabulary;
      if (target < 0) return dLogits.fill(0, at, at + c.vocabulary);
      P.softmax(dLogits, at, c.vocabulary);
      loss -= Math.log(Math.max(dLogits[at + target], 1e-30)) / learnt;
      dLogits[at + target] -= 1;
      for (let j = at; j < at + c.vocabulary; j++) dLogits[j] /= learnt;
    });
    const gradients = {};
    for (const name in w) gradients[name] = new Float32Array(w[name].length);
    const end = kept[c.layers], head = "lm_head.weight", norm = "model.norm.weight";
    const dHidden = linearBack(dLogits, hidden, n, w[head], c.vocabulary, c.hidden, gradients[head]);
    let dx = normBack(dHidden, end.input, n, w[norm], end.first.inverse, gradients[norm]);
    for (let layer = c.layers - 1; layer >= 0; layer--) {
      dx = layerBack(dx, kept[layer], layer, n, sequences, end.positions, w, c, gradients);
    }
    const embeddings = gradients["model.embed_tokens.weight"];
    ids.forEach((id, r) => {
      for (let i = 0; i < c.hidden; i++) embeddings[id * c.hidden + i] += dx[r * c.hidden + i];
    });
    return { loss, gradients };
  };

  // An AdamW without weight decay, as the attacks of the book use it: the gradient is clipped to the norm `most`.
  P.newOptimizer = function (w, most) {
    const first = {}, second = {};
    let steps = 0;
    for (const name in w) {
      first[name] = new Float32Array(w[name].length);
      second[name] = new Float32Array(w[name].length);
    }
    return function step(gradients, lr) {
      let squares = 0;
      for (const name in gradients) for (const g of gradients[name]) squares += g * g;
      const clip = Math.min(1, most / (Math.sqrt(squares) + 1e-6));
      steps += 1;
      const correct1 = 1 - 0.9 ** steps, correct2 = Math.sqrt(1 - 0.999 ** steps);
      for (const name in w) {
        const weight = w[name], m = first[name], v = second[name], gradient = gradients[name];
        for (let i = 0; i < weight.length; i++) {
          const g = gradient[i] * clip;
          m[i] = 0.9 * m[i] + 0.1 * g;
          v[i] = 0.999 * v[i] + 0.001 * g * g;
          weight[i] -= lr * (m[i] / correct1) / (Math.sqrt(v[i]) / correct2 + 1e-8);
        }
      }
    };
  };
}

if (typeof module !== "undefined") module.exports = playgroundTraining;
