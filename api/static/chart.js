// The chart of a device's signals: the only place that knows uPlot. The page says in `data-chart` which signals and
// findings there are; readings come from the API for the visible range, as measured or as min/mean/max buckets. Of a signal
// that is a mode a bucket has the one that most readings have, drawn as steps: there is nothing between two modes.

const HOUR = 3600;
const DAY = 24 * HOUR;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const COLOURS = 6;
const MOST_UNITS = 2;
const MODE = "mode"; // The scale of all signals that are modes, whatever their unit.
const EXPAND_NULLS = 2; // uPlot's number for it.
const WHOLE = Array.from({ length: 24 }, (_, at) => [1, 2, 5][at % 3] * 10 ** Math.floor(at / 3));
let zone = "UTC"; // The reader's, as the page says.

function start(place, facts) {
  ({ zone } = facts);
  const said = document.getElementById("said");
  const whole = document.getElementById("whole");
  const ranges = document.getElementById("ranges");
  const signals = document.getElementById("signals");
  const legend = document.getElementById("legend");
  facts.signals.forEach((signal, at) =>
    Object.assign(signal, { colour: (at % COLOURS) + 1, scale: signal.mode ? MODE : signal.unit || "plain" }),
  );

  const view = { chosen: [...facts.chosen], days: 7, until: facts.until / 1000, zoom: null };
  let plot = null;
  let asked = 0;

  const visible = () => view.zoom ?? [view.until - view.days * DAY, view.until + 60];

  async function load() {
    const mine = ++asked;
    const [from, to] = visible();
    const points = Math.round(Math.min(1500, Math.max(300, place.clientWidth)));
    const chosen = facts.signals.filter((signal) => view.chosen.includes(signal.name));
    tell(chosen);
    let tables;
    try {
      tables = await Promise.all(chosen.map((signal) => fetchTable(facts.url, signal, from, to, points)));
    } catch (error) {
      if (mine === asked) said.textContent = `The readings could not be loaded (${error.message}). Choose a range to try again.`;
      return;
    }
    if (mine !== asked) return; // A later choice is on its way.
    plot?.destroy();
    plot = draw(place, facts, chosen, tables, [from, to], zoomTo, reset, show);
    place.dataset.painted = String(mine);
    const none = tables.every((table) => table[0].length === 0);
    said.textContent = none
      ? "No readings in this range."
      : `${written(from)} to ${written(to)} ${named(to)}, ${shown(chosen, tables)}. Drag across the chart to zoom.`;
  }

  function tell(chosen) {
    legend.replaceChildren(
      ...chosen.map((signal) => {
        const item = Object.assign(document.createElement("li"), { className: `c${signal.colour}` });
        item.append(`${signal.title} `, document.createElement("strong"));
        return item;
      }),
    );
    for (const button of ranges.children) button.setAttribute("aria-pressed", String(!view.zoom && Number(button.dataset.days) === view.days));
    whole.hidden = !view.zoom;
    const used = new Set(chosen.map((signal) => signal.scale));
    for (const box of signals.querySelectorAll("input")) {
      box.checked = view.chosen.includes(box.value);
      const { scale } = facts.signals.find((signal) => signal.name === box.value);
      box.disabled = !box.checked && used.size >= MOST_UNITS && !used.has(scale);
    }
  }

  function zoomTo(from, to) {
    if (to - from < 120) return;
    view.zoom = [from, to];
    load();
  }

  function reset() {
    view.zoom = null;
    load();
  }

  // The legend holds the values under the pointer, else the newest ones.
  function show(values) {
    values.forEach((text, at) => {
      const value = legend.children[at]?.querySelector("strong");
      if (value) value.textContent = text;
    });
  }

  for (const signal of facts.signals) {
    const label = document.createElement("label");
    label.className = `c${signal.colour}`;
    const box = Object.assign(document.createElement("input"), { type: "checkbox", value: signal.name });
    box.addEventListener("change", () => {
      view.chosen = box.checked ? [...view.chosen, signal.name] : view.chosen.filter((name) => name !== signal.name);
      load();
    });
    const unit = signal.unit ? ` (${signal.unit})` : "";
    label.append(box, `${signal.title}${unit}`);
    signals.append(label);
  }
  ranges.addEventListener("click", (event) => {
    const days = Number(event.target.dataset.days);
    if (!days) return;
    Object.assign(view, { days, zoom: null });
    load();
  });
  whole.addEventListener("click", reset);
  for (const button of document.querySelectorAll("[data-finding]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const finding = facts.findings.find((f) => f.id === Number(button.dataset.finding));
      const from = finding.from / 1000;
      const to = (finding.to ?? facts.until) / 1000;
      const room = Math.max(6 * HOUR, (to - from) * 0.3);
      place.scrollIntoView({ block: "center" });
      zoomTo(from - room, to + room);
    });
  }
  for (const part of [ranges, document.getElementById("choose")]) part.hidden = false;

  new ResizeObserver(() => plot?.setSize(sizeOf(place))).observe(place);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", load);
  setInterval(async () => {
    if (document.hidden || view.zoom) return;
    const answer = await fetch(facts.url).catch(() => null); // Away for a moment: the next turn asks again.
    const newest = answer?.ok && Date.parse((await answer.json()).last_reading_at) / 1000;
    if (newest > view.until) {
      view.until = newest;
      load();
    }
  }, 10_000);
  load();
}

