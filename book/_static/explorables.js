// Small drawings that the reader moves: <div data-explorable="projection"></div>, "energy", and "ablation" with its grid.
// A classic script without a network, as a page opened from the disk needs it; style is the playground's.
(function () {
  "use strict";

  const SVG = "http://www.w3.org/2000/svg";
  const style = new URL("playground/playground.css", document.currentScript.src);
  const COLOURS = ["pg-side-0", "pg-side-1"];
  let labels = 0;

  function make(tag, properties = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in element) element[name] = value;
      else element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }

  function draw(tag, attributes, text) {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text) element.textContent = text;
    return element;
  }

  const written = (value, digits = 2) => value.toFixed(digits).replace("-", "−");

  // A slider under its label, with its value; `changed` is called at every move.
  function slider(text, { min, max, step, value, unit = "", name }, changed) {
    const id = `explorable-${labels += 1}`, shown = make("output", { className: "pg-value" });
    const input = make("input", { type: "range", id, min, max, step, value });
    const show = () => {
      shown.textContent = name ? name(input.value) : String(input.value).replace("-", "−") + unit;
      if (name) input.setAttribute("aria-valuetext", shown.textContent);
    };
    input.addEventListener("input", () => { show(); changed(); });
    if (!name) show();
    return {
      field: make("div", { className: "pg-field" }, make("label", { htmlFor: id }, text), input, shown),
      get: () => Number(input.value),
      set(number) {
        input.value = number;
        show();
      },
      bound(most) { // a value above it becomes it
        input.max = most;
        show();
      },
    };
  }

  // An arrow from (x1, y1) to (x2, y2), in the drawing's units.
  function arrow(x1, y1, x2, y2, name, broken) {
    const length = Math.hypot(x2 - x1, y2 - y1), group = draw("g", { class: `pg-arrow ${name}` });
    const line = draw("line", { x1, y1, x2, y2 });
    if (broken) line.setAttribute("stroke-dasharray", "6 4");
    group.append(line);
    if (length > 8) {
      const [a, b] = [(x2 - x1) / length, (y2 - y1) / length];
      const corner = (side) => `${x2 - 10 * a + side * 5 * b},${y2 - 10 * b - side * 5 * a}`;
      group.append(draw("polygon", { points: `${x2},${y2} ${corner(1)} ${corner(-1)}` }));
    }
    return group;
  }

  function frame(root, name, fields, drawing, text) {
    root.append(make("section", { className: "pg", "aria-label": name },
      make("div", {}, ...fields),
      make("div", {}, make("div", { className: "pg-curves" }, drawing), text)));
  }

  // --- a vector, its projection and the remainder -----------------------------------------------------

  function projection(root) {
    const size = 300, unit = 30, middle = size / 2; // pixels
    const svg = draw("svg", { viewBox: `0 0 ${size} ${size}`, width: size, height: size, role: "img" });
    const text = make("p", { className: "pg-note", role: "status" });
    const x = slider("M, first coordinate", { min: -4, max: 4, step: 0.1, value: 2 }, show);
    const y = slider("M, second coordinate", { min: -4, max: 4, step: 0.1, value: 3 }, show);
    const turn = slider("Direction of the subspace U", { min: 0, max: 180, step: 1, value: 20, unit: "°" }, show);
    const place = (a, b) => [middle + unit * a, middle - unit * b];

    function show() {
      const [a, b] = [x.get(), y.get()], angle = turn.get() * Math.PI / 180;
      const u = [Math.cos(angle), Math.sin(angle)], along = a * u[0] + b * u[1];
      const inside = [along * u[0], along * u[1]], [m, p] = [place(a, b), place(...inside)];
      const whole = Math.hypot(a, b), remainder = Math.hypot(a - inside[0], b - inside[1]);
      const [from, to] = [place(-6 * u[0], -6 * u[1]), place(6 * u[0], 6 * u[1])];
      const line = draw("line", { x1: from[0], y1: from[1], x2: to[0], y2: to[1], class: "pg-grid" });
      const handle = draw("circle", { cx: m[0], cy: m[1], r: 11, class: "pg-handle" });
      const label = ([px, py], name, side) => draw("text", { x: px + 12, y: py - 8, class: `pg-label ${side}` }, name);
      svg.replaceChildren(line, arrow(...p, ...m, "", true), arrow(middle, middle, ...m, COLOURS[0]),
        arrow(middle, middle, ...p, COLOURS[1]), handle, label(m, "M", COLOURS[0]), label(p, "P M", COLOURS[1]));
      const words = `‖M‖² = ${written(whole ** 2)} = ‖PM‖² + ‖M − PM‖² = ${written(along ** 2)} + ` +
        `${written(remainder ** 2)}. Share ‖PM‖ / ‖M‖ = ${whole ? written(Math.abs(along) / whole) : "not defined"}.`;
      text.textContent = words;
      svg.setAttribute("aria-label", `The vector M, its projection PM on the line U, and the remainder at a right angle. ${words}`);
    }

    function drag(event) {
      if (!event.buttons) return;
      const box = svg.getBoundingClientRect(), scale = size / box.width;
      const bound = (value) => Math.round(Math.max(-4, Math.min(4, value)) * 10) / 10;
      x.set(bound(((event.clientX - box.left) * scale - middle) / unit));
      y.set(bound((middle - (event.clientY - box.top) * scale) / unit));
      show();
    }

    svg.style.touchAction = "none"; // a finger draws the vector, not the page
    svg.addEventListener("pointerdown", (event) => { svg.setPointerCapture(event.pointerId); drag(event); });
    svg.addEventListener("pointermove", drag);
    frame(root, "Projection of a vector", [
      make("p", { className: "pg-note" }, "Drag the point of M, or use the sliders."), x.field, y.field, turn.field,
    ], svg, text);
    show();
  }

  // --- R_ft: what is against, what is outside -----------------------------------------------------------

  function energy(root) {
    const [width, height, left, low] = [340, 240, 20, 210], unit = 2.6; // pixels
    const [INSIDE, OUTSIDE] = [30, 15]; // ΔW_align of the chapter's example, k = 1: s_1 inside, s_2 outside
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img" });
    const text = make("p", { className: "pg-note", role: "status" });
    const against = slider("Against the alignment update, inside", { min: -30, max: 60, step: 1, value: 15 }, show);
    const outside = slider("Outside the subspace", { min: 0, max: 60, step: 1, value: 0 }, show);
    const alpha = slider("α of LoX", { min: 0, max: 2, step: 0.25, value: 1.25 }, show);

    function show() {
      const up = Math.hypot(OUTSIDE, outside.get());
      const results = [0, alpha.get()].map((a) => {
        const along = (1 + a) * INSIDE - against.get();
        return { along, r: Math.abs(along) / Math.hypot(along, up) };
      });
      const begin = left + 30 * unit; // what is against can be more than there was
      const axis = draw("line", { x1: left, x2: width, y1: low, y2: low, class: "pg-grid" });
      const names = ["without LoX", "with LoX"];
      svg.replaceChildren(axis, draw("text", { x: width - 4, y: low + 18, "text-anchor": "end" }, "inside the subspace →"),
        draw("text", { x: left, y: 14 }, "↑ outside"),
        ...results.map(({ along }, i) => arrow(begin, low, begin + unit * along, low - unit * up, COLOURS[i], i === 0)),
        ...results.map(({ along }, i) => draw("text", {
          x: Math.min(width - 76, begin + unit * along + 4), y: low - unit * up - 4 - 15 * (1 - i), class: `pg-label ${COLOURS[i]}`,
        }, names[i])));
      const before = INSIDE / Math.hypot(INSIDE, OUTSIDE);
      const words = `R_align = ${written(before, 3)}. ` + results.map(({ r }, i) =>
        `R_ft ${names[i]} = ${written(r, 3)}`).join(", ") + ".";
      text.textContent = `${words} R is the cosine of the arrow’s angle with the line inside: pushing against shortens the arrow’s ` +
        "shadow on the line, adding outside lifts its point.";
      svg.setAttribute("aria-label", `Arrows of the whole update after fine-tuning, without and with LoX. ${words}`);
    }

    frame(root, "R_ft after fine-tuning", [
      make("p", { className: "pg-note" }, "ΔW_align is 30 inside and 15 outside, as in the example by hand. Fine-tuning adds:"),
      against.field, outside.field, alpha.field,
    ], svg, text);
    show();
  }

  // --- the grid of k and α of a run ----------------------------------------------------------------------

  // data-grid holds {seeds, tasks: [{name, choices: [{name, points: [{alpha, asr, helpful}]}]}]}, means over seeds.
  function ablation(root) {
    const { seeds, tasks } = JSON.parse(root.dataset.grid);
    const [width, height, left, low] = [340, 220, 54, 180]; // pixels
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img" });
    const text = make("p", { className: "pg-note", role: "status" });
    const choose = make("select", { id: `explorable-${labels += 1}` },
      ...tasks.map(({ name }, i) => make("option", { value: i }, name)));
    const chosen = make("div", { className: "pg-field" }, make("label", { htmlFor: choose.id }, "Model"), choose);
    const k = slider("k", { min: 0, max: 1, step: 1, value: 0, name: (i) => choices()[i].name }, show);
    const alpha = slider("α", { min: 0, max: 1, step: 1, value: 0, name: (i) => String(points()[i].alpha) }, show);
    const choices = () => tasks[choose.value].choices;
    const points = () => choices()[k.get()].points;
    const percent = (share) => `${Math.round(100 * share)} %`;

    function line(column, colour, at) {
      const most = Math.max(...points().map((point) => point.alpha)) || 1;
      const place = (point) => [left + (width - left - 12) * point.alpha / most, low - 160 * point[column]];
      const [x, y] = place(at);
      return [draw("polyline", { points: points().map((point) => place(point).join()).join(" "), class: `pg-line ${colour}` }),
        draw("circle", { cx: x, cy: y, r: 6, class: `pg-dot ${colour}` })];
    }

    function show() {
      k.bound(choices().length - 1);
      alpha.bound(points().length - 1);
      const at = points()[alpha.get()];
      const levels = [0, 0.5, 1].flatMap((share) => [
        draw("line", { x1: left, x2: width, y1: low - 160 * share, y2: low - 160 * share, class: "pg-grid" }),
        draw("text", { x: left - 4, y: low - 160 * share + 4, "text-anchor": "end" }, percent(share))]);
      svg.replaceChildren(...levels, draw("text", { x: width - 4, y: low + 20, "text-anchor": "end" }, "α →"),
        draw("text", { x: left, y: low + 34, class: `pg-label ${COLOURS[0]}` }, "- - ASR"),
        draw("text", { x: left + 80, y: low + 34, class: `pg-label ${COLOURS[1]}` }, "— helpful"),
        ...line("asr", COLOURS[0], at), ...line("helpful", COLOURS[1], at));
      text.textContent = `${tasks[choose.value].name}, ${choices()[k.get()].name}, α = ${at.alpha}: ASR ${percent(at.asr)}, ` +
        `harmless questions answered ${percent(at.helpful)} (means over ${seeds} seeds).`;
      svg.setAttribute("aria-label", `Two lines over α, attack success rate and harmless questions answered. ${text.textContent}`);
    }

    choose.addEventListener("change", show);
    frame(root, "The grid of k and α", [
      make("p", { className: "pg-note" }, "Every point is a model of this run."), chosen, k.field, alpha.field,
    ], svg, text);
    show();
  }

  function begin() {
    const kinds = { projection, energy, ablation };
    const roots = document.querySelectorAll("[data-explorable]");
    if (roots.length) document.head.append(make("link", { rel: "stylesheet", href: style.href }));
    for (const root of roots) if (!root.querySelector(".pg")) {
      root.textContent = ""; // the note for readers without JavaScript
      kinds[root.dataset.explorable](root);
    }
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
