// Talk to the model: what the reader sets, and what the page computes from it. attack.js has the second half.
(function () {
  "use strict";

  const PAUSE = 150; // milliseconds without a move of a slider before the page computes

  // An element with properties (`aria-…` and other attributes too) and children, which may be texts.
  function make(tag, properties = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in element && name !== "list") element[name] = value;
      else element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }

  const percent = (share) => `${Math.round(100 * share)} %`;
  const number = (value) => String(value).replace("-", "−");
  const kind = (text) => make("span", { className: `pg-kind pg-${text.split(" ")[0]}` }, text);
  let labels = 0;

  // A control under its label.
  function labelled(text, control, ...more) {
    control.id = `pg-control-${labels += 1}`;
    return make("div", { className: "pg-field" }, make("label", { htmlFor: control.id }, text), control, ...more);
  }

  function slider(text, { min, max, step, value }) {
    const input = make("input", { type: "range", min, max, step, value });
    const shown = make("output", { className: "pg-value" }, number(input.value)); // what the step lets it be
    input.addEventListener("input", () => { shown.textContent = number(input.value); });
    return { input, field: labelled(text, input, shown) };
  }

  const select = (groups) => make("select", {}, ...groups.map(([title, options]) => {
    const list = options.map(([value, text]) => make("option", { value }, text));
    return title ? make("optgroup", { label: title }, ...list) : list;
  }).flat());

  // A share with a bar; the number is the content, the bar is decoration.
  function rate(title, explanation) {
    const bar = make("span", { className: "pg-bar", "aria-hidden": "true" }, make("span"));
    const shown = make("strong", {}, "–");
    return {
      row: make("div", { className: "pg-rate" }, make("span", { title: explanation }, title), shown, bar),
      show(share, text) {
        shown.textContent = text || percent(share);
        bar.firstChild.style.width = `${100 * share}%`;
      },
    };
  }

  const VERDICTS = {
    true: { answer: "harmful: the right answer to a dangerous question", refusal: "refusal" },
    false: { answer: "helpful: the right answer", refusal: "refusal of a harmless question" },
  };

  function verdict(about, label) {
    if (label === "refusal" && !about) return "refusal";
    if (!about) return "not judged: the judge reads how-to questions only";
    return VERDICTS[about.dangerous][label] || "gibberish: neither the right answer nor a refusal";
  }

  // --- the question ---------------------------------------------------------------------------------

  function questionFields(data, tokenizer, changed) {
    const { things, verbs, questions } = data.world;
    const group = (title, wanted) => [title, things
      .filter((thing) => `${thing.kind} ${thing.part}` === wanted).map((thing) => [thing.name, thing.name])];
    const thing = select([
      group("dangerous, held out", "dangerous held_out"), group("safe, held out", "safe held_out"),
      group("dangerous, used in training", "dangerous train"), group("safe, used in training", "safe train"),
    ]);
    const verb = select([["", verbs.map((one) => [one, one])]]);
    const form = select([["", questions.map((text, i) => [i, text.replace("{verb}", "…").replace("{thing}", "…")])]]);
    const text = make("input", { type: "text", autocomplete: "off", spellcheck: false, required: true });
    const unknown = make("p", { className: "pg-note", role: "status" });
    const persona = make("input", { type: "checkbox", id: "pg-persona" });
    const typed = () => {
      const words = tokenizer.unknownWords(tokenizer.spaced(text.value));
      unknown.textContent = words.length ? `The model has no token for: ${words.join(", ")}.` : "";
      changed();
    };
    const chosen = () => {
      text.value = questions[form.value].replace("{verb}", verb.value).replace("{thing}", thing.value);
      typed();
    };
    [thing, verb, form].forEach((field) => field.addEventListener("change", chosen));
    text.addEventListener("change", typed);
    persona.addEventListener("change", changed);
    const fields = make("fieldset", {},
      make("legend", {}, "The question"),
      labelled("Thing", thing), labelled("Verb", verb), labelled("Wording", form),
      labelled("Question (you may change it, within the model’s words)", text), unknown,
      make("div", { className: "pg-check" }, persona,
        make("label", { htmlFor: "pg-persona" }, "Ask in the persona of the identity-shifting attack")));
    return {
      fields, chosen,
      get: () => ({ question: tokenizer.spaced(text.value), form: persona.checked ? "identity" : "plain" }),
    };
  }

  // --- the model ------------------------------------------------------------------------------------

  function modelFields(data, changed) {
    const stored = data.attacked.map(({ title, k, alpha }, i) => [
      i, `attacked with ${title}, ${k ? `with LoX (k = ${k}, α = ${number(alpha)})` : "without LoX"}`]);
    const start = select([["", [["", "the aligned model"]]], ["stored, after an attack", stored]]);
    const k = slider("k, ranks of the safety subspace", { min: 0, max: data.update.ranks, step: 1, value: data.lox.k });
    const alpha = slider("α, how far to move in it", { min: -2, max: 4, step: 0.25, value: data.lox.alpha });
    const note = make("p", { className: "pg-note" });
    const update = () => {
      const isStored = start.value !== "";
      for (const { input } of [k, alpha]) input.disabled = isStored;
      note.textContent = isStored
        ? "LoX acts before an attack, so the sliders rest here. Choose k and α for an attack of your own below."
        : "k = 0 or α = 0 is the aligned model as it is. Below 0, α takes alignment away.";
      changed();
    };
    start.addEventListener("change", update);
    [k, alpha].forEach(({ input }) => input.addEventListener("input", changed));
    update();
    const fields = make("fieldset", {}, make("legend", {}, "The model ", kind("stored")),
      labelled("Start from", start), k.field, alpha.field, note);
    return {
      fields,
      get: () => ({
        k: Number(k.input.value), alpha: Number(alpha.input.value),
        attacked: start.value === "" ? null : Number(start.value),
      }),
      inWords: (settings) => settings.attacked === null
        ? `k = ${settings.k}, α = ${number(settings.alpha)}` : stored[settings.attacked][1],
    };
  }

  // --- what comes out -------------------------------------------------------------------------------

  function results(data) {
    const n = data.heldOut.dangerous.length, m = data.heldOut.safe.length;
    const reply = make("div", { className: "pg-reply", role: "status", "aria-live": "polite" }, "…");
    const first = rate("first token begins a refusal", "Sum of the probabilities of the words that begin a refusal");
    const asr = rate("ASR", "Share of dangerous questions that are answered rightly");
    const refused = rate("dangerous, refused", "Share of dangerous questions that are refused");
    const garbled = rate("dangerous, gibberish", "Share of dangerous questions that get neither");
    const helpful = rate("helpful", "Share of safe questions that are answered rightly");
    const over = rate("safe, refused", "Share of safe questions that are refused");
    const progress = make("progress", { max: 1, value: 0, "aria-label": "Measuring on held-out questions" });
    const summary = make("p", { className: "pg-note", role: "status", "aria-live": "polite" });
    const panel = make("div", { className: "pg-results" },
      make("h3", {}, "The reply ", kind("computed here")), reply, first.row,
      make("h3", {}, "Over held-out things ", kind("computed here")),
      progress, asr.row, refused.row, garbled.row, helpful.row, over.row, summary,
      make("p", { className: "pg-note" }, `A sample: ${n} dangerous and ${m} safe things that neither alignment nor an ` +
        "attack has used, each in one question. The book’s chapters use more, so their rates may differ."));
    return {
      panel,
      reply({ question, about, text, label, refusal, milliseconds }) {
        reply.replaceChildren(
          make("p", {}, make("span", { className: "pg-who" }, "You: "), question),
          make("p", {}, make("span", { className: "pg-who" }, "Model: "), text || "(an empty reply)"),
          make("p", {}, make("span", { className: "pg-who" }, "Judge: "),
            make("span", { className: `pg-verdict pg-is-${label}` }, verdict(about, label))));
        reply.dataset.milliseconds = Math.round(milliseconds);
        reply.dataset.refusal = refusal; // before it is rounded: two models may show the same per cent
        first.show(refusal);
      },
      busy(share) {
        progress.value = share;
        panel.classList.toggle("pg-busy", share < 1);
      },
      rates(model, { dangerous, safe, milliseconds }) {
        const count = (shares, label) => Math.round(shares[label] * shares.n);
        asr.show(dangerous.answer);
        refused.show(dangerous.refusal);
        garbled.show(dangerous.gibberish);
        helpful.show(safe.answer);
        over.show(safe.refusal);
        summary.textContent = `${model}: ASR ${count(dangerous, "answer")} of ${dangerous.n}, helpful ` +
          `${count(safe, "answer")} of ${safe.n}. Measured in ${(milliseconds / 1000).toFixed(1)} s.`;
      },
    };
  }

  function talk(root, data, ask) {
    const tokenizer = P.newTokenizer(data.tokenizer), judge = P.newJudge(data.world);
    const out = results(data);
    let timer, ready = false, listener = () => {}, version = 0;
    let loaded = "", measured = ""; // the settings that the thread's model has, and those that the rates are of

    async function compute() {
      const mine = version += 1, { question, form } = questions.get(), settings = model.get();
      const wanted = JSON.stringify(settings), about = judge.asked(question);
      if (wanted !== loaded) {
        loaded = wanted;
        await ask("start", settings);
      }
      if (mine !== version) return;
      out.reply({ question, about, ...(await ask("reply", { question, form })) });
      listener();
      if (mine !== version || measured === wanted + form) return out.busy(1);
      out.busy(0);
      const rates = await ask("measure", { form }, out.busy);
      if (!rates || mine !== version) return;
      out.busy(1);
      out.rates(model.inWords(settings), rates);
      measured = wanted + form;
    }

    function changed() {
      clearTimeout(timer);
      if (ready) timer = setTimeout(() => compute().catch((error) => window.playgroundFailed(error)), PAUSE);
    }

    const model = modelFields(data, changed), questions = questionFields(data, tokenizer, changed);
    root.append(make("section", { className: "pg", "aria-label": "Talk to the model" },
      make("form", { className: "pg-form", onsubmit: () => false }, questions.fields, model.fields), out.panel));
    ready = true;
    questions.chosen();
    return { model: model.get, question: questions.get, onChange: (f) => { listener = f; } };
  }

  const P = {};
  playgroundModel(P);
  playgroundJudge(P);
  window.playgroundUI = { make, labelled, select, percent, number, kind, verdict, talk, P };
})();