async function fetchTable(url, signal, from, to, points) {
  const query = new URLSearchParams({ signal: signal.name, from: iso(from), to: iso(to), points });
  const answer = await fetch(`${url}/readings?${query}`, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(answer.status === 401 ? "signed out" : `answer ${answer.status}`);
  const columns = await answer.json();
  const bucket = columns.bucket_seconds ?? 0;
  const longest = Math.max(3 * (signal.interval ?? 0), 2.5 * bucket) || Infinity;
  const table = [[], [], [], []];
  table.bucket = bucket;
  const rows = bucket && !signal.mode ? [columns.mean, columns.greatest, columns.least] : [columns.value, columns.value, columns.value];
  // A mode holds from its time on until the next, before silence for one interval; anything else is in the middle of its bucket.
  const middle = signal.mode ? 0 : bucket / 2;
  const held = signal.mode ? Math.max(signal.interval ?? 0, bucket) : 0;
  let before = Infinity;
  columns.time.forEach((time, at) => {
    const x = time / 1000 + middle;
    // Silence is a gap in the line, never a straight line across it.
    if (x - before > longest) {
      if (held) push(table, before + held, rows.map((row) => row[at - 1]));
      push(table, (x + before + held) / 2, [null, null, null]);
    }
    push(table, x, rows.map((row) => row[at]));
    before = x;
  });
  if (held && before < Infinity) push(table, before + held, rows.map((row) => row.at(-1)));
  return table;
}

function shown(chosen, tables) {
  const drawn = chosen.filter((signal, at) => tables[at].bucket);
  const bucket = Math.max(...tables.map((table) => table.bucket));
  const what = [];
  if (drawn.some((signal) => !signal.mode)) what.push("least to greatest value");
  if (drawn.some((signal) => signal.mode)) what.push("most frequent mode");
  return bucket ? `${what.join(" and ")} of each ${spell(bucket)}` : "as measured";
}

function push(table, x, values) {
  table[0].push(x);
  values.forEach((value, at) => table[at + 1].push(value));
}

function draw(place, facts, chosen, tables, [from, to], zoomTo, reset, show) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const used = [...new Set(chosen.map((signal) => signal.scale))];
  const narrow = place.clientWidth < 480; // The legend names the units there.
  const grid = { stroke: colour("line"), width: 1 };
  const axis = { stroke: colour("quiet"), font: "12px system-ui, sans-serif", grid, ticks: { ...grid, size: 5 } };
  // Silence reaches from value to value, whatever of other signals lies between.
  const data = tables.length ? uPlot.join(tables, tables.map((table) => table.map(() => EXPAND_NULLS))) : [[from, to]];
  const series = [{}];
  const bands = [];
  chosen.forEach((signal) => {
    const stroke = colour(`chart-${signal.colour}`);
    const common = { scale: signal.scale, points: { show: false }, ...(signal.mode ? { paths: uPlot.paths.stepped({ align: 1 }) } : {}) };
    series.push({ ...common, stroke, width: 1.6 }, { ...common, width: 0 }, { ...common, width: 0 });
    bands.push({ series: [series.length - 2, series.length - 1], fill: `${stroke}40` });
  });
  const scales = { x: { time: true, range: () => [from, to] } };
  for (const scale of used) scales[scale] = { range: (u, least, most) => roomy(least, most, chosen, scale) };
  const sides = used.map((scale, at) => ({
    ...axis,
    scale,
    side: at === 0 ? 3 : 1,
    size: narrow ? 40 : 52,
    grid: at === 0 ? grid : { show: false },
    values: (u, splits) => splits.map((value) => `${Number(value.toPrecision(6)).toLocaleString("en")}${scale === "°C" ? "°" : ""}`),
    ...(scale === MODE ? { incrs: WHOLE } : {}),
    ...(scale !== "plain" && scale !== "°C" && !narrow ? { label: scale, labelSize: 18, labelFont: axis.font, labelGap: 0 } : {}),
  }));
  const options = {
    ...sizeOf(place),
    tzDate: local,
    legend: { show: false },
    scales,
    series,
    bands,
    axes: [{ ...axis, space: 64, size: 44, values: (u, splits, index, space, step) => splits.map((s, at) => tick(s, step, at === 0)) }, ...sides],
    cursor: {
      drag: { x: true, y: false, setScale: false },
      points: { show: (u, at) => (at % 3 === 1 && !chosen[(at - 1) / 3].mode ? undefined : false) },
      bind: { dblclick: () => reset },
    },
    hooks: {
      drawClear: [(u) => shade(u, facts, chosen, colour)],
      draw: [(u) => label(u, facts, colour)],
      setSelect: [
        (u) => {
          if (u.select.width < 4) return;
          const picked = [u.select.left, u.select.left + u.select.width].map((x) => u.posToVal(x, "x"));
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          zoomTo(...picked);
        },
      ],
      setCursor: [
        (u) => {
          const { idx, left } = u.cursor;
          const early = idx > 0 && u.data[0][idx] > u.posToVal(left, "x"); // The nearest is yet to come: the mode before holds.
          show(chosen.map((signal, at) => quantity(valueAt(u.data[at * 3 + 1], early && signal.mode ? idx - 1 : idx), signal)));
        },
      ],
    },
  };
  place.replaceChildren();
  const plot = new uPlot(options, data, place);
  show(chosen.map((signal, at) => quantity(valueAt(data[at * 3 + 1], null), signal)));
  return plot;
}

