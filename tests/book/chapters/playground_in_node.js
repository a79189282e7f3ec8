// Runs the page's model and judge outside a browser: `node playground_in_node.js SCRIPTS WEIGHTS < task`, JSON in and out.
const fs = require("fs"), path = require("path");
const [scripts, file] = process.argv.slice(2), P = {};
for (const name of ["model.js", "training.js", "judge.js"]) require(path.join(scripts, name))(P);
global.window = {};
(0, eval)(fs.readFileSync(file, "utf8"));
const data = window.PLAYGROUND_DATA, task = JSON.parse(fs.readFileSync(0, "utf8"));
const { config, shapes } = data, tokenizer = P.newTokenizer(data.tokenizer);

const aligned = P.unpack(data.aligned, shapes);
const update = P.unpackFactors(data.update.numbers, shapes, data.update.ranks);
const lox = (k, alpha) => P.extrapolated(aligned, shapes, update, k, alpha);
const stored = (one) => P.attacked(one.k ? lox(one.k, one.alpha) : aligned, shapes, one);
const plain = (weights) => Object.fromEntries(Object.entries(weights).map(([name, w]) => [name, Array.from(w)]));

const answers = {
  weights: ({ k, alpha }) => plain(lox(k, alpha)),
  attackedWeights: ({ index }) => plain(stored(data.attacked[index])),
  // The texts one after another in one batch, so that sequences must not see each other.
  logits: ({ texts, k, alpha }) => {
    const ids = texts.map(tokenizer.encode), sequences = [];
    let from = 0;
    for (const one of ids) sequences.push({ from, length: (from += one.length, one.length) });
    const w = lox(k, alpha), hidden = P.forward(w, config, ids.flat(), sequences);
    return Array.from(P.logits(w, config, hidden, ids.flat().length));
  },
  replies: ({ texts, most, k, alpha }) =>
    P.generate(lox(k, alpha), config, texts.map(tokenizer.encode), most, data.tokenizer.end)
      .map((reply) => tokenizer.decode(reply.ids)),
  ids: ({ texts }) => texts.map(tokenizer.encode),
  labels: ({ questions, replies }) => {
    const judge = P.newJudge(data.world);
    return questions.map((question, i) => judge.label(question, replies[i]));
  },
  gradients: ({ task: name, from, to }) => {
    const { loss, gradients } = P.lossAndGradients(aligned, config, data.attacks[name].examples.slice(from, to));
    return { loss, gradients: plain(gradients) };
  },
  steps: ({ task: name, batches, lr }) => {
    const w = lox(0, 0), step = P.newOptimizer(w, data.attacks[name].maxNorm);
    const losses = batches.map(([from, to]) => {
      const { loss, gradients } = P.lossAndGradients(w, config, data.attacks[name].examples.slice(from, to));
      step(gradients, lr);
      return loss;
    });
    return { losses, weights: plain(w) };
  },
};
process.stdout.write(JSON.stringify(answers[task.what](task)));
