"use strict";
// Reads the page again and puts what has changed into the one that is open; remembers the last minutes, and draws them.
(() => {
  const EVERY_MS = 5000, PATIENCE_MS = 5000, WINDOW_MIN_MS = 60000, WINDOW_MAX_MS = 300000, RATE_MIN_MS = 10000;
  // Without the name and password that an address may have: a request must not be made of one with them.
  const HERE = location.origin + location.pathname;
  const SELF = document.currentScript.textContent;
  const $ = (id) => document.getElementById(id);
  const say = (element, text) => { if (element.textContent !== text) element.textContent = text; };

  // Numbers as the bridge writes them.
  const places = (digits) => new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const [whole, one, two] = [places(0), places(1), places(2)];
  const decimal = (y) => (Math.abs(y) < 10 ? two : Math.abs(y) < 100 ? one : whole).format(y);
  const scaled = (y, steps) => {
    const [size, unit] = steps.find(([size]) => Math.abs(y) >= size) || steps[steps.length - 1];
    return `${decimal(y / size)}\u00a0${unit}`;
  };
  const KIB = 1024;
  const BYTES = [[1000 * KIB ** 3, KIB ** 4, "TiB"], [1000 * KIB ** 2, KIB ** 3, "GiB"], [1000 * KIB, KIB ** 2, "MiB"], [1000, KIB, "KiB"]];
  const SECONDS = [[1, "s"], [1e-3, "ms"], [1e-6, "µs"], [1e-9, "ns"]];
  const amount = (y, unit) => {
    if (unit === "s") return y === 0 ? "0\u00a0s" : scaled(y, SECONDS);
    if (unit !== "By") return Number.isInteger(y) ? whole.format(y) : decimal(y);
    const step = BYTES.find(([from]) => Math.abs(y) >= from);
    return step ? `${decimal(y / step[1])}\u00a0${step[2]}` : `${whole.format(y)}\u00a0B`;
  };

  // What was seen: of each figure its values with their times, null where there was none.
  const seen = new Map();
  const opened = performance.now();
  const covered = (now) => Math.min(WINDOW_MAX_MS, Math.max(WINDOW_MIN_MS, now - opened));
  const minutes = (now) => { const n = Math.round(covered(now) / 60000); return n === 1 ? "last minute" : `last ${n} minutes`; };

  function remember(isLost) {
    const now = performance.now(), left = new Set(seen.keys());
    for (const element of document.querySelectorAll("[data-figure]")) {
      const { figure, raw } = element.dataset;
      const points = (seen.get(figure) || []).filter((point) => now - point.t <= WINDOW_MAX_MS);
      points.push({ t: now, y: isLost || raw === undefined || !isFinite(raw) ? null : Number(raw) });
      seen.set(figure, points);
      left.delete(figure);
      draw(element, points, now);
    }
    for (const figure of left) seen.delete(figure);
  }

  // In words, for those who do not see the line and for those who do.
  function lately(points, unit, isCounter) {
    const known = points.filter((point) => point.y !== null), values = known.map((point) => point.y);
    if (values.length < 2) return "";
    if (!isCounter) {
      const [low, high] = [Math.min(...values), Math.max(...values)].map((y) => amount(y, unit));
      if (low === high) return "steady";
      const [before, after] = [low, high].map((text) => text.split("\u00a0"));
      return `${before[1] === after[1] ? before[0] : low} – ${high}`;
    }
    const took = known[known.length - 1].t - known[0].t;
    if (took < RATE_MIN_MS) return "";
    // Over resets too.
    const grown = values.reduce((sum, y, at) => sum + (at ? Math.max(0, y - values[at - 1]) : 0), 0);
    const rate = grown * 60000 / took;
    return grown === 0 ? "no change" : `${amount(unit || rate < 10 ? rate : Math.round(rate), unit)}/min`;
  }

  const svg = (tag, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };

  function draw(element, points, now) {
    const place = element.parentElement.querySelector(".lately"), { unit, kind } = element.dataset;
    const values = points.map((point) => point.y).filter((y) => y !== null);
    if (!values.length) return place.replaceChildren();
    if (!place.firstChild) {
      const chart = svg("svg", { role: "img", viewBox: "0 0 100 100", preserveAspectRatio: "none" });
      chart.append(svg("path", { class: "area" }), svg("path", { class: "line" }));
      const words = document.createElement("span");
      words.setAttribute("aria-hidden", "true");
      place.append(chart, words);
    }
    const [chart, words] = place.children, [area, line] = chart.children;
    const [low, high] = [Math.min(...values), Math.max(...values)];
    // A gauge fills the height only if it moves by a tenth: small noise shall look small. What only grows may fill it.
    const least = kind === "counter" ? 1e-12 : Math.max(Math.abs(high) / 10, 1e-12);
    const span = Math.max(high - low, least), middle = (low + high) / 2;
    const at = ({ t, y }) => `${(100 - (now - t) * 100 / covered(now)).toFixed(1)} ${(50 - (y - middle) * 90 / span).toFixed(1)}`;
    const runs = [[]];
    for (const point of points) point.y === null ? runs.push([]) : runs[runs.length - 1].push(at(point));
    const drawn = runs.filter((run) => run.length);
    line.setAttribute("d", drawn.map((run) => `M${run.join("L")}${run.length === 1 ? "h.01" : ""}`).join(""));
    area.setAttribute("d", drawn.map((run) => `M${run[0].split(" ")[0]} 100L${run.join("L")}V100Z`).join(""));
    const text = lately(points, unit, kind === "counter");
    say(words, text);
    chart.setAttribute("aria-label", `${minutes(now)}: ${text || "just begun"}`);
  }

  // Changes what differs and nothing else, so that screen readers, the eye and the focus stay calm.
  function merge(old, next) {
    if (old.nodeName !== next.nodeName || old.id !== next.id) return old.replaceWith(document.importNode(next, true));
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== next.data) old.data = next.data;
      return;
    }
    if ("own" in old.dataset) return;
    for (const { name } of [...old.attributes]) if (name !== "open" && !next.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of next.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    const [olds, nexts] = [[...old.childNodes], [...next.childNodes]];
    nexts.forEach((node, at) => at < olds.length ? merge(olds[at], node) : old.append(document.importNode(node, true)));
    olds.slice(nexts.length).forEach((node) => node.remove());
  }

  const tell = () => say($("live"), ` · read every ${EVERY_MS / 1000} s, lines: ${minutes(performance.now())}`);
  function show(next) {
    document.body.classList.remove("lost");
    document.body.dataset.level = next.body.dataset.level;
    if (document.title !== next.title) document.title = next.title;
    merge(document.querySelector(".page"), next.querySelector(".page"));
    remember(false);
    tell();
  }

  function lose(error) {
    const cause = error.name === "TimeoutError" ? `no answer within ${PATIENCE_MS / 1000} s` : error.told || "no connection";
    document.body.classList.add("lost");
    document.body.dataset.level = "bad";
    document.title = "■ " + document.title.replace(/^[▲■] /, "");
    say($("state-title"), "The bridge cannot be reached");
    say($("state-detail"), `${cause.charAt(0).toUpperCase() + cause.slice(1)}. Its last figures are shown.`);
    say($("live"), " · trying again");
    remember(true);
  }

  const trouble = (told) => Object.assign(new Error(told), { told });
  async function read() {
    const answer = await fetch(HERE, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
    if (answer.status === 401 || answer.status === 403) throw trouble(`it answered ${answer.status}: reload to sign in`);
    if (!answer.ok) throw trouble(`it answered ${answer.status}`);
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!next.body.dataset.bridge) throw trouble("something else answered");
    // Another version of the bridge has another script.
    next.querySelector("script").textContent === SELF ? show(next) : location.reload();
  }

  let timer, isBusy = false;
  async function poll() {
    if (isBusy || document.hidden) return;
    isBusy = true;
    await read().catch(lose);
    isBusy = false;
    clearTimeout(timer);
    timer = setTimeout(poll, EVERY_MS);
  }

  remember(false);
  tell();
  timer = setTimeout(poll, EVERY_MS);
  // Nobody is asked while nobody looks.
  document.addEventListener("visibilitychange", () => { clearTimeout(timer); poll(); });
  document.body.dataset.ready = "true";
})();