// Where another signal was measured but this one was not, its value just before.
function valueAt(values, index) {
  let at = index ?? values.length - 1;
  while (at > 0 && values[at] === undefined) at -= 1;
  if (index == null) while (at > 0 && values[at] == null) at -= 1;
  return values[at];
}

function quantity(value, { unit, mode }) {
  return value == null ? "–" : `${(mode ? value : Number(value.toPrecision(4))).toLocaleString("en")} ${unit}`.trim();
}

// Room above and below, and the normal band in view where it is known.
function roomy(least, most, chosen, scale) {
  let [low, high] = [least ?? 0, most ?? 1];
  for (const signal of chosen) {
    if (signal.scale !== scale || !signal.normal) continue;
    low = Math.min(low, signal.normal[0]);
    high = Math.max(high, signal.normal[1]);
  }
  const room = (high - low || (scale !== MODE && Math.abs(high)) || 1) * 0.08;
  return [low - room, high + room];
}

// Under the lines: when findings lasted, where values are normal, and when something happened to the device.
function shade(u, facts, chosen, colour) {
  const { ctx, bbox } = u;
  const pixels = devicePixelRatio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  for (const signal of chosen) {
    if (!signal.normal) continue;
    const [bottom, top] = signal.normal.map((value) => u.valToPos(value, signal.scale, true));
    ctx.fillStyle = `${colour(`chart-${signal.colour}`)}14`;
    ctx.fillRect(bbox.left, top, bbox.width, bottom - top);
  }
  for (const finding of visible(u, facts)) {
    const left = Math.max(bbox.left, u.valToPos(finding.from / 1000, "x", true));
    const right = Math.min(bbox.left + bbox.width, u.valToPos((finding.to ?? facts.until) / 1000, "x", true));
    const urgent = finding.severity === "critical";
    ctx.fillStyle = `${colour(urgent ? "bad" : "warn-dot")}1e`;
    ctx.fillRect(left, bbox.top, Math.max(right - left, 2 * pixels), bbox.height);
  }
  ctx.setLineDash([3 * pixels, 3 * pixels]);
  ctx.lineWidth = 1.5 * pixels;
  for (const event of facts.events) {
    const at = u.valToPos(event.at / 1000, "x", true);
    ctx.strokeStyle = colour(event.kind === "error" ? "bad" : "accent");
    ctx.beginPath();
    ctx.moveTo(at, bbox.top);
    ctx.lineTo(at, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}

// Over the lines and the grid: what the findings are called, on a ground of its own.
function label(u, facts, colour) {
  const { ctx, bbox } = u;
  const pixels = devicePixelRatio;
  ctx.save();
  ctx.font = `${11 * pixels}px system-ui, sans-serif`;
  ctx.textBaseline = "top";
  ctx.textAlign = "left"; // The axes, drawn before, leave it at what they needed.
  visible(u, facts).forEach((finding, row) => {
    const left = Math.max(bbox.left, u.valToPos(finding.from / 1000, "x", true));
    const width = ctx.measureText(finding.title).width;
    const at = Math.min(left + 4 * pixels, bbox.left + bbox.width - width - 4 * pixels);
    const top = bbox.top + (5 + (row % 4) * 16) * pixels;
    ctx.fillStyle = `${colour("card")}d8`;
    ctx.fillRect(at - 3 * pixels, top - 2 * pixels, width + 6 * pixels, 15 * pixels);
    ctx.fillStyle = colour("ink");
    ctx.fillText(finding.title, at, top);
  });
  ctx.restore();
}

function visible(u, facts) {
  const { min, max } = u.scales.x;
  const shown = facts.findings.filter((f) => f.from / 1000 < max && (f.to ?? Infinity) / 1000 > min);
  return shown.sort((a, b) => a.from - b.from);
}

function tick(seconds, step, first) {
  const date = local(seconds);
  const day = dayOf(date);
  if (step >= DAY) return day;
  const hour = clock(date);
  return first || hour === "00:00" ? `${hour}\n${day}` : hour;
}

// A date whose own numbers are those of the reader's clock.
const local = (seconds) => uPlot.tzDate(new Date(seconds * 1000), zone);
const dayOf = (date) => `${date.getDate()} ${MONTHS[date.getMonth()]}`;
const clock = (date) => [date.getHours(), date.getMinutes()].map((part) => String(part).padStart(2, "0")).join(":");
const iso = (seconds) => new Date(Math.round(seconds * 1000)).toISOString();
const sizeOf = (place) => ({ width: place.clientWidth, height: place.clientHeight });

function written(seconds) {
  const date = local(seconds);
  return `${dayOf(date)} ${clock(date)}`;
}

// What the zone is called at that time: CET or CEST.
function named(seconds) {
  const parts = new Intl.DateTimeFormat("en-GB", { timeZone: zone, timeZoneName: "short" }).formatToParts(new Date(seconds * 1000));
  return parts.find((part) => part.type === "timeZoneName").value;
}

function spell(seconds) {
  if (seconds < 120) return `${seconds} s`;
  return seconds < 2 * HOUR ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / HOUR)} h`;
}

const place = document.getElementById("chart");
if (place) start(place, JSON.parse(place.dataset.chart));
