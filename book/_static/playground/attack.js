// Attack it yourself: the aligned model and LoX's are fine-tuned side by side, each in a thread of its own.
(function () {
  "use strict";

  const { make, labelled, select, percent, number, kind, verdict, P } = window.playgroundUI;
  const MANY = 20; // steps of a run
  const EVERY = 2; // steps between two measurements of a run
  const SIDES = [{ name: "without LoX", lox: false }, { name: "with LoX", lox: true }];
  const SVG = "http://www.w3.org/2000/svg";

  function draw(tag, attributes, text) {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text) element.textContent = text;
    return element;
  }

  // --- the curves -----------------------------------------------------------------------------------

  // ASR of both sides over steps, drawn for the width that there is, so that letters keep their size.
  function curves(history, width) {
    const height = 240, left = 48, right = 96, top = 14, bottom = 40;
    const last = Math.max(10, ...history.map((row) => row.step));
    const x = (step) => left + step / last * (width - left - right);
    const y = (share) => top + (1 - share) * (height - top - bottom);
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img" });
    svg.setAttribute("aria-label", `ASR over the steps of the attack. ${inWords(history)}`);
    for (const share of [0, 0.5, 1]) {
      svg.append(draw("line", { x1: left, x2: width - right, y1: y(share), y2: y(share), class: "pg-grid" }),
        draw("text", { x: left - 6, y: y(share) + 4, "text-anchor": "end" }, percent(share)));
    }
    for (const step of [0, last / 2, last]) {
      svg.append(draw("text", { x: x(step), y: height - 22, "text-anchor": "middle" }, String(Math.round(step))));
    }
    svg.append(draw("text", { x: (left + width - right) / 2, y: height - 4, "text-anchor": "middle" }, "steps"));
    const ends = SIDES.map((_, side) => y(history.length ? history[history.length - 1].asr[side] : 0));
    if (Math.abs(ends[0] - ends[1]) < 16) { // two labels at one height are moved apart
      const upper = ends[0] <= ends[1] ? 0 : 1;
      if (ends[upper] > 40) ends[upper] = ends[1 - upper] - 16;
      else ends[1 - upper] = ends[upper] + 16;
    }
    for (const side of [1, 0]) { // the broken line lies over the whole one, so both are seen where they meet
      const { name } = SIDES[side];
      const points = history.map((row) => [x(row.step), y(row.asr[side])]);
      svg.append(draw("polyline", { points: points.join(" "), class: `pg-line pg-side-${side}` }));
      for (const [cx, cy] of points) svg.append(draw("circle", { cx, cy, r: 3, class: `pg-dot pg-side-${side}` }));
      if (points.length) {
        const end = points[points.length - 1];
        svg.append(draw("text", { x: end[0] + 8, y: ends[side] + 4, class: `pg-label pg-side-${side}` }, name));
      }
    }
    return svg;
  }

  function inWords(history) {
    if (!history.length) return "No step yet.";
    const { step, asr, helpful } = history[history.length - 1];
    return `After ${step} step${step === 1 ? "" : "s"}: ${SIDES.map(({ name }, i) =>
      `${name} ASR ${percent(asr[i])}, helpful ${percent(helpful[i])}`).join("; ")}.`;
  }

  function table(history) {
    const cell = (tag, text) => make(tag, tag === "th" ? { scope: "col" } : {}, text);
    const head = ["step", ...["ASR", "helpful", "loss"].flatMap((what) => SIDES.map(({ name }) => `${what}, ${name}`))];
    const rows = history.map(({ step, asr, helpful, loss }) => [
      step, ...asr.map(percent), ...helpful.map(percent), ...loss.map((one) => (one === null ? "–" : one.toFixed(2)))]);
    return make("table", {},
      make("thead", {}, make("tr", {}, ...head.map((text) => cell("th", text)))),
      make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((text) => cell("td", String(text)))))));
  }

  // --- the attack -----------------------------------------------------------------------------------

  function settingsFields(data) {
    const tasks = Object.entries(data.attacks).map(([name, { title, examples }]) =>
      [name, `${title}, ${examples.length} examples`]);
    const task = select([["", tasks]]), lr = select([]);
    const rates = () => lr.replaceChildren(...[0.5, 1, 2, 5].map((times) => {
      const value = data.attacks[task.value].lr * times;
      const said = times === 1 ? "as in the book" : `${number(times)} times the book’s`;
      return make("option", { value, selected: times === 1 }, `${Number(value.toPrecision(3))} (${said})`);
    }));
    rates();
    task.addEventListener("change", rates);
    const fields = make("fieldset", {}, make("legend", {}, "The attack ", kind("examples stored")),
      labelled("Examples to fine-tune on", task), labelled("Learning rate", lr));
    return { fields, task, lr };
  }

  function attack(root, data, newEngine, { model, question, onChange }) {
    const judge = P.newJudge(data.world), { fields, task, lr } = settingsFields(data);
    const button = (text) => make("button", { type: "button" }, text);
    const [one, many, stop, again] = ["One step", `Run ${MANY} steps`, "Stop", "Start again"].map(button);
    const status = make("p", { className: "pg-note", role: "status", "aria-live": "polite" });
    const sides = SIDES.map(({ name }, i) => {
      const title = make("h4", { className: `pg-side-${i}` }, name), reply = make("div", { className: "pg-reply" }, "…");
      return { title, reply, box: make("div", {}, title, reply) };
    });
    const figure = make("div", { className: "pg-curves" }), numbers = make("div", { className: "pg-table" });
    root.append(make("section", { className: "pg", "aria-label": "Attack it yourself" },
      make("form", { className: "pg-form", onsubmit: () => false }, fields,
        make("div", { className: "pg-buttons" }, one, many, stop, again), status),
      make("div", { className: "pg-results" },
        make("h3", {}, "ASR over held-out things ", kind("computed here")), figure,
        make("h3", {}, "Replies to the question above ", kind("computed here")),
        make("div", { className: "pg-pair" }, ...sides.map(({ box }) => box)),
        make("details", {}, make("summary", {}, "The numbers as a table"), numbers))));

    let engines = null, begun = null, history = [], step = 0, place = 0, running = false, stopped = false;

    const show = () => {
      figure.replaceChildren(curves(history, Math.max(280, figure.clientWidth)));
      numbers.replaceChildren(table(history));
    };
    const enable = () => {
      for (const control of [one, many, task, lr]) control.disabled = running;
      task.disabled = lr.disabled = running || step > 0;
      stop.disabled = !running;
      again.disabled = running || step === 0;
    };
    const both = (name, given, progress) => Promise.all(engines.map((ask) => ask(name, given, progress)));

    async function begin() {
      if (!engines) engines = SIDES.map(() => newEngine());
      const { k, alpha } = model();
      begun = { k, alpha };
      sides[1].title.textContent = `with LoX, k = ${k}, α = ${number(alpha)}`;
      await Promise.all(engines.map((ask, i) =>
        ask("start", { k: SIDES[i].lox ? k : 0, alpha: SIDES[i].lox ? alpha : 0, attacked: null })));
      await measure([null, null]);
    }

    async function measure(loss) {
      const form = data.attacks[task.value].form, found = await both("measure", { form });
      history.push({
        step, loss, asr: found.map(({ dangerous }) => dangerous.answer), helpful: found.map(({ safe }) => safe.answer),
      });
      show();
      status.textContent = inWords(history);
      await reply();
    }

    async function reply() {
      const { question: asked, form } = question(), about = judge.asked(asked);
      const replies = await both("reply", { question: asked, form });
      replies.forEach(({ text, label }, i) => sides[i].reply.replaceChildren(
        make("p", {}, text || "(an empty reply)"),
        make("p", { className: `pg-verdict pg-is-${label}` }, verdict(about, label))));
    }

    async function run(count) {
      running = true;
      stopped = false;
      enable();
      if (!begun) {
        status.textContent = "Starting two models …";
        await begin();
      }
      const { batch, examples } = data.attacks[task.value];
      for (let i = 1; i <= count && !stopped; i++) {
        const places = Array.from({ length: batch }, (_, j) => (place + j) % examples.length);
        const done = await both("train", { task: task.value, places, lr: Number(lr.value) });
        place += batch;
        step += 1;
        root.dataset.milliseconds = Math.round(Math.max(...done.map(({ milliseconds }) => milliseconds)));
        if (i === count || stopped || step % EVERY === 0) await measure(done.map(({ loss }) => loss));
        else status.textContent = `Step ${step} …`;
      }
      running = false;
      enable();
    }

    function reset() {
      [begun, history, step, place] = [null, [], 0, 0];
      status.textContent = "No step yet. k and α are those of the sliders above.";
      sides.forEach(({ title, reply: box }, i) => {
        title.textContent = SIDES[i].name;
        box.textContent = "…";
      });
      show();
      enable();
    }

    const start = (count) => () => run(count).catch((error) => window.playgroundFailed(error));
    one.addEventListener("click", start(1));
    many.addEventListener("click", start(MANY));
    stop.addEventListener("click", () => { stopped = true; });
    again.addEventListener("click", reset);
    let width = 0;
    new ResizeObserver(() => { if (width !== (width = figure.clientWidth)) show(); }).observe(figure);
    onChange(() => {
      if (!begun || running) return;
      const { k, alpha } = model();
      if (k !== begun.k || alpha !== begun.alpha) {
        status.textContent = `The attack goes on with k = ${begun.k}, α = ${number(begun.alpha)}. ` +
          "Press “Start again” to attack with the sliders’ new values.";
      }
      reply();
    });
    reset();
  }

  // --- the page -------------------------------------------------------------------------------------

  function begin() {
    const data = window.PLAYGROUND_DATA; // what the page stores; export.py writes it
    const [talkRoot, attackRoot] = ["talk", "attack"].map((name) => document.getElementById(`playground-${name}`));
    window.playgroundFailed = (error) => {
      console.error(error);
      talkRoot.append(make("p", { className: "pg-failed", role: "alert" }, `The playground stopped: ${error.message}`));
    };
    talkRoot.replaceChildren();
    const settings = window.playgroundUI.talk(talkRoot, data, playgroundEngine(data));
    attack(attackRoot, data, () => playgroundEngine({ ...data, attacked: [] }), settings);
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
