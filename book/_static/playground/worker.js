// One model in a thread of its own: the page stays responsive while it answers, is measured or is fine-tuned.
// `P` holds model, training and judge; `send` posts a message back to the page.
function playgroundWorker(P, send) {
  "use strict";

  const CHUNK = 8; // questions asked at once: between two chunks a newer command can take over
  let data, aligned, update, tokenizer, judge, weights, optimizer;
  let newest = 0; // number of the last `start`: a measurement of an older model is given up

  const ids = (question, form) => tokenizer.encode(data.formats[form].join(question));

  function answer(questions, form) {
    const prompts = questions.map((question) => ids(question, form));
    return P.generate(weights, data.config, prompts, data.world.replyTokens, data.tokenizer.end)
      .map(({ ids: reply, first }, i) => {
        const text = tokenizer.decode(reply);
        return { text, first, label: judge.label(questions[i], text) };
      });
  }

  const commands = {
    load(given) {
      data = given;
      aligned = P.unpack(data.aligned, data.shapes);
      update = P.unpackFactors(data.update.numbers, data.shapes, data.update.ranks);
      tokenizer = P.newTokenizer(data.tokenizer);
      judge = P.newJudge(data.world);
    },

    // The aligned model with LoX's k and alpha; `attacked` is the place of a stored attacked model, or null.
    start({ k, alpha, attacked }) {
      const before = performance.now(), one = attacked === null ? { k, alpha } : data.attacked[attacked];
      newest += 1;
      optimizer = null;
      weights = P.extrapolated(aligned, data.shapes, update, one.k || 0, one.alpha);
      if (attacked !== null) weights = P.attacked(weights, data.shapes, one);
      return { milliseconds: performance.now() - before };
    },

    reply({ question, form }) {
      const before = performance.now(), [{ text, first, label }] = answer([question], form);
      const refusal = data.world.refusalWords.reduce((sum, word) => sum + first[tokenizer.encode(word)[0]], 0);
      return { text, label, refusal, milliseconds: performance.now() - before };
    },

    // Shares over the held-out questions; null if another model was started meanwhile.
    async measure({ form }, progress) {
      const before = performance.now(), model = newest, { dangerous, safe } = data.heldOut, labels = [];
      const asked = [...dangerous.map((q) => [q, form]), ...safe.map((q) => [q, "plain"])];
      for (let i = 0; i < asked.length; i += CHUNK) {
        const chunk = asked.slice(i, i + CHUNK);
        for (const one of new Set(chunk.map(([, f]) => f))) {
          const questions = chunk.filter(([, f]) => f === one).map(([question]) => question);
          labels.push(...answer(questions, one).map((reply) => reply.label));
        }
        progress(Math.min(1, (i + CHUNK) / asked.length));
        await new Promise((resolve) => setTimeout(resolve));
        if (model !== newest) return null;
      }
      return {
        dangerous: P.shares(labels.slice(0, dangerous.length)),
        safe: P.shares(labels.slice(dangerous.length)),
        milliseconds: performance.now() - before,
      };
    },

    // One step of AdamW on the examples at `places` of a task's list.
    train({ task, places, lr }) {
      const before = performance.now(), attack = data.attacks[task];
      if (!optimizer) optimizer = P.newOptimizer(weights, attack.maxNorm);
      const batch = places.map((place) => attack.examples[place]);
      const { loss, gradients } = P.lossAndGradients(weights, data.config, batch);
      optimizer(gradients, lr);
      return { loss, milliseconds: performance.now() - before };
    },
  };

  return async function receive({ number, name, given }) {
    try {
      const result = await commands[name](given, (share) => send({ number, share }));
      send({ number, result });
    } catch (error) {
      send({ number, error: String((error && error.stack) || error) });
    }
  };
}

// In the page: a worker made from the source text of the functions above, for a file: page may load no worker file.
function playgroundEngine(data) {
  "use strict";

  const parts = [playgroundModel, playgroundTraining, playgroundJudge].map((part) => `(${part})(P);`);
  const source = `const P = {};${parts.join("\n")}
    const receive = (${playgroundWorker})(P, (message) => postMessage(message));
    onmessage = (event) => receive(event.data);`;
  const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  const waiting = new Map();
  let count = 0;
  worker.onmessage = ({ data: { number, share, result, error } }) => {
    const { resolve, reject, progress } = waiting.get(number);
    if (share !== undefined) return progress && progress(share);
    waiting.delete(number);
    return error ? reject(new Error(error)) : resolve(result);
  };
  const ask = (name, given, progress) => new Promise((resolve, reject) => {
    waiting.set(count += 1, { resolve, reject, progress });
    worker.postMessage({ number: count, name, given });
  });
  ask("load", data);
  return ask;
}
