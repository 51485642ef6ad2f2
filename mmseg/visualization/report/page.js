"use strict";
// What makes the page move: sorting, choosing, the picture viewer, hints. Without it everything is there, still.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (key in element && key !== "role") element[key] = value;
      else element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
  };
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
  document.documentElement.classList.add("js");

  // --- tables -------------------------------------------------------------------------------------------------
  const valueOf = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.v ?? cell.textContent.trim();
    const number = Number(text);
    return text !== "" && !Number.isNaN(number) ? number : text === "" || text === "–" ? null : text;
  };
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  const sort = (table, column, order) => {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row, i) => [valueOf(row, column), i, row]);
    const sign = order === "ascending" ? 1 : -1;
    // What has no value stands at the end, whichever way the rest is sorted.
    rows.sort((a, b) => (a[0] === null) - (b[0] === null) || (a[0] === null ? 0 : sign * compare(a[0], b[0])) || a[1] - b[1]);
    const folded = rows.filter(([, , row]) => row.classList.contains("folded")).length;
    const open = all(".folded.open", body).length > 0;
    rows.forEach(([, , row], i) => {
      const fold = i >= rows.length - folded;
      row.classList.toggle("folded", fold);
      row.classList.toggle("open", fold && open);
    });
    body.append(...rows.map(([, , row]) => row));
    for (const header of table.tHead.rows[0].cells) header.removeAttribute("aria-sort");
    table.tHead.rows[0].cells[column].setAttribute("aria-sort", order);
  };
  for (const table of all("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((header, column) => {
      header.querySelector("button")?.addEventListener("click", () => {
        const now = header.getAttribute("aria-sort");
        const first = typeof valueOf(table.tBodies[0].rows[0], column) === "number" && column > 0 ? "descending" : "ascending";
        const other = { ascending: "descending", descending: "ascending" };
        sort(table, column, now ? other[now] : first);
      });
    });
  }
  for (const button of all(".more")) {
    button.addEventListener("click", () => {
      all(".folded", button.previousElementSibling).forEach((row) => row.classList.add("open"));
      button.remove();
    });
  }

  // --- choices: percent of rows or columns, a pair of runs, one run -----------------------------------------------
  for (const group of all("[data-tabs]")) {
    const inputs = all("input", group);
    const update = () =>
      inputs.forEach((input) => document.getElementById(input.value).classList.toggle("tab-off", !input.checked));
    group.addEventListener("change", update);
    update();
  }
  const choose = (select, selector) => {
    const update = () =>
      all(selector).forEach((element) => element.classList.toggle("off", element.id !== select.value));
    select.addEventListener("change", update);
    update();
    return (id) => {
      select.value = id;
      update();
    };
  };
  for (const select of all("[data-pairs]")) choose(select, ".pair");
  const runs = document.querySelector("[data-runs]");
  if (runs) {
    all("article.run").forEach((run) => run.setAttribute("data-later", ""));
    const show = choose(runs, "article.run");
    // A link into a run that is not shown shows it first.
    document.addEventListener("click", (event) => {
      const link = event.target.closest?.('a[href^="#"]');
      const run = link && document.getElementById(link.hash.slice(1))?.closest("article.run");
      if (run) show(run.id);
    });
  }

  // --- which section one reads --------------------------------------------------------------------------------
  for (const nav of all("nav.sections")) {
    const links = new Map(all("a", nav).map((link) => [link.hash.slice(1), link]));
    const mark = () => {
      let current = null;
      for (const [id, link] of links) {
        if (document.getElementById(id)?.getBoundingClientRect().top < innerHeight * 0.35) current = link;
      }
      for (const link of links.values()) {
        if (link === current && !link.hasAttribute("aria-current")) {
          link.setAttribute("aria-current", "true");
          nav.firstChild.scrollTo({ left: link.offsetLeft - nav.clientWidth / 3 });
        } else if (link !== current) link.removeAttribute("aria-current");
      }
    };
    addEventListener("scroll", () => requestAnimationFrame(mark), { passive: true });
    mark();
  }

  // --- hints --------------------------------------------------------------------------------------------------
  const tip = document.getElementById("tip");
  const hint = (event) => {
    const target = event.target.closest?.("[data-tip]");
    tip.hidden = !target;
    if (!target) return;
    tip.textContent = target.dataset.tip;
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = `${clamp(event.clientX - width / 2, 6, innerWidth - width - 6)}px`;
    tip.style.top = `${event.clientY - height - 14 < 6 ? event.clientY + 18 : event.clientY - height - 14}px`;
  };
  document.addEventListener("pointermove", hint, { passive: true });
  document.addEventListener("pointerdown", hint, { passive: true });
  addEventListener("scroll", () => (tip.hidden = true), { passive: true });

  // --- the viewer ---------------------------------------------------------------------------------------------
  const pixels = (image, cache = new WeakMap()) => {
    if (!image.naturalWidth) return null;
    const canvas = make("canvas", { width: image.naturalWidth, height: image.naturalHeight });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    return context;
  };

  const viewer = (root) => {
    const classes = JSON.parse(root.dataset.classes);
    const names = new Map();
    for (const [name, ...rgb] of classes) {
      const key = rgb.join();
      names.set(key, names.has(key) ? `${names.get(key)} or ${name}` : name);
    }
    const shots = all(".shot", root).map((shot) => ({
      shot,
      title: shot.querySelector("h4").textContent,
      tag: shot.dataset.tag,
      here: JSON.parse(shot.dataset.here),
      layers: new Map(all("img", shot).map((img) => [img.dataset.layer, img])),
      titles: new Map(all("img", shot).map((img) => [img.dataset.layer, img.nextSibling.textContent])),
      contexts: new Map(),
    }));
    const layers = [...shots[0].layers.keys()];
    const guess = layers.find((key) => key.startsWith("prediction"));
    const state = { at: 0, left: "truth", right: guess, place: 50, strength: 75 };
    if (layers.filter((key) => key.startsWith("prediction")).length > 1) {
      [state.left, state.right] = layers.filter((key) => key.startsWith("prediction"));
    }

    const title = make("h3", { "aria-live": "polite" });
    const pane = (side) => make("div", { className: `pane ${side}` }, make("img", { className: "base" }), make("img", { className: "over" }));
    const [left, right] = [pane("left"), pane("right")];
    const tags = [make("span", { className: "tag left" }), make("span", { className: "tag right" })];
    const divider = make("div", {
      className: "divider", role: "slider", tabIndex: 0, "aria-label": "Divider between the left and the right picture",
      "aria-valuemin": 0, "aria-valuemax": 100, "aria-orientation": "horizontal",
    });
    const stage = make("div", { className: "stage" }, left, right, ...tags, divider);
    const strip = make("div", { className: "strip", role: "group", "aria-label": "Images" });
    const chips = make("ul", { className: "chips", "aria-label": "Classes of this image with their IoU" });
    const readout = make("p", { className: "readout" });
    const selects = ["left", "right"].map((side) => {
      const options = layers.map((key) => make("option", { value: key }, shots[0].titles.get(key)));
      const select = make("select", {}, ...options);
      select.addEventListener("change", () => set({ [side]: select.value }));
      return select;
    });
    const strength = make("input", { type: "range", min: 10, max: 100, step: 5 });
    strength.addEventListener("input", () => set({ strength: Number(strength.value) }));
    const step = (text, by, label) => {
      const button = make("button", { type: "button", "aria-label": label }, text);
      button.addEventListener("click", () => set({ at: (state.at + by + shots.length) % shots.length }));
      return button;
    };
    const word = (text, control) => make("label", {}, make("span", {}, text), control);
    const controls = make("div", { className: "controls" },
      word("Left side", selects[0]), word("Right side", selects[1]), word("Strength of the colours", strength),
      make("div", { className: "step" }, step("◂ previous", -1, "previous image"), step("next ▸", 1, "next image")));
    const keys = make("p", { className: "note keys" });
    keys.innerHTML = "<kbd>←</kbd> <kbd>→</kbd> move the divider when it is focused, <kbd>N</kbd> <kbd>P</kbd> the next and " +
      "the previous image, <kbd>1</kbd> – <kbd>9</kbd> what lies on the right, with <kbd>Shift</kbd> on the left.";

    shots.forEach((shot, i) => {
      const picture = make("img", { src: shot.layers.get("picture").src, alt: "" });
      const button = make("button", { type: "button", title: shot.title, "aria-label": shot.title }, picture, make("span", {}, shot.tag));
      button.addEventListener("click", () => set({ at: i }));
      strip.append(button);
    });

    const paint = (element, key, shot) => {
      const [base, top] = element.children;
      const layer = shot.layers.get(key);
      base.src = shot.layers.get("picture").src;
      base.alt = key === "picture" ? layer.alt : "";
      top.hidden = key === "picture";
      if (key !== "picture") {
        top.src = layer.src;
        top.alt = layer.alt;
      }
      const errors = key.startsWith("errors");
      top.style.opacity = errors ? 1 : state.strength / 100;
      element.classList.toggle("dim", errors);
    };
    const place = () => {
      right.style.clipPath = `inset(0 0 0 ${state.place}%)`;
      divider.style.left = `${state.place}%`;
      divider.setAttribute("aria-valuenow", Math.round(state.place));
      divider.setAttribute("aria-valuetext", `${Math.round(state.place)} % ${tags[0].textContent}, the rest ${tags[1].textContent}`);
    };
    const set = (change) => {
      Object.assign(state, change);
      const shot = shots[state.at];
      const { w, h } = shot.shot.dataset;
      stage.style.aspectRatio = `${w} / ${h}`;
      stage.style.maxWidth = `min(100%, calc(72vh * ${w / h}))`;
      title.textContent = shot.title;
      paint(left, state.left, shot);
      paint(right, state.right, shot);
      [state.left, state.right].forEach((key, i) => {
        tags[i].textContent = shot.titles.get(key);
        selects[i].value = key;
      });
      strength.value = state.strength;
      [...strip.children].forEach((button, i) => button.setAttribute("aria-pressed", i === state.at));
      if ("at" in change) {
        const button = strip.children[state.at];
        strip.scrollTo({ left: button.offsetLeft - strip.offsetLeft - strip.clientWidth / 2 + button.offsetWidth / 2 });
        readout.textContent = "";
        chips.replaceChildren(...shot.here.map(([index, iou, truth, found]) => {
          const [name, ...rgb] = classes[index];
          const swatch = make("i", { className: "swatch" });
          swatch.style.background = `rgb(${rgb})`;
          const words = `IoU ${(100 * iou).toFixed(0)} %; ${(100 * truth).toFixed(1)} % of the truth, ${(100 * found).toFixed(1)} % of the prediction`;
          const chip = make("li", { className: iou === 0 ? "zero" : "" }, swatch, name, make("b", {}, (100 * iou).toFixed(0)));
          chip.dataset.tip = `${name}: ${words}`;
          return chip;
        }));
      }
      place();
    };

    // What the label maps say under the pointer.
    const classAt = (shot, key, x, y) => {
      if (!shot.contexts.has(key)) shot.contexts.set(key, pixels(shot.layers.get(key)));
      const context = shot.contexts.get(key);
      if (!context) return null;
      const { width, height } = context.canvas;
      const [r, g, b, a] = context.getImageData(clamp(Math.floor(x * width), 0, width - 1), clamp(Math.floor(y * height), 0, height - 1), 1, 1).data;
      return a ? names.get([r, g, b].join()) ?? "?" : "ignored";
    };
    const read = (event) => {
      const box = stage.getBoundingClientRect();
      const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      if (x < 0 || y < 0 || x > 1 || y > 1) return;
      const shot = shots[state.at];
      const truth = classAt(shot, "truth", x, y);
      const words = layers.filter((key) => key.startsWith("prediction")).map((key) => {
        const found = classAt(shot, key, x, y);
        const mark = truth === "ignored" ? "" : found === truth ? " ✓" : " ✗";
        return `${shot.titles.get(key)}: ${found}${mark}`;
      });
      readout.textContent = `Under the pointer – truth: ${truth} · ${words.join(" · ")}`;
    };

    const move = (event) => {
      const box = stage.getBoundingClientRect();
      state.place = clamp((100 * (event.clientX - box.left)) / box.width, 0, 100);
      place();
    };
    stage.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      stage.setPointerCapture(event.pointerId);
      divider.focus({ preventScroll: true });
      move(event);
      read(event);
      event.preventDefault();
    });
    stage.addEventListener("pointermove", (event) => {
      if (stage.hasPointerCapture(event.pointerId)) move(event);
      read(event);
    });
    divider.addEventListener("keydown", (event) => {
      const by = event.shiftKey ? 10 : 2;
      const moves = { ArrowLeft: -by, ArrowDown: -by, ArrowRight: by, ArrowUp: by, PageDown: -10, PageUp: 10, Home: -100, End: 100 };
      if (!(event.key in moves)) return;
      state.place = clamp(state.place + moves[event.key], 0, 100);
      place();
      event.preventDefault();
    });
    root.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, input")) return;
      const digit = /^Digit([1-9])$/.exec(event.code);
      if (digit && layers[digit[1] - 1]) set({ [event.shiftKey ? "left" : "right"]: layers[digit[1] - 1] });
      else if (event.key.toLowerCase() === "n") set({ at: (state.at + 1) % shots.length });
      else if (event.key.toLowerCase() === "p") set({ at: (state.at - 1 + shots.length) % shots.length });
      else return;
      event.preventDefault();
    });
    // Links to an image, as in the table of all images, show it here.
    document.addEventListener("click", (event) => {
      const link = event.target.closest?.('a[href^="#"]');
      const at = link ? shots.findIndex(({ shot }) => shot.id === link.hash.slice(1)) : -1;
      if (at < 0) return;
      event.preventDefault();
      set({ at });
      root.scrollIntoView();
      divider.focus({ preventScroll: true });
    });

    root.append(title, strip, stage, controls, readout, chips, keys);
    set({ at: 0 });
  };
  all(".viewer").forEach(viewer);
})();
